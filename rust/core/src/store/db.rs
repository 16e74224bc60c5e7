//! A database shared by threads: one connection that writes, a few that read beside it, all of them private.

use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{mem, thread};

use rusqlite::Connection;

use super::checkpoint::{self, Mover};
use super::commit::Open;
use super::{busy, errors, fork, open};
use crate::error::{Error, Result};

/// Reading connections kept for the next reader; more are opened when more read at once.
const IDLE_READERS: usize = 8;

/// A SQLite database, in a file or in memory, for any number of threads; other processes may use the same file.
///
/// Cloning is cheap and shares it. Dropping the last clone closes it.
#[derive(Clone, Debug)]
pub struct Db {
    pub(super) shared: Arc<Shared>,
}

/// What the clones of one [`Db`] share.
#[derive(Debug)]
pub(super) struct Shared {
    /// `None`: in memory, where the writing connection is the only one.
    pub(super) file: Option<PathBuf>,
    pub(super) timeout: Duration,
    closed: AtomicBool,
    /// Counts writes from 1 on.
    pub(super) version: AtomicU64,
    pub(super) writer: Mutex<Slot>,
    /// Writers on their way to it, who will go on with a transaction that they find open.
    pub(super) waiting: AtomicUsize,
    readers: Mutex<Slot>,
    pub(super) mover: Mover,
}

/// Connections at rest, and the process that opened them.
#[derive(Debug)]
pub(super) struct Slot {
    pid: u32,
    idle: Vec<Connection>,
    /// Of the writers: a transaction that the next one goes on with.
    pub(super) open: Option<Open>,
}

impl Slot {
    fn new(idle: Vec<Connection>) -> Self {
        Self { pid: process::id(), idle, open: None }
    }

    /// Takes a connection. One that came over a `fork()` which passed by [`super::before_fork`] is left alone:
    /// closing it could tear down what the parent still uses.
    pub(super) fn take(&mut self) -> Option<Connection> {
        self.own();
        self.idle.pop()
    }

    fn own(&mut self) {
        let pid = process::id();
        if self.pid != pid {
            self.pid = pid;
            // Past the gate a file's connections are closed already, and memory is a whole copy of the parent's.
            if !fork::passed_the_gate() {
                mem::take(&mut self.idle).into_iter().for_each(mem::forget);
                mem::forget(self.open.take());
            }
        }
    }
}

pub(super) fn lock(slot: &Mutex<Slot>) -> MutexGuard<'_, Slot> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Db {
    /// Opens the database file at `path`, creating it (mode 0600) where there is none. A relative path is fixed
    /// now, a later `chdir` does not move it. `timeout` bounds how long any operation waits for other writers.
    ///
    /// # Errors
    /// [`Error::Configuration`] for a directory or a missing folder; [`Error::StorageCorrupt`] for a foreign,
    /// damaged or newer file; [`Error::Storage`] for a read-only one. A refused file is untouched.
    pub fn open(path: &Path, timeout: Duration) -> Result<Self> {
        let file = open::resolve(path)?;
        let conn = busy::patiently(timeout, || {
            let _gate = fork::enter();
            open::first(&file)
        })?;
        let db = Self::new(Some(file), timeout, conn);
        db.tidy();
        Ok(db)
    }

    /// A database in memory: the same engine with nothing on disk.
    ///
    /// # Errors
    /// [`Error::Storage`] when SQLite cannot get memory.
    pub fn memory() -> Result<Self> {
        Ok(Self::new(None, Duration::from_secs(30), open::memory()?))
    }

    fn new(file: Option<PathBuf>, timeout: Duration, conn: Connection) -> Self {
        let shared = Arc::new(Shared {
            file,
            timeout,
            closed: AtomicBool::new(false),
            version: AtomicU64::new(1),
            writer: Mutex::new(Slot::new(vec![conn])),
            waiting: AtomicUsize::new(0),
            readers: Mutex::new(Slot::new(Vec::new())),
            mover: Mover::default(),
        });
        fork::register(Arc::downgrade(&shared));
        Self { shared }
    }

    #[cfg(test)]
    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The absolute path of the file; `None` in memory.
    pub fn path(&self) -> Option<&Path> {
        self.shared.file.as_deref()
    }

    /// A number that grows with every write, from the moment it is committed and before its caller knows. `None` for
    /// a file, which others write too, and once closed. Inside [`Self::read`] it is that of what is read.
    pub fn version(&self) -> Option<u64> {
        let shared = &*self.shared;
        (shared.file.is_none() && !shared.closed.load(Ordering::Acquire))
            .then(|| shared.version.load(Ordering::Acquire))
    }

    /// Runs `body` on the writing connection with no transaction around it, for `VACUUM` and the like. While a lock
    /// is in the way, `body` is given up and run again.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn alone<T>(&self, mut body: impl FnMut(&mut Connection) -> Result<T>) -> Result<T> {
        busy::patiently(self.shared.timeout, || {
            self.exclusive(|conn| {
                let answer = body(conn);
                self.shared.version.fetch_add(1, Ordering::AcqRel);
                answer
            })
        })
    }

    fn exclusive<T>(&self, body: impl FnOnce(&mut Connection) -> Result<T>) -> Result<T> {
        let _gate = fork::enter();
        let shared = &*self.shared;
        let mut slot = self.take_turn();
        shared.check_open()?;
        let mut conn = shared.connection(slot.take())?;
        let answer = body(&mut conn).map_err(|error| shared.refine(error, &conn));
        checkpoint::after_commit(&self.shared, &conn);
        shared.put_back(&mut slot, conn, &answer);
        answer
    }

    /// Runs one `SELECT` (each statement sees a snapshot of its own) beside whoever writes.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn read<T>(&self, body: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let shared = &*self.shared;
        if shared.file.is_none() {
            return self.exclusive(|conn| body(conn));
        }
        let _gate = fork::enter();
        busy::start(shared.timeout);
        shared.reading(body)
    }

    /// Runs `body` inside one read transaction: all its statements see the same moment.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn snapshot<T>(&self, body: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        self.read(|conn| {
            // Kept statements: to parse these two takes longer than to run them.
            conn.prepare_cached("BEGIN")?.execute([])?;
            let answer = body(conn);
            if answer.is_ok() {
                conn.prepare_cached("COMMIT")?.execute([])?;
            } else if !conn.is_autocommit() {
                conn.execute_batch("ROLLBACK")?;
            }
            answer
        })
    }

    /// Empties the write-ahead log into the file and cuts it to nothing, waiting for readers to move on.
    ///
    /// # Errors
    /// [`Error::StorageTimeout`] when a reader of another process stays in the way.
    pub fn truncate_log(&self) -> Result<()> {
        if self.shared.file.is_none() {
            return Ok(());
        }
        self.alone(|conn| {
            loop {
                let blocked: i64 = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
                if blocked == 0 {
                    return Ok(());
                }
                if busy::over() {
                    return Err(Error::StorageTimeout(
                        "another process keeps reading an old state of the file, so its log cannot be cut; \
                         try again when it is done"
                            .to_owned(),
                    ));
                }
                thread::sleep(Duration::from_millis(5));
            }
        })
    }

    /// Closes every connection; operations that run now finish first. Closing twice is fine.
    pub fn close(&self) {
        let shared = &*self.shared;
        shared.closed.store(true, Ordering::Release);
        if let Some(mover) = shared.mover.take() {
            let _ = mover.join(); // it does not panic
        }
        let _gate = fork::enter();
        drop(self.take_turn());
        drop(shared.drain(&shared.readers));
        drop(shared.drain(&shared.writer));
    }
}

impl Shared {
    /// Where it is; `None` in memory, and once it was closed.
    pub(super) fn file(&self) -> Option<&Path> {
        self.file.as_deref().filter(|_| !self.closed.load(Ordering::Acquire))
    }

    /// Closes connections to a file, to be opened again at the next use. Memory stays: it lives in its connection.
    pub(super) fn rest(&self) {
        if self.file.is_some() {
            drop(self.drain(&self.readers));
            drop(self.drain(&self.writer));
        }
    }

    /// [`Db::read`] of a file, for who has passed the gate.
    pub(super) fn reading<T>(&self, body: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        self.check_open()?;
        let idle = lock(&self.readers).take();
        let conn = self.connection(idle)?;
        let answer = body(&conn).map_err(|error| self.refine(error, &conn));
        if self.reusable(&answer) && !self.closed.load(Ordering::Acquire) {
            let mut readers = lock(&self.readers);
            if readers.idle.len() < IDLE_READERS {
                readers.idle.push(conn);
            }
        }
        answer
    }

    #[expect(clippy::unused_self, reason = "reads as what it does")]
    fn drain(&self, slot: &Mutex<Slot>) -> Vec<Connection> {
        let mut slot = lock(slot);
        slot.own();
        mem::take(&mut slot.idle)
    }

    pub(super) fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::StorageClosed("the store is closed; open it again to use it".to_owned()));
        }
        Ok(())
    }

    pub(super) fn connection(&self, idle: Option<Connection>) -> Result<Connection> {
        match (idle, &self.file) {
            (Some(conn), _) => Ok(conn),
            (None, Some(file)) => open::connect(file),
            (None, None) => Err(Error::StorageClosed(
                "a store in memory belongs to the process that made it; make one after the fork".to_owned(),
            )),
        }
    }

    pub(super) fn refine(&self, error: Error, conn: &Connection) -> Error {
        errors::refine(error, Some(conn), self.file.as_deref().unwrap_or(Path::new(":memory:")))
    }

    /// Keeps the connection of a writer for the next one.
    pub(super) fn put_back<T>(&self, slot: &mut Slot, conn: Connection, answer: &Result<T>) {
        if self.reusable(answer) && conn.is_autocommit() {
            slot.idle.push(conn);
        }
    }

    /// After a failure of the file the next operation starts with a fresh connection.
    fn reusable<T>(&self, answer: &Result<T>) -> bool {
        self.file.is_none()
            || !matches!(answer, Err(Error::StorageIo(_) | Error::StorageFull(_) | Error::StorageCorrupt(_)))
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // In a child that forked past the gate these are the parent's; `own` leaves them alone.
        for slot in [&mut self.readers, &mut self.writer] {
            slot.get_mut().unwrap_or_else(PoisonError::into_inner).own();
        }
    }
}
