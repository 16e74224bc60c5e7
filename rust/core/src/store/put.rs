//! Writing items. New rows are the common case and take one statement; whatever is there already takes its own path.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{CachedStatement, OptionalExtension, Transaction, params};

use super::items::{PutRow, Restored, Stamp, forget_vector};
use super::models::VectorWriter;
use crate::error::{Error, Result};

/// What lies under a key when it is written.
struct Found {
    id: i64,
    created_at: i64,
    version: i64,
    live: bool,
}

/// A namespace that this transaction has counted up.
#[derive(Clone)]
struct Touched {
    path: Arc<[u8]>,
    id: i64,
    generation: i64,
}

/// The statements of one transaction that writes items.
struct Writer<'tx> {
    tx: &'tx Transaction<'tx>,
    insert: CachedStatement<'tx>,
    vectors: Option<VectorWriter<'tx>>,
    touched: HashMap<Arc<[u8]>, Touched>,
    /// Rows of one namespace mostly follow each other.
    last: Option<Touched>,
    next_id: i64,
    now: i64,
}

/// Writes rows inside a transaction that the caller has begun.
pub(super) fn put_in(tx: &Transaction<'_>, rows: &[PutRow], now: i64) -> Result<Vec<Stamp>> {
    let mut writer = Writer {
        tx,
        insert: tx.prepare_cached(
            "INSERT INTO items (id, ns_id, key, value, created_at, updated_at, expires_at, version)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (ns_id, key) DO NOTHING",
        )?,
        vectors: None,
        touched: HashMap::new(),
        last: None,
        next_id: next_id(tx)?,
        now,
    };
    rows.iter().map(|row| writer.put(row)).collect()
}

/// The first id above every one that a row has or had.
fn next_id(tx: &Transaction<'_>) -> Result<i64> {
    let last: i64 = tx
        .prepare_cached(
            "SELECT max(coalesce((SELECT max(id) FROM items), 0), coalesce((SELECT last FROM item_ids), 0))",
        )?
        .query_row([], |row| row.get(0))?;
    Ok(last + 1)
}

/// To be called before rows are deleted: their ids are not given away again.
pub(super) fn keep_ids(tx: &Transaction<'_>) -> Result<()> {
    tx.prepare_cached(
        "UPDATE item_ids SET last = (SELECT max(id) FROM items) WHERE last < (SELECT max(id) FROM items)",
    )?
    .execute([])?;
    Ok(())
}

impl Writer<'_> {
    fn put(&mut self, row: &PutRow) -> Result<Stamp> {
        let (ns_id, seq) = self.touch(row.namespace.shared())?;
        if let Some(expected) = row.expected {
            let found = self.find(ns_id, &row.key)?;
            check_version(row, found.as_ref(), expected)?;
        }
        let inserted = self.insert(ns_id, row)?;
        let new = inserted.is_some();
        let stamp = match inserted {
            Some(stamp) => stamp,
            None => self.replace(ns_id, seq, row)?,
        };
        if let Some(embedded) = &row.vector {
            let vectors = match &mut self.vectors {
                Some(vectors) => vectors,
                none => none.insert(VectorWriter::new(self.tx)?),
            };
            vectors.put(stamp.id, embedded, new)?;
        }
        Ok(stamp)
    }

    /// The stamp of a row that was not there yet; `None`, with nothing written, when its key is taken.
    fn insert(&mut self, ns_id: i64, row: &PutRow) -> Result<Option<Stamp>> {
        let Restored { created_at, updated_at, version } = self.past(row);
        let id = self.next_id;
        let written = self.insert.execute(params![
            id,
            ns_id,
            row.key,
            row.value,
            created_at,
            updated_at,
            row.expires_at,
            version
        ])?;
        if written == 0 {
            return Ok(None);
        }
        self.next_id += 1;
        Ok(Some(Stamp { id, created_at, updated_at, version }))
    }

    /// A live item keeps its past, an expired one is as if it were not there; an import brings a past of its own.
    fn replace(&mut self, ns_id: i64, seq: i64, row: &PutRow) -> Result<Stamp> {
        let Some(found) = self.find(ns_id, &row.key)? else {
            return Err(Error::StorageCorrupt("the index over keys is damaged".to_owned()));
        };
        let Restored { created_at, updated_at, version } = if found.live && row.restored.is_none() {
            let updated_at = self.now.max(found.created_at);
            Restored { created_at: found.created_at, updated_at, version: found.version + 1 }
        } else {
            self.past(row)
        };
        self.tx
            .prepare_cached(
                "UPDATE items SET value = ?, created_at = ?, updated_at = ?, expires_at = ?, version = ?, seq = ?
                 WHERE id = ?",
            )?
            .execute(params![row.value, created_at, updated_at, row.expires_at, version, seq, found.id])?;
        if row.vector.is_none() {
            forget_vector(self.tx, found.id)?;
        }
        Ok(Stamp { id: found.id, created_at, updated_at, version })
    }

    fn past(&self, row: &PutRow) -> Restored {
        row.restored.unwrap_or(Restored { created_at: self.now, updated_at: self.now, version: 1 })
    }

    fn find(&self, ns_id: i64, key: &str) -> Result<Option<Found>> {
        Ok(self
            .tx
            .prepare_cached(
                "SELECT id, created_at, version, expires_at IS NULL OR expires_at > ? FROM items
                 WHERE ns_id = ? AND key = ?",
            )?
            .query_row(params![self.now, ns_id, key], |row| {
                Ok(Found {
                    id: row.get(0)?,
                    created_at: row.get(1)?,
                    version: row.get(2)?,
                    live: row.get(3)?,
                })
            })
            .optional()?)
    }

    /// The id and generation of a namespace, which is counted up once in a transaction.
    fn touch(&mut self, path: &Arc<[u8]>) -> Result<(i64, i64)> {
        if let Some(last) = self.last.as_ref().filter(|last| Arc::ptr_eq(&last.path, path)) {
            return Ok((last.id, last.generation));
        }
        let touched = match self.touched.get(path) {
            Some(known) => known.clone(),
            None => {
                let (id, generation) = self
                    .tx
                    .prepare_cached(
                        "INSERT INTO namespaces (path, gen) VALUES (?, 1)
                         ON CONFLICT (path) DO UPDATE SET gen = gen + 1 RETURNING id, gen",
                    )?
                    .query_row([&**path], |row| Ok((row.get(0)?, row.get(1)?)))?;
                let fresh = Touched { path: Arc::clone(path), id, generation };
                self.touched.insert(Arc::clone(path), fresh.clone());
                fresh
            }
        };
        let answer = (touched.id, touched.generation);
        self.last = Some(touched);
        Ok(answer)
    }
}

fn check_version(row: &PutRow, found: Option<&Found>, expected: i64) -> Result<()> {
    let version = found.filter(|found| found.live).map_or(0, |found| found.version);
    if version == expected {
        return Ok(());
    }
    let there =
        if version == 0 { "there is no such item".to_owned() } else { format!("it has version {version}") };
    Err(Error::Conflict(format!(
        "the item {:?} was expected at version {expected}, and {there}; read it again, then retry",
        row.key
    )))
}
