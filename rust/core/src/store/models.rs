//! Which embedder a store holds vectors of, and those vectors.

use std::sync::LazyLock;

use rusqlite::{CachedStatement, Connection, OptionalExtension, params};

use super::commit::Transaction;
use super::db::Db;
use super::items::{Embedded, Store};
use super::put::TOGETHER;
use crate::embed;
use crate::error::{Error, Result};

/// Takes `model` for a store that holds none yet, or nothing at all; refuses it where another one's vectors are.
pub(super) fn adopt(db: &Db, model: &str) -> Result<()> {
    if db.read(recorded)?.as_deref() == Some(model) {
        return Ok(());
    }
    db.write(|tx| {
        let empty =
            tx.query_row("SELECT NOT EXISTS (SELECT 1 FROM items)", [], |row| row.get::<_, bool>(0))?;
        if empty { record(tx, model) } else { check_model(tx, model) }
    })
}

fn record(tx: &Transaction<'_>, model: &str) -> Result<()> {
    tx.execute("DELETE FROM meta WHERE key = 'dimensions'", [])?;
    tx.execute("INSERT OR REPLACE INTO meta (key, value) VALUES ('embedding', ?)", [model])?;
    Ok(())
}

/// The embedder whose vectors the database holds.
pub(super) fn recorded(conn: &Connection) -> Result<Option<String>> {
    let mut statement = conn.prepare_cached("SELECT value FROM meta WHERE key = 'embedding'")?;
    Ok(statement.query_row([], |row| row.get(0)).optional()?)
}

/// Refuses to mix: another process may have given the store to another embedder since it was opened.
pub(super) fn check_model(conn: &Connection, model: &str) -> Result<()> {
    same_model(recorded(conn)?.as_deref(), model)
}

/// Refuses a store that is recorded as holding another embedder's vectors.
pub(super) fn same_model(held: Option<&str>, model: &str) -> Result<()> {
    match held {
        Some(held) if held != model => Err(Error::EmbeddingMismatch(format!(
            "the store holds vectors of the embedder {held:?}, and {model:?} was asked for; open it with the one \
             it holds, or give it to the new one with reembed() (or by opening it with reembed=True)"
        ))),
        _ => Ok(()),
    }
}

/// Keeps the vectors of items, inside one transaction.
pub(super) struct VectorWriter<'tx> {
    tx: &'tx Transaction<'tx>,
    insert: CachedStatement<'tx>,
    replace: CachedStatement<'tx>,
    /// The size of the store's vectors, once it is known.
    size: Option<usize>,
}

impl<'tx> VectorWriter<'tx> {
    pub fn new(tx: &'tx Transaction<'tx>) -> Result<Self> {
        let insert = "INSERT INTO item_vectors (item_id, hash, vector) VALUES (?, ?, ?)";
        let replace = "INSERT OR REPLACE INTO item_vectors (item_id, hash, vector) VALUES (?, ?, ?)";
        Ok(Self { tx, insert: tx.prepare_cached(insert)?, replace: tx.prepare_cached(replace)?, size: None })
    }

    /// `new`: the item has no vector yet. SQLite then need not be ready to take a replacement back, which would copy
    /// every page that it touches.
    pub fn put(&mut self, item_id: i64, embedded: &Embedded, new: bool) -> Result<()> {
        let size = embedded.vector.len() / 2;
        if self.size != Some(size) {
            self.check_size(size)?;
        }
        let statement = if new { &mut self.insert } else { &mut self.replace };
        statement.execute(params![item_id, embedded.hash, embedded.vector])?;
        Ok(())
    }

    /// [`Self::put`] for many new items, those that have a vector.
    pub fn put_new<'a>(&mut self, rows: impl Iterator<Item = (i64, Option<&'a Embedded>)>) -> Result<()> {
        let rows: Vec<_> = rows.filter_map(|(id, embedded)| Some((id, embedded?))).collect();
        let alike = |(_, embedded): &(i64, &Embedded)| Some(embedded.vector.len() / 2) == self.size;
        if rows.len() != TOGETHER || !rows.iter().all(alike) {
            return rows.into_iter().try_for_each(|(id, embedded)| self.put(id, embedded, true));
        }
        let sql = Self::together();
        let mut insert = self.tx.prepare_cached(sql)?;
        for (at, (id, embedded)) in rows.into_iter().enumerate() {
            insert.raw_bind_parameter(1 + 3 * at, id)?;
            insert.raw_bind_parameter(2 + 3 * at, embedded.hash)?;
            insert.raw_bind_parameter(3 + 3 * at, &embedded.vector)?;
        }
        insert.raw_execute()?;
        Ok(())
    }

    /// As it is with items: what fails need not be taken back by itself, the whole transaction is.
    fn together() -> &'static str {
        static SQL: LazyLock<String> = LazyLock::new(|| {
            let rows = vec!["(?, ?, ?)"; TOGETHER].join(", ");
            format!("INSERT OR FAIL INTO item_vectors (item_id, hash, vector) VALUES {rows}")
        });
        &SQL
    }

    fn check_size(&mut self, made: usize) -> Result<()> {
        let size = made.to_string();
        let held: Option<String> = self
            .tx
            .prepare_cached("SELECT value FROM meta WHERE key = 'dimensions'")?
            .query_row([], |row| row.get(0))
            .optional()?;
        if held.is_none() {
            self.tx.execute("INSERT INTO meta (key, value) VALUES ('dimensions', ?)", [&size])?;
        } else if let Some(held) = held.filter(|held| *held != size) {
            return Err(Error::EmbeddingMismatch(format!(
                "the store holds vectors of {held} dimensions, and the embedder made one of {size}; nothing was \
                 written. Ask for {held} dimensions, or call reembed()"
            )));
        }
        self.size = Some(made);
        Ok(())
    }
}

/// An item whose text is to be embedded again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// The row.
    pub id: i64,
    /// When it was written over: it must be the same when the vector comes back.
    pub seq: i64,
    /// The value as canonical JSON.
    pub value: String,
}

impl Store {
    /// Whether the embedder is the built-in one.
    pub fn is_local(&self) -> bool {
        &*self.model == embed::model_name()
    }

    /// Every item, to be embedded again.
    ///
    /// # Errors
    /// The storage errors.
    pub fn pending(&self) -> Result<Vec<Pending>> {
        self.db().read(|conn| {
            let mut statement = conn.prepare("SELECT id, seq, value FROM items ORDER BY id")?;
            let rows = statement
                .query_map([], |row| Ok(Pending { id: row.get(0)?, seq: row.get(1)?, value: row.get(2)? }))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// Gives the store to this embedder with `vectors` for every item, all in one transaction. Returns false,
    /// having changed nothing, when items came, changed or went since [`Self::pending`]: ask it again then.
    ///
    /// # Errors
    /// As [`Store::put`].
    pub fn reembed(&self, vectors: &[(i64, i64, Option<Embedded>)]) -> Result<bool> {
        self.db().write_many(|tx| {
            let count: i64 = tx.query_row("SELECT count(*) FROM items", [], |row| row.get(0))?;
            let mut same =
                usize::try_from(count).is_ok_and(|count| count == vectors.len()) || self.is_local();
            for (id, seq, _) in vectors {
                same = same
                    && tx
                        .prepare_cached("SELECT EXISTS (SELECT 1 FROM items WHERE id = ? AND seq = ?)")?
                        .query_row([id, seq], |row| row.get(0))?;
            }
            if !same {
                return Ok(false);
            }
            record(tx, &self.model)?;
            tx.execute("DELETE FROM item_vectors", [])?;
            let mut writer = VectorWriter::new(tx)?;
            for (id, _, embedded) in vectors {
                if let Some(embedded) = embedded {
                    writer.put(*id, embedded, true)?;
                }
            }
            drop(writer);
            // Every index has to read everything again.
            tx.execute("UPDATE namespaces SET gen = gen + 1, reset = gen + 1", [])?;
            Ok(true)
        })
    }
}
