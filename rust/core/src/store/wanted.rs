//! From texts to the vectors that are stored with them: what the store holds is not asked for again.

use std::collections::HashMap;
use std::mem;

use xxhash_rust::xxh3::xxh3_64;

use super::items::{Embedded, PutRow, Store};
use super::models::recorded;
use super::read::text;
use crate::error::Result;
use crate::validate::{parse, text_of};
use crate::vectors::halves;

/// For each text of a batch where its vector comes from.
#[derive(Debug, Default)]
pub struct Wanted {
    sources: Vec<Source>,
}

#[derive(Debug)]
enum Source {
    /// An empty text has no vector.
    Nothing,
    /// The store has it.
    Held(Embedded),
    /// It is the so-many-th of those that are made.
    Made { hash: i32, at: usize },
}

impl Wanted {
    /// The vector of each text, given those that were made (f32, little-endian) for the texts that had none.
    ///
    /// # Errors
    /// [`Error::Embedding`] for one that is missing or none.
    pub fn embedded(self, made: &[impl AsRef<[u8]>]) -> Result<Vec<Option<Embedded>>> {
        let one = |source| match source {
            Source::Nothing => Ok(None),
            Source::Held(embedded) => Ok(Some(embedded)),
            Source::Made { hash, at } => {
                let vector = halves(made.get(at).map_or(&[], AsRef::as_ref))?;
                Ok(Some(Embedded { hash: Some(hash), vector }))
            }
        };
        self.sources.into_iter().map(one).collect()
    }
}

/// The key of the index over texts. It tells most of them from each other in few bytes; whoever finds one compares
/// the text.
pub(super) fn hash_of(text: &str) -> i32 {
    (xxh3_64(text.as_bytes()) as u32).cast_signed()
}

impl PutRow {
    /// The text for search; empty where the value has none.
    ///
    /// # Errors
    /// [`Error::StorageCorrupt`] where the value is no canonical JSON.
    pub fn text(&self) -> Result<String> {
        Ok(text_of(&parse(&self.value)?))
    }
}

impl Store {
    /// Where the vectors of these texts come from, and the texts whose vectors have to be made, each once, in the
    /// order in which they first appear. `size`: held vectors of another one do not count. `look`: whether any do.
    ///
    /// # Errors
    /// The storage errors.
    pub fn wanted(
        &self,
        mut texts: Vec<String>,
        size: Option<usize>,
        look: bool,
    ) -> Result<(Wanted, Vec<String>)> {
        let hashes: Vec<i32> = texts.iter().map(|text| hash_of(text)).collect();
        let held = if look { self.held(&texts, &hashes, size)? } else { Vec::new() };
        let mut held = held.into_iter();
        let mut first = Vec::new();
        let mut places: HashMap<&str, usize> = HashMap::with_capacity(texts.len());
        let mut sources = Vec::with_capacity(texts.len());
        for (position, (text, hash)) in texts.iter().zip(hashes).enumerate() {
            let held = held.next().flatten();
            sources.push(if text.is_empty() {
                Source::Nothing
            } else if let Some(vector) = held {
                Source::Held(Embedded { hash: Some(hash), vector })
            } else {
                let at = *places.entry(text).or_insert_with(|| {
                    first.push(position);
                    first.len() - 1
                });
                Source::Made { hash, at }
            });
        }
        drop(places);
        let lacking = first.into_iter().filter_map(|at| texts.get_mut(at).map(mem::take)).collect();
        Ok((Wanted { sources }, lacking))
    }

    /// The stored vector of each text, where there is one.
    fn held(&self, texts: &[String], hashes: &[i32], size: Option<usize>) -> Result<Vec<Option<Vec<u8>>>> {
        self.db().snapshot(|conn| {
            if recorded(conn)?.as_deref() != Some(&*self.model) {
                return Ok(Vec::new());
            }
            // Texts made to have the same hash are asked for again, and slow nobody down. (A bound limit would have
            // SQLite plan each look-up anew.)
            let mut statement = conn.prepare_cached(
                "SELECT items.value, vector FROM item_vectors JOIN items ON items.id = item_id WHERE hash = ? LIMIT 16",
            )?;
            let mut found = Vec::with_capacity(texts.len());
            for (wanted, hash) in texts.iter().zip(hashes) {
                let mut vector = None;
                let mut rows = statement.query([*hash])?;
                while let (None, Some(row)) = (&vector, rows.next()?) {
                    let packed = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
                    if size.is_none_or(|size| packed.len() == 2 * size) && text_of(&parse(text(row, 0)?)?) == *wanted {
                        vector = Some(packed.to_vec());
                    }
                }
                found.push(vector);
            }
            Ok(found)
        })
    }
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::super::{Db, Namespace};
    use super::*;

    fn row(key: &str, text: &str) -> PutRow {
        PutRow {
            namespace: Namespace::new(["a"]).unwrap(),
            key: key.to_owned(),
            value: format!("{{\"t\":\"{text}\"}}"),
            expires_at: None,
            expected: None,
            restored: None,
            vector: None,
        }
    }

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn another_text_with_the_same_hash_is_another_text() {
        let mut seen = HashMap::new();
        let (one, other) = (0..1_000_000)
            .find_map(|n| {
                let text = format!("text {n}");
                seen.insert(hash_of(&text), text.clone()).map(|before| (before, text))
            })
            .unwrap();
        let store = Store::new(Db::memory().unwrap(), Some("m"), 0, false).unwrap();
        let (wanted, lacking) = store.wanted(texts(&[&one, "", &one]), None, true).unwrap();
        assert_eq!(lacking, [one.as_str()]);
        let vector: Vec<u8> = [0.0f32, 1.0].iter().flat_map(|value| value.to_le_bytes()).collect();
        let vectors = wanted.embedded(&[&vector]).unwrap();
        assert_eq!((vectors[0].is_some(), &vectors[1], &vectors[2]), (true, &None, &vectors[0]));
        let mut first = row("x", &one);
        first.vector = vectors[0].clone();
        store.put(&[first], 1).unwrap();
        let (_, lacking) = store.wanted(texts(&[&other, &one]), Some(2), true).unwrap();
        assert_eq!(lacking, [other.as_str()]);
        for (size, look) in [(Some(3), true), (None, false)] {
            assert_eq!(store.wanted(texts(&[&one]), size, look).unwrap().1, [one.as_str()]);
        }
        let (wanted, _) = store.wanted(texts(&[&one, &other]), None, true).unwrap();
        assert!(wanted.embedded(&[[0u8; 3]]).is_err());
    }
}
