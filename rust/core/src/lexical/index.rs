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
        let mut hits: Vec<TextHit> = self.documents.gains(question, |gains| {
            let hit = |(document, score, coverage): (u32, f32, f32)| {
                let key = self.keys.get(document as usize).copied()?;
                let wanted = allowed.is_none_or(|allowed| allowed.binary_search(&key).is_ok());
                wanted.then_some(TextHit { key, score, coverage })
            };
            gains.found().filter_map(hit).collect()
        });
        hits.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then(a.key.cmp(&b.key)));
        hits.truncate(limit);
        hits
    }
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::collections::HashMap;

    use super::TextIndex;
    use crate::lexical::{Query, Vocab, terms};
    use crate::rank::{idf, saturate};

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

    /// What the module promises, written down plainly: BM25 over the words as they are now.
    fn plainly(texts: &HashMap<u64, String>, question: &str) -> Vec<(u64, f32, f32)> {
        let held: Vec<(u64, Vec<String>)> = texts.iter().map(|(key, text)| (*key, terms(text))).collect();
        let mut vocab = Vocab::default();
        held.iter().flat_map(|(_, terms)| terms).for_each(|term| {
            vocab.acquire(term);
        });
        let n = held.len() as f32;
        let mean = held.iter().map(|(_, terms)| terms.len()).sum::<usize>() as f32 / n.max(1.0);
        let count = |terms: &[String], id: u32| terms.iter().filter(|t| *t == vocab.text(id)).count() as f32;
        let rarity = |id: u32| idf(n, held.iter().filter(|(_, t)| count(t, id) > 0.0).count() as f32);
        let query = Query::new(question, &vocab, true);
        let worths = query.terms.iter().map(|asked| match asked.matches.first() {
            Some((own, weight)) if *weight >= 1.0 => rarity(*own),
            Some(_) => asked.matches.iter().map(|(id, _)| rarity(*id)).fold(0.0, f32::max),
            None => idf(n, 0.0),
        });
        let worths: Vec<f32> = worths.collect();
        let whole: f32 = worths.iter().sum();
        let mut hits = Vec::new();
        for (key, terms) in &held {
            let (mut score, mut covered) = (0.0, 0.0);
            for (asked, worth) in query.terms.iter().zip(&worths) {
                let each = asked.matches.iter();
                let each =
                    each.map(|(id, weight)| count(terms, *id) * weight * (rarity(*id) / worth).min(1.0));
                let most = each.fold(0.0, f32::max);
                score += worth * saturate(most, terms.len() as f32 / mean.max(1.0));
                covered += worth * most.min(1.0);
            }
            if score > 0.0 {
                hits.push((*key, score, (covered / whole).min(1.0)));
            }
        }
        hits.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        hits
    }

    #[test]
    fn any_history_gives_what_the_texts_give_plainly() {
        let words =
            "guitar violin music lesson deadline config configuration auth zug bahn 猫 黒猫 May 2024 the is";
        let words: Vec<&str> = words.split(' ').collect();
        let mut state = 5_u64;
        let mut random = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        let mut ix = TextIndex::new();
        let mut texts = HashMap::new();
        for step in 0..5_000 {
            let key = random(400) as u64;
            if random(3) == 0 {
                assert_eq!(ix.remove(key), texts.remove(&key).is_some());
            } else {
                let mut text: Vec<String> =
                    (0..random(9)).map(|_| words[random(words.len())].to_owned()).collect();
                text.push(format!("x{}", random(500)));
                if random(200) == 0 {
                    text.resize(300, "music".to_owned()); // more than a byte counts
                }
                ix.add(key, &text.join(" "));
                texts.insert(key, text.join(" "));
            }
            if step % 100 == 0 {
                let question =
                    [words[random(words.len())], words[random(words.len())], "instrument x7"].join(" ");
                let (found, plain) = (ix.search(&question, usize::MAX, None), plainly(&texts, &question));
                assert_eq!(found.len(), plain.len(), "{question}");
                for hit in &found {
                    let (_, score, coverage) = plain.iter().find(|(key, ..)| *key == hit.key).unwrap();
                    assert!((hit.score - score).abs() < 1e-4 && (hit.coverage - coverage).abs() < 1e-5);
                }
                assert!(found.is_sorted_by(|a, b| (b.score, a.key) <= (a.score, b.key)));
            }
        }
        assert_eq!(ix.len(), texts.len());
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
