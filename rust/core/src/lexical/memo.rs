//! Words that came lately and what they are to an index: a text's words are mostly those of the texts before it, and
//! stemming one and looking up what is known of it takes longer than finding it here.

use std::cell::RefCell;

use super::stem::stem_into;
use super::vocab::{Facts, hash};

/// Words that a thread keeps, a power of two: one in each place, the latest.
const PLACES: usize = 4_096;
/// Longer words are not kept, so that all of them take half a megabyte at most.
const LONGEST: usize = 32;

/// The index form of a word.
#[derive(Debug, Default)]
pub(super) struct Term {
    word: String,
    pub text: String,
    /// Of `text`.
    pub hash: u64,
    /// What is known of it, once that was asked for.
    pub facts: Option<Facts>,
}

impl Term {
    fn is(&mut self, word: &str) {
        self.word.clear();
        self.word.push_str(word);
        stem_into(word, &mut self.text);
        self.hash = hash(&self.text);
        self.facts = None;
    }
}

/// The terms of one thread.
#[derive(Debug, Default)]
pub(super) struct Memo {
    places: Vec<Term>,
    long: Term,
}

impl Memo {
    /// The term of a folded word.
    pub fn term(&mut self, word: &str) -> &mut Term {
        if self.places.is_empty() {
            self.places.resize_with(PLACES, Term::default);
        }
        let at = hash(word) as usize % PLACES;
        let term = match self.places.get_mut(at) {
            Some(term) if word.len() <= LONGEST => term,
            _ => &mut self.long,
        };
        if term.word != word {
            term.is(word);
        }
        term
    }
}

thread_local! {
    static MEMO: RefCell<Memo> = RefCell::default();
}

/// Gives `body` the terms of this thread.
pub(super) fn with<T>(body: impl FnOnce(&mut Memo) -> T) -> T {
    MEMO.with_borrow_mut(body)
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "a test fails by panicking")]
mod tests {
    use super::super::stem::stem;
    use super::{LONGEST, Memo};

    #[test]
    fn a_term_is_that_of_its_word_whatever_came_before() {
        let mut memo = Memo::default();
        for round in 0..3 {
            for number in 0..20_000_u32 {
                let ending = ["ing", "ed", "s", "ation", ""][number as usize % 5];
                let mut word = format!("paint{}{ending}", number / 7);
                if number % 11 == 0 {
                    word = word.replace(|c: char| c.is_ascii_digit(), "e").repeat(LONGEST / 8);
                }
                let term = memo.term(&word);
                assert_eq!(
                    (term.text.as_str(), term.hash),
                    (stem(&word).as_str(), super::hash(&stem(&word))),
                    "{round}"
                );
            }
        }
    }
}
