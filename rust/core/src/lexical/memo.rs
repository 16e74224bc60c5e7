//! Words that came lately and what they are to an index: a text's words are mostly those of the texts before it, and
//! stemming one and looking up what is known of it takes longer than finding it here.
//!
//! Only words of the shipped table are kept. A name, a number or a key that somebody wrote is not: this outlives the
//! text, and a purge.

use std::cell::RefCell;

use super::stem::stem_into;
use super::vocab::{Facts, hash};
use crate::embed::table;

/// Words that a thread keeps, a power of two: one in each place, the latest.
const PLACES: usize = 4_096;

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
    /// The latest that is not kept.
    other: Term,
}

impl Memo {
    /// The term of a folded word.
    pub fn term(&mut self, word: &str) -> &mut Term {
        if self.places.is_empty() {
            self.places.resize_with(PLACES, Term::default);
        }
        let at = hash(word) as usize % PLACES;
        match self.places.get_mut(at) {
            Some(term) if term.word == word => term,
            Some(term) => {
                self.other.is(word);
                if table().row(&self.other.text).is_none() {
                    return &mut self.other;
                }
                std::mem::swap(term, &mut self.other);
                term
            }
            None => &mut self.other,
        }
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
    use super::Memo;

    #[test]
    fn a_term_is_that_of_its_word_whatever_came_before() {
        let mut memo = Memo::default();
        for round in 0..3 {
            for number in 0..20_000_u32 {
                let ending = ["ing", "ed", "s", "ation", ""][number as usize % 5];
                let mut word = format!("paint{}{ending}", number / 7);
                if number % 11 == 0 {
                    word = word.replace(|c: char| c.is_ascii_digit(), "e").repeat(4);
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
    #[test]
    fn what_somebody_wrote_is_not_kept() {
        let mut memo = Memo::default();
        for word in ["painting", "zaphodbeeble", "sk4711", "guitars", "4111111111111111"] {
            memo.term(word);
        }
        memo.term("lessons");
        let kept: Vec<&str> =
            memo.places.iter().map(|term| term.word.as_str()).filter(|w| !w.is_empty()).collect();
        assert_eq!(kept.len(), 3, "{kept:?}");
        assert!(kept.iter().all(|word| ["painting", "guitars", "lessons"].contains(word)), "{kept:?}");
    }
}
