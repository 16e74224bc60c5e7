//! How each token is made: the two tokens of its last merge, and the table of all such pairs.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::Output;

/// FNV-1a over words: the standard hasher would take most of the build's time.
#[derive(Default)]
pub struct FastHasher(u64);

impl Hasher for FastHasher {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 = (self.0 ^ u64::from_le_bytes(word)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            self.0 ^= self.0 >> 29;
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

pub type FastMap<K, V> = HashMap<K, V, BuildHasherDefault<FastHasher>>;

/// The last merge of every token.
pub struct Merges {
    /// `(left, right)` for each token; `(t, t)` for a single byte and for a token that merging never makes.
    pub splits: Vec<(u32, u32)>,
    /// False for tokens that merging their bytes does not end in; only a whole pre-token can be one.
    pub reachable: Vec<bool>,
}

impl Merges {
    /// Merges the bytes of each token and notes the last step.
    pub fn new(tokens: &[Vec<u8>]) -> Self {
        let ranks: FastMap<&[u8], u32> = (0..).zip(tokens).map(|(rank, token)| (&token[..], rank)).collect();
        assert_eq!(ranks.len(), tokens.len(), "a token twice");
        let mut splits = Vec::with_capacity(tokens.len());
        let mut reachable = Vec::with_capacity(tokens.len());
        for (rank, token) in (0_u32..).zip(tokens) {
            let split = if token.len() == 1 { Some((rank, rank)) } else { last_merge(token, &ranks) };
            reachable.push(split.is_some());
            splits.push(split.unwrap_or((rank, rank)));
        }
        Self { splits, reachable }
    }

    /// Writes `NAME.splits` (left and right alternating); `NAME.pairs`, a hash table of the tokens by their split, with
    /// 14 bits of the hash above the 18 of the token; and `NAME.filter`, two bits for each pair in a word that its hash
    /// names, which tells most pairs that do not merge in one look; and `NAME.bigrams`, the token of each pair of
    /// single bytes, `left << 8 | right`. `src/tokens/bpe.rs` reads them.
    pub fn write(&self, out: &Output, name: &str) {
        out.u32s(
            &format!("{name}.splits"),
            &self.splits.iter().flat_map(|&(l, r)| [l, r]).collect::<Vec<_>>(),
        );
        assert!(self.splits.len() < 1 << 18, "a token has 18 bits");
        let size = (self.splits.len() * 4 / 3).next_power_of_two();
        let shift = 64 - size.trailing_zeros();
        let mut pairs = vec![u32::MAX; size];
        let mut filter = vec![0_u64; size / 16];
        let mut bigrams = vec![u32::MAX; 1 << 16];
        for (token, &(left, right)) in (0_u32..).zip(&self.splits) {
            if left == token {
                continue;
            }
            if left.max(right) < 256 {
                bigrams[(left << 8 | right) as usize] = token;
            }
            let hash = hash(left, right);
            filter[(hash >> (shift + 4)) as usize] |= 1 << (hash & 63) | 1 << (hash >> 6 & 63);
            let mut slot = (hash >> shift) as usize;
            while pairs[slot] != u32::MAX {
                slot = (slot + 1) & (size - 1);
            }
            pairs[slot] = (hash as u32) << 18 | token;
        }
        out.u32s(&format!("{name}.bigrams"), &bigrams);
        out.u32s(&format!("{name}.pairs"), &pairs);
        out.u64s(&format!("{name}.filter"), &filter);
    }
}

/// Must equal `hash_pair` in `src/tokens/bpe.rs`.
fn hash(left: u32, right: u32) -> u64 {
    let mixed = (u64::from(left) << 32 | u64::from(right)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed ^ mixed >> 32).wrapping_mul(0xA24B_AED4_963E_E407)
}

/// The two tokens whose merge makes `token` last, or `None` if merging its bytes does not end in it.
fn last_merge(token: &[u8], ranks: &FastMap<&[u8], u32>) -> Option<(u32, u32)> {
    // `ends[i]` is the end of part i; always merge the pair of lowest rank, the leftmost of equals.
    let mut ends: Vec<usize> = (1..=token.len()).collect();
    while ends.len() > 2 {
        let start = |i: usize| if i == 0 { 0 } else { ends[i - 1] };
        let best = (0..ends.len() - 1)
            .filter_map(|i| Some((*ranks.get(&token[start(i)..ends[i + 1]])?, i)))
            .min()?;
        ends.remove(best.1);
    }
    Some((*ranks.get(&token[..ends[0]])?, *ranks.get(&token[ends[0]..])?))
}
