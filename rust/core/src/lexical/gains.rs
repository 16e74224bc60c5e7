//! What the words of a question give to each document.

use std::cell::RefCell;

use super::dense::{self, Worth};
use super::documents::Documents;
use super::query::{Query, QueryTerm};
use crate::rank::{B, K1, idf};

/// What the words of a question give to each document, by number.
#[derive(Debug)]
pub(crate) struct Gains<'a> {
    /// The BM25 sum over the question's words; above 0 wherever one of them matches.
    pub(crate) scores: &'a mut [f32],
    /// The share of the question's words, by weight, that the document answers: 0 to 1.
    pub(crate) coverage: &'a mut [f32],
    /// The live documents with a gain, each once. Without, any may have one: a word that many have was asked for.
    pub(crate) touched: Option<&'a [u32]>,
}

impl Gains<'_> {
    /// The documents that may have a gain.
    fn documents(&self) -> impl Iterator<Item = u32> {
        let every = if self.touched.is_none() { self.scores.len() as u32 } else { 0 };
        self.touched.unwrap_or_default().iter().copied().chain(0..every)
    }

    /// The documents with a gain, each once: its number, score and coverage.
    pub(crate) fn found(&self) -> impl Iterator<Item = (u32, f32, f32)> {
        self.documents().filter_map(|document| {
            let score = self.scores.get(document as usize).copied().filter(|score| *score > 0.0)?;
            Some((document, score, self.coverage.get(document as usize).copied()?))
        })
    }

    /// Makes of each coverage what the words are worth: up to `most`, and lowered by up to a half where the BM25 sum is
    /// below the best one.
    pub(crate) fn weigh(&mut self, most: f32) {
        let Self { scores, coverage, touched } = self;
        let Some(touched) = touched else {
            let best = dense::largest(scores).max(f32::MIN_POSITIVE);
            return dense::weigh(coverage, scores, best, most);
        };
        let score = |document: &u32| scores.get(*document as usize).copied().unwrap_or(0.0);
        let best = touched.iter().map(score).fold(f32::MIN_POSITIVE, f32::max);
        for document in *touched {
            if let Some(covered) = coverage.get_mut(*document as usize) {
                *covered *= most * (0.5 + 0.5 * score(document) / best);
            }
        }
    }
}

/// Arrays by document, all zero between two searches.
#[derive(Debug, Default)]
struct Scratch {
    scores: Vec<f32>,
    coverage: Vec<f32>,
    counts: Vec<f32>,
    touched: Numbers,
    counted: Numbers,
}

/// Documents, noted one by one.
#[derive(Debug, Default)]
struct Numbers {
    room: Vec<u32>,
    len: usize,
}

impl Numbers {
    /// Makes room for so many more.
    fn reserve(&mut self, more: usize) {
        let wanted = self.len + more + 1;
        if self.room.len() < wanted {
            self.room.resize(wanted, 0);
        }
    }

    /// Hands each of `documents` to `is_new` and notes those that are; there is room for them and one more. Which are
    /// cannot be guessed, so this never jumps.
    #[inline(always)]
    fn note<T>(&mut self, documents: impl Iterator<Item = (u32, T)>, mut is_new: impl FnMut(u32, T) -> bool) {
        let mut len = self.len;
        for (document, with) in documents {
            if let Some(place) = self.room.get_mut(len) {
                *place = document;
            }
            len += usize::from(is_new(document, with));
        }
        self.len = len;
    }

    fn held(&self) -> &[u32] {
        self.room.get(..self.len).unwrap_or_default()
    }
}

/// The arrays while a question's words are added up.
struct Sums<'a> {
    scores: &'a mut [f32],
    coverage: &'a mut [f32],
    /// For a word with related ones: the most that one of them counts. All zero between two words.
    counts: &'a mut [f32],
    touched: &'a mut Numbers,
    /// Where counts are not zero.
    counted: &'a mut Numbers,
    /// Any document may have a gain; `touched` says no more.
    all: bool,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Sets the sums of some documents back to 0.
fn clear(documents: &[u32], scores: &mut [f32], coverage: &mut [f32]) {
    for document in documents {
        for array in [&mut *scores, &mut *coverage] {
            if let Some(place) = array.get_mut(*document as usize) {
                *place = 0.0;
            }
        }
    }
}

impl Documents {
    /// Gives `body` what the words of `question` give to each document.
    pub(crate) fn gains<T>(&self, question: &str, body: impl FnOnce(Gains<'_>) -> T) -> T {
        self.gains_beside(question, |count| count(), body)
    }

    /// [`Self::gains`], where `around` calls what it is given: the longer part of the work.
    pub(crate) fn gains_beside<T>(
        &self,
        question: &str,
        around: impl FnOnce(&mut dyn FnMut()),
        body: impl FnOnce(Gains<'_>) -> T,
    ) -> T {
        let bound = self.documents.len();
        SCRATCH.with_borrow_mut(|scratch| {
            let Scratch { scores, coverage, counts, touched, counted } = scratch;
            for array in [&mut *scores, &mut *coverage, &mut *counts] {
                if array.len() < bound {
                    array.resize(bound, 0.0);
                }
            }
            let [scores, coverage, counts] =
                [scores, coverage, counts].map(|array| array.get_mut(..bound).unwrap_or_default());
            let mut sums = Sums { scores, coverage, counts, touched, counted, all: false };
            let mut whole = 0.0;
            around(&mut || whole = self.add_up(&Query::new(question, &self.vocab, true), &mut sums));
            let Sums { scores, coverage, touched, all, .. } = sums;
            clear(&self.marked, scores, coverage);
            if all {
                dense::share(coverage, whole);
                let answer = body(Gains { scores, coverage, touched: None });
                scores.fill(0.0);
                coverage.fill(0.0);
                touched.len = 0;
                return answer;
            }
            for document in touched.held() {
                if let Some(covered) = coverage.get_mut(*document as usize) {
                    *covered = (*covered / whole).min(1.0);
                }
            }
            let answer = if self.marked.is_empty() {
                body(Gains { scores, coverage, touched: Some(touched.held()) })
            } else {
                let live =
                    |document: &u32| self.documents.get(*document as usize).is_some_and(|held| held.live);
                let live: Vec<u32> = touched.held().iter().copied().filter(live).collect();
                body(Gains { scores, coverage, touched: Some(&live) })
            };
            clear(touched.held(), scores, coverage);
            touched.len = 0;
            answer
        })
    }

    /// Adds the gains up; returns what a full answer is worth.
    fn add_up(&self, query: &Query, sums: &mut Sums<'_>) -> f32 {
        let held = self.live as f32;
        let mean = (self.total as f32 / held.max(1.0)).max(1.0);
        let per_word = K1 * B / mean;
        let mut whole = 0.0_f32;
        let is_common = |asked: &QueryTerm| {
            let postings = asked.matches.iter().map(|(term, _)| self.postings.get(*term).len());
            dense::is_common(postings.sum(), self.documents.len())
        };
        sums.all = query.terms.iter().any(is_common);
        for asked in &query.terms {
            let (lists, rarity) = self.weights(&asked.matches, held);
            whole += rarity;
            let worth = Worth { rarity, per_word };
            if is_common(asked) {
                self.add_common(worth, &lists, sums);
            } else {
                self.add_rare(worth, &lists, sums);
            }
        }
        // Many documents are gone through faster in order.
        sums.all |= dense::is_common(sums.touched.len, self.documents.len());
        whole.max(f32::MIN_POSITIVE)
    }

    /// Adds a word that many documents have, for all of them in order.
    fn add_common(&self, worth: Worth, lists: &[(u32, f32)], sums: &mut Sums<'_>) {
        let Sums { scores, coverage, counts, .. } = sums;
        if let [(term, weight)] = lists
            && let Some(dense) = self.dense.get(*term)
        {
            return dense::add(worth, *weight, dense, &self.lengths, scores, coverage);
        }
        for (term, weight) in lists {
            if let Some(dense) = self.dense.get(*term) {
                dense::raise(counts, dense, *weight);
                continue;
            }
            for (document, count) in self.postings.get(*term) {
                if let Some(most) = counts.get_mut(*document as usize) {
                    *most = most.max(*count as f32 * weight);
                }
            }
        }
        dense::add_counts(worth, counts, &self.lengths, scores, coverage);
    }

    /// Adds a word that few documents have, by its postings.
    fn add_rare(&self, worth: Worth, lists: &[(u32, f32)], sums: &mut Sums<'_>) {
        if let [(term, weight)] = lists {
            let postings = self.postings.get(*term);
            let found = postings.iter().map(|(document, count)| (*document, *count as f32 * weight));
            return self.add_found(worth, found, postings.len(), sums);
        }
        let Sums { counts, counted, .. } = sums;
        for (term, weight) in lists {
            let postings = self.postings.get(*term);
            counted.reserve(postings.len());
            counted.note(postings.iter().copied(), |document, count| {
                let Some(most) = counts.get_mut(document as usize) else { return false };
                let (before, count) = (*most, count as f32 * weight);
                *most = if count > before { count } else { before };
                before == 0.0
            });
        }
        let (counts, mut counted) = (std::mem::take(counts), std::mem::take(*counted));
        let mut take = |document: &u32| counts.get_mut(*document as usize).map_or(0.0, std::mem::take);
        let found = counted.held().iter().map(|document| (*document, take(document)));
        self.add_found(worth, found, counted.len, sums);
        counted.len = 0;
        (sums.counts, *sums.counted) = (counts, counted);
    }

    /// Adds what a word gives to `count` documents with the counts it has in them.
    #[inline(always)]
    fn add_found(
        &self,
        worth: Worth,
        found: impl Iterator<Item = (u32, f32)>,
        count: usize,
        Sums { scores, coverage, touched, all, .. }: &mut Sums<'_>,
    ) {
        // All have the same length: asked once.
        let lengths = self.lengths.get(..scores.len()).unwrap_or_default();
        let (scores, coverage) = (scores.get_mut(..lengths.len()), coverage.get_mut(..lengths.len()));
        let (Some(scores), Some(coverage)) = (scores, coverage) else { return };
        let mut gain = |document: u32, count: f32| {
            let at = document as usize;
            let (Some(length), Some(score), Some(covered)) =
                (lengths.get(at), scores.get_mut(at), coverage.get_mut(at))
            else {
                return false;
            };
            let before = *score;
            let (share, cover) = worth.of(count, *length);
            *score = before + share;
            *covered += cover;
            before == 0.0
        };
        if *all {
            found.for_each(|(document, count)| _ = gain(document, count));
        } else {
            touched.reserve(count);
            touched.note(found, gain);
        }
    }

    /// The terms that a word matches with what each counts, and the inverse document frequency of the word.
    fn weights(&self, matches: &[(u32, f32)], held: f32) -> (Vec<(u32, f32)>, f32) {
        let rarity = |id: u32| idf(held, self.vocab.uses(id) as f32);
        let exact = matches.iter().find(|(_, weight)| *weight >= 1.0).map(|(id, _)| rarity(*id));
        // A word that nobody used still counts against coverage.
        let most = || matches.iter().map(|(id, _)| rarity(*id)).reduce(f32::max);
        let worth = exact.or_else(most).unwrap_or_else(|| idf(held, 0.0));
        let weigh =
            |(id, weight): &(u32, f32)| (*id, weight * (rarity(*id) / worth.max(f32::MIN_POSITIVE)).min(1.0));
        (matches.iter().map(weigh).collect(), worth)
    }
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    /// The sums of a word, by one way of adding it up.
    fn sums(documents: &Documents, asked: &[(u32, f32)], common: bool) -> Vec<[u32; 2]> {
        let mut arrays = [0; 3].map(|_| vec![0.0; documents.bound()]);
        let [scores, coverage, counts] = &mut arrays;
        let (touched, counted) = (&mut Numbers::default(), &mut Numbers::default());
        let mut sums = Sums { scores, coverage, counts, touched, counted, all: false };
        let worth = Worth { rarity: 1.7, per_word: 0.11 };
        for lists in [&asked[..1], asked] {
            if common {
                documents.add_common(worth, lists, &mut sums);
            } else {
                documents.add_rare(worth, lists, &mut sums);
            }
        }
        assert!(counts.iter().all(|count| *count == 0.0));
        scores.iter().zip(coverage).map(|(score, covered)| [score.to_bits(), covered.to_bits()]).collect()
    }

    #[test]
    fn both_ways_of_adding_up_give_the_same_bits() {
        let words = ["violin", "guitar", "music", "lesson", "jam", "fig"];
        let mut documents = Documents::default();
        let mut state = 7_u64;
        let mut random = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        for step in 0..3_000 {
            if step % 5 == 4 {
                documents.remove(random(documents.bound()) as u32);
            }
            let text: Vec<&str> = (0..random(12)).map(|_| words[random(words.len() - step % 2)]).collect();
            documents.add(&text.join(" "), |_, _, _| {});
            if step % 100 == 99 {
                let id = |word: &str| documents.vocab.id(&crate::lexical::term(word));
                let terms: Vec<u32> = words.iter().filter_map(|word| id(word)).collect();
                let kept = terms.iter().filter(|term| documents.dense.get(**term).is_some()).count();
                assert!(kept > 4 || step < 300, "{step} {kept}");
                let asked: Vec<(u32, f32)> =
                    terms.into_iter().zip([1.0, 0.61, 0.3, 0.17, 0.9, 0.4]).collect();
                for first in 0..asked.len() {
                    let asked = &asked[first..];
                    assert_eq!(sums(&documents, asked, true), sums(&documents, asked, false));
                }
            }
        }
    }
}
