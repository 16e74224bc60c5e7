//! Writing: transactions, and commits that several writers share.
//!
//! A commit waits for the disk. Writers of one process that come at the same time would do so one after the other; so
//! one that is done while others wait for their turn leaves its transaction open to the next, whose changes lie behind
//! a savepoint. Whoever sees nobody waiting, or enough together, commits for all, and none of them returns before. If
//! one fails, only its own changes are taken back; if the commit fails, all have failed.

use std::ops::Deref;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};

use rusqlite::Connection;

use super::db::{Db, Slot, lock};
use super::{busy, checkpoint, errors, fork};
use crate::error::{Error, Result};

/// Writers that share a commit at most: the first of them waits for the last.
const MOST: usize = 64;

/// A connection inside a transaction.
#[derive(Debug)]
pub struct Transaction<'conn>(&'conn Connection);

impl Deref for Transaction<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.0
    }
}

/// Writers that share a commit, and what became of it.
#[derive(Debug, Default)]
struct Group {
    outcome: Mutex<Option<Result<()>>>,
    decided: Condvar,
}

impl Group {
    /// Says what became of it; what was said first stands.
    fn decide(&self, outcome: Result<()>) {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(outcome);
        self.decided.notify_all();
    }

    fn wait(&self) -> Result<()> {
        let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(outcome) = &*outcome {
                return outcome.clone();
            }
            outcome = self.decided.wait(outcome).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Has to be kept: whoever goes away without a word leaves those who wait with an error.
#[derive(Debug, Default)]
struct Promise(Arc<Group>);

impl Drop for Promise {
    fn drop(&mut self) {
        self.0.decide(Err(Error::Storage("the write was given up; nothing of it was kept".to_owned())));
    }
}

/// A transaction that has not been committed yet, and those who wait for it.
#[derive(Debug)]
pub(super) struct Open {
    conn: Connection,
    promise: Promise,
    members: usize,
}

impl Open {
    /// Runs `body`, whose changes are kept if it succeeds. The outer error is that of the whole transaction, of which
    /// nothing is kept then.
    fn add<T>(&mut self, body: impl FnOnce(&Transaction<'_>) -> Result<T>) -> Result<Result<T>> {
        let alone = self.members == 0;
        if !alone {
            run(&self.conn, "SAVEPOINT writer")?;
        }
        let answer = body(&Transaction(&self.conn));
        match &answer {
            Ok(_) => self.members += 1,
            // SQLite itself takes everything back where the file fails.
            Err(error) if alone || self.conn.is_autocommit() => return Err(error.clone()),
            Err(_) => run(&self.conn, "ROLLBACK TO writer")?,
        }
        if !alone {
            run(&self.conn, "RELEASE writer")?;
        }
        Ok(answer)
    }
}

/// A statement without rows, parsed once for each connection.
fn run(conn: &Connection, statement: &str) -> Result<()> {
    conn.prepare_cached(statement)?.execute([])?;
    Ok(())
}

impl Db {
    /// Runs `body` in an immediate transaction and commits it: when this returns, the change is on the disk. An error
    /// of `body` takes back all that it did. Writers of all threads and processes run one after another; those that
    /// wait meanwhile may share the commit, so this is for a few rows. [`Self::write_many`] is for more.
    ///
    /// # Errors
    /// Whatever `body` returns; [`Error::StorageTimeout`] when others held the lock past the deadline;
    /// [`Error::StorageFull`], [`Error::StorageCorrupt`], [`Error::Storage`] from the file.
    pub fn write<T>(&self, body: impl FnOnce(&Transaction<'_>) -> Result<T>) -> Result<T> {
        let shared = &*self.shared;
        let _gate = fork::enter();
        busy::start(shared.timeout);
        shared.waiting.fetch_add(1, Ordering::AcqRel);
        let mut slot = lock(&shared.writer);
        shared.waiting.fetch_sub(1, Ordering::AcqRel);
        let open = match slot.open.take() {
            Some(open) => open,
            None => self.begin(&mut slot)?,
        };
        let (open, answer) = self.add(&mut slot, open, body)?;
        // In memory there is nothing to wait for.
        let may_share = shared.file.is_some() && open.members < MOST;
        if may_share && shared.waiting.load(Ordering::Acquire) > 0 {
            // One of those who wait comes next, whatever becomes of it.
            let group = Arc::clone(&open.promise.0);
            slot.open = Some(open);
            drop(slot);
            let value = answer?;
            return group.wait().map(|()| value);
        }
        let outcome = self.commit(&mut slot, open);
        let value = answer?;
        outcome.map(|()| value)
    }

    /// [`Self::write`] for any number of rows: nobody else's have to wait for these to be on the disk.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn write_many<T>(&self, body: impl FnOnce(&Transaction<'_>) -> Result<T>) -> Result<T> {
        let _gate = fork::enter();
        busy::start(self.shared.timeout);
        let mut slot = self.take_turn();
        self.write_in(&mut slot, body)
    }

    /// [`Self::write_many`], where it need not wait for another writer; `None` where it would. For what can be left.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn write_now<T>(&self, body: impl FnOnce(&Transaction<'_>) -> Result<T>) -> Result<Option<T>> {
        let _gate = fork::enter();
        busy::start(std::time::Duration::ZERO);
        let mut slot = match self.shared.writer.try_lock() {
            Ok(slot) => slot,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Ok(None),
        };
        if slot.open.is_some() {
            return Ok(None);
        }
        match self.write_in(&mut slot, body) {
            Err(Error::StorageTimeout(_)) => Ok(None),
            answer => answer.map(Some),
        }
    }

    fn write_in<T>(&self, slot: &mut Slot, body: impl FnOnce(&Transaction<'_>) -> Result<T>) -> Result<T> {
        let open = self.begin(slot)?;
        let (open, answer) = self.add(slot, open, body)?;
        self.commit(slot, open)?;
        answer
    }

    /// The writers' lock, with nobody's transaction open.
    pub(super) fn take_turn(&self) -> MutexGuard<'_, Slot> {
        let mut slot = lock(&self.shared.writer);
        if let Some(open) = slot.open.take() {
            // Those who wait for it are told.
            let _ = self.commit(&mut slot, open);
        }
        slot
    }

    /// Waits for other processes until the deadline of this thread's operation.
    fn begin(&self, slot: &mut Slot) -> Result<Open> {
        let shared = &*self.shared;
        shared.check_open()?;
        let conn = shared.connection(slot.take())?;
        match run(&conn, "BEGIN IMMEDIATE") {
            Ok(()) => Ok(Open { conn, promise: Promise::default(), members: 0 }),
            Err(error) => {
                let failed = Err(shared.refine(error, &conn));
                shared.put_back(slot, conn, &failed);
                failed
            }
        }
    }

    /// [`Open::add`]; where the transaction has failed, with it ended.
    fn add<T>(
        &self,
        slot: &mut Slot,
        mut open: Open,
        body: impl FnOnce(&Transaction<'_>) -> Result<T>,
    ) -> Result<(Open, Result<T>)> {
        let answer = open.add(body).map_err(|error| self.shared.refine(error, &open.conn));
        match answer {
            Ok(answer) => {
                let answer = answer.map_err(|error| self.shared.refine(error, &open.conn));
                Ok((open, answer))
            }
            Err(error) => {
                let _ = self.end(slot, open, Err(error.clone()));
                Err(error)
            }
        }
    }

    /// Commits for all who share it.
    fn commit(&self, slot: &mut Slot, open: Open) -> Result<()> {
        let outcome = errors::in_place(&open.conn).and_then(|()| run(&open.conn, "COMMIT"));
        let outcome = outcome.map_err(|error| self.shared.refine(error, &open.conn));
        self.end(slot, open, outcome)
    }

    /// Tells all who share it what became of it.
    fn end(&self, slot: &mut Slot, Open { conn, promise, .. }: Open, outcome: Result<()>) -> Result<()> {
        if !conn.is_autocommit() {
            // Where that fails too, the connection is not used again.
            let _ = run(&conn, "ROLLBACK");
        }
        self.shared.version.fetch_add(1, Ordering::AcqRel);
        checkpoint::after_commit(&self.shared, &conn);
        promise.0.decide(outcome.clone());
        self.shared.put_back(slot, conn, &outcome);
        outcome
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::fs;
    use std::path::PathBuf;
    use std::thread::{self, JoinHandle};
    use std::time::Duration;

    use super::*;

    struct Room {
        folder: PathBuf,
        db: Db,
    }

    impl Room {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("ai-infra-commit-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir(&folder).unwrap();
            let db = Db::open(&folder.join("a.db"), Duration::from_secs(30)).unwrap();
            Self { folder, db }
        }

        /// Starts writers of the keys from 0 on and lets them go once all of them wait.
        fn together<T: Send + 'static>(
            &self,
            writers: usize,
            body: impl Fn(&Transaction<'_>, usize) -> Result<T> + Copy + Send + 'static,
        ) -> Vec<JoinHandle<Result<T>>> {
            let turn = self.db.take_turn();
            let start = |key| {
                let db = self.db.clone();
                thread::spawn(move || db.write(|tx| body(tx, key)))
            };
            let started = (0..writers).map(start).collect();
            while self.db.shared.waiting.load(Ordering::Acquire) < writers {
                thread::yield_now();
            }
            drop(turn);
            started
        }

        /// Runs them to their ends; with what they gave, how many commits it took.
        fn all<T: Send + 'static>(
            &self,
            writers: usize,
            body: impl Fn(&Transaction<'_>, usize) -> Result<T> + Copy + Send + 'static,
        ) -> (Vec<Result<T>>, u64) {
            let count = || self.db.shared.version.load(Ordering::Acquire);
            let before = count();
            let started = self.together(writers, body);
            (started.into_iter().map(|thread| thread.join().unwrap()).collect(), count() - before)
        }

        fn keys(&self) -> Vec<String> {
            let read = |conn: &Connection| {
                let mut found =
                    conn.prepare("SELECT key FROM meta WHERE key LIKE 'k%' ORDER BY length(key), key")?;
                let rows = found.query_map([], |row| row.get(0))?;
                Ok(rows.collect::<rusqlite::Result<_>>()?)
            };
            self.db.read(read).unwrap()
        }
    }

    impl Drop for Room {
        fn drop(&mut self) {
            self.db.close();
            let _ = fs::remove_dir_all(&self.folder);
        }
    }

    fn add(tx: &Transaction<'_>, key: usize) -> Result<usize> {
        tx.execute("INSERT INTO meta (key, value) VALUES (?, '')", [format!("k{key}")])?;
        Ok(key)
    }

    fn named(keys: impl Iterator<Item = usize>) -> Vec<String> {
        keys.map(|key| format!("k{key}")).collect()
    }

    #[test]
    fn writers_that_wait_share_a_commit() {
        let room = Room::new("shared");
        let (answers, commits) = room.all(20, add);
        assert_eq!(answers, (0..20).map(Ok).collect::<Vec<_>>());
        assert_eq!(commits, 1);
        assert_eq!(room.keys(), named(0..20));
        let (answers, commits) = room.all(MOST + 1, |tx, key| add(tx, 100 + key));
        assert!(answers.iter().all(Result::is_ok));
        assert_eq!(commits, 2);
    }

    #[test]
    fn one_that_fails_takes_back_its_own_changes_alone() {
        let room = Room::new("alone");
        let (answers, _) = room.all(30, |tx, key| {
            add(tx, key)?;
            add(tx, 1_000 + key)?;
            // Of a third of them the last statement fails, of another third the writer thinks better of it.
            match key % 3 {
                0 => add(tx, key),
                1 => Err(Error::Conflict("not now".to_owned())),
                _ => Ok(key),
            }
        });
        for (key, answer) in answers.into_iter().enumerate() {
            assert_eq!(answer.is_ok(), key % 3 == 2);
            assert_eq!(matches!(answer, Err(Error::Conflict(_))), key % 3 == 1);
        }
        let kept = (0..30).filter(|key| key % 3 == 2);
        assert_eq!(room.keys(), named(kept.clone().chain(kept.map(|key| 1_000 + key))));
    }

    #[test]
    fn a_commit_that_fails_has_failed_for_all() {
        let room = Room::new("failed");
        room.db.write(|tx| add(tx, 99)).unwrap();
        let path = room.folder.join("a.db");
        fs::rename(&path, room.folder.join("b.db")).unwrap();
        let (answers, commits) = room.all(10, add);
        assert_eq!(commits, 1);
        for answer in answers {
            assert!(matches!(answer, Err(Error::Storage(text)) if text.contains("removed, renamed")));
        }
        fs::rename(room.folder.join("b.db"), &path).unwrap();
        assert_eq!(room.keys(), ["k99"]);
        assert_eq!(room.all(3, add).0, (0..3).map(Ok).collect::<Vec<_>>());
    }

    #[test]
    fn nobody_waits_for_one_that_is_gone() {
        let room = Room::new("gone");
        let started = room.together(8, |tx, key| {
            if key == 5 {
                std::panic::resume_unwind(Box::new(()));
            }
            add(tx, key)
        });
        let ended: Vec<_> = started.into_iter().map(JoinHandle::join).collect();
        let kept = ended.iter().filter_map(|answer| answer.as_ref().ok()?.as_ref().ok());
        let mut kept: Vec<usize> = kept.copied().collect();
        kept.sort_unstable();
        assert_eq!(room.keys(), named(kept.into_iter()));
        assert_eq!(room.all(1, |tx, _| add(tx, 9)).0, [Ok(9)]);
    }

    #[test]
    fn closing_and_larger_writes_let_those_finish_that_have_begun() {
        let room = Room::new("closing");
        let started = room.together(40, |tx, key| {
            thread::sleep(Duration::from_millis(1));
            add(tx, key)
        });
        room.db.write_many(|tx| add(tx, 50)).unwrap();
        room.db.close();
        let answers: Vec<_> = started.into_iter().map(|thread| thread.join().unwrap()).collect();
        let refused = |answer: &Result<usize>| matches!(answer, Err(Error::StorageClosed(_)));
        assert!(answers.iter().all(|answer| answer.is_ok() || refused(answer)));
        let again = Db::open(&room.folder.join("a.db"), Duration::from_secs(1)).unwrap();
        let kept: i64 = again
            .read(|conn| {
                Ok(conn.query_row("SELECT count(*) FROM meta WHERE key LIKE 'k%'", [], |row| row.get(0))?)
            })
            .unwrap();
        assert_eq!(kept, 1 + answers.iter().filter(|answer| answer.is_ok()).count() as i64);
        again.close();
    }
}
