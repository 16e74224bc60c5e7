//! A namespace too large for a process to hold, ranked as a local store ranks: its words are lists in the database
//! ([`crate::lexical::Appended`]), its vectors are compared there, and only what a question needs comes here.

use super::index::{VECTOR, WORDS};
use crate::embed;
use crate::error::Result;
use crate::lexical::{Appended, List, gains};
use crate::validate::{parse, text_of};

/// What is kept of an item.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Its words.
    pub length: u32,
    /// Its vector where that of the built-in embedder was asked for; `None` for a text without words.
    pub vector: Option<Vec<f32>>,
}

/// What to keep of items, given as JSON, and the lists of their words; they get the numbers from `first` on.
/// `removed` documents are noted. `local`: with vectors of the built-in embedder.
///
/// # Errors
/// [`crate::error::Error::StorageCorrupt`] when a value is no JSON.
pub fn documents(
    values: &[String],
    first: u32,
    removed: &[u32],
    local: bool,
) -> Result<(Vec<Document>, Vec<List>)> {
    let mut appended = Appended::default();
    let mut documents = Vec::with_capacity(values.len());
    let mut vector = vec![0.0; if local { embed::dimensions() } else { 0 }];
    for (value, turn) in values.iter().zip(0_u32..) {
        let number = first.saturating_add(turn);
        let text = text_of(&parse(value)?);
        let length = appended.add(number, &text, |_, _| {});
        vector.fill(0.0);
        if local {
            embed::embed_into(&text, &mut vector);
        }
        let some = vector.iter().any(|value| *value != 0.0);
        documents.push(Document { length, vector: some.then(|| vector.clone()) });
    }
    for number in removed {
        appended.remove(*number);
    }
    Ok((documents, appended.into_lists()))
}

/// What the words of a question give to the score of each document.
#[derive(Debug)]
pub struct Scores {
    /// By number: only those with a gain.
    by_number: Vec<(u32, f32)>,
}

impl Scores {
    /// From the lists that the question needs; `documents` are there, with `words` words together.
    #[must_use]
    pub fn new(question: &str, lists: &[List], documents: usize, words: u64) -> Self {
        let mut by_number = gains(question, lists, (documents, words), |mut gains, number| {
            gains.weigh(WORDS);
            gains.found().map(|(at, _, coverage)| (number(at), coverage)).collect::<Vec<_>>()
        });
        by_number.sort_unstable_by_key(|(number, _)| *number);
        Self { by_number }
    }

    /// The documents to which words give most, best first.
    #[must_use]
    pub fn best(&self, count: usize) -> Vec<u32> {
        let mut best = self.by_number.clone();
        let order = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        if count < best.len() {
            best.select_nth_unstable_by(count, order);
            best.truncate(count);
        }
        best.sort_unstable_by(order);
        best.into_iter().map(|(number, _)| number).collect()
    }

    /// The score of a document whose vector has this cosine with the question's; `None`: it has no vector.
    #[must_use]
    pub fn score(&self, number: u32, cosine: Option<f32>) -> f32 {
        let words = self.by_number.binary_search_by_key(&number, |(number, _)| *number);
        let words = words.ok().and_then(|at| self.by_number.get(at)).map_or(0.0, |(_, score)| *score);
        (words + VECTOR * cosine.unwrap_or(0.0)).clamp(0.0, 1.0)
    }
}

/// The cosine of a vector with one as PostgreSQL sends it (a `real[]` in binary); `None` where they cannot be compared.
#[must_use]
pub fn cosine(query: &[f32], array: &[u8]) -> Option<f32> {
    let (elements, rest) = array.get(20..)?.as_chunks::<8>();
    if elements.len() != query.len() || !rest.is_empty() {
        return None;
    }
    let (mut dot, mut own, mut other) = (0.0_f32, 0.0_f32, 0.0_f32);
    for ([_, _, _, _, number @ ..], asked) in elements.iter().zip(query) {
        let value = f32::from_be_bytes(*number);
        dot += value * asked;
        own += value * value;
        other += asked * asked;
    }
    let lengths = own.sqrt() * other.sqrt();
    (lengths > 0.0).then(|| dot / lengths)
}
