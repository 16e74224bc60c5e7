//! Folding of characters, so that `Café`, `CAFÉ` and `cafe` are one word, in any Unicode form.
//!
//! Decomposed and composed accents meet because combining marks of Latin, Greek and Cyrillic are dropped and the
//! composed letters are mapped to their base. Marks that carry vowels (Devanagari, Thai …) are kept.

/// How a character takes part in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Part of a word.
    Word,
    /// Part of a script written without spaces: indexed by pairs of characters.
    Pair,
    /// Invisible for search: combining accents, joiners, vowel points.
    Skip,
    /// Between words.
    Gap,
}

/// The kind of `c`.
pub(crate) fn kind(c: char) -> Kind {
    if c.is_ascii() {
        return if c.is_ascii_alphanumeric() { Kind::Word } else { Kind::Gap };
    }
    let u = u32::from(c);
    match u {
        // Combining accents, Hebrew points, Arabic marks and tatweel, joiners, variation selectors.
        0x00AD
        | 0x0300..=0x036F
        | 0x0483..=0x0489
        | 0x0591..=0x05C7
        | 0x0610..=0x061A
        | 0x0640
        | 0x064B..=0x065F
        | 0x0670
        | 0x06D6..=0x06ED
        | 0x200B..=0x200F
        | 0x2060
        | 0xFE00..=0xFE0F
        | 0xFEFF => Kind::Skip,
        // Thai, Lao, Myanmar, Hangul jamo, Khmer, kana, CJK, Hangul.
        0x0E50..=0x0E59 => Kind::Word,
        0x0E01..=0x0EFF
        | 0x1000..=0x109F
        | 0x1100..=0x11FF
        | 0x1780..=0x17D3
        | 0x3005
        | 0x3007
        | 0x3041..=0x3096
        | 0x309D..=0x309F
        | 0x30A1..=0x30FA
        | 0x30FC..=0x30FF
        | 0x3105..=0x312F
        | 0x31F0..=0x31FF
        | 0x3400..=0x4DBF
        | 0x4E00..=0x9FFF
        | 0xAC00..=0xD7A3
        | 0xF900..=0xFAFF
        | 0xFF66..=0xFF9F
        | 0x20000..=0x3FFFF => Kind::Pair,
        // Indic signs that are not alphabetic by themselves but lie inside words (virama, nukta).
        0x093C | 0x094D | 0x09BC | 0x09CD | 0x0A3C | 0x0A4D | 0x0ABC | 0x0ACD | 0x0B3C | 0x0B4D | 0x0BCD
        | 0x0C4D | 0x0CBC | 0x0CCD | 0x0D4D | 0x0DCA => Kind::Word,
        _ if c.is_alphanumeric() => Kind::Word,
        _ => Kind::Gap,
    }
}

/// Appends the folded form of `c` to `out`: lower case, without accents; full-width forms, ligatures, raised and lowered
/// digits and letters of mathematics are what they stand for.
pub(crate) fn fold_into(c: char, out: &mut String) {
    if c.is_ascii() {
        out.push(c.to_ascii_lowercase());
        return;
    }
    if let '\u{FF01}'..='\u{FF5E}' = c {
        if let Some(narrow) = char::from_u32(u32::from(c) - 0xFEE0) {
            out.push(narrow.to_ascii_lowercase());
        }
        return;
    }
    if let Some(plain) = of_mathematics(c) {
        out.push(plain);
        return;
    }
    for l in c.to_lowercase() {
        match base(l) {
            Some(s) => out.push_str(s),
            None if kind(l) == Kind::Skip => {}
            None => out.push(l),
        }
    }
}

/// The letter or digit that a mathematical one is, as posts write bold and italic with. Alphabets of 52 letters lie one
/// after the other there, then numerals of ten digits.
fn of_mathematics(c: char) -> Option<char> {
    let (first, numerals) = (0x1D400, 0x1D7CE);
    match u32::from(c) {
        u @ 0x1D400..=0x1D6A3 => char::from_u32(u32::from('a') + (u - first) % 26),
        u @ 0x1D7CE..=0x1D7FF => char::from_u32(u32::from('0') + (u - numerals) % 10),
        _ => None,
    }
}

/// What a lower-case letter with an accent, or one that stands for several, is reduced to.
fn base(c: char) -> Option<&'static str> {
    Some(match c {
        'à'..='å' | 'ā' | 'ă' | 'ą' | 'ǎ' | 'ạ'..='ặ' if c < 'ạ' || u32::from(c) % 2 == 1 => "a",
        'ç' | 'ć' | 'ĉ' | 'ċ' | 'č' => "c",
        'ð' | 'ď' | 'đ' => "d",
        'è'..='ë' | 'ē' | 'ĕ' | 'ė' | 'ę' | 'ě' | 'ẹ'..='ệ' => "e",
        'ĝ' | 'ğ' | 'ġ' | 'ģ' | 'ǧ' => "g",
        'ĥ' | 'ħ' => "h",
        'ì'..='ï' | 'ĩ' | 'ī' | 'ĭ' | 'į' | 'ı' | 'ǐ' | 'ỉ' | 'ị' => "i",
        'ĵ' => "j",
        'ķ' | 'ǩ' => "k",
        'ĺ' | 'ļ' | 'ľ' | 'ŀ' | 'ł' => "l",
        'ñ' | 'ń' | 'ņ' | 'ň' => "n",
        'ò'..='ö' | 'ø' | 'ō' | 'ŏ' | 'ő' | 'ơ' | 'ǒ' | 'ọ'..='ợ' => "o",
        'ŕ' | 'ŗ' | 'ř' => "r",
        'ś' | 'ŝ' | 'ş' | 'š' | 'ș' => "s",
        'ţ' | 'ť' | 'ŧ' | 'ț' => "t",
        'ù'..='ü' | 'ũ' | 'ū' | 'ŭ' | 'ů' | 'ű' | 'ų' | 'ư' | 'ǔ' | 'ụ'..='ự' => "u",
        'ŵ' => "w",
        'ý' | 'ÿ' | 'ŷ' | 'ỳ'..='ỹ' => "y",
        'ź' | 'ż' | 'ž' => "z",
        'ß' => "ss",
        'æ' => "ae",
        'œ' => "oe",
        'ﬀ' => "ff",
        'ﬁ' => "fi",
        'ﬂ' => "fl",
        'ﬃ' => "ffi",
        'ﬄ' => "ffl",
        'ﬅ' | 'ﬆ' => "st",
        'ĳ' => "ij",
        '⁰' | '₀' => "0",
        '¹' | '₁' => "1",
        '²' | '₂' => "2",
        '³' | '₃' => "3",
        '⁴' | '₄' => "4",
        '⁵' | '₅' => "5",
        '⁶' | '₆' => "6",
        '⁷' | '₇' => "7",
        '⁸' | '₈' => "8",
        '⁹' | '₉' => "9",
        'þ' => "th",
        'ς' => "σ",
        'ά' => "α",
        'έ' => "ε",
        'ή' => "η",
        'ί' | 'ϊ' | 'ΐ' => "ι",
        'ό' => "ο",
        'ύ' | 'ϋ' | 'ΰ' => "υ",
        'ώ' => "ω",
        'ё' => "е",
        'أ' | 'إ' | 'آ' | 'ٱ' => "ا",
        'ى' => "ي",
        _ => return None,
    })
}
