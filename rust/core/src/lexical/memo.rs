//! Words that came lately and what they are to an index: a text's words are mostly those of the texts before it, and
//! stemming one and looking up what is known of it takes longer than finding it here.
//!
//! Only words of the shipped table are kept. A name, a number or a key that somebody wrote is not: this outlives the
//! text, and a purge.

use std::cell::RefCell;

use super::stem::stem_into;
use super::vocab::Known;
use crate::embed::table;

/// Words that a thread keeps, a power of two: one in each place, the latest.
const PLACES: usize = 8_192;
/// Bytes of the longest word that is kept.
const LONGEST: usize = 23;

/// The index form of a word.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Term<'a> {
    /// One of the table.
    Known(Known),
    /// Any other.
    Other(&'a str),
}

/// A word, in half a cache line.
#[derive(Debug, Clone, Copy)]
struct Place {
    word: [u8; LONGEST],
    length: u8,
    known: Known,
}

impl Place {
    /// It has a length that no word has.
    const EMPTY: Self = Self { word: [0; LONGEST], length: u8::MAX, known: Known::NONE };

    fn of(word: &str, known: Known) -> Self {
        let mut place = Self { known, ..Self::EMPTY };
        if let Some(room) = place.word.get_mut(..word.len()) {
            room.copy_from_slice(word.as_bytes());
            place.length = word.len() as u8;
        }
        place
    }

    fn holds(&self, word: &str) -> bool {
        usize::from(self.length) == word.len() && self.word.get(..word.len()) == Some(word.as_bytes())
    }
}

/// Where a word is kept. Two words of one place cost a look-up each time they take turns, and nothing else.
fn place_of(word: &str) -> usize {
    let bytes = word.as_bytes();
    let ends = if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        [u64::from_le_bytes(*first), u64::from_le_bytes(*last)]
    } else if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        [first, last].map(|four| u64::from(u32::from_le_bytes(*four)))
    } else {
        [bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)), 0]
    };
    let [first, last] = ends;
    let mixed =
        (first ^ last.rotate_left(23)).wrapping_add(bytes.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 40) as usize % PLACES
}

/// The words of one thread.
#[derive(Debug, Default)]
pub(super) struct Memo {
    places: Vec<Place>,
    stem: String,
}

impl Memo {
    /// The term of a folded word.
    pub fn term(&mut self, word: &str) -> Term<'_> {
        if self.places.is_empty() {
            self.places.resize(PLACES, Place::EMPTY);
        }
        let place = self.places.get_mut(place_of(word));
        if let Some(place) = &place
            && place.holds(word)
        {
            return Term::Known(place.known);
        }
        stem_into(word, &mut self.stem);
        let Some(row) = table().row(&self.stem) else { return Term::Other(&self.stem) };
        let known = Known::of(row, &self.stem);
        if let Some(place) = place {
            *place = Place::of(word, known);
        }
        Term::Known(known)
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
    use super::{Known, LONGEST, Memo, Place, Term, table};

    fn plainly(word: &str) -> (String, Option<Known>) {
        let stem = stem(word);
        let row = table().row(&stem);
        let known = row.map(|row| Known::of(row, &stem));
        (stem, known)
    }

    #[test]
    fn a_term_is_that_of_its_word_whatever_came_before() {
        let mut memo = Memo::default();
        let roots = ["paint", "guitar", "lesson", "internation", "counterrevolution", "the", "like", "zq"];
        for round in 0..3 {
            for number in 0..20_000_u32 {
                let ending = ["ing", "ed", "s", "ation", "", "ary", "izations"][number as usize % 7];
                let mut word = format!("{}{ending}", roots[number as usize % roots.len()]);
                if number % 3 == 0 {
                    word = format!("{word}{}", number / 5);
                }
                if number % 11 == 0 {
                    word = word.replace(|c: char| c.is_ascii_digit(), "e").repeat(4);
                }
                let (stem, known) = plainly(&word);
                match (memo.term(&word), known) {
                    (Term::Known(found), Some(known)) => assert_eq!(found, known, "{word} {round}"),
                    (Term::Other(found), None) => assert_eq!(found, stem, "{word} {round}"),
                    (found, known) => assert_eq!((Some(found), known), (None, None), "{word} {round}"),
                }
            }
        }
        assert_eq!(memo.term(""), Term::Other(""));
    }

    #[test]
    fn every_word_of_the_table_is_known_again() {
        let mut memo = Memo::default();
        for _ in 0..2 {
            for row in (0..40_000).step_by(7) {
                let word = table().text(row).unwrap_or_default();
                let (stem, known) = plainly(word);
                match memo.term(word) {
                    Term::Known(found) => assert_eq!(Some(found), known, "{word}"),
                    Term::Other(found) => assert_eq!((found, None), (stem.as_str(), known), "{word}"),
                }
            }
        }
    }

    #[test]
    fn what_somebody_wrote_is_not_kept() {
        let mut memo = Memo::default();
        let long = "counterrevolutionaryisms";
        assert!(long.len() > LONGEST);
        for word in ["painting", "zaphodbeeble", "sk4711", "guitars", "4111111111111111", long] {
            memo.term(word);
        }
        memo.term("lessons");
        let text = |place: &Place| place.word[..usize::from(place.length)].to_vec();
        let filled = memo.places.iter().filter(|place| place.length != u8::MAX);
        let mut kept: Vec<Vec<u8>> = filled.map(text).collect();
        kept.sort();
        assert_eq!(kept, [&b"guitars"[..], b"lessons", b"painting"]);
        let empty = memo.places.iter().filter(|place| place.length == u8::MAX);
        assert!(empty.into_iter().all(|place| place.word == [0; LONGEST]));
    }
}
