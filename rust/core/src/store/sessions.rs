//! Sessions: append-only logs of messages, cut into turns, with a small state beside each.
//!
//! A log holds whole turns only, each appended in one transaction, so it is sound whatever dies when. A writer
//! names the incarnation (`ref`) and the version it has read; who read something older gets a conflict.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::commit::Transaction;
use super::db::Db;
use crate::error::{Error, Result};

/// A session without its messages. Times are microseconds since 1970 UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// This incarnation; never used again.
    pub id: i64,
    /// Grows with every change.
    pub version: i64,
    /// How many messages there are.
    pub length: i64,
    /// How many turns were appended.
    pub turns: i64,
    /// When the first change came.
    pub created_at: i64,
    /// When the last change came.
    pub updated_at: i64,
    /// JSON.
    pub state: Option<String>,
}

/// A session with the end of its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tail {
    /// The session.
    pub head: Head,
    /// The position of the first message here.
    pub start: i64,
    /// The messages from there to the end.
    pub messages: Vec<String>,
}

/// Where a turn lies: positions `start` to `end`, not included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// The id its writer gave it.
    pub id: String,
    /// The position of its first message.
    pub start: i64,
    /// The position behind its last.
    pub end: i64,
}

/// Logs of messages in a [`Db`].
#[derive(Debug, Clone)]
pub struct Sessions {
    db: Db,
}

const HEAD: &str = "SELECT ref, version, length, turns, created_at, updated_at, state FROM sessions";

impl Sessions {
    /// Sessions in the file at `path`; see [`Db::open`].
    ///
    /// # Errors
    /// As [`Db::open`].
    pub fn open(path: &Path, timeout: Duration) -> Result<Self> {
        Ok(Self { db: Db::open(path, timeout)? })
    }

    /// Sessions in memory.
    ///
    /// # Errors
    /// As [`Db::memory`].
    pub fn memory() -> Result<Self> {
        Ok(Self { db: Db::memory()? })
    }

    /// The database underneath.
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// The session with its messages from `start` on if it is still the incarnation `known`, else with its newest
    /// `last`; never more than those. `None` where there is no session.
    ///
    /// # Errors
    /// The storage errors.
    pub fn load(&self, session: &str, known: i64, start: i64, last: i64) -> Result<Option<Tail>> {
        self.db.snapshot(|conn| {
            let Some(head) = head_of(conn, session)? else { return Ok(None) };
            let newest = head.length.saturating_sub(last).max(0);
            let from = if head.id == known { start.max(newest) } else { newest };
            let messages =
                if from < head.length { messages(conn, head.id, from, head.length)? } else { Vec::new() };
            Ok(Some(Tail { start: from.min(head.length), head, messages }))
        })
    }

    /// The messages at positions `start` to `end`, not included.
    ///
    /// # Errors
    /// The storage errors.
    pub fn read(&self, id: i64, start: i64, end: i64) -> Result<Vec<String>> {
        self.db.read(|conn| messages(conn, id, start, end))
    }

    /// Appends a turn (unless it is there already) and sets the state, in one transaction. `expected` is the
    /// incarnation and version of the session, `(0, 0)` when there must be none. Without messages only the state
    /// is set.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the session is not as expected, and the storage errors.
    pub fn append(
        &self,
        session: &str,
        expected: (i64, i64),
        turn_id: &str,
        messages: &[String],
        state: Option<&str>,
        now: i64,
    ) -> Result<Head> {
        let count = i64::try_from(messages.len()).unwrap_or(i64::MAX);
        self.db.write(|tx| {
            let found = head_of(tx, session)?;
            if let Some(head) = &found
                && count > 0
                && let Some(turn) = turn_of(tx, head.id, turn_id)?
                && turn.end - turn.start == count
            {
                return Ok(head.clone());
            }
            let head = match (found, expected) {
                (None, (0, 0)) => create(tx, session, now)?,
                (Some(head), (id, version)) if head.id == id && head.version == version => head,
                (found, _) => return Err(changed(session, found.as_ref(), expected)),
            };
            let end = head.length.saturating_add(count);
            for (position, message) in (head.length..).zip(messages) {
                tx.prepare_cached("INSERT INTO session_messages (ref, position, message) VALUES (?, ?, ?)")?
                    .execute(params![head.id, position, message])?;
            }
            if count > 0 {
                add_turn(tx, head.id, &Turn { id: turn_id.to_owned(), start: head.length, end })?;
            }
            let updated_at = now.max(head.created_at);
            tx.prepare_cached(
                "UPDATE sessions SET version = version + 1, length = ?, turns = turns + ?, updated_at = ?, state = ?
                 WHERE ref = ?",
            )?
            .execute(params![end, i64::from(count > 0), updated_at, state, head.id])?;
            Ok(Head {
                version: head.version + 1,
                length: end,
                turns: head.turns + i64::from(count > 0),
                updated_at,
                state: state.map(str::to_owned),
                ..head
            })
        })
    }

    /// The turn with this id.
    ///
    /// # Errors
    /// The storage errors.
    pub fn turn(&self, id: i64, turn_id: &str) -> Result<Option<Turn>> {
        self.db.read(|conn| turn_of(conn, id, turn_id))
    }

    /// All turns, oldest first.
    ///
    /// # Errors
    /// The storage errors.
    pub fn turns(&self, id: i64) -> Result<Vec<Turn>> {
        self.db.read(|conn| {
            let mut statement = conn.prepare_cached(
                "SELECT turn_id, starts, ends FROM session_turns WHERE ref = ? ORDER BY ends",
            )?;
            let rows = statement.query_map([id], turn)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// Makes the session `target` with the messages before `end`, their turns, and `state`; `None` when the
    /// incarnation `id` is gone.
    ///
    /// # Errors
    /// [`Error::Conflict`] when there is a `target`, and the storage errors.
    pub fn fork(
        &self,
        id: i64,
        target: &str,
        end: i64,
        state: Option<&str>,
        now: i64,
    ) -> Result<Option<Head>> {
        self.db.write(|tx| {
            let there = tx.prepare_cached("SELECT 1 FROM sessions WHERE ref = ?")?.exists([id])?;
            if !there {
                return Ok(None);
            }
            if let Some(found) = head_of(tx, target)? {
                return Err(changed(target, Some(&found), (0, 0)));
            }
            let head = create(tx, target, now)?;
            let length = tx
                .prepare_cached(
                    "INSERT INTO session_messages (ref, position, message)
                     SELECT ?, position, message FROM session_messages WHERE ref = ? AND position < ?",
                )?
                .execute(params![head.id, id, end])?;
            let turns = tx
                .prepare_cached(
                    "INSERT INTO session_turns (ref, ends, starts, turn_id)
                     SELECT ?, ends, starts, turn_id FROM session_turns WHERE ref = ? AND ends <= ?",
                )?
                .execute(params![head.id, id, end])?;
            let head = Head {
                version: 1,
                length: i64::try_from(length).unwrap_or(i64::MAX),
                turns: i64::try_from(turns).unwrap_or(i64::MAX),
                state: state.map(str::to_owned),
                ..head
            };
            tx.prepare_cached(
                "UPDATE sessions SET version = 1, length = ?, turns = ?, state = ? WHERE ref = ?",
            )?
            .execute(params![head.length, head.turns, state, head.id])?;
            Ok(Some(head))
        })
    }

    /// The sessions whose id begins with `prefix`, the one changed last first.
    ///
    /// # Errors
    /// The storage errors.
    pub fn list(&self, prefix: &str, limit: Option<i64>, offset: i64) -> Result<Vec<(String, Head)>> {
        self.db.read(|conn| {
            let mut statement = conn.prepare_cached(
                "SELECT ref, version, length, turns, created_at, updated_at, state, id FROM sessions
                 WHERE substr(id, 1, length(?1)) = ?1 ORDER BY updated_at DESC, id LIMIT ?2 OFFSET ?3",
            )?;
            let rows = statement.query_map(params![prefix, limit.unwrap_or(-1), offset], |row| {
                Ok((row.get(7)?, head(row)?))
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// Deletes a session; false where there was none.
    ///
    /// # Errors
    /// The storage errors.
    pub fn delete(&self, session: &str) -> Result<bool> {
        self.db.write(|tx| {
            let id: Option<i64> = tx
                .prepare_cached("DELETE FROM sessions WHERE id = ? RETURNING ref")?
                .query_row([session], |row| row.get(0))
                .optional()?;
            let Some(id) = id else { return Ok(false) };
            tx.prepare_cached("DELETE FROM session_messages WHERE ref = ?")?.execute([id])?;
            tx.prepare_cached("DELETE FROM session_turns WHERE ref = ?")?.execute([id])?;
            Ok(true)
        })
    }
}

fn head(row: &Row<'_>) -> rusqlite::Result<Head> {
    Ok(Head {
        id: row.get(0)?,
        version: row.get(1)?,
        length: row.get(2)?,
        turns: row.get(3)?,
        created_at: row.get(4)?,
        updated_at: row.get(5)?,
        state: row.get(6)?,
    })
}

fn head_of(conn: &Connection, session: &str) -> Result<Option<Head>> {
    Ok(conn.prepare_cached(&format!("{HEAD} WHERE id = ?"))?.query_row([session], head).optional()?)
}

fn messages(conn: &Connection, id: i64, start: i64, end: i64) -> Result<Vec<String>> {
    let mut statement = conn.prepare_cached(
        "SELECT message FROM session_messages WHERE ref = ? AND position >= ? AND position < ? ORDER BY position",
    )?;
    let rows = statement.query_map(params![id, start, end], |row| row.get(0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn turn(row: &Row<'_>) -> rusqlite::Result<Turn> {
    Ok(Turn { id: row.get(0)?, start: row.get(1)?, end: row.get(2)? })
}

fn turn_of(conn: &Connection, id: i64, turn_id: &str) -> Result<Option<Turn>> {
    Ok(conn
        .prepare_cached("SELECT turn_id, starts, ends FROM session_turns WHERE ref = ? AND turn_id = ?")?
        .query_row(params![id, turn_id], turn)
        .optional()?)
}

fn add_turn(tx: &Transaction<'_>, id: i64, turn: &Turn) -> Result<()> {
    let added = tx
        .prepare_cached(
            "INSERT OR IGNORE INTO session_turns (ref, ends, starts, turn_id) VALUES (?, ?, ?, ?)",
        )?
        .execute(params![id, turn.end, turn.start, turn.id])?;
    if added == 0 {
        return Err(Error::Conflict(format!(
            "the session already has a turn {:?} with other messages; give every turn an id of its own",
            turn.id
        )));
    }
    Ok(())
}

fn create(tx: &Transaction<'_>, session: &str, now: i64) -> Result<Head> {
    let id = tx
        .prepare_cached(
            "INSERT INTO sessions (id, version, length, turns, created_at, updated_at) VALUES (?1, 0, 0, 0, ?2, ?2)
             RETURNING ref",
        )?
        .query_row(params![session, now], |row| row.get(0))?;
    Ok(Head { id, version: 0, length: 0, turns: 0, created_at: now, updated_at: now, state: None })
}

fn changed(session: &str, found: Option<&Head>, expected: (i64, i64)) -> Error {
    let there = match (found, expected) {
        (Some(_), (0, 0)) => "exists already",
        (Some(head), (id, _)) if head.id == id => "was changed by somebody else",
        (Some(_), _) => "was deleted and made anew",
        (None, _) => "was deleted",
    };
    Error::Conflict(format!("the session {session:?} {there}; read it again, then retry"))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn texts(from: i64, to: i64) -> Vec<String> {
        (from..to).map(|n| n.to_string()).collect()
    }

    #[test]
    fn a_turn_is_appended_once_and_only_to_what_was_read() {
        let sessions = Sessions::memory().unwrap();
        let head = sessions.append("s", (0, 0), "a", &texts(0, 3), Some("1"), 10).unwrap();
        assert_eq!((head.version, head.length, head.turns), (1, 3, 1));
        // Again, as after an answer that was lost.
        assert_eq!(sessions.append("s", (0, 0), "a", &texts(0, 3), Some("1"), 11).unwrap(), head);
        assert!(matches!(sessions.append("s", (0, 0), "b", &texts(3, 4), None, 12), Err(Error::Conflict(_))));
        let next = sessions.append("s", (head.id, head.version), "b", &texts(3, 5), None, 12).unwrap();
        assert_eq!((next.version, next.length, next.turns, next.state), (2, 5, 2, None));
        // An id of a turn with other messages.
        assert!(matches!(
            sessions.append("s", (head.id, 2), "a", &texts(5, 6), None, 12),
            Err(Error::Conflict(_))
        ));
        let tail = sessions.load("s", 0, 0, 4).unwrap().unwrap();
        assert_eq!((tail.start, tail.messages), (1, texts(1, 5)));
        let tail = sessions.load("s", head.id, 3, 100).unwrap().unwrap();
        assert_eq!((tail.start, tail.messages), (3, texts(3, 5)));
    }

    #[test]
    fn deleted_and_made_anew_is_another_one() {
        let sessions = Sessions::memory().unwrap();
        let head = sessions.append("s", (0, 0), "a", &texts(0, 1), None, 1).unwrap();
        assert!(sessions.delete("s").unwrap());
        assert!(!sessions.delete("s").unwrap());
        assert_eq!(sessions.read(head.id, 0, 9).unwrap(), texts(0, 0));
        let again = sessions.append("s", (0, 0), "a", &texts(0, 1), None, 2).unwrap();
        assert_ne!(again.id, head.id);
        assert!(sessions.append("s", (head.id, head.version), "b", &texts(0, 1), None, 3).is_err());
    }

    #[test]
    fn a_fork_goes_its_own_way() {
        let sessions = Sessions::memory().unwrap();
        let head = sessions.append("s", (0, 0), "a", &texts(0, 2), None, 1).unwrap();
        let head = sessions.append("s", (head.id, head.version), "b", &texts(2, 4), None, 1).unwrap();
        let fork = sessions.fork(head.id, "t", 2, Some("x"), 2).unwrap().unwrap();
        assert_eq!((fork.length, fork.turns, fork.state.as_deref()), (2, 1, Some("x")));
        sessions.append("t", (fork.id, fork.version), "c", &texts(7, 9), None, 3).unwrap();
        assert_eq!(sessions.read(head.id, 0, 9).unwrap(), texts(0, 4));
        assert!(matches!(sessions.fork(head.id, "t", 2, None, 4), Err(Error::Conflict(_))));
        assert_eq!(sessions.fork(99, "u", 2, None, 4).unwrap(), None);
        let listed: Vec<_> = sessions.list("", None, 0).unwrap().into_iter().map(|(id, _)| id).collect();
        assert_eq!(listed, ["t", "s"]);
        assert_eq!(sessions.list("s%", None, 0).unwrap(), []);
    }
}
