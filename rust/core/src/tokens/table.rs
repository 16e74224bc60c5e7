//! Is this pre-token one token? Two hash tables answer for pre-tokens of at most 15 bytes.

use super::vocabulary::Vocabulary;

/// The longest pre-token the tables can answer for.
pub const MIDDLE: usize = 15;
/// The longest pre-token of the table with the 8-byte slots.
pub const SHORT: usize = 7;

/// Mixes a key; the high bits and the low bits are good. Must equal `hash` in `build/pieces.rs`.
#[inline(always)]
pub fn hash(low: u64, high: u64) -> u64 {
    let mixed =
        (low ^ high.rotate_left(23).wrapping_mul(0xA24B_AED4_963E_E407)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed ^ (mixed >> 32)
}

/// The first bytes of `text` as a number, its first byte lowest; zeros where there are fewer than 8.
#[inline(always)]
pub fn load(text: &[u8]) -> u64 {
    match text.first_chunk::<8>() {
        Some(chunk) => u64::from_le_bytes(*chunk),
        None => text.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)),
    }
}

impl Vocabulary {
    /// Whether the pre-token of `length` bytes (1 to 7) at the start of `text` is one token.
    #[inline(always)]
    pub fn has_short(&self, word: u64, length: usize) -> bool {
        self.short_is((word & (u64::MAX >> (64 - 8 * length))) | (length as u64) << 56)
    }

    /// Whether the pre-token of `length` bytes (8 to 15) whose first 16 bytes are `low` and `high` is one token.
    #[inline(always)]
    pub fn has_middle(&self, low: u64, high: u64, length: usize) -> bool {
        let kept = if length > 8 { high & (u64::MAX >> (128 - 8 * length)) } else { 0 };
        self.middle_is([low, kept | (length as u64) << 56])
    }

    #[inline(always)]
    fn short_slot(&self, key: u64) -> usize {
        (hash(key, 0) >> (self.short.len().leading_zeros() + 1)) as usize
    }

    #[inline(always)]
    fn middle_slot(&self, key: [u64; 2]) -> usize {
        (hash(key[0], key[1]) >> (self.middle.len().leading_zeros() + 1)) as usize
    }

    /// Whether `key`, bytes and length, is in the first slot of the short table where it may be.
    #[inline(always)]
    pub fn short_at_once(&self, key: u64) -> bool {
        self.short.get(self.short_slot(key)).is_some_and(|&found| found == key)
    }

    /// The same in the middle table.
    #[inline(always)]
    pub fn middle_at_once(&self, key: [u64; 2]) -> bool {
        self.middle.get(self.middle_slot(key)).is_some_and(|&found| found == key)
    }

    /// Whether `key`, bytes and length, is in the short table.
    #[inline(always)]
    pub fn short_is(&self, key: u64) -> bool {
        let mask = self.short.len() - 1;
        let mut slot = self.short_slot(key);
        loop {
            match self.short.get(slot & mask) {
                Some(&found) if found == key => return true,
                Some(0) | None => return false,
                _ => slot += 1,
            }
        }
    }

    /// Whether `key` is in the middle table.
    #[inline(always)]
    pub fn middle_is(&self, key: [u64; 2]) -> bool {
        let mask = self.middle.len() - 1;
        let mut slot = self.middle_slot(key);
        loop {
            match self.middle.get(slot & mask) {
                Some(&found) if found == key => return true,
                Some([0, 0]) | None => return false,
                _ => slot += 1,
            }
        }
    }
}
