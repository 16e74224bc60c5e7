//! What a thread remembers between calls: the scratch of merging, and the counts of short pre-tokens it merged.

use std::cell::RefCell;

use super::batch::Batch;
use super::bpe::Scratch;
use super::table::{MIDDLE, hash, load};
use super::vocabulary::Vocabulary;

/// Slots of a cache, a power of two; 16 bytes each.
const SLOTS: usize = 1 << 14;

/// Counts of pre-tokens of at most 15 bytes that are not one token, one for each slot that their hash names.
///
/// A slot holds the bytes of the pre-token, and in its last byte the length (low half) and the count (high half).
/// An empty slot is zero, which no pre-token equals, since none has length 0.
struct Cache(Vec<[u64; 2]>);

/// The longest pre-token that is remembered.
const LONGEST: usize = 32;
/// Slots for pre-tokens of 16 to [`LONGEST`] bytes.
const LONG_SLOTS: usize = 1 << 12;

/// Counts of pre-tokens of 16 to [`LONGEST`] bytes, indentations and long names mostly: a slot holds the bytes, the
/// length and the count.
struct LongCache(Vec<([u64; 4], [u32; 2])>);

/// Everything a thread keeps for one vocabulary.
pub struct Memory {
    /// The working memory of merging.
    pub scratch: Scratch,
    /// What is about to be looked up.
    pub batch: Batch,
    cache: Cache,
    long_cache: LongCache,
}

thread_local! {
    static MEMORIES: [RefCell<Memory>; 4] = const { [const { RefCell::new(Memory::new()) }; 4] };
}

impl Memory {
    /// Nothing remembered yet.
    pub const fn new() -> Self {
        Self {
            scratch: Scratch::new(),
            batch: Batch::new(),
            cache: Cache(Vec::new()),
            long_cache: LongCache(Vec::new()),
        }
    }

    /// Lends this thread's memory for `vocabulary`.
    #[inline(always)]
    pub fn with<T>(vocabulary: &Vocabulary, work: impl FnOnce(&mut Self) -> T) -> T {
        MEMORIES.with(|memories| {
            match memories.get(vocabulary.number).map(RefCell::try_borrow_mut) {
                Some(Ok(mut memory)) => work(&mut memory),
                // Only a `visit` that counts by itself gets here.
                _ => work(&mut Self::new()),
            }
        })
    }

    /// The number of tokens of the first `length` bytes of `text`, which are not one token of at most 15 bytes.
    #[inline(never)]
    pub fn merge(&mut self, vocabulary: &Vocabulary, text: &[u8], length: usize) -> usize {
        let piece = text.get(..length).unwrap_or(text);
        if length > MIDDLE {
            return self.merge_long(vocabulary, piece);
        }
        let low = load(piece);
        let high = load(piece.get(8..).unwrap_or_default()) | (length as u64) << 56;
        if self.cache.0.is_empty() {
            self.cache.0.resize(SLOTS, [0, 0]);
        }
        let slot = hash(low, high) as usize & (SLOTS - 1);
        if let Some(&[known_low, known_high]) = self.cache.0.get(slot)
            && known_low == low
            && known_high << 4 >> 4 == high
        {
            return (known_high >> 60) as usize;
        }
        let count = vocabulary.merge_count(piece, &mut self.scratch);
        if let Some(entry) = self.cache.0.get_mut(slot) {
            *entry = [low, high | (count as u64) << 60];
        }
        count
    }

    fn merge_long(&mut self, vocabulary: &Vocabulary, piece: &[u8]) -> usize {
        if piece.len() > LONGEST {
            return vocabulary.merge_count(piece, &mut self.scratch);
        }
        let key = [0, 8, 16, 24].map(|at| load(piece.get(at..).unwrap_or_default()));
        let [a, b, c, d] = key;
        if self.long_cache.0.is_empty() {
            self.long_cache.0.resize(LONG_SLOTS, ([0; 4], [0; 2]));
        }
        let slot = hash(hash(a, b) ^ c, d) as usize & (LONG_SLOTS - 1);
        if let Some(&(known, [length, count])) = self.long_cache.0.get(slot)
            && known == key
            && length as usize == piece.len()
        {
            return count as usize;
        }
        let count = vocabulary.merge_count(piece, &mut self.scratch);
        if let Some(entry) = self.long_cache.0.get_mut(slot) {
            *entry = (key, [piece.len() as u32, count as u32]);
        }
        count
    }
}
