//! Splitting text into search terms.
//!
//! Words are runs of letters and digits; inner apostrophes join (`don't` is one word) and a final `'s` is dropped.
//! Names that end in signs, as `C++` and `C#` do, are a term with them and one without.
//! Scripts that are written without spaces, and Korean, are indexed by pairs of neighbouring characters.
//! Linear in the length of the text; any text is fine.

use super::fold::{Kind, fold_into, kind};
use super::stem::stem;

/// Longer words (encoded data, hashes) are cut: nobody searches for more.
const MAX_WORD: usize = 64;

/// Calls `emit` with the folded form of every term of `text`, in order.
pub(crate) fn words(text: &str, mut emit: impl FnMut(&str)) {
    // Most texts are mostly words of ASCII letters and digits between other ASCII characters: each of them is its own
    // lower case. Whatever touches an apostrophe or another script is gone through by character, to the next gap.
    let mut lower = String::new();
    let mut rest = text;
    while let Some(start) = rest.bytes().position(|byte| !byte.is_ascii() || byte.is_ascii_alphanumeric()) {
        rest = rest.get(start..).unwrap_or_default();
        let end = rest.bytes().position(|byte| !byte.is_ascii_alphanumeric()).unwrap_or(rest.len());
        if rest.as_bytes().get(end).is_some_and(|next| *next == b'\'' || !next.is_ascii()) {
            let gap = |byte: u8| byte.is_ascii() && byte != b'\'' && !byte.is_ascii_alphanumeric();
            let end = rest.bytes().position(gap).unwrap_or(rest.len());
            let (part, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
            any_words(part, &mut emit);
            rest = after;
            continue;
        }
        let (word, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
        lower.clear();
        lower.push_str(word.get(..MAX_WORD).unwrap_or(word));
        lower.make_ascii_lowercase();
        emit(&lower);
        if let Some(signs) = signs(after) {
            lower.push_str(signs);
            emit(&lower);
        }
        rest = after;
    }
}

/// The signs behind a word that make another name of it.
fn signs(after: &str) -> Option<&'static str> {
    let follows = |sign: u8| after.as_bytes().get(1).is_some_and(|next| *next == sign);
    match after.as_bytes().first()? {
        b'+' if follows(b'+') => Some("++"),
        // Behind that of a link there is more.
        b'#' if !follows(b'#') && !after.as_bytes().get(1).is_some_and(u8::is_ascii_alphanumeric) => {
            Some("#")
        }
        _ => None,
    }
}

/// [`words`] of a text of any characters.
fn any_words(text: &str, mut emit: impl FnMut(&str)) {
    let mut word = String::new();
    let mut run: Vec<char> = Vec::new();
    let mut pending = false; // an apostrophe after the word so far
    let mut after = String::new(); // what followed the last apostrophe
    for c in text.chars() {
        match kind(c) {
            Kind::Skip => {}
            Kind::Word => {
                flush_run(&mut run, &mut word, &mut emit);
                if word.len() < MAX_WORD {
                    if pending {
                        after.clear();
                        pending = false;
                    }
                    let before = word.len();
                    fold_into(c, &mut word);
                    after.push_str(word.get(before..).unwrap_or_default());
                }
            }
            Kind::Pair => {
                flush_word(&mut word, &mut after, &mut pending, &mut emit);
                run.push(c);
            }
            Kind::Gap => {
                flush_run(&mut run, &mut word, &mut emit);
                if matches!(c, '\'' | '’') && !word.is_empty() && !pending {
                    pending = true;
                } else {
                    flush_word(&mut word, &mut after, &mut pending, &mut emit);
                }
            }
        }
    }
    flush_run(&mut run, &mut word, &mut emit);
    flush_word(&mut word, &mut after, &mut pending, &mut emit);
}

/// Emits the word so far, without a possessive ending.
fn flush_word(word: &mut String, after: &mut String, pending: &mut bool, emit: &mut impl FnMut(&str)) {
    if !word.is_empty() {
        // `after` holds what came behind the last apostrophe, or the whole word when there was none.
        let stemmed = if after == "s" && word.len() > 1 {
            word.strip_suffix('s').unwrap_or(word.as_str())
        } else {
            word.as_str()
        };
        emit(stemmed);
        word.clear();
    }
    after.clear();
    *pending = false;
}

/// Emits a run of characters of a script without spaces as overlapping pairs.
fn flush_run(run: &mut Vec<char>, buffer: &mut String, emit: &mut impl FnMut(&str)) {
    if run.is_empty() {
        return;
    }
    if let [only] = run.as_slice() {
        buffer.push(*only);
        emit(buffer);
        buffer.clear();
    }
    for pair in run.windows(2) {
        buffer.extend(pair);
        emit(buffer);
        buffer.clear();
    }
    run.clear();
}

/// The index form of a folded word.
#[must_use]
pub fn term(word: &str) -> String {
    stem(word)
}

/// The terms of `text` in order: folded, and stemmed where they are English-like.
#[must_use]
pub fn terms(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    words(text, |w| out.push(term(w)));
    out
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "a test fails by panicking")]
mod tests {
    use super::{any_words, terms, words};

    fn plain(text: &str) -> Vec<String> {
        let mut out = Vec::new();
        words(text, |w| out.push(w.to_owned()));
        out
    }

    #[test]
    fn words_are_folded_and_split() {
        assert_eq!(plain("Zoë's café, don't!"), ["zoe", "cafe", "dont"]);
        assert_eq!(plain("cafe\u{301} CAFÉ cafés"), ["cafe", "cafe", "cafes"]);
        assert_eq!(plain("snake_case v2.10 ok?"), ["snake", "case", "v2", "10", "ok"]);
        assert_eq!(plain("Straße İstanbul ΣΊΣΥΦΟΣ"), ["strasse", "istanbul", "σισυφοσ"]);
        assert_eq!(
            plain("the ﬁrst oﬃce ﬂoor: 12 m², CO₂"),
            ["the", "first", "office", "floor", "12", "m2", "co2"]
        );
        assert_eq!(plain("𝐁𝐨𝐥𝐝 𝘪𝘵𝘢𝘭𝘪𝘤 𝟚𝟘"), ["bold", "italic", "20"]);
        assert_eq!(plain("C++17, C#. F# g++"), ["c", "c++", "17", "c", "c#", "f", "f#", "g", "g++"]);
        assert_eq!(plain("C+ # ## a## page.html#top 1+1"), ["c", "a", "page", "html", "top", "1", "1"]);
        assert_eq!(plain("'s boss' its"), ["s", "boss", "its"]);
    }

    #[test]
    fn words_of_letters_are_those_that_every_character_gives() {
        let parts = [
            "a", "S", "word", "Words", "x9", "'", "’", "'s", "-", " ", "\n", "é", "Ä", "猫", "犬", "\u{301}",
            "한국", "हि", "ß", ".", "\u{200b}", "\u{ff21}", "long",
        ];
        let mut state = 3_u64;
        let mut random = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        for _ in 0..50_000 {
            let mut text: String = (0..random(12)).map(|_| parts[random(parts.len())]).collect();
            if random(50) == 0 {
                text.push_str(&text.repeat(20));
            }
            let mut every = Vec::new();
            any_words(&text, |word| every.push(word.to_owned()));
            assert_eq!(plain(&text), every, "{text:?}");
        }
    }

    #[test]
    fn scripts_without_spaces_become_pairs() {
        assert_eq!(plain("我喜欢猫 ok"), ["我喜", "喜欢", "欢猫", "ok"]);
        assert_eq!(plain("猫"), ["猫"]);
        assert_eq!(plain("東京tower"), ["東京", "tower"]);
        assert_eq!(plain("한국어"), ["한국", "국어"]);
    }

    #[test]
    fn indic_words_stay_whole() {
        assert_eq!(plain("हिन्दी में"), ["हिन्दी", "में"]);
    }

    #[test]
    fn terms_are_stemmed() {
        assert_eq!(terms("Painting the paintings"), ["paint", "the", "paint"]);
    }
}
