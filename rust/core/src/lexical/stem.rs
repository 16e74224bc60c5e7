//! English stemming: Martin Porter's second algorithm ("Porter2"), as published at
//! <https://snowballstem.org/algorithms/english/stemmer.html>, written from its description.
//!
//! It is applied to tokens of ASCII letters only, on both sides of a search, so that texts in other
//! languages lose nothing but the endings they share with English. Linear in the length of the word.

/// Words whose stem the rules would get wrong, and what they become.
const SPECIAL: &[(&str, &str)] = &[
    ("skis", "ski"),
    ("skies", "sky"),
    ("paste", "paste"),
    ("pasted", "paste"),
    ("pastes", "paste"),
    ("pasting", "paste"),
    ("vying", "vie"),
    ("dying", "die"),
    ("lying", "lie"),
    ("tying", "tie"),
    ("idly", "idl"),
    ("gently", "gentl"),
    ("ugly", "ugli"),
    ("early", "earli"),
    ("only", "onli"),
    ("singly", "singl"),
    ("sky", "sky"),
    ("news", "news"),
    ("howe", "howe"),
    ("atlas", "atlas"),
    ("cosmos", "cosmos"),
    ("bias", "bias"),
    ("andes", "andes"),
];

const LONGEST_SPECIAL: usize = 7;

/// What ends in one of these has none of the endings below.
const FIXED: [char; 14] = ['a', 'b', 'f', 'h', 'j', 'k', 'o', 'p', 'q', 'u', 'v', 'w', 'x', 'z'];

/// Words that are left alone once a plural ending is gone.
const KEPT: &[&str] =
    &["inning", "outing", "canning", "herring", "earring", "proceed", "exceed", "succeed", "evening"];

fn is_vowel(w: &[u8], i: usize) -> bool {
    match w.get(i) {
        Some(b'a' | b'e' | b'i' | b'o' | b'u') => true,
        Some(b'y') => i > 0 && !is_vowel(w, i - 1),
        _ => false,
    }
}

fn has_vowel(w: &[u8], end: usize) -> bool {
    (0..end).any(|i| is_vowel(w, i))
}

/// Where the region after the first consonant that follows a vowel begins, from `from` on.
fn region(w: &[u8], from: usize) -> usize {
    let mut i = from;
    while i < w.len() && !is_vowel(w, i) {
        i += 1;
    }
    while i < w.len() && is_vowel(w, i) {
        i += 1;
    }
    (i + 1).min(w.len())
}

/// A short syllable ends at `end`: vowel + consonant other than w, x, y after a consonant, or a vowel
/// that begins the word followed by a consonant.
fn short_syllable(w: &[u8], end: usize) -> bool {
    match end {
        0 | 1 => false,
        2 => is_vowel(w, 0) && !is_vowel(w, 1),
        _ => {
            !is_vowel(w, end - 3)
                && is_vowel(w, end - 2)
                && !is_vowel(w, end - 1)
                && !matches!(w.get(end - 1), Some(b'w' | b'x' | b'y'))
        }
    }
}

/// Most words differ from most endings in the last letter, which takes no call to see.
#[inline(always)]
fn ends(w: &[u8], suffix: &str) -> bool {
    w.last() == suffix.as_bytes().last() && w.ends_with(suffix.as_bytes())
}

fn cut(w: &mut Vec<u8>, n: usize) {
    w.truncate(w.len().saturating_sub(n));
}

fn swap(w: &mut Vec<u8>, n: usize, by: &str) {
    cut(w, n);
    w.extend_from_slice(by.as_bytes());
}

/// The stem of a lower-case ASCII word; any other text comes back unchanged.
#[must_use]
pub fn stem(word: &str) -> String {
    let mut out = String::new();
    stem_into(word, &mut out);
    out
}

/// Puts the [`stem`] of `word` in the place of what `out` holds.
pub(crate) fn stem_into(word: &str, out: &mut String) {
    out.clear();
    if word.len() <= 2 || !word.bytes().all(|b| b.is_ascii_lowercase()) {
        out.push_str(word);
        return;
    }
    if word.ends_with(FIXED) {
        out.push_str(word);
        return;
    }
    let special = || SPECIAL.iter().find(|(w, _)| *w == word);
    if word.len() <= LONGEST_SPECIAL
        && let Some((_, s)) = special()
    {
        out.push_str(s);
        return;
    }
    let mut w = std::mem::take(out).into_bytes();
    w.extend_from_slice(word.as_bytes());
    reduce(word, &mut w);
    *out = String::from_utf8(w).unwrap_or_default();
}

fn reduce(word: &str, w: &mut Vec<u8>) {
    let r1 = ["gener", "commun", "arsen", "emerg", "inter", "later", "organ", "past", "univers"]
        .iter()
        .find(|p| word.starts_with(**p))
        .map_or_else(|| region(w, 0), |p| p.len());
    let r2 = region(w, r1);

    plural(w);
    if KEPT.iter().any(|k| k.as_bytes() == w.as_slice()) {
        return;
    }
    past_and_gerund(w, r1);
    // 1c: a final y after a consonant that is not the first letter.
    if w.len() > 2 && w.last() == Some(&b'y') && !is_vowel(w, w.len() - 2) {
        swap(w, 1, "i");
    }
    derivation(w, r1);
    adjective(w, r1, r2);
    residue(w, r2);
    final_letter(w, r1, r2);
}

/// Step 1a.
fn plural(w: &mut Vec<u8>) {
    if ends(w, "sses") {
        cut(w, 2);
    } else if ends(w, "ied") || ends(w, "ies") {
        let n = if w.len() > 4 { 2 } else { 1 };
        cut(w, n);
    } else if ends(w, "us") || ends(w, "ss") {
    } else if ends(w, "s") && has_vowel(w, w.len().saturating_sub(2)) {
        cut(w, 1);
    }
}

/// Step 1b.
fn past_and_gerund(w: &mut Vec<u8>, r1: usize) {
    for s in ["eedly", "eed"] {
        if ends(w, s) {
            if w.len() - s.len() >= r1 {
                swap(w, s.len(), "ee");
            }
            return;
        }
    }
    for s in ["ingly", "edly", "ing", "ed"] {
        if !ends(w, s) {
            continue;
        }
        if !has_vowel(w, w.len() - s.len()) {
            return;
        }
        cut(w, s.len());
        if ends(w, "at") || ends(w, "bl") || ends(w, "iz") {
            w.push(b'e');
        } else if ["bb", "dd", "ff", "gg", "mm", "nn", "pp", "rr", "tt"].iter().any(|d| ends(w, d)) {
            // "add", "egg" and "err" are whole words.
            if !(w.len() == 3 && matches!(w.first(), Some(b'a' | b'e' | b'o'))) {
                cut(w, 1);
            }
        } else if r1 >= w.len() && short_syllable(w, w.len()) {
            w.push(b'e');
        }
        return;
    }
}

/// Step 2: the longest of these endings, if it lies in R1.
fn derivation(w: &mut Vec<u8>, r1: usize) {
    const TABLE: &[(&str, &str)] = &[
        ("ization", "ize"),
        ("ational", "ate"),
        ("fulness", "ful"),
        ("ousness", "ous"),
        ("iveness", "ive"),
        ("tional", "tion"),
        ("biliti", "ble"),
        ("lessli", "less"),
        ("entli", "ent"),
        ("ation", "ate"),
        ("alism", "al"),
        ("aliti", "al"),
        ("ogist", "og"),
        ("ousli", "ous"),
        ("iviti", "ive"),
        ("fulli", "ful"),
        ("enci", "ence"),
        ("anci", "ance"),
        ("abli", "able"),
        ("izer", "ize"),
        ("ator", "ate"),
        ("alli", "al"),
        ("bli", "ble"),
    ];
    for (s, by) in TABLE {
        if ends(w, s) {
            if w.len() - s.len() >= r1 {
                swap(w, s.len(), by);
            }
            return;
        }
    }
    if ends(w, "ogi") {
        if w.len() - 3 >= r1 && w.get(w.len().wrapping_sub(4)) == Some(&b'l') {
            cut(w, 1);
        }
    } else if ends(w, "li")
        && w.len() - 2 >= r1
        && matches!(
            w.get(w.len().wrapping_sub(3)),
            Some(b'c' | b'd' | b'e' | b'g' | b'h' | b'k' | b'm' | b'n' | b'r' | b't')
        )
    {
        cut(w, 2);
    }
}

/// Step 3.
fn adjective(w: &mut Vec<u8>, r1: usize, r2: usize) {
    const TABLE: &[(&str, &str)] = &[
        ("ational", "ate"),
        ("tional", "tion"),
        ("alize", "al"),
        ("icate", "ic"),
        ("iciti", "ic"),
        ("ical", "ic"),
        ("ness", ""),
        ("ful", ""),
    ];
    for (s, by) in TABLE {
        if ends(w, s) {
            if w.len() - s.len() >= r1 {
                swap(w, s.len(), by);
            }
            return;
        }
    }
    if ends(w, "ative") && w.len() - 5 >= r2 {
        cut(w, 5);
    }
}

/// Step 4: the longest of these endings, if it lies in R2.
fn residue(w: &mut Vec<u8>, r2: usize) {
    const TABLE: &[&str] = &[
        "ement", "ance", "ence", "able", "ible", "ment", "ant", "ent", "ism", "ate", "iti", "ous", "ive",
        "ize", "al", "er", "ic",
    ];
    for s in TABLE {
        if ends(w, s) {
            if w.len() - s.len() >= r2 {
                cut(w, s.len());
            }
            return;
        }
    }
    if ends(w, "ion") && w.len() - 3 >= r2 && matches!(w.get(w.len().wrapping_sub(4)), Some(b's' | b't')) {
        cut(w, 3);
    }
}

/// Step 5.
fn final_letter(w: &mut Vec<u8>, r1: usize, r2: usize) {
    let n = w.len();
    if ends(w, "e") {
        if n > r2 || (n > r1 && !short_syllable(w, n - 1)) {
            cut(w, 1);
        }
    } else if ends(w, "ll") && n > r2 {
        cut(w, 1);
    }
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "a test fails by panicking")]
mod tests {
    use super::stem;

    #[test]
    fn inflections_of_one_word_share_a_stem() {
        for group in [
            &["paint", "paints", "painted", "painting"][..],
            &["hike", "hikes", "hiked", "hiking"],
            &["argue", "argued", "argues", "arguing"],
            &["happy", "happiness"],
            &["adoption", "adoptions", "adopt", "adopted"],
            &["run", "running", "runs"],
            &["city", "cities"],
        ] {
            let first = stem(group[0]);
            for w in group {
                assert_eq!(stem(w), first, "{w}");
            }
        }
    }

    /// Whatever stands before such a letter, no rule applies.
    #[test]
    fn what_has_no_ending_is_its_own_stem() {
        let table = crate::embed::table();
        let words = (0..40_000).filter_map(|row| table.text(row)).filter(|word| word.len() > 1);
        for word in words.filter(|word| word.bytes().all(|b| b.is_ascii_lowercase())) {
            for letter in super::FIXED {
                let mut rules = format!("{word}{letter}").into_bytes();
                super::reduce(&format!("{word}{letter}"), &mut rules);
                assert_eq!(rules, format!("{word}{letter}").into_bytes());
                assert_eq!(stem(&format!("{word}{letter}")).as_bytes(), rules);
            }
        }
        assert!(super::SPECIAL.iter().all(|(word, _)| !word.ends_with(super::FIXED)));
    }

    #[test]
    fn special_words_are_seen() {
        for (word, wanted) in super::SPECIAL {
            assert!(word.len() <= super::LONGEST_SPECIAL);
            assert_eq!(stem(word), *wanted);
        }
    }

    #[test]
    fn words_that_only_look_inflected_are_kept() {
        for w in ["news", "gas", "this", "sky", "evening", "bus", "kiwi", "по", "straße", "a", ""] {
            let s = stem(w);
            assert!(w.starts_with(s.as_str()) && s.len() + 1 >= w.len(), "{w} became {s}");
        }
        assert_eq!(stem("news"), "news");
    }
}
