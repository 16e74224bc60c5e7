//! Taking in what another database holds, as it is: for stores in memory that mirror one.

use std::collections::HashMap;

use rusqlite::{OptionalExtension, Transaction, params};

use super::items::Store;
use super::namespace::Namespace;
use crate::error::{Error, Result};

/// An item of the other database, or a place where there is none any more.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// Where.
    pub namespace: Namespace,
    /// Under which key.
    pub key: String,
    /// `None`: deleted.
    pub content: Option<Content>,
}

/// What an item consists of. Times are microseconds since 1970 UTC.
#[derive(Debug, Clone)]
pub struct Content {
    /// Canonical JSON.
    pub value: String,
    /// When the key was first written.
    pub created_at: i64,
    /// When the value was last written.
    pub updated_at: i64,
    /// When it is gone.
    pub expires_at: Option<i64>,
    /// The version.
    pub version: i64,
    /// The vector of its text where an embedder was asked: f32, little-endian.
    pub vector: Option<Vec<u8>>,
}

impl Store {
    /// Takes rows as they are, without checking what the other database has checked: first those that are gone,
    /// then the others. Returns by how many items the store has grown.
    ///
    /// # Errors
    /// [`Error::EmbeddingMismatch`] when vectors have different sizes, and the storage errors.
    pub fn load(&self, rows: &[Loaded]) -> Result<i64> {
        let gone: Vec<_> = rows
            .iter()
            .filter(|row| row.content.is_none())
            .map(|row| (row.namespace.clone(), row.key.clone()))
            .collect();
        let mut grown = 0;
        if !gone.is_empty() {
            grown -= self.delete(&gone, i64::MIN)?.into_iter().map(i64::from).sum::<i64>();
        }
        if gone.len() < rows.len() {
            grown += self.db().write(|tx| insert(tx, rows))?;
        }
        Ok(grown)
    }
}

fn insert(tx: &Transaction<'_>, rows: &[Loaded]) -> Result<i64> {
    let newest: i64 = tx.query_row("SELECT coalesce(max(id), 0) FROM items", [], |row| row.get(0))?;
    let mut size: Option<usize> = tx
        .query_row("SELECT value FROM meta WHERE key = 'dimensions'", [], |row| row.get::<_, String>(0))
        .optional()?
        .and_then(|text| text.parse().ok());
    let mut touched: HashMap<&[u8], (i64, i64)> = HashMap::new();
    let mut item = tx.prepare_cached(
        "INSERT INTO items (ns_id, key, value, created_at, updated_at, expires_at, version, seq)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (ns_id, key) DO UPDATE SET
             value = excluded.value, created_at = excluded.created_at, updated_at = excluded.updated_at,
             expires_at = excluded.expires_at, version = excluded.version, seq = excluded.seq
         RETURNING id",
    )?;
    let mut keep =
        tx.prepare_cached("INSERT OR REPLACE INTO item_vectors (item_id, hash, vector) VALUES (?, x'', ?)")?;
    let mut drop = tx.prepare_cached("DELETE FROM item_vectors WHERE item_id = ?")?;
    let mut grown = 0;
    for row in rows {
        let Some(content) = &row.content else { continue };
        let path = row.namespace.as_bytes();
        let (ns_id, seq) = match touched.get(path) {
            Some(known) => *known,
            None => {
                let fresh = tx
                    .prepare_cached(
                        "INSERT INTO namespaces (path, gen) VALUES (?, 1)
                         ON CONFLICT (path) DO UPDATE SET gen = gen + 1 RETURNING id, gen",
                    )?
                    .query_row([path], |row| Ok((row.get(0)?, row.get(1)?)))?;
                touched.insert(path, fresh);
                fresh
            }
        };
        let Content { value, created_at, updated_at, expires_at, version, vector } = content;
        let values = params![ns_id, row.key, value, created_at, updated_at, expires_at, version, seq];
        let id: i64 = item.query_row(values, |row| row.get(0))?;
        grown += i64::from(id > newest);
        match vector {
            Some(vector) => {
                let numbers = vector.len() / 4;
                if size.is_none() {
                    tx.execute(
                        "INSERT OR REPLACE INTO meta (key, value) VALUES ('dimensions', ?)",
                        [numbers.to_string()],
                    )?;
                    size = Some(numbers);
                }
                if size != Some(numbers) {
                    return Err(Error::EmbeddingMismatch(format!(
                        "the store holds vectors of {} and of {numbers} dimensions; call reembed()",
                        size.unwrap_or(0)
                    )));
                }
                keep.execute(params![id, vector])?;
            }
            None if id <= newest => {
                drop.execute([id])?;
            }
            None => {}
        }
    }
    Ok(grown)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
mod tests {
    use super::super::{Db, Listing, Namespace, Store};
    use super::{Content, Loaded};

    fn row(key: &str, text: Option<&str>, vector: Option<&[f32]>) -> Loaded {
        Loaded {
            namespace: Namespace::new(["a"]).unwrap(),
            key: key.to_owned(),
            content: text.map(|text| Content {
                value: format!("{{\"t\":\"{text}\"}}"),
                created_at: 1,
                updated_at: 2,
                expires_at: None,
                version: 3,
                vector: vector.map(|v| v.iter().flat_map(|x| x.to_le_bytes()).collect()),
            }),
        }
    }

    #[test]
    fn rows_come_change_and_go() {
        let store = Store::new(Db::memory().unwrap(), Some("m"), false).unwrap();
        let one = [1.0, 0.0];
        let rows = [row("x", Some("one"), Some(&one)), row("y", Some("two"), None), row("z", None, None)];
        assert_eq!(store.load(&rows).unwrap(), 2);
        let rows = [row("x", Some("three"), None), row("y", None, None), row("y", Some("four"), None)];
        assert_eq!(store.load(&rows).unwrap(), 0);
        assert_eq!(store.load(&[row("x", None, None), row("q", None, None)]).unwrap(), -1);
        let items = store.list(&Listing::default(), 0).unwrap();
        assert_eq!(items.len(), 1);
        assert_eq!((items[0].value.as_str(), items[0].version), ("{\"t\":\"four\"}", 3));
        assert!(store.load(&[row("x", Some("one"), Some(&[1.0]))]).is_err());
    }
}
