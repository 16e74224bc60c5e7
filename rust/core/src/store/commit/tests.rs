//! Tests of the module above.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

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
