//! All reachable tokens as a double-array trie: one memory access a byte finds the longest token at a position.
//!
//! A node with base `b` has its child for byte `c` at unit `b ^ c`, so the children of a node share one block
//! of 256 units. No two nodes share a base, hence the byte alone tells whether a unit is the child asked for.
//! A unit is `(byte + 1) | base << 9 | ends << 31`; a base of 0 means no children, an empty unit is 0, and `ends` is 1
//! where a token ends, whose number is in the same place of a second array: a walk reads that only once.

use crate::Output;
use crate::merges::{FastMap, Merges};

/// Writes `NAME.trie` (the root's base is 256), `NAME.ends` (the tokens) and `NAME.heads`: for each token its length
/// in the low byte and above it its longest proper prefix that is a reachable token, or all ones.
pub fn write(out: &Output, name: &str, tokens: &[Vec<u8>], merges: &Merges) {
    let mut sorted: Vec<(&[u8], u32)> = (0..)
        .zip(tokens)
        .filter(|&(id, _)| merges.reachable[id as usize])
        .map(|(id, token)| (&token[..], id))
        .collect();
    let ids: FastMap<&[u8], u32> = sorted.iter().copied().collect();
    let prefix = |token: &Vec<u8>| (1..token.len()).rev().find_map(|end| ids.get(&token[..end])).copied();
    out.u32s(
        &format!("{name}.heads"),
        &tokens.iter().map(|t| prefix(t).unwrap_or(u32::MAX) << 8 | t.len() as u32).collect::<Vec<_>>(),
    );

    sorted.sort_unstable();
    let mut trie =
        Builder { units: vec![0; 256], tokens: Vec::new(), bases: vec![true; 256], open: Vec::new() };
    // Breadth first: the short prefixes, which are read most, lie together.
    let mut queue = std::collections::VecDeque::from([(0, 0..sorted.len(), usize::MAX)]);
    while let Some((depth, range, unit)) = queue.pop_front() {
        let mut children: Vec<(u8, std::ops::Range<usize>)> = Vec::new();
        for i in range {
            let Some(&byte) = sorted[i].0.get(depth) else {
                continue;
            };
            match children.last_mut() {
                Some((last, range)) if *last == byte => range.end = i + 1,
                _ => children.push((byte, i..i + 1)),
            }
        }
        if children.is_empty() {
            continue;
        }
        let base = trie.place(&children.iter().map(|&(byte, _)| byte).collect::<Vec<_>>());
        if let Some(parent) = trie.units.get_mut(unit) {
            *parent |= (base as u32) << 9;
        } else {
            assert_eq!(base, 256, "the root's base is fixed");
        }
        for (byte, range) in children {
            let child = base ^ usize::from(byte);
            let (token, id) = sorted[range.start];
            let ends = token.len() == depth + 1;
            trie.units[child] = (u32::from(byte) + 1) | u32::from(ends) << 31;
            if ends {
                trie.tokens.resize(trie.units.len(), u32::MAX);
                trie.tokens[child] = id;
            }
            queue.push_back((depth + 1, range, child));
        }
    }
    trie.tokens.resize(trie.units.len(), u32::MAX);
    assert!(trie.units.len() < 1 << 22, "a base has 22 bits");
    out.u32s(&format!("{name}.trie"), &trie.units);
    out.u32s(&format!("{name}.ends"), &trie.tokens);
}

struct Builder {
    units: Vec<u32>,
    /// The token that ends at each unit.
    tokens: Vec<u32>,
    /// Which bases are taken.
    bases: Vec<bool>,
    /// Blocks with free units.
    open: Vec<usize>,
}

impl Builder {
    /// Finds a free base whose children are free, and takes it.
    fn place(&mut self, bytes: &[u8]) -> usize {
        let fits = |trie: &Self, base: usize| {
            !trie.bases[base] && bytes.iter().all(|&byte| trie.units[base ^ usize::from(byte)] == 0)
        };
        // The latest few open blocks are enough: older ones are nearly full.
        let found = self
            .open
            .iter()
            .rev()
            .take(12)
            .find_map(|&block| (block..block + 256).find(|&base| fits(self, base)));
        let base = found.unwrap_or_else(|| {
            let block = self.units.len();
            self.units.resize(block + 256, 0);
            self.bases.resize(block + 256, false);
            self.open.push(block);
            block
        });
        self.bases[base] = true;
        for &byte in bytes {
            self.units[base ^ usize::from(byte)] = u32::MAX; // taken; the caller fills it in
        }
        let block = base & !255;
        if self.units[block..block + 256].iter().all(|&unit| unit != 0) {
            self.open.retain(|&open| open != block);
        }
        base
    }
}
