//! Many pre-tokens looked up at once.
//!
//! One look-up is a few instructions and a read from a table of 2 MB, which is rarely in the nearest cache, and its
//! outcome decides a branch. Done one by one, each branch that goes the rare way throws away the reads begun after
//! it. So the keys of pre-tokens are collected first, without a branch, and then read in one tight loop in which
//! dozens of reads are under way at once; what was not in the first slot is settled after it.

#![expect(
    clippy::indexing_slicing,
    reason = "the numbers of keys are below SIZE wherever one is written: `add` \
    flushes at SIZE - 1, and only `add` adds, one key at most; the compiler drops the checks after `min`"
)]

use super::memory::Memory;
use super::table::{MIDDLE, SHORT, load};
use super::vocabulary::Vocabulary;

/// Keys of each kind that fit in.
const SIZE: usize = 128;

/// Pre-tokens that wait, as keys of the tables, and the tokens of those that do not.
pub struct Batch {
    short: [u64; SIZE],
    shorts: usize,
    middle: [[u64; 2]; SIZE],
    middles: usize,
    missing: [[u64; 2]; SIZE],
    total: usize,
}

impl Batch {
    /// Empty.
    pub const fn new() -> Self {
        Self {
            short: [0; SIZE],
            shorts: 0,
            middle: [[0; 2]; SIZE],
            middles: 0,
            missing: [[0; 2]; SIZE],
            total: 0,
        }
    }

    /// The tokens of everything looked up so far; it wraps around.
    pub fn total(&self) -> usize {
        self.total
    }
}

impl Memory {
    /// Adds the pre-token that is the first `length` bytes of `text` to the batch.
    #[inline(always)]
    pub fn add(&mut self, vocabulary: &Vocabulary, text: &[u8], length: usize) {
        if length > MIDDLE {
            let tokens = self.count(vocabulary, text, length);
            self.batch.total = self.batch.total.wrapping_add(tokens);
            return;
        }
        let batch = &mut self.batch;
        let low = load(text);
        let bits = 8 * length as u32;
        // Both keys are written, and the one that is wrong is overwritten by the next.
        let short = low & (1_u64.wrapping_shl(bits)).wrapping_sub(1) | (length as u64) << 56;
        batch.short[batch.shorts.min(SIZE - 1)] = short;
        batch.shorts += usize::from(length <= SHORT);
        let high = load(text.get(8..).unwrap_or_default());
        let kept = high & (1_u64.wrapping_shl(bits)).wrapping_sub(1);
        batch.middle[batch.middles.min(SIZE - 1)] = [low, kept | (length as u64) << 56];
        batch.middles += usize::from(length > SHORT);
        if batch.shorts.max(batch.middles) >= SIZE - 1 {
            self.flush(vocabulary);
        }
    }

    /// Looks up what waits in the batch.
    #[inline(never)]
    pub fn flush(&mut self, vocabulary: &Vocabulary) {
        let batch = &mut self.batch;
        batch.total = batch.total.wrapping_add(batch.shorts + batch.middles);
        let mut missing = 0;
        for &key in &batch.short[..batch.shorts.min(SIZE)] {
            batch.missing[missing.min(SIZE - 1)] = [key, 0];
            missing += usize::from(!vocabulary.short_at_once(key));
        }
        batch.shorts = 0;
        self.settle(vocabulary, missing);
        let batch = &mut self.batch;
        let mut missing = 0;
        for &key in &batch.middle[..batch.middles.min(SIZE)] {
            batch.missing[missing.min(SIZE - 1)] = key;
            missing += usize::from(!vocabulary.middle_at_once(key));
        }
        batch.middles = 0;
        self.settle(vocabulary, missing);
    }

    /// Counts the first `missing` keys that were not in their first slot; each was counted as one token before.
    fn settle(&mut self, vocabulary: &Vocabulary, missing: usize) {
        for i in 0..missing.min(SIZE) {
            let [low, high] = self.batch.missing[i];
            let (known, length) = if high == 0 {
                (vocabulary.short_is(low), low >> 56)
            } else {
                (vocabulary.middle_is([low, high]), high >> 56)
            };
            if !known {
                let mut bytes = [0; 16];
                bytes[..8].copy_from_slice(&low.to_le_bytes());
                bytes[8..].copy_from_slice(&high.to_le_bytes());
                let tokens = self.merge(vocabulary, &bytes, length as usize);
                self.batch.total = self.batch.total.wrapping_add(tokens.wrapping_sub(1));
            }
        }
    }

    /// The number of tokens of the pre-token that is the first `length` bytes of `text`.
    #[inline(always)]
    pub fn count(&mut self, vocabulary: &Vocabulary, text: &[u8], length: usize) -> usize {
        let known = if length <= SHORT {
            vocabulary.has_short(load(text), length)
        } else {
            length <= MIDDLE
                && vocabulary.has_middle(load(text), load(text.get(8..).unwrap_or_default()), length)
        };
        if known { 1 } else { self.merge(vocabulary, text, length) }
    }
}
