//! An estimate of the tokens of a text from its characters alone, for models whose vocabulary is not public.
//!
//! # The rule
//! One pass adds a cost for each character, in thousandths of a token; the sum is rounded up. It depends on the kind
//! of the character and on how many of its kind came just before:
//!
//! | characters | cost |
//! |---|---|
//! | ASCII letters | 900 for the first of a word, 40 up to the fifth, 170 up to the 21st, then 400; 220 in a word after a Latin letter beyond ASCII; a capital after a small letter starts anew, a capital after a capital is 250 |
//! | digits | 1,000 for the first of each three |
//! | ASCII punctuation | 700, after a digit 900; 540 for what follows directly, 130 if it repeats |
//! | ASCII white space | nothing for one space, 30 for each that follows; 600 for a newline, 100 for each that follows; else 200 |
//! | all others | a cost for each character by script, and more for the first of a word ([`SCRIPTS`]); joiners and variation selectors 600 |
//!
//! The costs were fitted to `o200k_base` on prose, chat, code and the message catalogues of Debian's programs in 30
//! languages; they lean to the high side, because a prompt that
//! is too long fails and one that is a little shorter than it might be does not. The estimate never shrinks when
//! text is added at the end.

/// Costs of one script: code points up to `last` cost `letter`, the first of a word `first` more.
struct Script {
    last: u32,
    first: u32,
    letter: u32,
}

const fn script(last: u32, first: u32, letter: u32) -> Script {
    Script { last, first, letter }
}

/// By code point; each row starts where the one before ended.
const SCRIPTS: [Script; 33] = [
    script(0x00BF, 900, 0),       // Latin-1 punctuation and symbols
    script(0x00FF, 200, 420),     // Latin-1 letters
    script(0x017F, 250, 680),     // Latin Extended-A: Polish, Czech, Hungarian, Turkish
    script(0x024F, 150, 250),     // Latin Extended-B: Vietnamese mostly
    script(0x036F, 500, 500),     // phonetic letters, combining marks
    script(0x03FF, 400, 305),     // Greek
    script(0x044F, 400, 235),     // Cyrillic: Russian
    script(0x052F, 400, 1000),    // Cyrillic of other languages
    script(0x058F, 500, 320),     // Armenian
    script(0x05FF, 450, 360),     // Hebrew
    script(0x07BF, 450, 270),     // Arabic, Syriac, Thaana
    script(0x08FF, 600, 600),     // N'Ko and others
    script(0x097F, 350, 275),     // Devanagari
    script(0x0D7F, 400, 300),     // Bengali to Malayalam
    script(0x0DFF, 400, 420),     // Sinhala
    script(0x0E7F, 300, 400),     // Thai
    script(0x0EFF, 300, 600),     // Lao
    script(0x0FFF, 300, 900),     // Tibetan
    script(0x109F, 300, 460),     // Myanmar
    script(0x10FF, 300, 305),     // Georgian
    script(0x11FF, 300, 1300),    // Hangul Jamo
    script(0x137F, 300, 2150),    // Ethiopic
    script(0x17FF, 300, 900),     // Cherokee to Khmer
    script(0x1DFF, 500, 1100),    // Mongolian and others
    script(0x1EFF, 150, 180),     // Latin Extended Additional: Vietnamese
    script(0x1FFF, 450, 900),     // Greek Extended
    script(0x2FFF, 300, 1100),    // punctuation, symbols, radicals
    script(0x303F, 300, 700),     // CJK punctuation
    script(0x30FF, 150, 615),     // kana
    script(0x33FF, 200, 1500),    // Bopomofo, compatibility letters
    script(0x9FFF, 150, 720),     // Han; rare ones of Extension A too
    script(0xD7FF, 200, 620),     // Hangul syllables
    script(0x10_FFFF, 300, 1900), // the rest: emoji, Han extensions, historic scripts
];

/// What came just before a character.
#[derive(Clone, Copy, PartialEq)]
enum Before {
    Nothing,
    Letter,
    Digit,
    Punctuation,
    White,
    Script,
}

/// An estimate of the number of tokens of `text`; see the rule above. Linear in its length.
pub fn count_approximate(text: &str) -> usize {
    let mut cost = 0_u64;
    let mut before = Before::Nothing;
    let mut run = 0_u32;
    let mut last = '\0';
    let mut foreign = false;
    for c in text.chars() {
        let kind = match c {
            'a'..='z' | 'A'..='Z' => Before::Letter,
            '0'..='9' => Before::Digit,
            '\t'..='\r' | ' ' => Before::White,
            '\0'..='\x7f' => Before::Punctuation,
            _ => Before::Script,
        };
        let starts =
            kind != before || (kind == Before::Letter && c.is_ascii_uppercase() && last.is_ascii_lowercase());
        foreign = match kind {
            Before::Letter => foreign,
            Before::Script => matches!(c, '\u{C0}'..='\u{24F}'),
            _ => false,
        };
        run = if starts { 0 } else { run.saturating_add(1) };
        cost += u64::from(match kind {
            Before::Letter => letter(run, before == Before::Script, foreign, c, last),
            Before::Digit => u32::from(run.is_multiple_of(3)) * 1000,
            Before::Punctuation => punctuation(run, c == last, before == Before::Digit),
            Before::White => white(run, c, last),
            Before::Script | Before::Nothing => other(run, c),
        });
        before = kind;
        last = c;
    }
    usize::try_from(cost.div_ceil(1000)).unwrap_or(usize::MAX)
}

/// An ASCII letter that is number `run` of its word, after `last`. A `foreign` word has a Latin letter beyond ASCII
/// before it: of such words the vocabulary has fewer whole.
fn letter(run: u32, continues: bool, foreign: bool, c: char, last: char) -> u32 {
    let capitals = c.is_ascii_uppercase() && last.is_ascii_uppercase();
    match run {
        0 if matches!(last, '\u{1E00}'..='\u{1EFF}') => 30, // Vietnamese: short words, most of them whole
        0 if continues => 300,
        0 => 900,
        _ if capitals => 250,
        _ if foreign => 220,
        1..=4 => 40,
        5..=20 => 170,
        _ => 400, // no word: letters without sense
    }
}

fn punctuation(run: u32, repeated: bool, after_digit: bool) -> u32 {
    match (run, repeated) {
        (0, _) if after_digit => 900,
        (0, _) => 700,
        (_, true) => 130,
        (_, false) => 540,
    }
}

fn white(run: u32, c: char, last: char) -> u32 {
    match (c, last) {
        ('\n', '\n') => 100,
        ('\n', _) => 600,
        (' ', _) if run == 0 => 0,
        (' ', ' ') => 30,
        _ => 200,
    }
}

fn other(run: u32, c: char) -> u32 {
    let code = u32::from(c);
    let Some(script) = SCRIPTS.iter().find(|script| code <= script.last) else { return 0 };
    match code {
        0x200C..=0x200F | 0xFE00..=0xFE0F => 600,
        _ if run == 0 => script.first + script.letter,
        _ => script.letter,
    }
}
