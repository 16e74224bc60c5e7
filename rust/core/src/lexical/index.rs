//! Word search over many small texts: the text half of a key-value store's hybrid search.
//!
//! BM25 (Robertson and Zaragoza 2009; k1 1.2, b 0.75) with each question word widened to related terms. Adding and
//! removing costs the length of the text; a search costs the postings of the question's terms. The order of results
//! depends only on what the index holds, never on the order in which it came in.

use std::collections::{BTreeMap, HashMap};

use super::query::Query;
use super::token::{term, words};
use super::vocab::Vocab;
use crate::rank::{idf, saturate};

#[derive(Debug)]
struct Document {
    length: u32,
    terms: Vec<u32>,
}

/// A result of [`TextIndex::search`].
#[derive(Debug, Clone, PartialEq)]
pub struct TextHit {
    /// The key given to [`TextIndex::add`].
    pub key: u64,
    /// The sum over the question's words; larger is better, 0 never occurs.
    pub score: f32,
    /// The share of the question's words, by weight, that the text answers: 0 to 1.
    pub coverage: f32,
}

/// Texts by number, searchable by words.
#[derive(Debug, Default)]
pub struct TextIndex {
    vocab: Vocab,
    postings: Vec<BTreeMap<u64, u32>>,
    documents: HashMap<u64, Document>,
    total: u64,
}

impl TextIndex {
    /// An empty index.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The number of texts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.documents.len()
    }

    /// True when it holds no text.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.documents.is_empty()
    }

    /// Adds a text under `key`, in place of the one that was there.
    pub fn add(&mut self, key: u64, text: &str) {
        self.remove(key);
        let mut counts: HashMap<String, u32> = HashMap::new();
        let mut length = 0_u32;
        words(text, |w| {
            *counts.entry(term(w)).or_default() += 1;
            length = length.saturating_add(1);
        });
        let mut terms = Vec::with_capacity(counts.len());
        for (text, count) in counts {
            let id = self.vocab.acquire(&text);
            if self.postings.len() < self.vocab.bound() {
                self.postings.resize_with(self.vocab.bound(), BTreeMap::new);
            }
            if let Some(list) = self.postings.get_mut(id as usize) {
                list.insert(key, count);
            }
            terms.push(id);
        }
        self.total += u64::from(length);
        self.documents.insert(key, Document { length, terms });
    }

    /// Removes the text under `key`; true if there was one.
    pub fn remove(&mut self, key: u64) -> bool {
        let Some(old) = self.documents.remove(&key) else { return false };
        self.total -= u64::from(old.length);
        for id in old.terms {
            if let Some(list) = self.postings.get_mut(id as usize) {
                list.remove(&key);
            }
            self.vocab.release(id);
        }
        true
    }

    /// The texts that answer `question`, best first; equal scores by key. With `allowed` (sorted), only those keys.
    #[must_use]
    pub fn search(&self, question: &str, limit: usize, allowed: Option<&[u64]>) -> Vec<TextHit> {
        let query = Query::new(question, &self.vocab, true);
        let held = self.documents.len() as f32;
        let mean = (self.total as f32 / held.max(1.0)).max(1.0);
        let mut found: HashMap<u64, (f32, f32)> = HashMap::new();
        let mut whole = 0.0;
        for t in &query.terms {
            let weights = self.weights(&t.matches, held);
            let Some(worth) = weights.first().map(|(_, _, worth)| *worth) else {
                // A word nobody used: it still counts against coverage.
                whole += idf(held, 0.0);
                continue;
            };
            whole += worth;
            let mut best: HashMap<u64, f32> = HashMap::new();
            for (list, weight, _) in weights {
                for (&key, &count) in list {
                    if allowed.is_none_or(|a| a.binary_search(&key).is_ok()) {
                        let tf = best.entry(key).or_default();
                        *tf = tf.max(count as f32 * weight);
                    }
                }
            }
            for (key, tf) in best {
                let length = self.documents.get(&key).map_or(1, |d| d.length) as f32;
                let sums = found.entry(key).or_default();
                sums.0 += worth * saturate(tf, length.max(1.0) / mean);
                sums.1 += worth * tf.min(1.0);
            }
        }
        let mut hits: Vec<TextHit> = found
            .into_iter()
            .map(|(key, (score, covered))| TextHit {
                key,
                score,
                coverage: (covered / whole.max(f32::MIN_POSITIVE)).min(1.0),
            })
            .collect();
        hits.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.key.cmp(&b.key)));
        hits.truncate(limit);
        hits
    }

    /// Postings of a word's matches, what each counts, and the inverse document frequency of the word.
    fn weights(&self, matches: &[(u32, f32)], held: f32) -> Vec<(&BTreeMap<u64, u32>, f32, f32)> {
        let lists: Vec<_> = matches
            .iter()
            .filter_map(|(id, w)| self.postings.get(*id as usize).map(|l| (l, *w, idf(held, l.len() as f32))))
            .collect();
        let exact = lists.iter().find(|(_, w, _)| *w >= 1.0).map(|x| x.2);
        let worth = exact.unwrap_or_else(|| lists.iter().map(|x| x.2).fold(0.0, f32::max));
        lists
            .into_iter()
            .map(|(l, w, i)| (l, w * (i / worth.max(f32::MIN_POSITIVE)).min(1.0), worth))
            .collect()
    }
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "a test fails by panicking")]
mod tests {
    use super::TextIndex;

    fn index(texts: &[&str]) -> TextIndex {
        let mut ix = TextIndex::new();
        for (i, t) in texts.iter().enumerate() {
            ix.add(i as u64, t);
        }
        ix
    }

    #[test]
    fn related_words_are_found() {
        let ix = index(&[
            "User prefers Python for data science",
            "User uses VS Code with Vim keybindings",
            "User runs macOS on M2 MacBook Pro",
        ]);
        assert_eq!(ix.search("What about the keyboard?", 3, None)[0].key, 1);
        assert_eq!(ix.search("What does she do with statistics?", 3, None)[0].key, 0);
    }

    #[test]
    fn removal_leaves_nothing() {
        let mut ix = index(&["red apple", "green pear"]);
        assert!(ix.remove(0) && !ix.remove(0));
        assert!(ix.search("apple", 5, None).iter().all(|h| h.key != 0));
        ix.add(1, "blue plum");
        assert!(ix.search("green", 5, None).iter().all(|h| h.key != 1) || ix.len() == 1);
        assert_eq!(ix.search("plum", 5, None)[0].key, 1);
        assert!(ix.search("plum", 5, Some(&[7])).is_empty());
    }
}
