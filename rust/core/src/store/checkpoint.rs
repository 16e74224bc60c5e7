//! Moving what the write-ahead log has gathered into the file.
//!
//! A commit is on the disk when the log is: that stays with whoever commits. Moving the pages to their places in the
//! file costs a batch as much again. So a batch leaves it to a thread, on a connection of its own, while the next one
//! appends to the log. The thread can fail or be killed at any moment: the log has everything until it is moved whole,
//! and the next commit sees to it again. Where batches leave no pause in which the log could begin anew, it grows, and at
//! [`MOST`] the committing thread moves the rest itself.
//!
//! After many small commits the committing thread moves their pages, as SQLite would by itself: a thread beside would
//! never see the end of a log that is written to all the time, and to make a log longer takes twice as long as to write
//! over its blocks.

use std::cell::Cell;
use std::process;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{ffi::c_int, mem};

use rusqlite::Connection;
use rusqlite::hooks::Wal;

use super::db::Shared;
use super::{busy, fork};
use crate::error::Result;

/// Pages in the log (4 KB each) from which they are moved: as SQLite would.
const WORTH: c_int = 1_000;
/// Pages of one commit from which a thread moves them.
const LARGE: c_int = 500;
/// Pages with which the log may go on: as much as may stay of it on the disk (`journal_size_limit`).
const MOST: c_int = 16_384;

thread_local! {
    /// Pages in the log after the last commit of this thread; 0 when that was seen to.
    static PAGES: Cell<c_int> = const { Cell::new(0) };
}

/// Takes SQLite's own checkpoints away from a connection that writes.
pub(super) fn watch(conn: &Connection) {
    conn.wal_hook(Some(|wal: &Wal, pages| {
        PAGES.set(pages);
        if pages >= MOST {
            // What cannot be moved now is moved later: the commit is done.
            let _ = wal.checkpoint();
        }
        Ok(())
    }));
}

/// The thread of this process that moves pages.
#[derive(Debug, Default)]
pub(super) struct Mover(Mutex<Moving>);

#[derive(Debug, Default)]
struct Moving {
    pid: u32,
    thread: Option<JoinHandle<()>>,
    /// Pages in the log after the last commit.
    pages: c_int,
}

impl Mover {
    /// The thread, to be waited for by whoever has not passed the gate: it has to pass that itself.
    pub fn take(&self) -> Option<JoinHandle<()>> {
        let _gate = fork::enter();
        self.lock(|moving| moving.thread.take())
    }

    fn lock<T>(&self, body: impl FnOnce(&mut Moving) -> T) -> T {
        let mut moving = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if moving.pid != process::id() {
            *moving = Moving { pid: process::id(), thread: None, pages: 0 };
        }
        body(&mut moving)
    }
}

impl Drop for Moving {
    fn drop(&mut self) {
        if self.pid != process::id() {
            fork::leave(self.thread.take());
        }
    }
}

/// Sees to the log after a commit on `conn`. To be called inside the gate, and with the writers' lock.
pub(super) fn after_commit(shared: &Arc<Shared>, conn: &Connection) {
    let pages = PAGES.replace(0);
    if pages == 0 {
        return;
    }
    shared.mover.lock(|moving| {
        let before = mem::replace(&mut moving.pages, pages);
        // After a smaller number the log has begun anew.
        let new = if pages < before { pages } else { pages - before };
        if pages < WORTH {
            return;
        }
        if new < LARGE {
            // The commit is done; what cannot be moved now is moved later. It does nothing where the thread is at it.
            let _ = passive(conn);
        } else if moving.thread.as_ref().is_none_or(JoinHandle::is_finished) {
            let shared = Arc::downgrade(shared);
            let thread = thread::Builder::new().name("ai-infra-checkpoint".to_owned());
            moving.thread = thread.spawn(move || move_pages(&shared)).ok();
        }
    });
}

/// Moves what can be moved without waiting for anybody.
fn passive(conn: &Connection) -> Result<()> {
    Ok(conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?)
}

fn move_pages(shared: &Weak<Shared>) {
    let _gate = fork::enter();
    // Whoever closed the database meanwhile has moved everything.
    let Some(shared) = shared.upgrade() else { return };
    busy::start(Duration::ZERO);
    let _ = shared.reading(passive);
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::sync::mpsc;

    use super::super::Db;
    use super::*;

    const MB: usize = 1 << 20;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("ai-infra-checkpoint-{name}-{}", process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        folder
    }

    fn fill(db: &Db, bytes: usize) -> Result<()> {
        db.write(|tx| {
            tx.execute(
                "INSERT OR REPLACE INTO meta (key, value) VALUES ('pad', hex(zeroblob(?)))",
                [i64::try_from(bytes / 2).unwrap_or(0)],
            )?;
            Ok(())
        })
    }

    fn length(path: &Path) -> usize {
        usize::try_from(fs::metadata(path).unwrap().len()).unwrap()
    }

    #[test]
    fn a_long_log_is_moved_beside_the_writers() {
        let folder = folder("moved");
        let path = folder.join("a.db");
        let db = Db::open(&path, Duration::from_secs(30)).unwrap();
        fill(&db, MB).unwrap();
        assert!(db.shared().mover.take().is_none());
        assert!(length(&path) < MB);
        fill(&db, 6 * MB).unwrap();
        db.shared().mover.take().unwrap().join().unwrap();
        assert!(length(&path) > 6 * MB);
        // The file by itself is whole, and the next write begins the log anew.
        let copy = folder.join("copy.db");
        fs::copy(&path, &copy).unwrap();
        let pad = Db::open(&copy, Duration::ZERO).unwrap().read(|conn| {
            Ok(conn.query_row("SELECT length(value) FROM meta WHERE key = 'pad'", [], |row| {
                row.get::<_, i64>(0)
            })?)
        });
        assert_eq!(pad.unwrap(), 6 << 20);
        let log = folder.join("a.db-wal");
        let before = length(&log);
        fill(&db, MB).unwrap();
        assert_eq!(length(&log), before);
        db.close();
        assert!(!log.exists());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn small_commits_begin_the_log_anew_by_themselves() {
        let folder = folder("small");
        let db = Db::open(&folder.join("a.db"), Duration::from_secs(30)).unwrap();
        for _ in 0..600 {
            fill(&db, 20_000).unwrap();
        }
        assert!(db.shared().mover.take().is_none());
        assert!(length(&folder.join("a.db-wal")) < 5 * MB);
        db.close();
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_log_is_bounded_also_where_the_thread_never_comes() {
        let folder = folder("bounded");
        let db = Db::open(&folder.join("a.db"), Duration::from_secs(30)).unwrap();
        let (sender, receiver) = mpsc::channel::<()>();
        let stuck = thread::spawn(move || receiver.recv().unwrap_or(()));
        db.shared().mover.lock(|moving| moving.thread = Some(stuck));
        for _ in 0..25 {
            fill(&db, 8 * MB).unwrap();
        }
        assert!(length(&folder.join("a.db-wal")) < 90 * MB);
        drop(sender);
        db.close();
        fs::remove_dir_all(folder).unwrap();
    }
}
