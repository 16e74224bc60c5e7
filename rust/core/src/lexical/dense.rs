//! Words that many documents have: a byte a document, and arithmetic over all documents at once.
//!
//! Adding such a word up by its postings jumps through the sums; in the order of documents it is a few instructions
//! for eight of them. The sums are the same to the last bit: each document's are added in the order of the words, and
//! a count of 0 adds 0. All of it follows from the postings.

use std::collections::HashMap;

use super::postings::{Posting, Postings};
use crate::rank::{B, K1};
use crate::vectors::IdHash;
use crate::wide::wide;

/// Postings of a word that is kept here, at least.
const LEAST: usize = 32;
/// It has at least one posting for so many documents.
const SHARE: usize = 8;

/// The counts of some words by document.
#[derive(Debug, Default)]
pub(super) struct Dense {
    /// By term; none where a count does not fit in a byte. Beyond the end they are 0.
    counts: HashMap<u32, Option<Vec<u8>>, IdHash>,
}

fn spread(postings: &[Posting]) -> Option<Vec<u8>> {
    let last = postings.iter().map(|(document, _)| *document as usize).max()?;
    let mut counts = vec![0; last + 1];
    for (document, count) in postings {
        *counts.get_mut(*document as usize)? = u8::try_from(*count).ok()?;
    }
    Some(counts)
}

/// Whether a word with so many postings among so many documents is one for here.
pub(super) fn is_common(postings: usize, documents: usize) -> bool {
    postings >= LEAST && postings.saturating_mul(SHARE) >= documents
}

impl Dense {
    /// What follows from all postings.
    pub fn of(postings: &Postings, documents: usize) -> Self {
        let common = postings.iter().filter(|(_, list)| is_common(list.len(), documents));
        Self { counts: common.map(|(term, list)| (term, spread(list))).collect() }
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.counts.values().map(|counts| 32 + counts.as_ref().map_or(0, Vec::capacity)).sum()
    }

    /// The counts of a term by document, where they are kept.
    pub fn get(&self, term: u32) -> Option<&[u8]> {
        self.counts.get(&term)?.as_deref()
    }

    /// A posting was added to those of a term, which are all `postings`, among `documents`.
    pub fn note(&mut self, term: u32, (document, count): Posting, postings: &[Posting], documents: usize) {
        if postings.len() < LEAST {
            return;
        }
        match self.counts.get_mut(&term) {
            Some(Some(counts)) if count <= u32::from(u8::MAX) => {
                let at = document as usize;
                if counts.len() <= at {
                    counts.resize(at + 1, 0);
                }
                if let Some(place) = counts.get_mut(at) {
                    *place = count as u8;
                }
            }
            Some(counts) => *counts = None,
            None if is_common(postings.len(), documents) => {
                self.counts.insert(term, spread(postings));
            }
            None => {}
        }
    }

    /// A term has no postings any more.
    pub fn forget(&mut self, term: u32) {
        self.counts.remove(&term);
    }

    /// Postings were taken away.
    pub fn remake(&mut self, postings: &Postings, documents: usize) {
        self.counts.retain(|term, counts| {
            let postings = postings.get(*term);
            *counts = spread(postings);
            is_common(postings.len(), documents)
        });
    }
}

/// What a word is worth to a document that has it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Worth {
    /// By how rare the word is.
    pub rarity: f32,
    /// For a word of the mean length.
    pub per_word: f32,
}

impl Worth {
    /// The BM25 share and the coverage that a count gives to a document of `length` words.
    #[inline(always)]
    pub fn of(self, count: f32, length: f32) -> (f32, f32) {
        let damped = count + (K1 * (1.0 - B) + self.per_word * length);
        let covered = if count < 1.0 { count } else { 1.0 };
        (self.rarity * (count * (K1 + 1.0) / damped), self.rarity * covered)
    }
}

wide! {
    /// Adds what a word gives, whose counts weigh `weight` each.
    pub(super) fn add(worth: Worth, weight: f32, counts: &[u8], lengths: &[f32], scores: &mut [f32], coverage: &mut [f32]) {
        let sums = scores.iter_mut().zip(coverage);
        for (((score, covered), count), length) in sums.zip(counts).zip(lengths) {
            let (share, cover) = worth.of(f32::from(*count) * weight, *length);
            *score += share;
            *covered += cover;
        }
    }
}

wide! {
    /// Adds what a word gives, and sets its counts back to 0.
    pub(super) fn add_counts(worth: Worth, counts: &mut [f32], lengths: &[f32], scores: &mut [f32], coverage: &mut [f32]) {
        let sums = scores.iter_mut().zip(coverage);
        for (((score, covered), count), length) in sums.zip(counts.iter_mut()).zip(lengths) {
            let (share, cover) = worth.of(*count, *length);
            *score += share;
            *covered += cover;
            *count = 0.0;
        }
    }
}

wide! {
    /// Raises counts to those of another term, whose counts weigh `weight` each.
    pub(super) fn raise(counts: &mut [f32], other: &[u8], weight: f32) {
        for (most, count) in counts.iter_mut().zip(other) {
            let count = f32::from(*count) * weight;
            *most = if count > *most { count } else { *most };
        }
    }
}

wide! {
    /// Turns sums of coverage into shares of the whole.
    pub(super) fn share(coverage: &mut [f32], whole: f32) {
        for covered in coverage {
            let share = *covered / whole;
            *covered = if share < 1.0 { share } else { 1.0 };
        }
    }
}

wide! {
    /// Lowers coverage by up to a half where the score is below the best, and multiplies it by `most`.
    pub(super) fn weigh(coverage: &mut [f32], scores: &[f32], best: f32, most: f32) {
        for (covered, score) in coverage.iter_mut().zip(scores) {
            *covered *= most * (0.5 + 0.5 * *score / best);
        }
    }
}

/// The largest of numbers of 0 or more.
pub(super) fn largest(numbers: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 16];
    let (parts, rest) = numbers.as_chunks::<16>();
    for part in parts {
        for (lane, number) in lanes.iter_mut().zip(part) {
            *lane = if *number > *lane { *number } else { *lane };
        }
    }
    lanes.iter().chain(rest).copied().fold(0.0, f32::max)
}
