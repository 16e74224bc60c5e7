//! What another database holds of a namespace, or of a namespace and all below it, ready to be searched as a local store
//! is: the same index, the same order, the same scores. Nothing here is a database, so taking items in costs little
//! more than indexing them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use super::filter::Filter;
use super::index::NamespaceIndex;
use super::items::Item;
use super::search::Scored;
use super::taking::Taking;
use crate::embed;
use crate::error::{Error, Result};
use crate::vectors::pack;

/// An item of the other database, or a place where there is none any more.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// Where: what is the same for the items of one namespace, in the order of namespaces.
    pub place: Vec<u8>,
    /// Under which key.
    pub key: String,
    /// `None`: deleted.
    pub content: Option<Content>,
}

/// What an item consists of.
#[derive(Debug, Clone)]
pub struct Content {
    /// The item as searches find it.
    pub item: Item,
    /// The vector of its text where an embedder was asked: f32, little-endian.
    pub vector: Option<Vec<u8>>,
}

/// What to search for.
#[derive(Debug)]
pub struct Question<'a> {
    /// The question.
    pub text: &'a str,
    /// Its vector, where the embedder is not the built-in one.
    pub vector: Option<&'a [f32]>,
    /// Only values that satisfy it.
    pub filter: Option<&'a Filter>,
    /// At most so many.
    pub limit: usize,
    /// Leave out what scores less.
    pub min_score: f32,
}

/// Items of another database in memory. Any number of threads may search; one that loads waits for them.
#[derive(Debug)]
pub struct Mirror {
    local: bool,
    held: RwLock<Held>,
}

#[derive(Debug, Default)]
struct Held {
    places: BTreeMap<Vec<u8>, Place>,
    /// How large vectors are.
    size: Option<usize>,
    newest: u64,
}

/// One namespace.
#[derive(Debug, Default)]
struct Place {
    index: NamespaceIndex,
    ids: HashMap<String, u64>,
    items: HashMap<u64, Arc<Item>>,
}

impl Mirror {
    /// An empty mirror. `local`: vectors are those of the built-in embedder, and computed here.
    #[must_use]
    pub fn new(local: bool) -> Self {
        Self { local, held: RwLock::default() }
    }

    /// Takes rows as they are, without checking what the other database has checked: first those that are gone,
    /// then the others. Returns by how many items the mirror has grown. After an error it is to be thrown away.
    ///
    /// # Errors
    /// [`Error::EmbeddingMismatch`] when vectors have different sizes, and [`Error::StorageCorrupt`] when a value
    /// is no JSON.
    pub fn load(&self, mut rows: Vec<Loaded>) -> Result<i64> {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        let Held { places, size, newest } = &mut *held;
        let mut grown = 0;
        for gone in rows.extract_if(.., |row| row.content.is_none()) {
            let Some(place) = places.get_mut(&gone.place) else { continue };
            if let Some(id) = place.ids.remove(&gone.key) {
                place.index.drop_item(id);
                place.items.remove(&id);
                grown -= 1;
                if place.ids.is_empty() {
                    places.remove(&gone.place);
                }
            }
        }
        for same in rows.chunk_by_mut(|a, b| a.place == b.place) {
            let Some(first) = same.first_mut() else { continue };
            let place = places.entry(std::mem::take(&mut first.place)).or_default();
            let mut taking = Taking::new(self.local);
            for row in same {
                let Some(Content { item, vector }) = row.content.take() else { continue };
                let vector = vector.map(|floats| stored(&floats, size)).transpose()?;
                let id = *place.ids.entry(std::mem::take(&mut row.key)).or_insert_with(|| {
                    *newest += 1;
                    grown += 1;
                    *newest
                });
                place.index.take(&mut taking, id, &item.value, vector.as_deref())?;
                place.items.insert(id, Arc::new(item));
            }
            place.index.taken(&mut taking)?;
        }
        Ok(grown)
    }

    /// The items that answer a question best, as [`super::Store::search`] finds them.
    ///
    /// # Errors
    /// [`Error::EmbeddingMismatch`] when the question's vector has another size than those here.
    pub fn search(&self, question: &Question<'_>, now: i64) -> Result<Vec<Scored>> {
        let Question { text, vector, filter, limit, min_score } = *question;
        let mut computed = Vec::new();
        let vector = match vector {
            None if self.local => {
                computed.resize(embed::dimensions(), 0.0);
                embed::embed_into(text, &mut computed);
                &computed
            }
            None => computed.as_slice(),
            Some(vector) if vector.is_empty() || !vector.iter().all(|value| value.is_finite()) => {
                return Err(Error::Embedding("the embedding of the query is empty or not finite".to_owned()));
            }
            Some(vector) => vector,
        };
        let matcher = filter.map(Filter::matcher).transpose()?;
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(size) = held.size.filter(|size| *size != vector.len()) {
            return Err(Error::EmbeddingMismatch(format!(
                "the store holds vectors of {size} dimensions, and the query's has {}; ask the embedder for {size}, \
                 or call reembed()",
                vector.len()
            )));
        }
        let mut found: Vec<Scored> = Vec::new();
        if limit == 0 {
            return Ok(found);
        }
        for place in held.places.values() {
            place.index.rank(text, vector, (limit, min_score), matcher.is_some(), |ranked| {
                let before = found.len();
                for (id, score) in ranked {
                    let item = place.items.get(id).filter(|item| item.expires_at.is_none_or(|at| at > now));
                    if let Some(item) = item
                        && matcher.as_ref().map_or(Ok(true), |matcher| matcher.accepts(&item.value))?
                    {
                        found.push((Arc::clone(item), *score));
                    }
                }
                Ok(found.len() - before)
            })?;
        }
        if held.places.len() > 1 {
            // Stable: equal scores stay in the order of namespaces.
            found.sort_by(|a, b| b.1.total_cmp(&a.1));
            found.truncate(limit);
        }
        Ok(found)
    }
}

/// The vector as a store keeps it, so that both rank alike.
fn stored(floats: &[u8], size: &mut Option<usize>) -> Result<Vec<u8>> {
    let Some(packed) = pack(floats) else {
        return Err(Error::StorageCorrupt("a vector in the database is damaged".to_owned()));
    };
    let numbers = packed.len() / 2;
    match size.replace(numbers) {
        Some(held) if held != numbers => Err(Error::EmbeddingMismatch(format!(
            "the store holds vectors of {held} dimensions and of {numbers}; call reembed()"
        ))),
        _ => Ok(packed),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
mod tests {
    use super::{Content, Item, Loaded, Mirror, Question};

    fn row(key: &str, text: Option<&str>, vector: Option<&[f32]>) -> Loaded {
        Loaded {
            place: b"a\0".to_vec(),
            key: key.to_owned(),
            content: text.map(|text| Content {
                item: Item {
                    namespace: (*b"a").into(),
                    key: key.to_owned(),
                    value: format!("{{\"t\":\"{text}\"}}"),
                    created_at: 1,
                    updated_at: 2,
                    expires_at: None,
                    version: 3,
                },
                vector: vector.map(|v| v.iter().flat_map(|x| x.to_le_bytes()).collect()),
            }),
        }
    }

    #[test]
    fn rows_come_change_and_go() {
        let mirror = Mirror::new(false);
        let one = [1.0, 0.0];
        let rows = [row("x", Some("one"), Some(&one)), row("y", Some("two"), None), row("z", None, None)];
        assert_eq!(mirror.load(rows.to_vec()).unwrap(), 2);
        let rows = [row("x", Some("three"), None), row("y", None, None), row("y", Some("four"), None)];
        assert_eq!(mirror.load(rows.to_vec()).unwrap(), 0);
        assert_eq!(mirror.load(vec![row("x", None, None), row("q", None, None)]).unwrap(), -1);
        let ask = Question { text: "four", vector: Some(&one), filter: None, limit: 9, min_score: 0.0 };
        let found = mirror.search(&ask, 0).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].0.value.as_str(), found[0].0.version), ("{\"t\":\"four\"}", 3));
        assert!(mirror.search(&Question { vector: Some(&[1.0]), ..ask }, 0).is_err());
        assert!(mirror.load(vec![row("x", Some("one"), Some(&[1.0]))]).is_err());
        assert_eq!(mirror.load(vec![row("y", None, None)]).unwrap(), -1);
    }
}
