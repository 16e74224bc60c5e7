//! The built-in embedder: the weighted mean of word vectors, offline, microseconds a message.
//!
//! It knows English words; words it does not know, in any language, add a small vector made of their character
//! trigrams, so that spelling variants and inflections of names and foreign words still meet.

mod dot;
mod table;

pub(crate) use dot::bytes as dot_bytes;
pub(crate) use table::table;

use crate::lexical::{is_function_word, stem_into, words};

/// What an unknown word weighs beside a rare known one.
const UNKNOWN: f32 = 0.5;

/// The number of components of an embedding.
#[must_use]
pub fn dimensions() -> usize {
    table().dim()
}

/// The name of the model, for stores that record which model made their vectors. It changes when the vectors do.
#[must_use]
pub fn model_name() -> &'static str {
    "ai-infra-words-1"
}

/// See [`crate::make_all`].
pub(crate) fn make_all() {
    table().row("");
}

/// Adds the vector of `text` into `out` (zeroed, `dimensions()` long) and makes it a unit vector.
/// A text without words stays zero.
pub fn embed_into(text: &str, out: &mut [f32]) {
    let mut stem = String::new();
    words(text, |word| {
        stem_into(word, &mut stem);
        if !is_function_word(&stem) {
            add_term(&stem, table().row(&stem), 1.0, out);
        }
    });
    normalize(out);
}

/// Adds the vector of a term that a text has `count` times; function words are left out by the caller, and
/// [`normalize`] ends the sum.
pub(crate) fn add_term(stem: &str, row: Option<u32>, count: f32, out: &mut [f32]) {
    let Some(row) = row else { return add_trigrams(stem, count, out) };
    let scale = count * table().weight(row) * table().inverse(row);
    for (o, v) in out.iter_mut().zip(table().vector(row)) {
        *o += scale * f32::from(*v as i8);
    }
}

/// One unit row for each text, one after another: `texts.len() * dimensions()` values.
#[must_use]
pub fn embed_batch(texts: &[&str]) -> Vec<f32> {
    let dim = dimensions().max(1);
    let mut out = vec![0.0; texts.len() * dim];
    for (text, row) in texts.iter().zip(out.chunks_exact_mut(dim)) {
        embed_into(text, row);
    }
    out
}

pub(crate) fn normalize(v: &mut [f32]) {
    let length = v.iter().map(|x| x * x).sum::<f32>().sqrt();
    if length > 0.0 && length.is_finite() {
        for x in v {
            *x /= length;
        }
    } else {
        v.fill(0.0);
    }
}

/// A word outside the table: each of its character trigrams (with its ends marked) turns three components up or down.
fn add_trigrams(word: &str, times: f32, out: &mut [f32]) {
    let dim = out.len() as u64;
    if dim == 0 {
        return;
    }
    let mut window = ['\u{2}'; 3];
    let count = word.chars().count().max(1) as f32;
    let step = times * UNKNOWN / (3.0 * count).sqrt();
    for c in word.chars().chain(['\u{3}']) {
        window = [window[1], window[2], c];
        // FNV-1a over the code points; the finalizer is the one of MurmurHash3.
        let mut h = 0xcbf2_9ce4_8422_2325_u64;
        for c in window {
            h = (h ^ u64::from(u32::from(c))).wrapping_mul(0x0100_0000_01b3);
        }
        for _ in 0..3 {
            h = (h ^ (h >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
            h ^= h >> 33;
            if let Some(o) = usize::try_from(h % dim).ok().and_then(|i| out.get_mut(i)) {
                *o += if h >> 63 == 0 { step } else { -step };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{dimensions, embed_batch};

    fn cosine(a: &str, b: &str) -> f32 {
        let v = embed_batch(&[a, b]);
        let (x, y) = v.split_at(dimensions());
        x.iter().zip(y).map(|(p, q)| p * q).sum()
    }

    #[test]
    fn meaning_beats_spelling() {
        assert!(
            cosine("User prefers Python for data science", "What programming languages does the user like?")
                > 0.3
        );
        assert!(
            cosine("She plays the violin", "musical instrument")
                > cosine("She pays the rent", "musical instrument") + 0.2
        );
    }

    #[test]
    fn unknown_words_meet_their_variants() {
        assert!(cosine("Проверка книги", "проверку книгу") > 0.4);
        assert!(cosine("Zyxwolf", "Zyxwolfs") > 0.5);
    }

    #[test]
    fn rows_are_unit_or_zero() {
        for text in ["", "   ", "\u{0}\u{202e}", "the of", "one two", &"x".repeat(100_000)] {
            let v = embed_batch(&[text]);
            let n: f32 = v.iter().map(|x| x * x).sum();
            assert!(n == 0.0 || (n - 1.0).abs() < 1e-4, "{n}");
        }
    }
}
