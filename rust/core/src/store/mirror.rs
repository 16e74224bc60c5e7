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
use crate::vectors::{Desk, IdHash};

/// What the other database says of a place, where there may be an item.
#[derive(Debug, Clone)]
pub struct Loaded<'a> {
    /// Where: what is the same for the items of one namespace, in the order of namespaces.
    pub place: &'a [u8],
    /// Under which key.
    pub key: &'a str,
    /// What it says.
    pub content: Content<'a>,
}

/// What there is.
#[derive(Debug, Clone)]
pub enum Content<'a> {
    /// An item, with the vector of its text where an embedder was asked, unless that comes by itself.
    Item(Entry<'a>, Option<&'a [u8]>),
    /// The vector of an item that comes as well.
    Vector(&'a [u8]),
    /// Nothing any more.
    Nothing,
}

/// An item as it lies in the other database.
#[derive(Debug, Clone)]
pub struct Entry<'a> {
    /// The namespace.
    pub namespace: Arc<[u8]>,
    /// The value as canonical JSON.
    pub value: &'a str,
    /// See [`Item::created_at`].
    pub created_at: i64,
    /// See [`Item::updated_at`].
    pub updated_at: i64,
    /// See [`Item::expires_at`].
    pub expires_at: Option<i64>,
    /// See [`Item::version`].
    pub version: i64,
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
    /// How many numbers vectors have.
    size: Option<usize>,
    newest: u64,
    /// What all places take.
    bytes: usize,
}

/// One namespace.
#[derive(Debug, Default)]
struct Place {
    index: NamespaceIndex,
    ids: HashMap<String, u64>,
    items: HashMap<u64, Arc<Item>, IdHash>,
    /// What the items take, and what everything took when it was last looked at.
    own: usize,
    bytes: usize,
}

impl Place {
    /// About how many bytes of memory it takes.
    fn bytes(&self) -> usize {
        // A table has one control byte beside each entry, and fills to 7/8.
        let tables = self.ids.capacity() * 8 / 7 * (size_of::<(String, u64)>() + 1)
            + self.items.capacity() * 8 / 7 * 17;
        size_of::<Self>() + tables + self.own + self.index.bytes()
    }
}

/// What an item takes, with its key once more.
fn taken(item: &Item) -> usize {
    size_of::<Item>() + 16 + 2 * item.key.len() + item.value.len()
}

impl Entry<'_> {
    fn item(&self, key: &str) -> Item {
        Item {
            namespace: Arc::clone(&self.namespace),
            key: key.to_owned(),
            value: self.value.to_owned(),
            created_at: self.created_at,
            updated_at: self.updated_at,
            expires_at: self.expires_at,
            version: self.version,
        }
    }
}

impl Mirror {
    /// An empty mirror. `local`: vectors are those of the built-in embedder, and computed here.
    #[must_use]
    pub fn new(local: bool) -> Self {
        Self { local, held: RwLock::default() }
    }

    /// Takes rows as they are, without checking what the other database has checked: first those that are gone,
    /// then the others, in the order in which they were made. Vectors are as [`crate::vectors::numbers`] reads them, and
    /// have `dimensions` numbers; `None`: as before. Returns by how many items the mirror has grown. After an error it is
    /// to be thrown away.
    ///
    /// # Errors
    /// [`Error::StorageCorrupt`] when a value is no JSON or a vector has another size.
    pub fn load(&self, rows: &[Loaded<'_>], dimensions: Option<usize>) -> Result<i64> {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        let Held { places, size, newest, bytes } = &mut *held;
        *size = dimensions.or(*size);
        let mut grown = 0;
        let mut vectors = HashMap::new();
        let mut items = Vec::with_capacity(rows.len());
        for row in rows {
            match &row.content {
                Content::Item(entry, vector) => items.push((row, entry, *vector)),
                Content::Vector(vector) => _ = vectors.insert((row.place, row.key), *vector),
                Content::Nothing => {
                    let Some(place) = places.get_mut(row.place) else { continue };
                    if let Some(id) = place.ids.remove(row.key) {
                        place.index.drop_item(id);
                        place.own -= place.items.remove(&id).as_deref().map_or(0, taken);
                        grown -= 1;
                        if place.ids.is_empty() {
                            *bytes -= places.remove(row.place).map_or(0, |place| place.bytes);
                        }
                    }
                }
            }
        }
        let mut desk = Desk::default();
        items.sort_unstable_by_key(|(row, entry, _)| (row.place, entry.created_at, row.key));
        for same in items.chunk_by(|a, b| a.0.place == b.0.place) {
            let Some((first, ..)) = same.first() else { continue };
            let place = places.entry(first.place.to_vec()).or_default();
            place.ids.reserve(same.len());
            place.items.reserve(same.len());
            let mut taking = Taking::new(self.local, same.len());
            for (row, entry, vector) in same {
                let vector = vector.or_else(|| vectors.get(&(row.place, row.key)).copied());
                let vector = vector.map(|stored| desk.read(stored, size.unwrap_or(0))).transpose()?;
                let id = if let Some(id) = place.ids.get(row.key) {
                    *id
                } else {
                    *newest += 1;
                    grown += 1;
                    place.ids.insert(row.key.to_owned(), *newest);
                    *newest
                };
                place.index.take(&mut taking, id, entry.value, vector)?;
                let item = entry.item(row.key);
                place.own += taken(&item);
                place.own -= place.items.insert(id, Arc::new(item)).as_deref().map_or(0, taken);
            }
            place.index.taken(&mut taking)?;
            *bytes -= place.bytes;
            place.bytes = place.bytes();
            *bytes += place.bytes;
        }
        Ok(grown)
    }

    /// About how many bytes of memory it takes.
    pub fn bytes(&self) -> usize {
        self.held.read().unwrap_or_else(PoisonError::into_inner).bytes
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

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
mod tests {
    use super::{Content, Entry, Loaded, Mirror, Question};

    fn row<'a>(key: &'a str, value: Option<&'a str>, vector: Option<&'a [u8]>) -> Loaded<'a> {
        let content = match (value, vector) {
            (Some(value), vector) => {
                let (created_at, updated_at, expires_at, version) = (1, 2, None, 3);
                let namespace = (*b"a").into();
                Content::Item(Entry { namespace, value, created_at, updated_at, expires_at, version }, vector)
            }
            (None, Some(vector)) => Content::Vector(vector),
            (None, None) => Content::Nothing,
        };
        Loaded { place: b"a\0", key, content }
    }

    fn bytes(vector: &[f32]) -> Vec<u8> {
        vector.iter().flat_map(|x| x.to_le_bytes()).collect()
    }

    fn packed(vector: &[f32]) -> Vec<u8> {
        crate::vectors::halves(&bytes(vector)).unwrap()
    }

    const ONE: &str = r#"{"t":"one"}"#;
    const TWO: &str = r#"{"t":"two"}"#;
    const FOUR: &str = r#"{"t":"four"}"#;

    #[test]
    fn rows_come_change_and_go() {
        let mirror = Mirror::new(false);
        let one = [1.0, 0.0];
        let vector = packed(&one);
        let rows = [row("x", Some(ONE), Some(&vector)), row("y", Some(TWO), None), row("z", None, None)];
        assert_eq!(mirror.load(&rows, Some(2)).unwrap(), 2);
        let rows = [row("x", Some(TWO), None), row("y", None, None), row("y", Some(FOUR), None)];
        assert_eq!(mirror.load(&rows, Some(2)).unwrap(), 0);
        assert_eq!(mirror.load(&[row("x", None, None), row("q", None, None)], None).unwrap(), -1);
        let ask = Question { text: "four", vector: Some(&one), filter: None, limit: 9, min_score: 0.0 };
        let found = mirror.search(&ask, 0).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].0.value.as_str(), found[0].0.version), (FOUR, 3));
        assert!(mirror.search(&Question { vector: Some(&[1.0]), ..ask }, 0).is_err());
        for damaged in [&[][..], &[0; 3], &[0; 6], &[0, 0x7c, 0, 0], &bytes(&[f32::NAN, 0.0])] {
            assert!(mirror.load(&[row("x", Some(ONE), Some(damaged))], None).is_err(), "{damaged:?}");
        }
        assert_eq!(mirror.load(&[row("y", None, None)], None).unwrap(), -1);
    }

    #[test]
    fn vectors_that_come_by_themselves_are_those_that_come_with_the_items() {
        let (one, two) = (packed(&[1.0, 0.0]), packed(&[0.6, 0.8]));
        let together = [row("x", Some(ONE), Some(&one)), row("y", Some(TWO), Some(&two))];
        let apart = [
            row("y", None, Some(&two)),
            row("y", Some(TWO), None),
            row("x", Some(ONE), None),
            row("x", None, Some(&one)),
            row("nobody's", None, Some(&one)),
        ];
        // As versions before this one have stored them.
        let (first, second) = (bytes(&[4.0, 0.0]), bytes(&[3.0, 4.0]));
        let before = [row("x", Some(ONE), Some(&first)), row("y", Some(TWO), Some(&second))];
        let ask = |rows: &[Loaded<'_>]| {
            let mirror = Mirror::new(false);
            assert_eq!(mirror.load(rows, Some(2)).unwrap(), 2);
            let ask =
                Question { text: "two", vector: Some(&[0.0, 1.0]), filter: None, limit: 9, min_score: 0.0 };
            mirror.search(&ask, 0).unwrap()
        };
        assert_eq!(ask(&apart), ask(&together));
        assert_eq!(ask(&before), ask(&together));
        assert_eq!(ask(&apart)[0].0.key, "y");
    }
}
