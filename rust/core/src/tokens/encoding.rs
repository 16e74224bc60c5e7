//! The public face: an encoding by name, and what can be counted with it.

use std::cell::RefCell;

use super::bpe::Scratch;
use super::split::{Cl100k, O200k, P50k, Pattern};
use super::table::{MIDDLE, SHORT, load};
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
    Encoding {
        name: "o200k_base",
        kind: Kind::O200k,
        vocabulary: &O200K,
    },
    Encoding {
        name: "cl100k_base",
        kind: Kind::Cl100k,
        vocabulary: &CL100K,
    },
    Encoding {
        name: "p50k_base",
        kind: Kind::P50k,
        vocabulary: &P50K,
    },
    Encoding {
        name: "r50k_base",
        kind: Kind::P50k,
        vocabulary: &R50K,
    },
    Encoding {
        name: "o200k_harmony",
        kind: Kind::O200k,
        vocabulary: &O200K,
    },
];

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Encoding {
    /// The encoding called `name`.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for an unknown name; the message has the known ones.
    pub fn named(name: &str) -> Result<&'static Self> {
        ENCODINGS
            .iter()
            .find(|encoding| encoding.name == name)
            .ok_or_else(|| {
                let known = ENCODINGS
                    .each_ref()
                    .map(|encoding| encoding.name)
                    .join(", ");
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
        let mut total = 0;
        self.each_piece(text, |_, _, tokens| {
            total += tokens;
            true
        });
        total
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

    /// Calls `visit(start, end, tokens)` for each pre-token, until it returns false.
    fn each_piece(&self, text: &str, visit: impl FnMut(usize, usize, usize) -> bool) {
        SCRATCH.with_borrow_mut(|scratch| match self.kind {
            Kind::O200k => pieces::<O200k>(self.vocabulary, text.as_bytes(), scratch, visit),
            Kind::Cl100k => pieces::<Cl100k>(self.vocabulary, text.as_bytes(), scratch, visit),
            Kind::P50k => pieces::<P50k>(self.vocabulary, text.as_bytes(), scratch, visit),
        });
    }
}

fn pieces<P: Pattern>(
    vocabulary: &Vocabulary,
    text: &[u8],
    scratch: &mut Scratch,
    mut visit: impl FnMut(usize, usize, usize) -> bool,
) {
    let mut start = 0;
    while start < text.len() {
        let end = P::end(text, start);
        let tokens = piece(
            vocabulary,
            text.get(start..).unwrap_or_default(),
            end - start,
            scratch,
        );
        if !visit(start, end, tokens) {
            return;
        }
        start = end;
    }
}

/// The number of tokens of the pre-token that is the first `length` bytes of `text`.
#[inline(always)]
fn piece(vocabulary: &Vocabulary, text: &[u8], length: usize, scratch: &mut Scratch) -> usize {
    let known = if length <= SHORT {
        vocabulary.has_short(load(text), length)
    } else {
        length <= MIDDLE
            && vocabulary.has_middle(load(text), load(text.get(8..).unwrap_or_default()), length)
    };
    if known {
        1
    } else {
        merge(vocabulary, text, length, scratch)
    }
}

#[cold]
#[inline(never)]
fn merge(vocabulary: &Vocabulary, text: &[u8], length: usize, scratch: &mut Scratch) -> usize {
    vocabulary.merge_count(text.get(..length).unwrap_or(text), scratch)
}
