//! Documents numbered densely, their words, and what the words of a question give to each of them.
//!
//! BM25 (Robertson and Zaragoza 2009; k1 1.2, b 0.75) with each question word widened to related terms. Adding costs
//! the length of the text. Removing marks the document; once a quarter are marked, one pass over everything forgets
//! them, and their numbers are given out again. A search adds up the postings of the question's terms in arrays by
//! document that are kept from one search to the next: no hashing, nothing allocated.

use std::cell::RefCell;

use super::postings::Postings;
use super::query::Query;
use super::stem::stem_into;
use super::token::words;
use super::vocab::Vocab;
use crate::rank::{B, K1, idf};

/// Removed documents that are carried along at least.
const MARKED: usize = 64;

/// One document. `first` and `last` bound its distinct terms in [`Documents::terms`].
#[derive(Debug, Clone, Copy, Default)]
struct Document {
    /// In words.
    length: u32,
    count: u32,
    first: usize,
    live: bool,
}

/// Documents by number, searchable by words.
#[derive(Debug, Default)]
pub(crate) struct Documents {
    vocab: Vocab,
    postings: Postings,
    documents: Vec<Document>,
    /// The distinct terms of every document.
    terms: Vec<u32>,
    /// Words in all live documents.
    total: u64,
    live: usize,
    /// Removed, but still in the postings.
    marked: Vec<u32>,
    /// Numbers that nothing refers to.
    free: Vec<u32>,
    /// The words of the text being added, as terms.
    sequence: Vec<u32>,
    stem: String,
}

/// What the words of a question give to a document.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Gain {
    /// The BM25 sum over the question's words; above 0 wherever one of them matches.
    pub(crate) score: f32,
    /// The share of the question's words, by weight, that the document answers: 0 to 1.
    pub(crate) coverage: f32,
}

/// Arrays by document, all zero between two searches.
#[derive(Debug, Default)]
struct Scratch {
    gains: Vec<Gain>,
    counts: Vec<f32>,
    touched: Vec<u32>,
    counted: Vec<u32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Documents {
    /// Documents of which only some terms are known, to be [appended](Self::append): how many there are, and how many
    /// words they have together. Nothing can be removed from it.
    pub(super) fn partly(live: usize, total: u64) -> Self {
        Self { live, total, ..Self::default() }
    }

    /// Appends documents that have a term: the number of each, how often it has it, and how long it is.
    pub(super) fn append(&mut self, term: &str, list: impl Iterator<Item = (u32, u32, u32)>) {
        let mut id = None;
        for (document, count, length) in list {
            let id = *id.get_or_insert_with(|| self.vocab.intern(term));
            self.vocab.hold(id);
            self.postings.push(id, (document, count));
            if self.documents.len() <= document as usize {
                self.documents.resize(document as usize + 1, Document::default());
            }
            if let Some(place) = self.documents.get_mut(document as usize) {
                *place = Document { length, live: true, ..Document::default() };
            }
        }
    }

    /// The number of live documents.
    pub(crate) fn len(&self) -> usize {
        self.live
    }

    /// One past the largest number in use.
    pub(crate) fn bound(&self) -> usize {
        self.documents.len()
    }

    /// Adds a text and returns its number, which may be that of a document removed before. `each` is told its
    /// distinct terms and how often it has them.
    pub(crate) fn add(&mut self, text: &str, mut each: impl FnMut(&Vocab, u32, u32)) -> u32 {
        let mut sequence = std::mem::take(&mut self.sequence);
        sequence.clear();
        words(text, |word| {
            stem_into(word, &mut self.stem);
            sequence.push(self.vocab.intern(&self.stem));
        });
        let document = self.free.pop().unwrap_or_else(|| {
            self.documents.push(Document::default());
            self.documents.len() as u32 - 1
        });
        let first = self.terms.len();
        let length = sequence.len() as u32;
        sequence.sort_unstable();
        for same in sequence.chunk_by(|a, b| a == b) {
            let Some(term) = same.first().copied() else { continue };
            self.vocab.hold(term);
            self.postings.push(term, (document, same.len() as u32));
            self.terms.push(term);
            each(&self.vocab, term, same.len() as u32);
        }
        if let Some(place) = self.documents.get_mut(document as usize) {
            *place = Document { length, count: (self.terms.len() - first) as u32, first, live: true };
        }
        self.sequence = sequence;
        self.total += u64::from(length);
        self.live += 1;
        document
    }

    /// Removes a document; true if there was one.
    pub(crate) fn remove(&mut self, document: u32) -> bool {
        let Some(old) = self.documents.get_mut(document as usize).filter(|old| old.live) else {
            return false;
        };
        old.live = false;
        let old = *old;
        self.total -= u64::from(old.length);
        self.live -= 1;
        for term in self.terms.get(old.first..old.first + old.count as usize).unwrap_or_default() {
            if self.vocab.release(*term) {
                self.postings.clear(*term);
            }
        }
        self.marked.push(document);
        if self.marked.len() > MARKED + self.live / 4 {
            self.forget_marked();
        }
        true
    }

    fn forget_marked(&mut self) {
        let Self { documents, postings, .. } = self;
        postings.retain(|document| documents.get(document as usize).is_some_and(|held| held.live));
        let mut terms = Vec::with_capacity(self.terms.len());
        for held in documents.iter_mut().filter(|held| held.live) {
            let first = terms.len();
            terms.extend(self.terms.get(held.first..held.first + held.count as usize).unwrap_or_default());
            held.first = first;
        }
        self.terms = terms;
        self.free.append(&mut self.marked);
    }

    /// Gives `body` what the words of `question` give to each document, by number, and the live documents with a
    /// gain, each once. The array is at least [`Self::bound`] long and 0 elsewhere.
    pub(crate) fn gains<T>(&self, question: &str, body: impl FnOnce(&mut [Gain], &[u32]) -> T) -> T {
        let query = Query::new(question, &self.vocab, true);
        SCRATCH.with_borrow_mut(|scratch| {
            if scratch.gains.len() < self.documents.len() {
                scratch.gains.resize(self.documents.len(), Gain::default());
                scratch.counts.resize(self.documents.len(), 0.0);
            }
            let whole = self.add_up(&query, scratch);
            let Scratch { gains, touched, .. } = scratch;
            if !self.marked.is_empty() {
                touched.retain(|document| {
                    let live = self.documents.get(*document as usize).is_some_and(|held| held.live);
                    if !live && let Some(gain) = gains.get_mut(*document as usize) {
                        *gain = Gain::default();
                    }
                    live
                });
            }
            for document in &*touched {
                if let Some(gain) = gains.get_mut(*document as usize) {
                    gain.coverage = (gain.coverage / whole).min(1.0);
                }
            }
            let answer = body(gains, touched);
            for document in touched.drain(..) {
                if let Some(gain) = gains.get_mut(document as usize) {
                    *gain = Gain::default();
                }
            }
            answer
        })
    }

    /// Adds the gains up; returns what a full answer is worth.
    fn add_up(&self, query: &Query, scratch: &mut Scratch) -> f32 {
        let Scratch { gains, counts, touched, counted } = scratch;
        let held = self.live as f32;
        let mean = (self.total as f32 / held.max(1.0)).max(1.0);
        let per_word = K1 * B / mean;
        let mut whole = 0.0_f32;
        for asked in &query.terms {
            let (lists, worth) = self.weights(&asked.matches, held);
            whole += worth;
            let mut gain = |document: u32, count: f32| {
                let length = self.documents.get(document as usize).map_or(1, |held| held.length).max(1);
                let Some(sum) = gains.get_mut(document as usize) else { return };
                if sum.score == 0.0 {
                    touched.push(document);
                }
                let damped = count + (K1 * (1.0 - B) + per_word * length as f32);
                sum.score += worth * (count * (K1 + 1.0) / damped);
                sum.coverage += worth * count.min(1.0);
            };
            if let [(term, weight)] = lists.as_slice() {
                for (document, count) in self.postings.get(*term) {
                    gain(*document, *count as f32 * weight);
                }
                continue;
            }
            for (term, weight) in lists {
                for (document, count) in self.postings.get(term) {
                    let Some(most) = counts.get_mut(*document as usize) else { continue };
                    if *most == 0.0 {
                        counted.push(*document);
                    }
                    *most = most.max(*count as f32 * weight);
                }
            }
            for document in counted.drain(..) {
                let Some(most) = counts.get_mut(document as usize) else { continue };
                gain(document, std::mem::take(most));
            }
        }
        whole.max(f32::MIN_POSITIVE)
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
