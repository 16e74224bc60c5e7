//! The class of a character, as far as the patterns of the encodings tell characters apart.

/// A set of classes; a single character has exactly one bit, the end of the text none.
pub type Classes = u16;

/// Everything that is no letter, mark, number or white space.
pub const OTHER: Classes = 1;
/// Upper and title case letters: `\p{Lu}`, `\p{Lt}`.
pub const UPPER: Classes = 1 << 1;
/// Lower case letters: `\p{Ll}`.
pub const LOWER: Classes = 1 << 2;
/// Letters without case: `\p{Lm}`, `\p{Lo}`.
pub const CASELESS: Classes = 1 << 3;
/// Marks: `\p{M}`.
pub const MARK: Classes = 1 << 4;
/// Numbers: `\p{N}`.
pub const NUMBER: Classes = 1 << 5;
/// The space U+0020.
pub const SPACE: Classes = 1 << 6;
/// White space but the space and the newlines.
pub const BLANK: Classes = 1 << 7;
/// `\r` and `\n`.
pub const NEWLINE: Classes = 1 << 8;

/// `\p{L}`.
pub const LETTER: Classes = UPPER | LOWER | CASELESS;
/// `\s`.
pub const WHITE: Classes = SPACE | BLANK | NEWLINE;

static INDEX: &[u8; 0x1100] = include_bytes!(concat!(env!("OUT_DIR"), "/classes.index"));
static BLOCKS: &[u8; 0x1_0000] = include_bytes!(concat!(env!("OUT_DIR"), "/classes.blocks"));

/// The class of the character that starts at byte `at` of `text`, and its length; `(0, 0)` at the end.
///
/// `text` is UTF-8 and `at` a character boundary; anything else gives a wrong class, never a panic.
#[inline(always)]
pub fn class_at(text: &[u8], at: usize) -> (Classes, usize) {
    let Some(&first) = text.get(at) else {
        return (0, 0);
    };
    if first < 0x80 {
        return (class_of(u32::from(first)), 1);
    }
    let next = |i: usize| u32::from(text.get(at + i).copied().unwrap_or(0) & 0x3F);
    let first = u32::from(first);
    if first < 0xE0 {
        (class_of((first & 0x1F) << 6 | next(1)), 2)
    } else if first < 0xF0 {
        (class_of((first & 0x0F) << 12 | next(1) << 6 | next(2)), 3)
    } else {
        (class_of((first & 0x07) << 18 | next(1) << 12 | next(2) << 6 | next(3)), 4)
    }
}

/// The class of a code point.
#[inline(always)]
fn class_of(code_point: u32) -> Classes {
    let block = INDEX.get((code_point >> 8) as usize).copied().unwrap_or(0);
    let class = BLOCKS.get(usize::from(block) << 8 | (code_point & 0xFF) as usize).copied().unwrap_or(0);
    1 << class
}
