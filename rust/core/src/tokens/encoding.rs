//! The public face: an encoding by name, and what can be counted with it.

use super::memory::Memory;
use super::pieces::{fast, plain};
use super::split::{Cl100k, O200k, P50k};
use super::vocabulary::{CL100K, O200K, P50K, R50K, Vocabulary};
use crate::error::{Error, Result};

/// One of tiktoken's encodings. Counts are those of `encode_ordinary`: text that looks like a special token is
/// ordinary text.
pub struct Encoding {
    name: &'static str,
    kind: Kind,
    vocabulary: &'static Vocabulary,
}

/// Which pattern cuts the text.
#[derive(Clone, Copy)]
enum Kind {
    O200k,
    Cl100k,
    P50k,
}

static ENCODINGS: [Encoding; 5] = [
    Encoding { name: "o200k_base", kind: Kind::O200k, vocabulary: &O200K },
    Encoding { name: "cl100k_base", kind: Kind::Cl100k, vocabulary: &CL100K },
    Encoding { name: "p50k_base", kind: Kind::P50k, vocabulary: &P50K },
    Encoding { name: "r50k_base", kind: Kind::P50k, vocabulary: &R50K },
    Encoding { name: "o200k_harmony", kind: Kind::O200k, vocabulary: &O200K },
];

impl Encoding {
    /// The encoding called `name`.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for an unknown name; the message has the known ones.
    pub fn named(name: &str) -> Result<&'static Self> {
        ENCODINGS.iter().find(|encoding| encoding.name == name).ok_or_else(|| {
            let known = ENCODINGS.each_ref().map(|encoding| encoding.name).join(", ");
            Error::InvalidInput(format!("unknown encoding {name:?}: use one of {known}"))
        })
    }

    /// The name, as tiktoken has it.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The ordinary tokens in rank order.
    pub fn tokens(&self) -> impl Iterator<Item = &'static [u8]> + use<> {
        self.vocabulary.tokens()
    }

    /// The number of tokens of `text`.
    pub fn count(&self, text: &str) -> usize {
        self.count_all(std::iter::once(text))
    }

    /// The number of tokens of all `texts` together, each counted by itself.
    pub fn count_all<'a>(&self, texts: impl Iterator<Item = &'a str>) -> usize {
        let vocabulary = self.vocabulary;
        Memory::with(vocabulary, |memory| {
            let start = memory.batch.total();
            for text in texts {
                self.walk(text.as_bytes(), memory, |memory, rest, _, length| {
                    memory.add(vocabulary, rest, length);
                    true
                });
            }
            memory.flush(vocabulary);
            memory.batch.total().wrapping_sub(start)
        })
    }

    /// The number of tokens of `text` if that is at most `limit`, else `None` as soon as that is known.
    pub fn count_up_to(&self, text: &str, limit: usize) -> Option<usize> {
        let mut total = 0;
        self.each_piece(text, |_, _, tokens| {
            total += tokens;
            total <= limit
        });
        (total <= limit).then_some(total)
    }

    /// Calls `use_ends` with the ends of the tokens that merging `piece` makes.
    pub(super) fn token_ends<T>(
        &self,
        piece: &str,
        use_ends: impl FnOnce(&mut dyn Iterator<Item = usize>) -> T,
    ) -> T {
        Memory::with(self.vocabulary, |memory| {
            self.vocabulary.merge_count(piece.as_bytes(), &mut memory.scratch);
            let mut end = 0;
            use_ends(&mut memory.scratch.tokens.iter().map(|&token| {
                end += self.vocabulary.length(token);
                end
            }))
        })
    }

    /// Calls `visit(start, end, tokens)` for each pre-token, until it returns false.
    pub(super) fn each_piece(&self, text: &str, mut visit: impl FnMut(usize, usize, usize) -> bool) {
        let vocabulary = self.vocabulary;
        Memory::with(vocabulary, |memory| {
            self.walk(text.as_bytes(), memory, |memory, rest, start, length| {
                visit(start, start + length, memory.count(vocabulary, rest, length))
            });
        });
    }

    #[inline(always)]
    fn walk(
        &self,
        text: &[u8],
        memory: &mut Memory,
        take: impl FnMut(&mut Memory, &[u8], usize, usize) -> bool,
    ) {
        match self.kind {
            Kind::O200k => fast::<O200k>(text, memory, take),
            Kind::Cl100k => fast::<Cl100k>(text, memory, take),
            Kind::P50k => plain::<P50k>(text, memory, take),
        }
    }
}
