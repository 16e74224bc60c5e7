//! Writing items. New rows are the common case and take one statement, or one for many that are alike; whatever is
//! there already takes its own path.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use rusqlite::{CachedStatement, ErrorCode, OptionalExtension, params};

use super::commit::Transaction;
use super::items::{PutRow, Restored, Stamp, forget_vector};
use super::models::VectorWriter;
use crate::error::{Error, Result};

/// So many rows go into one statement: what SQLite does before and after the rows of a statement is half of what a row
/// costs by itself. More of them save nothing more.
pub(super) const TOGETHER: usize = 16;

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
    /// Whether SQLite gives `next_id` to a row without an id. It then need not look whether that is taken.
    counting: bool,
    now: i64,
}

/// Writes rows inside a transaction that the caller has begun.
pub(super) fn put_in(tx: &Transaction<'_>, rows: &[PutRow], now: i64) -> Result<Vec<Stamp>> {
    let (next_id, counting) = next_id(tx)?;
    let mut writer = Writer {
        tx,
        insert: tx.prepare_cached(
            "INSERT INTO items (id, ns_id, key, value, created_at, updated_at, expires_at, version)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (ns_id, key) DO NOTHING",
        )?,
        vectors: None,
        touched: HashMap::new(),
        last: None,
        next_id,
        counting,
        now,
    };
    let mut stamps = Vec::with_capacity(rows.len());
    // Where keys are taken, the statement for many rows is tried more and more rarely.
    let (mut wait, mut patience) = (0, TOGETHER);
    while let Some(rest @ [row, ..]) = rows.get(stamps.len()..) {
        let many = if wait == 0 { rest.first_chunk().filter(|rows| writer.alike(rows)) } else { None };
        match many {
            Some(chunk) if writer.put_together(chunk, &mut stamps)? => patience = TOGETHER,
            Some(_) => {
                wait = patience;
                patience = patience.saturating_mul(2);
            }
            None => {
                stamps.push(writer.put(row)?);
                wait = wait.saturating_sub(1);
            }
        }
    }
    Ok(stamps)
}

/// The first id above every one that a row has or had, and whether it is the first above those that rows have.
fn next_id(tx: &Transaction<'_>) -> Result<(i64, bool)> {
    let sql = "SELECT coalesce((SELECT max(id) FROM items), 0), coalesce((SELECT last FROM item_ids), 0)";
    let (highest, last): (i64, i64) =
        tx.prepare_cached(sql)?.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok((highest.max(last) + 1, highest >= last))
}

/// To be called before rows are deleted: their ids are not given away again.
pub(super) fn keep_ids(tx: &Transaction<'_>) -> Result<()> {
    tx.prepare_cached(
        "UPDATE item_ids SET last = (SELECT max(id) FROM items) WHERE last < (SELECT max(id) FROM items)",
    )?
    .execute([])?;
    Ok(())
}

impl<'tx> Writer<'tx> {
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
            self.vectors()?.put(stamp.id, embedded, new)?;
        }
        Ok(stamp)
    }

    fn vectors(&mut self) -> Result<&mut VectorWriter<'tx>> {
        Ok(match &mut self.vectors {
            Some(vectors) => vectors,
            none => none.insert(VectorWriter::new(self.tx)?),
        })
    }

    /// Whether these rows differ in nothing but key, value and vector, if they are new.
    fn alike(&self, rows: &[PutRow; TOGETHER]) -> bool {
        let [first, ..] = rows;
        self.counting
            && rows.iter().all(|row| {
                Arc::ptr_eq(row.namespace.shared(), first.namespace.shared())
                    && row.expires_at == first.expires_at
                    && row.expected.is_none()
                    && row.restored.is_none()
            })
    }

    /// Inserts rows that are [alike](Self::alike) up to the first one whose key is taken, and adds their stamps; whether
    /// that was all of them.
    fn put_together(&mut self, rows: &[PutRow; TOGETHER], stamps: &mut Vec<Stamp>) -> Result<bool> {
        let [first, ..] = rows;
        let (ns_id, _) = self.touch(first.namespace.shared())?;
        let sql = Self::together();
        let mut insert = self.tx.prepare_cached(sql)?;
        insert.raw_bind_parameter(1, ns_id)?;
        insert.raw_bind_parameter(2, self.now)?;
        insert.raw_bind_parameter(3, first.expires_at)?;
        for (at, row) in rows.iter().enumerate() {
            insert.raw_bind_parameter(4 + 2 * at, &row.key)?;
            insert.raw_bind_parameter(5 + 2 * at, &row.value)?;
        }
        let (new, all) = match insert.raw_execute() {
            Ok(new) => (new, true),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                (usize::try_from(self.tx.changes()).unwrap_or(0), false)
            }
            Err(error) => return Err(error.into()),
        };
        let from = self.next_id;
        self.next_id += i64::try_from(new).unwrap_or(0);
        if new > 0 && self.tx.last_insert_rowid() + 1 != self.next_id {
            return Err(Error::StorageCorrupt("the table of items is damaged".to_owned()));
        }
        if rows.iter().any(|row| row.vector.is_some()) {
            self.vectors()?.put_new((from..).zip(rows.iter().map(|row| row.vector.as_ref()).take(new)))?;
        }
        let stamp = |id| Stamp { id, created_at: self.now, updated_at: self.now, version: 1 };
        stamps.extend((from..self.next_id).map(stamp));
        Ok(all)
    }

    /// What fails keeps the rows before, so SQLite need not be ready to take them back; and no row brings its id.
    fn together() -> &'static str {
        static SQL: LazyLock<String> = LazyLock::new(|| {
            let rows: Vec<_> = (0..TOGETHER)
                .map(|at| format!("(?1, ?{}, ?{}, ?2, ?2, ?3, 1)", 4 + 2 * at, 5 + 2 * at))
                .collect();
            format!(
                "INSERT OR FAIL INTO items (ns_id, key, value, created_at, updated_at, expires_at, version)
                 VALUES {}",
                rows.join(", ")
            )
        });
        &SQL
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
        self.counting = true;
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::super::{Db, Embedded, Listing, Namespace, Store};
    use super::*;

    fn store() -> Store {
        Store::new(Db::memory().unwrap(), Some("m"), 0, false).unwrap()
    }

    fn row(namespace: &Namespace, key: u32, vector: bool) -> PutRow {
        PutRow {
            namespace: namespace.clone(),
            key: format!("key {key}"),
            value: format!("{{\"n\":{key}}}"),
            expires_at: None,
            expected: None,
            restored: None,
            vector: vector.then(|| Embedded { hash: Some(key.cast_signed()), vector: vec![1, 2, 3, 4] }),
        }
    }

    fn vectors(store: &Store) -> Vec<(i64, Option<i32>)> {
        let sql = "SELECT item_id, hash FROM item_vectors ORDER BY item_id";
        let read = |conn: &rusqlite::Connection| {
            let mut found = conn.prepare(sql)?;
            let rows = found.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        };
        store.db().read(read).unwrap()
    }

    /// Whatever is taken, repeated, of its own kind or deleted before: a batch is its rows, one after the other.
    #[test]
    fn a_batch_is_its_rows_one_after_the_other() {
        let spaces = [Namespace::new(["a"]).unwrap(), Namespace::new(["b"]).unwrap()];
        let (batched, single) = (store(), store());
        let mut random = 7_u32;
        let mut next = |below: u32| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (random >> 16) % below
        };
        for (round, now) in (100..140).enumerate() {
            let keys = *[40, 200, 100_000].get(round % 3).unwrap();
            let odd = *[0, 3, 20].get(round / 3 % 3).unwrap();
            let rows: Vec<PutRow> = (0..150)
                .map(|at| {
                    let space = spaces.get(at / 60 % 2).unwrap();
                    let mut row = row(space, next(keys), round % 4 > 0 && next(30) > 0);
                    if next(100) < odd {
                        row.expires_at = Some(now + i64::from(next(3)));
                    }
                    if next(100) < odd {
                        row.restored = Some(Restored { created_at: 1, updated_at: 2, version: 7 });
                    }
                    row
                })
                .collect();
            let together = batched.put(&rows, now).unwrap();
            let alone: Vec<Stamp> =
                rows.iter().flat_map(|row| single.put(std::slice::from_ref(row), now).unwrap()).collect();
            assert_eq!(together, alone, "round {round}");
            let gone: Vec<_> = rows.iter().rev().take(next(30) as usize).cloned().collect();
            let gone: Vec<_> = gone.into_iter().map(|row| (row.namespace, row.key)).collect();
            assert_eq!(batched.delete(&gone, now).unwrap(), single.delete(&gone, now).unwrap());
            let all = Listing { namespace: None, recursive: true, filter: None, limit: None, offset: 0 };
            assert_eq!(batched.list(&all, now).unwrap(), single.list(&all, now).unwrap());
            assert_eq!(vectors(&batched), vectors(&single));
        }
    }

    #[test]
    fn what_is_refused_late_leaves_nothing() {
        let space = Namespace::new(["a"]).unwrap();
        let store = store();
        let mut rows: Vec<PutRow> = (0..100).map(|key| row(&space, key, true)).collect();
        rows.last_mut().unwrap().expected = Some(3);
        assert!(matches!(store.put(&rows, 1), Err(Error::Conflict(_))));
        rows.last_mut().unwrap().expected = None;
        rows.last_mut().unwrap().vector = Some(Embedded { hash: None, vector: vec![1, 2] });
        assert!(matches!(store.put(&rows, 1), Err(Error::EmbeddingMismatch(_))));
        let all = Listing { namespace: None, recursive: true, filter: None, limit: None, offset: 0 };
        assert_eq!((store.count(&all, 1).unwrap(), vectors(&store)), (0, vec![]));
    }
}
