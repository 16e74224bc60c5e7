//! Storing and deleting. Rows that are the same stay as they are.

use std::collections::HashSet;

use rusqlite::{OptionalExtension, params};

use super::keep::key;
use super::read::{head_of, messages, model};
use super::{Conversations, Head, Vectors, Write};
use crate::error::{Error, Result};
use crate::store::Transaction;
use crate::vectors::halves;

impl Conversations {
    /// Stores all or none; when this returns they are on the disk. With each comes the number of messages that were
    /// new, different or gone.
    ///
    /// # Errors
    /// [`Error::EmbeddingMismatch`] where the database holds another model's conversations or vectors of another
    /// size; [`Error::Embedding`] for a vector that is none; the storage errors. Nothing is written then.
    pub fn put(&self, writes: &[Write], model: &str, now: i64) -> Result<Vec<(Head, usize)>> {
        self.db.write_many(|tx| {
            adopt(tx, model)?;
            writes.iter().map(|write| put_one(tx, write, now)).collect()
        })
    }

    /// Deletes a conversation, or all of a user; returns how many there were.
    ///
    /// # Errors
    /// The storage errors.
    pub fn delete(&self, user_id: &str, session_id: Option<&str>) -> Result<usize> {
        let (count, gone) = self.db.write(|tx| {
            let Some(user) = user_of(tx, user_id)? else { return Ok((0, None)) };
            let ids: Vec<i64> = tx
                .prepare_cached(
                    "SELECT ref FROM conversations WHERE user_ref = ?1 AND (?2 IS NULL OR session_id = ?2)",
                )?
                .query_map(params![user, session_id], |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            for id in &ids {
                tx.prepare_cached("DELETE FROM conversation_messages WHERE ref = ?")?.execute([id])?;
                tx.prepare_cached("DELETE FROM conversation_vectors WHERE ref = ?")?.execute([id])?;
                tx.prepare_cached("DELETE FROM conversations WHERE ref = ?")?.execute([id])?;
            }
            let mut gone = None;
            if !ids.is_empty() {
                bump(tx, user)?;
                // A user without conversations leaves nothing, not even the id.
                let emptied = tx
                    .prepare_cached(
                        "DELETE FROM conversation_users WHERE ref = ?1
                         AND NOT EXISTS (SELECT 1 FROM conversations WHERE user_ref = ?1)",
                    )?
                    .execute([user])?;
                if emptied > 0 {
                    tx.prepare_cached("DELETE FROM meta WHERE key = ?")?.execute([key(user)])?;
                    gone = Some(user);
                }
            }
            Ok((ids.len(), gone))
        })?;
        if let Some(user) = gone {
            self.forget(user);
        }
        Ok(count)
    }
}

/// Takes `wanted` for a database without conversations; refuses it where those of another model are.
fn adopt(tx: &Transaction<'_>, wanted: &str) -> Result<()> {
    let held = model(tx)?;
    if held.as_deref() == Some(wanted) {
        return Ok(());
    }
    let any = tx.query_row("SELECT EXISTS (SELECT 1 FROM conversations)", [], |row| row.get::<_, bool>(0))?;
    match held {
        Some(held) if any => Err(Error::EmbeddingMismatch(format!(
            "the conversations are embedded by {held:?}, and this memory embeds by {wanted:?}; nothing was written. \
             Open it with the embedder it holds, or give it to the new one with reembed()"
        ))),
        _ => record(tx, wanted),
    }
}

/// Notes whose vectors there are; of which size, the first of them tells.
pub(super) fn record(tx: &Transaction<'_>, model: &str) -> Result<()> {
    tx.execute("DELETE FROM meta WHERE key = 'conversations.dimensions'", [])?;
    tx.execute("INSERT OR REPLACE INTO meta (key, value) VALUES ('conversations.embedding', ?)", [model])?;
    Ok(())
}

fn user_of(tx: &Transaction<'_>, user_id: &str) -> Result<Option<i64>> {
    Ok(tx
        .prepare_cached("SELECT ref FROM conversation_users WHERE user_id = ?")?
        .query_row([user_id], |row| row.get(0))
        .optional()?)
}

fn bump(tx: &Transaction<'_>, user: i64) -> Result<i64> {
    Ok(tx
        .prepare_cached("UPDATE conversation_users SET gen = gen + 1 WHERE ref = ? RETURNING gen")?
        .query_row([user], |row| row.get(0))?)
}

fn put_one(tx: &Transaction<'_>, write: &Write, now: i64) -> Result<(Head, usize)> {
    let user = match user_of(tx, &write.user_id)? {
        Some(user) => user,
        None => tx
            .prepare_cached("INSERT INTO conversation_users (user_id, gen) VALUES (?, 0) RETURNING ref")?
            .query_row([&write.user_id], |row| row.get(0))?,
    };
    let found = head_of(tx, user, &write.session_id)?;
    let held = match &found {
        Some(head) => messages(tx, head.id)?,
        None => Vec::new(),
    };
    let differ: Vec<usize> =
        (0..write.messages.len()).filter(|at| held.get(*at) != write.messages.get(*at)).collect();
    let changed = differ.len() + held.len().saturating_sub(write.messages.len());
    if let Some(head) = &found
        && changed == 0
        && same(head, write)
        && hashes(tx, head.id)?.iter().eq(sorted(&write.vectors))
    {
        return Ok((head.clone(), 0));
    }
    let seq = bump(tx, user)?;
    let id = put_head(tx, user, seq, found.as_ref(), write, now)?;
    let mut insert = tx.prepare_cached(
        "INSERT OR REPLACE INTO conversation_messages (ref, position, message) VALUES (?, ?, ?)",
    )?;
    for at in differ {
        if let Some(message) = write.messages.get(at) {
            insert.execute(params![id, at as i64, message])?;
        }
    }
    tx.prepare_cached("DELETE FROM conversation_messages WHERE ref = ? AND position >= ?")?
        .execute(params![id, write.messages.len() as i64])?;
    put_vectors(tx, id, &write.vectors)?;
    let head = head_of(tx, user, &write.session_id)?;
    head.map(|head| (head, changed))
        .ok_or_else(|| Error::Storage("a row just written is not there".to_owned()))
}

fn same(head: &Head, write: &Write) -> bool {
    head.metadata == write.metadata
        && head.starts == write.starts
        && head.ends == write.ends
        && head.summary == write.summary
        && head.summarized == write.summarized
        && write.restored.is_none_or(|times| times == (head.created_at, head.updated_at))
}

fn put_head(
    tx: &Transaction<'_>,
    user: i64,
    seq: i64,
    found: Option<&Head>,
    write: &Write,
    now: i64,
) -> Result<i64> {
    let (created, updated) =
        write.restored.unwrap_or_else(|| (found.map_or(now, |head| head.created_at), now));
    Ok(tx
        .prepare_cached(
            "INSERT INTO conversations (user_ref, session_id, seq, length, metadata, starts, ends, summary,
                                        summarized, created_at, updated_at)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (user_ref, session_id) DO UPDATE SET
                 seq = excluded.seq, length = excluded.length, metadata = excluded.metadata,
                 starts = excluded.starts, ends = excluded.ends, summary = excluded.summary,
                 summarized = excluded.summarized, created_at = excluded.created_at,
                 updated_at = excluded.updated_at
             RETURNING ref",
        )?
        .query_row(
            params![
                user,
                write.session_id,
                seq,
                write.messages.len() as i64,
                write.metadata,
                write.starts,
                write.ends,
                write.summary,
                write.summarized,
                created,
                updated
            ],
            |row| row.get(0),
        )?)
}

fn hashes(tx: &Transaction<'_>, id: i64) -> Result<Vec<Vec<u8>>> {
    Ok(tx
        .prepare_cached("SELECT hash FROM conversation_vectors WHERE ref = ? ORDER BY hash")?
        .query_map([id], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?)
}

fn sorted(vectors: &Vectors) -> Vec<&Vec<u8>> {
    let mut hashes: Vec<&Vec<u8>> = vectors.keys().collect();
    hashes.sort_unstable();
    hashes
}

/// Makes `vectors` those of the conversation: what is gone goes, what is there already stays.
pub(super) fn put_vectors(tx: &Transaction<'_>, id: i64, vectors: &Vectors) -> Result<()> {
    let held: HashSet<Vec<u8>> = hashes(tx, id)?.into_iter().collect();
    for hash in held.iter().filter(|hash| !vectors.contains_key(*hash)) {
        tx.prepare_cached("DELETE FROM conversation_vectors WHERE ref = ? AND hash = ?")?
            .execute(params![id, hash])?;
    }
    for (hash, vector) in vectors.iter().filter(|(hash, _)| !held.contains(*hash)) {
        let packed = halves(vector)?;
        check_size(tx, packed.len() / 2)?;
        tx.prepare_cached("INSERT INTO conversation_vectors (ref, hash, vector) VALUES (?, ?, ?)")?
            .execute(params![id, hash, packed])?;
    }
    Ok(())
}

fn check_size(tx: &Transaction<'_>, made: usize) -> Result<()> {
    let size = made.to_string();
    tx.prepare_cached("INSERT OR IGNORE INTO meta (key, value) VALUES ('conversations.dimensions', ?)")?
        .execute([&size])?;
    let held: String = tx
        .prepare_cached("SELECT value FROM meta WHERE key = 'conversations.dimensions'")?
        .query_row([], |row| row.get(0))?;
    if held != size {
        return Err(Error::EmbeddingMismatch(format!(
            "the conversations have vectors of {held} dimensions, and the embedder made one of {size}; nothing was \
             written. Ask for {held} dimensions, or call reembed()"
        )));
    }
    Ok(())
}
