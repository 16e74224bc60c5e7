//! Byte-pair merging without merging: the only sequence of tokens that merging can end in, found left to right.
//!
//! Two facts carry this (they are the method of GitHub's `bpe` crate, whose documentation proves them):
//! a sequence of tokens is what merging a text ends in exactly if each two neighbours, taken alone, stay as they
//! are; and the encoding of a prefix of the text never depends on what follows, except at its end. So a search
//! that takes the longest token at each position and steps back to a shorter one when it does not fit its left
//! neighbour finds the encoding, and visits each position once as a dead end: time is linear in the text.

use super::vocabulary::Vocabulary;

/// Must equal `hash` in `build/merges.rs`.
#[inline(always)]
fn hash_pair(left: u32, right: u32) -> u64 {
    let mixed = (u64::from(left) << 32 | u64::from(right)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed ^ mixed >> 32).wrapping_mul(0xA24B_AED4_963E_E407)
}

/// The base of the trie's root.
const ROOT: u32 = 256;
/// No token.
pub const NONE: u32 = u32::MAX;

impl Vocabulary {
    /// The longest token that `text` starts with, or [`NONE`] if it is empty.
    #[inline(always)]
    fn longest(&self, text: &[u8]) -> u32 {
        let mut base = ROOT;
        let mut best = 0;
        for &byte in text {
            let place = base ^ u32::from(byte);
            let unit = self.trie.get(place as usize).copied().unwrap_or(0);
            if unit & 0x1FF != u32::from(byte) + 1 {
                break;
            }
            best = if unit >> 31 != 0 { place } else { best };
            base = unit << 1 >> 10;
            if base == 0 {
                break;
            }
        }
        self.ends.get(best as usize).copied().unwrap_or(NONE)
    }

    /// The length of `token` in bytes.
    #[inline(always)]
    pub fn length(&self, token: u32) -> usize {
        self.heads.get(token as usize).map_or(1, |head| (head & 0xFF) as usize)
    }

    /// The longest proper prefix of `token` that is a token, or [`NONE`].
    #[inline(always)]
    fn prefix(&self, token: u32) -> u32 {
        match self.heads.get(token as usize) {
            Some(head) if head >> 8 != NONE >> 8 => head >> 8,
            _ => NONE,
        }
    }

    /// The token that `left` and `right` merge into, or [`NONE`].
    #[inline(always)]
    fn merged(&self, left: u32, right: u32) -> u32 {
        let hash = hash_pair(left, right);
        let shift = self.pairs.len().leading_zeros() + 1;
        let bits = 1 << (hash & 63) | 1 << (hash >> 6 & 63);
        if self.filter.get((hash >> (shift + 4)) as usize).is_none_or(|word| word & bits != bits) {
            return NONE;
        }
        let mask = self.pairs.len() - 1;
        let mut slot = (hash >> shift) as usize;
        loop {
            match self.pairs.get(slot & mask) {
                Some(&u32::MAX) | None => return NONE,
                Some(&pair) => {
                    let token = pair & 0x3_FFFF;
                    if pair >> 18 == hash as u32 & 0x3FFF && self.split(token) == [left, right] {
                        return token;
                    }
                }
            }
            slot += 1;
        }
    }

    #[inline(always)]
    fn split(&self, token: u32) -> [u32; 2] {
        self.splits.get(token as usize).copied().unwrap_or([token, token])
    }

    /// Whether merging leaves the boundary between `left` and `right` alone.
    ///
    /// Undoes their merges from the last to the first. The two parts that touch the boundary at any moment must
    /// not be a pair that merges before the merge undone last; equal ranks merge leftmost first.
    ///
    /// Which side is undone is as good as random, so it is chosen by masks: a branch would be mispredicted.
    #[inline(always)]
    fn stays_apart(&self, mut left: u32, mut right: u32) -> bool {
        let mut limit = NONE;
        loop {
            // A token's number is its rank, so `limit` is the moment of the merge undone last. The bytes have the
            // lowest ranks: where the later of the two is a single byte, both are.
            let later = left.max(right);
            if later < 256 {
                return self.bigrams.get((left << 8 | right) as usize).is_none_or(|&token| token >= limit);
            }
            if self.merged(left, right) < limit {
                return false;
            }
            let [first, last] = self.split(later);
            if first == later {
                return true; // cannot be: merging makes every token of the trie
            }
            // Of equal ranks the leftmost merges first; where the right side is undone, that is the pair across.
            let is_right = u32::from(left <= right);
            limit = later + is_right;
            let mask = is_right.wrapping_neg();
            left = left & mask | last & !mask;
            right = right & !mask | first & mask;
        }
    }

    /// How many tokens merging the bytes of `piece` ends in. The tokens stay in `scratch`.
    pub fn merge_count(&self, piece: &[u8], scratch: &mut Scratch) -> usize {
        scratch.reset(piece.len());
        let mut at = 0;
        let mut token = self.longest(piece);
        while at < piece.len() {
            let left = scratch.tokens.last().copied();
            loop {
                let end = at + self.length(token);
                if !scratch.is_dead(end) && left.is_none_or(|left| self.stays_apart(left, token)) {
                    scratch.tokens.push(token);
                    at = end;
                    token = self.longest(piece.get(at..).unwrap_or_default());
                    break;
                }
                token = self.prefix(token);
                if token == NONE {
                    // No token fits here: the token before was wrong, and nothing may end here again.
                    scratch.kill(at);
                    let Some(last) = scratch.tokens.pop() else {
                        return piece.len(); // cannot be: every single byte is a token
                    };
                    at -= self.length(last);
                    token = last;
                    break;
                }
            }
        }
        scratch.tokens.len()
    }
}

/// Memory of [`Vocabulary::merge_count`], kept between calls.
pub struct Scratch {
    /// The tokens found so far.
    pub tokens: Vec<u32>,
    /// One bit for each position: no encoding passes through it.
    dead: Vec<u64>,
}

impl Scratch {
    /// Without any memory yet.
    pub const fn new() -> Self {
        Self { tokens: Vec::new(), dead: Vec::new() }
    }

    fn reset(&mut self, length: usize) {
        self.tokens.clear();
        self.dead.clear();
        self.dead.resize(length / 64 + 1, 0);
    }

    fn is_dead(&self, at: usize) -> bool {
        self.dead.get(at / 64).is_some_and(|word| word >> (at % 64) & 1 != 0)
    }

    fn kill(&mut self, at: usize) {
        if let Some(word) = self.dead.get_mut(at / 64) {
            *word |= 1 << (at % 64);
        }
    }
}
