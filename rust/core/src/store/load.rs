//! Taking in what another database holds, as it is: for stores in memory that mirror one.

use std::collections::HashSet;

use super::items::{Embedded, PutRow, Restored, Store};
use super::namespace::Namespace;
use super::put::put_in;
use crate::error::{Error, Result};
use crate::vectors::pack;

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
    /// [`crate::error::Error::EmbeddingMismatch`] when vectors have different sizes, and the storage errors.
    pub fn load(&self, rows: Vec<Loaded>) -> Result<i64> {
        let gone: Vec<_> = rows
            .iter()
            .filter(|row| row.content.is_none())
            .map(|row| (row.namespace.clone(), row.key.clone()))
            .collect();
        let mut grown = 0;
        if !gone.is_empty() {
            grown -= self.delete(&gone, i64::MIN)?.into_iter().map(i64::from).sum::<i64>();
        }
        let rows: Vec<PutRow> = rows.into_iter().filter_map(Loaded::into_row).collect::<Result<_>>()?;
        if !rows.is_empty() {
            grown += self.db().write(|tx| {
                let newest: i64 =
                    tx.query_row("SELECT coalesce(max(id), 0) FROM items", [], |row| row.get(0))?;
                let stamps = put_in(tx, &rows, i64::MIN)?;
                let new: HashSet<i64> =
                    stamps.iter().map(|stamp| stamp.id).filter(|id| *id > newest).collect();
                Ok(i64::try_from(new.len()).unwrap_or(i64::MAX))
            })?;
        }
        Ok(grown)
    }
}

impl Loaded {
    fn into_row(self) -> Option<Result<PutRow>> {
        let Content { value, created_at, updated_at, expires_at, version, vector } = self.content?;
        let vector = match vector.map(|floats| pack(&floats).ok_or_else(damaged)).transpose() {
            Ok(packed) => packed,
            Err(error) => return Some(Err(error)),
        };
        Some(Ok(PutRow {
            namespace: self.namespace,
            key: self.key,
            value,
            expires_at,
            expected: None,
            restored: Some(Restored { created_at, updated_at, version }),
            // Nobody asks a mirror which texts it holds.
            vector: vector.map(|vector| Embedded { hash: None, vector }),
        }))
    }
}

fn damaged() -> Error {
    Error::Embedding("a vector of the other database is empty or not finite".to_owned())
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
        assert_eq!(store.load(rows.to_vec()).unwrap(), 2);
        let rows = [row("x", Some("three"), None), row("y", None, None), row("y", Some("four"), None)];
        assert_eq!(store.load(rows.to_vec()).unwrap(), 0);
        assert_eq!(store.load(vec![row("x", None, None), row("q", None, None)]).unwrap(), -1);
        let items = store.list(&Listing::default(), 0).unwrap();
        assert_eq!(items.len(), 1);
        assert_eq!((items[0].value.as_str(), items[0].version), ("{\"t\":\"four\"}", 3));
        assert!(store.load(vec![row("x", Some("one"), Some(&[1.0]))]).is_err());
    }
}
