//! Items: values under a namespace and a key, with versions and expiry. Everything that writes.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};

use super::commit::Transaction;
use super::db::Db;
use super::models::{adopt, check_model};
use super::namespace::Namespace;
use super::put::{keep_ids, put_in};
use super::search::Indexes;
use crate::embed;
use crate::error::Result;

/// Rows of one operation from which nobody else's commit waits for it.
const MANY: usize = 32;

/// One value as it is stored. Times are microseconds since 1970 UTC.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Item {
    /// The encoded namespace; [`Namespace::parts`] reads it.
    pub namespace: Arc<[u8]>,
    /// The key.
    pub key: String,
    /// The value as canonical JSON.
    pub value: String,
    /// When the key was first written; later writes keep it.
    pub created_at: i64,
    /// When the value was last written.
    pub updated_at: i64,
    /// From this moment on the item is gone.
    pub expires_at: Option<i64>,
    /// 1 for a new item, one more with each write.
    pub version: i64,
}

/// One write.
#[derive(Debug, Clone)]
pub struct PutRow {
    /// Where.
    pub namespace: Namespace,
    /// Under which key; checked.
    pub key: String,
    /// Canonical JSON.
    pub value: String,
    /// When it shall be gone.
    pub expires_at: Option<i64>,
    /// Write only if the item has this version now; 0: only if there is none.
    pub expected: Option<i64>,
    /// Times and version of an item that is brought back by an import.
    pub restored: Option<Restored>,
    /// The embedding of the value's text, where an embedder was asked for it.
    pub vector: Option<Embedded>,
}

/// The vector of a text.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedded {
    /// By what the text is found again; `None` where nobody looks for it.
    pub hash: Option<i32>,
    /// As many numbers as the store's embedder makes, [packed](crate::vectors).
    pub vector: Vec<u8>,
}

/// What an import keeps of an item's past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    /// As it was exported.
    pub created_at: i64,
    /// As it was exported.
    pub updated_at: i64,
    /// As it was exported.
    pub version: i64,
}

/// What a write made of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The row.
    pub id: i64,
    /// When the key was first written.
    pub created_at: i64,
    /// Now, or `created_at` when the clock went back.
    pub updated_at: i64,
    /// The new version.
    pub version: i64,
}

impl PutRow {
    /// The item that this write has made.
    pub fn into_item(self, stamp: Stamp) -> Item {
        Item {
            namespace: self.namespace.into_shared(),
            key: self.key,
            value: self.value,
            created_at: stamp.created_at,
            updated_at: stamp.updated_at,
            expires_at: self.expires_at,
            version: stamp.version,
        }
    }
}

/// A namespaced key-value store in a [`Db`].
#[derive(Debug, Clone)]
pub struct Store {
    db: Db,
    /// The embedder whose vectors this store holds.
    pub(super) model: Arc<str>,
    pub(super) indexes: Arc<Indexes>,
}

impl Store {
    /// A store in `db` whose search uses the embedder called `model`, the built-in one without a name, and whose
    /// indexes take up to `room` bytes of memory. `switch` takes over a store that holds another one's vectors: call
    /// [`Self::reembed`] at once.
    ///
    /// # Errors
    /// [`crate::error::Error::EmbeddingMismatch`] when the store holds another one's vectors, and the storage errors.
    pub fn new(db: Db, model: Option<&str>, room: usize, switch: bool) -> Result<Self> {
        let model = model.unwrap_or(embed::model_name());
        if !switch {
            adopt(&db, model)?;
        }
        Ok(Self { db, model: model.into(), indexes: Arc::new(Indexes::new(room)) })
    }

    /// The database underneath.
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// Writes all rows, or none of them. `now` is the clock's reading.
    ///
    /// # Errors
    /// [`crate::error::Error::Conflict`] when an expected version is not the one that is there, and the storage errors.
    pub fn put(&self, rows: &[PutRow], now: i64) -> Result<Vec<Stamp>> {
        let put = |tx: &Transaction<'_>| {
            if rows.iter().any(|row| row.vector.is_some()) {
                check_model(tx, &self.model)?;
            }
            put_in(tx, rows, now)
        };
        if rows.len() < MANY { self.db.write(put) } else { self.db.write_many(put) }
    }

    /// Deletes; says of each key whether there was a live item.
    ///
    /// # Errors
    /// The storage errors.
    pub fn delete(&self, keys: &[(Namespace, String)], now: i64) -> Result<Vec<bool>> {
        let (found, gone) = self.db.write(|tx| {
            keep_ids(tx)?;
            let mut found = Vec::with_capacity(keys.len());
            let mut touched = HashMap::new();
            for (namespace, key) in keys {
                let Some(ns_id) = touch_once(tx, &mut touched, namespace)? else {
                    found.push(false);
                    continue;
                };
                let row: Option<(i64, bool)> = tx
                    .prepare_cached(
                        "DELETE FROM items WHERE ns_id = ? AND key = ?
                         RETURNING id, expires_at IS NULL OR expires_at > ?",
                    )?
                    .query_row(params![ns_id, key, now], |row| Ok((row.get(0)?, row.get(1)?)))
                    .optional()?;
                if let Some((id, _)) = row {
                    forget_vector(tx, id)?;
                }
                found.push(row.is_some_and(|(_, live)| live));
            }
            Ok((found, forget_empty(tx, touched.values().flatten().copied())?))
        })?;
        self.db.drop_indexes(&gone);
        Ok(found)
    }

    /// Deletes everything in a namespace, with `recursive` also below it; returns how many live items there were.
    ///
    /// # Errors
    /// The storage errors.
    pub fn clear(&self, namespace: &Namespace, recursive: bool, now: i64) -> Result<i64> {
        let (count, gone) = self.db.write_many(|tx| {
            keep_ids(tx)?;
            let mut count = 0;
            let mut gone = Vec::new();
            for (ns_id, _) in namespaces_in(tx, Some(namespace), recursive)? {
                count += tx
                    .prepare_cached(
                        "SELECT count(*) FROM items WHERE ns_id = ? AND (expires_at IS NULL OR expires_at > ?)",
                    )?
                    .query_row(params![ns_id, now], |row| row.get::<_, i64>(0))?;
                tx.prepare_cached(
                    "DELETE FROM item_vectors WHERE item_id IN (SELECT id FROM items WHERE ns_id = ?)",
                )?
                .execute([ns_id])?;
                tx.prepare_cached("DELETE FROM items WHERE ns_id = ?")?.execute([ns_id])?;
                gone.extend(forget_empty(tx, [ns_id])?);
            }
            Ok((count, gone))
        })?;
        self.db.drop_indexes(&gone);
        Ok(count)
    }

    /// Deletes up to `limit` items that expired at or before `until`; returns how many.
    ///
    /// # Errors
    /// The storage errors.
    pub fn sweep(&self, until: i64, limit: i64) -> Result<usize> {
        let (count, gone) = self.db.write_many(|tx| {
            let rows: Vec<(i64, i64)> = tx
                .prepare_cached(
                    "SELECT id, ns_id FROM items WHERE expires_at <= ? ORDER BY expires_at LIMIT ?",
                )?
                .query_map(params![until, limit], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<rusqlite::Result<_>>()?;
            let mut touched: Vec<i64> = rows.iter().map(|(_, ns_id)| *ns_id).collect();
            touched.sort_unstable();
            touched.dedup();
            if !rows.is_empty() {
                keep_ids(tx)?;
            }
            for (id, _) in &rows {
                forget_vector(tx, *id)?;
                tx.prepare_cached("DELETE FROM items WHERE id = ?")?.execute([id])?;
            }
            for ns_id in &touched {
                tx.prepare_cached("UPDATE namespaces SET gen = gen + 1, deleted = gen + 1 WHERE id = ?")?
                    .execute([ns_id])?;
            }
            Ok((rows.len(), forget_empty(tx, touched)?))
        })?;
        self.db.drop_indexes(&gone);
        Ok(count)
    }

    /// Removes what expired by `now` and every trace of what was deleted; see [`Db::purge`]. Returns how many expired
    /// items went.
    ///
    /// # Errors
    /// [`crate::error::Error::StorageTimeout`] when another process keeps an old state open, and the storage errors.
    pub fn purge(&self, now: i64) -> Result<usize> {
        let mut removed = 0;
        loop {
            let batch = self.sweep(now, 10_000)?;
            removed += batch;
            if batch < 10_000 {
                break;
            }
        }
        self.indexes.forget();
        self.db.purge()?;
        // Those that were made meanwhile are never saved.
        self.indexes.forget();
        Ok(removed)
    }
}

/// Forgets the vector of an item that goes or has no text any more.
pub(super) fn forget_vector(tx: &Transaction<'_>, id: i64) -> Result<()> {
    tx.prepare_cached("DELETE FROM item_vectors WHERE item_id = ?")?.execute([id])?;
    Ok(())
}

/// Counts a namespace's generation up once in an operation; `None` when there is no such namespace.
fn touch_once<'a>(
    tx: &Transaction<'_>,
    touched: &mut HashMap<&'a [u8], Option<i64>>,
    namespace: &'a Namespace,
) -> Result<Option<i64>> {
    let path = namespace.as_bytes();
    if let Some(known) = touched.get(path) {
        return Ok(*known);
    }
    let id = tx
        .prepare_cached("UPDATE namespaces SET gen = gen + 1, deleted = gen + 1 WHERE path = ? RETURNING id")?
        .query_row([path], |row| row.get(0))
        .optional()?;
    touched.insert(path, id);
    Ok(id)
}

/// Forgets namespaces without items. Returns those of them whose index may lie in a file.
fn forget_empty(tx: &Transaction<'_>, ids: impl IntoIterator<Item = i64>) -> Result<Vec<i64>> {
    let mut saved = Vec::new();
    for id in ids {
        let had: Option<bool> = tx
            .prepare_cached(
                "DELETE FROM namespaces WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM items WHERE ns_id = ?1)
                 RETURNING snapshot IS NOT NULL",
            )?
            .query_row([id], |row| row.get(0))
            .optional()?;
        saved.extend(had.filter(|had| *had).map(|_| id));
    }
    Ok(saved)
}

/// The namespaces at `root` (with `recursive` at and below; all without a root), in the order of their parts.
pub(super) fn namespaces_in(
    conn: &Connection,
    root: Option<&Namespace>,
    recursive: bool,
) -> Result<Vec<(i64, Vec<u8>)>> {
    let one = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let mut rows: Vec<(i64, Vec<u8>)> = match (root, recursive) {
        (None, _) => conn
            .prepare_cached("SELECT id, path FROM namespaces")?
            .query_map([], one)?
            .collect::<rusqlite::Result<_>>()?,
        (Some(root), false) => conn
            .prepare_cached("SELECT id, path FROM namespaces WHERE path = ?")?
            .query_map([root.as_bytes()], one)?
            .collect::<rusqlite::Result<_>>()?,
        (Some(root), true) => conn
            .prepare_cached("SELECT id, path FROM namespaces WHERE path >= ? AND path < ?")?
            .query_map([root.as_bytes(), &root.subtree_end()], one)?
            .collect::<rusqlite::Result<_>>()?,
    };
    if rows.len() > 1 {
        let mut keyed = Vec::with_capacity(rows.len());
        for (id, path) in rows {
            let parts: Vec<String> = Namespace::parts(&path)?.into_iter().map(str::to_owned).collect();
            keyed.push((parts, id, path));
        }
        keyed.sort_unstable();
        rows = keyed.into_iter().map(|(_, id, path)| (id, path)).collect();
    }
    Ok(rows)
}
