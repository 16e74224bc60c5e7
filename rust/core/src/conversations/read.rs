//! Everything that only reads.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Changes, Conversations, Head, Picked, State, Stored, Totals, Vectors};
use crate::error::Result;
use crate::vectors::unpack;

/// The columns of a head, for the rows of `c` (conversations) and `u` (their users).
const HEAD: &str = "SELECT c.ref, c.seq, u.user_id, c.session_id, c.length, c.metadata, c.starts, c.ends, \
                    c.summary, c.summarized, c.created_at, c.updated_at \
                    FROM conversations c JOIN conversation_users u ON u.ref = c.user_ref";

impl Conversations {
    /// Where a user stands: one read of two rows.
    ///
    /// # Errors
    /// The storage errors.
    pub fn state(&self, user_id: &str) -> Result<State> {
        self.db.read(|conn| state(conn, user_id))
    }

    /// What an index that holds conversations `held` (row to `seq`) lacks, read at one moment: conversations until
    /// `most` messages are exceeded.
    ///
    /// # Errors
    /// The storage errors.
    pub fn changes(&self, user_id: &str, held: &HashMap<i64, i64>, most: i64) -> Result<Changes> {
        self.db.snapshot(|conn| {
            let state = state(conn, user_id)?;
            let mut statement =
                conn.prepare_cached("SELECT ref, seq FROM conversations WHERE user_ref = ? ORDER BY ref")?;
            let rows: Vec<(i64, i64)> = statement
                .query_map([state.id], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<rusqlite::Result<_>>()?;
            let mut loaded = Vec::new();
            let mut lacking = rows.iter().filter(|(id, seq)| held.get(id) != Some(seq));
            let mut count = 0;
            while count < most
                && let Some((id, _)) = lacking.next()
            {
                let head = conn.prepare_cached(&format!("{HEAD} WHERE c.ref = ?"))?.query_row([id], head)?;
                count += head.length;
                loaded.push(Stored { messages: messages(conn, *id)?, vectors: vectors(conn, *id)?, head });
            }
            let whole = lacking.next().is_none();
            Ok(Changes { state, live: rows.into_iter().map(|(id, _)| id).collect(), loaded, whole })
        })
    }

    /// These messages (positions) of these conversations (rows) of a user, read at one moment. What is not there,
    /// or another user's, is left out.
    ///
    /// # Errors
    /// The storage errors.
    pub fn pick(&self, user_id: &str, wanted: &[(i64, Vec<i64>)]) -> Result<Vec<Picked>> {
        self.db.snapshot(|conn| {
            let mut of_user = conn.prepare_cached(&format!("{HEAD} WHERE c.ref = ? AND u.user_id = ?"))?;
            let mut message = conn
                .prepare_cached("SELECT message FROM conversation_messages WHERE ref = ? AND position = ?")?;
            let mut found = Vec::with_capacity(wanted.len());
            for (id, positions) in wanted {
                let Some(head) = of_user.query_row(params![id, user_id], head).optional()? else { continue };
                let mut messages = Vec::with_capacity(positions.len());
                for at in positions {
                    let text = message.query_row([id, at], |row| row.get(0)).optional()?;
                    messages.extend(text.map(|text| (*at, text)));
                }
                found.push(Picked { head, messages });
            }
            Ok(found)
        })
    }

    /// The vectors of these hashes that a conversation of the user has.
    ///
    /// # Errors
    /// The storage errors.
    pub fn known(&self, user_id: &str, hashes: &[Vec<u8>]) -> Result<Vectors> {
        self.db.snapshot(|conn| {
            let state = state(conn, user_id)?;
            let mut of_user = conn.prepare_cached("SELECT ref FROM conversations WHERE user_ref = ?")?;
            let ids: Vec<i64> =
                of_user.query_map([state.id], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
            // Hash by hash over the conversations would be a product; conversation by conversation is a sum.
            let mut wanted: HashMap<&[u8], ()> = hashes.iter().map(|hash| (hash.as_slice(), ())).collect();
            let mut found = Vectors::new();
            let mut hashes_of = conn.prepare_cached("SELECT hash FROM conversation_vectors WHERE ref = ?")?;
            let mut vector_of =
                conn.prepare_cached("SELECT vector FROM conversation_vectors WHERE ref = ? AND hash = ?")?;
            for id in ids {
                if wanted.is_empty() {
                    break;
                }
                let mut rows = hashes_of.query([id])?;
                while let Some(row) = rows.next()? {
                    let hash: Vec<u8> = row.get(0)?;
                    if wanted.remove(hash.as_slice()).is_some() {
                        let vector = vector_of.query_row(params![id, hash], |row| floats(row, 0))?;
                        found.insert(hash, vector);
                    }
                }
            }
            Ok(found)
        })
    }

    /// One conversation, without its vectors.
    ///
    /// # Errors
    /// The storage errors.
    pub fn get(&self, user_id: &str, session_id: &str) -> Result<Option<Stored>> {
        self.db.snapshot(|conn| {
            let found = conn
                .prepare_cached(&format!("{HEAD} WHERE u.user_id = ? AND c.session_id = ?"))?
                .query_row([user_id, session_id], head)
                .optional()?;
            let Some(head) = found else { return Ok(None) };
            Ok(Some(Stored { messages: messages(conn, head.id)?, vectors: Vectors::new(), head }))
        })
    }

    /// The conversations of a user (of all for `None`), the newest first.
    ///
    /// # Errors
    /// The storage errors.
    pub fn list(&self, user_id: Option<&str>) -> Result<Vec<Head>> {
        self.db.read(|conn| {
            let mut statement = conn.prepare_cached(&format!(
                "{HEAD} WHERE ?1 IS NULL OR u.user_id = ?1 \
                 ORDER BY coalesce(c.starts, c.created_at) DESC, u.user_id, c.session_id"
            ))?;
            let rows = statement.query_map([user_id], head)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// Counts, of a user or of all.
    ///
    /// # Errors
    /// The storage errors.
    pub fn totals(&self, user_id: Option<&str>) -> Result<Totals> {
        self.db.read(|conn| {
            Ok(conn
                .prepare_cached(
                    "SELECT count(DISTINCT c.user_ref), count(*), coalesce(sum(c.length), 0)
                     FROM conversations c JOIN conversation_users u ON u.ref = c.user_ref
                     WHERE ?1 IS NULL OR u.user_id = ?1",
                )?
                .query_row([user_id], |row| {
                    Ok(Totals { users: row.get(0)?, conversations: row.get(1)?, messages: row.get(2)? })
                })?)
        })
    }

    /// Every conversation, without vectors, by row: what has to be embedded again for another model.
    ///
    /// # Errors
    /// The storage errors.
    pub fn pending(&self) -> Result<Vec<Stored>> {
        self.db.snapshot(|conn| {
            let mut statement = conn.prepare(&format!("{HEAD} ORDER BY c.ref"))?;
            let heads: Vec<Head> = statement.query_map([], head)?.collect::<rusqlite::Result<_>>()?;
            heads
                .into_iter()
                .map(|head| Ok(Stored { messages: messages(conn, head.id)?, vectors: Vectors::new(), head }))
                .collect()
        })
    }
}

pub(super) fn model(conn: &Connection) -> Result<Option<String>> {
    Ok(conn
        .prepare_cached("SELECT value FROM meta WHERE key = 'conversations.embedding'")?
        .query_row([], |row| row.get(0))
        .optional()?)
}

fn state(conn: &Connection, user_id: &str) -> Result<State> {
    let found = conn
        .prepare_cached("SELECT ref, gen FROM conversation_users WHERE user_id = ?")?
        .query_row([user_id], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (id, generation) = found.unwrap_or((0, 0));
    Ok(State { id, generation, model: model(conn)? })
}

pub(super) fn head_of(conn: &Connection, user: i64, session_id: &str) -> Result<Option<Head>> {
    Ok(conn
        .prepare_cached(&format!("{HEAD} WHERE c.user_ref = ? AND c.session_id = ?"))?
        .query_row(params![user, session_id], head)
        .optional()?)
}

fn head(row: &Row<'_>) -> rusqlite::Result<Head> {
    Ok(Head {
        id: row.get(0)?,
        seq: row.get(1)?,
        user_id: row.get(2)?,
        session_id: row.get(3)?,
        length: row.get(4)?,
        metadata: row.get(5)?,
        starts: row.get(6)?,
        ends: row.get(7)?,
        summary: row.get(8)?,
        summarized: row.get(9)?,
        created_at: row.get(10)?,
        updated_at: row.get(11)?,
    })
}

pub(super) fn messages(conn: &Connection, id: i64) -> Result<Vec<String>> {
    let mut statement =
        conn.prepare_cached("SELECT message FROM conversation_messages WHERE ref = ? ORDER BY position")?;
    let rows = statement.query_map([id], |row| row.get(0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn vectors(conn: &Connection, id: i64) -> Result<Vectors> {
    let mut statement = conn.prepare_cached("SELECT hash, vector FROM conversation_vectors WHERE ref = ?")?;
    let rows = statement.query_map([id], |row| Ok((row.get(0)?, floats(row, 1)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// A stored vector as f32, little-endian.
fn floats(row: &Row<'_>, column: usize) -> rusqlite::Result<Vec<u8>> {
    let packed = row.get_ref(column)?.as_blob()?;
    Ok(unpack(packed).iter().flat_map(|value| value.to_le_bytes()).collect())
}
