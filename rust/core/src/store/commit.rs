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
fn run(conn: &Connection, sql: &'static str) -> Result<()> {
    conn.prepare_cached(sql)?.execute([])?;
    Ok(())
}

impl Db {
    /// Runs `body` in an immediate transaction and commits it: when this returns, the change is on the disk. An error
    /// of `body` takes back all that it did. Writers of all threads and processes run one after another; those that
    /// wait meanwhile may share the commit, so this is for a few rows. [`Self::write_many`] is for more.
    ///
    /// # Errors
    /// Whatever `body` returns; [`Error::StorageTimeout`] when others held the lock past the deadline;
    /// [`Error::Interrupted`] where the wait for it was ended; [`Error::StorageFull`], [`Error::StorageCorrupt`],
    /// [`Error::Storage`] from the file.
    pub fn write<T>(&self, body: impl FnOnce(&Transaction<'_>) -> Result<T>) -> Result<T> {
        let shared = &*self.shared;
        let mut body = Some(body);
        busy::patiently(shared.timeout, || {
            let _gate = fork::enter();
            // Counted from inside the gate until it has its turn: nobody waits in vain for what is counted.
            shared.waiting.fetch_add(1, Ordering::AcqRel);
            let mut slot = lock(&shared.writer);
            shared.waiting.fetch_sub(1, Ordering::AcqRel);
            let open = match slot.open.take() {
                Some(open) => open,
                None => self.begin(&mut slot)?,
            };
            let (open, answer) = self.add(&mut slot, open, &mut body)?;
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
        })
    }

    /// [`Self::write`] for any number of rows: nobody else's have to wait for these to be on the disk.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn write_many<T>(&self, body: impl FnOnce(&Transaction<'_>) -> Result<T>) -> Result<T> {
        let mut body = Some(body);
        busy::patiently(self.shared.timeout, || {
            let _gate = fork::enter();
            let mut slot = self.take_turn();
            self.write_in(&mut slot, &mut body)
        })
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
        match self.write_in(&mut slot, &mut Some(body)) {
            Err(Error::StorageTimeout(_)) => Ok(None),
            answer => answer.map(Some),
        }
    }

    fn write_in<T>(
        &self,
        slot: &mut Slot,
        body: &mut Option<impl FnOnce(&Transaction<'_>) -> Result<T>>,
    ) -> Result<T> {
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

    /// [`Open::add`], once; where the transaction has failed, with it ended.
    fn add<T>(
        &self,
        slot: &mut Slot,
        mut open: Open,
        body: &mut Option<impl FnOnce(&Transaction<'_>) -> Result<T>>,
    ) -> Result<(Open, Result<T>)> {
        busy::begun();
        let body = body.take().ok_or_else(|| Error::Storage("a write began a second time".to_owned()))?;
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
mod tests;
