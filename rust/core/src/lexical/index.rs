//! Word search over many small texts under keys of the caller's.
//!
//! The order of results depends only on what the index holds, never on the order in which it came in.

use std::collections::HashMap;

use super::documents::Documents;

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
    documents: Documents,
    keys: Vec<u64>,
    by_key: HashMap<u64, u32>,
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
        self.documents.len() == 0
    }

    /// Adds a text under `key`, in place of the one that was there.
    pub fn add(&mut self, key: u64, text: &str) {
        self.remove(key);
        let document = self.documents.add(text, |_, _, _| {});
        self.keys.resize(self.documents.bound(), 0);
        if let Some(place) = self.keys.get_mut(document as usize) {
            *place = key;
        }
        self.by_key.insert(key, document);
    }

    /// Removes the text under `key`; true if there was one.
    pub fn remove(&mut self, key: u64) -> bool {
        self.by_key.remove(&key).is_some_and(|document| self.documents.remove(document))
    }

    /// The texts that answer `question`, best first; equal scores by key. With `allowed` (sorted), only those keys.
    #[must_use]
    pub fn search(&self, question: &str, limit: usize, allowed: Option<&[u64]>) -> Vec<TextHit> {
        let mut hits: Vec<TextHit> = self.documents.gains(question, |gains, touched| {
            let hit = |document: &u32| {
                let key = self.keys.get(*document as usize).copied()?;
                let gain = gains.get(*document as usize)?;
                allowed.is_none_or(|allowed| allowed.binary_search(&key).is_ok()).then_some(TextHit {
                    key,
                    score: gain.score,
                    coverage: gain.coverage,
                })
            };
            touched.iter().filter_map(hit).collect()
        });
        hits.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then(a.key.cmp(&b.key)));
        hits.truncate(limit);
        hits
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
