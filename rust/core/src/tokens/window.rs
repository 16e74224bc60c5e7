//! Pre-token boundaries of 64 ASCII bytes at a time, by arithmetic on bit masks.
//!
//! A window always starts where a pre-token starts, so nothing is carried over from the one before. Whatever a
//! window cannot decide (a character beyond ASCII, blanks before a newline, what the bytes after it change) ends
//! the part of it that counts; the scanners of [`super::split`] take one pre-token there, and a new window starts.
//!
//! Notation: bit i of a mask is byte i; `mask << 1` tells of the byte before, `mask >> 1` of the byte after.

use super::lanes::Masks;
use super::split::{Cl100k, O200k, contraction};

/// The boundaries found in a window.
#[derive(Debug, Clone, Copy)]
pub struct Boundaries {
    /// Where pre-tokens end, and the next start; bit 0 is never set.
    pub ends: u64,
    /// The first byte that windows cannot judge; 64 or more if there is none.
    pub trouble: u32,
}

/// A pattern whose boundaries can be computed from masks.
pub trait Windowed {
    /// The boundaries in `window`, of which the first `length` bytes are text. `ended` tells that the text ends
    /// there (`length < 64` then), else more follows.
    fn boundaries(window: &[u8], masks: &Masks, length: u32, ended: bool) -> Boundaries;
}

/// The bits below `n`, for `n` up to 64.
#[inline(always)]
fn below(n: u32) -> u64 {
    if n >= 64 { u64::MAX } else { (1 << n) - 1 }
}

/// The classes and the joins that the two patterns have in common.
struct Common {
    /// Punctuation and control characters that start a pre-token.
    leads: u64,
    /// Bytes that belong to the pre-token of the byte before them, but for letters after letters, and contractions.
    joined: u64,
    /// Boundaries at this bit or below it are certain.
    limit: u32,
    trouble: u32,
}

#[inline(always)]
fn common(m: &Masks, trouble: u64, length: u32) -> Common {
    let white = m.space | m.control;
    let blank = white & !m.newline;
    let other = !(m.letter | m.digit | white | m.high);
    // A run of white space that ends in blanks after a newline is cut after its last newline; where blanks come
    // before a newline that takes more than one look.
    let trouble = trouble | m.high | blank & m.newline >> 1;
    let trouble = trouble.trailing_zeros().min(length);
    // White space that touches the trouble may be cut otherwise, depending on what comes.
    let limit = 64 - (!white & below(trouble)).leading_zeros();

    // ` ?[^\s\p{L}\p{N}]+`: punctuation continues punctuation, or a space.
    let joined_other = other & (other | m.space) << 1;
    let leads = other & !joined_other;
    // One blank or one piece of punctuation may lead a word.
    let joined_letter = m.letter & (blank | leads) << 1;
    // Newlines continue punctuation and any white space.
    let joined_newline = m.newline & (other | white) << 1;
    // `\s+(?!\S)`: blanks continue blanks, but the last one belongs to what follows.
    let joined_blank = blank & blank << 1 & white >> 1;
    // `\p{N}{1,3}`
    let mut third = m.digit & !(m.digit << 1);
    let mut joined_digit = m.digit & m.digit << 1;
    let four = m.digit & m.digit << 1 & m.digit << 2;
    loop {
        third = third << 3 & four;
        if third == 0 {
            break;
        }
        joined_digit &= !third;
    }
    let joined = joined_other | joined_letter | joined_newline | joined_blank | joined_digit;
    Common { leads, joined, limit, trouble }
}

/// The boundaries that count: those that are certain, and the end of the text.
#[inline(always)]
fn certain(joined: u64, common: &Common, limit: u32, length: u32, ended: bool) -> Boundaries {
    let mut ends = !joined & below(limit + 1) & below(common.trouble) & !1;
    if ended && limit >= length {
        ends |= 1 << length;
    }
    Boundaries { ends, trouble: common.trouble }
}

impl Windowed for O200k {
    #[inline(always)]
    fn boundaries(window: &[u8], m: &Masks, length: u32, ended: bool) -> Boundaries {
        // A slash after a newline may belong to the punctuation before the newline.
        let common = common(m, m.newline & m.slash >> 1, length);
        let (upper, lower) = (m.letter & !m.bit5, m.letter & m.bit5);
        let mut joined = common.joined | m.letter & m.letter << 1 & !(upper & lower << 1);
        let mut limit = common.limit;
        // `(?i:'s|'t|'re|'ve|'m|'ll|'d)?` after a word.
        let unseen = !below(common.trouble.saturating_sub(1));
        let mut apostrophes = m.apostrophe & m.letter << 1 & (m.letter >> 1 | unseen) & below(common.trouble);
        let mut after_contraction = 0;
        while apostrophes != 0 {
            let at = apostrophes.trailing_zeros();
            apostrophes &= apostrophes - 1;
            if at + 3 > common.trouble {
                limit = limit.min(at - 1); // `at > 0`: a letter is before it
                break;
            }
            if at == after_contraction {
                continue; // the word before ended with its contraction
            }
            let size = contraction(window, at as usize) as u32;
            if size > 0 {
                after_contraction = at + size;
                joined |= below(after_contraction) & !below(at);
                joined &= !(1_u64.checked_shl(after_contraction).unwrap_or(0));
            }
        }
        certain(joined, &common, limit, length, ended)
    }
}

impl Windowed for Cl100k {
    #[inline(always)]
    fn boundaries(window: &[u8], m: &Masks, length: u32, ended: bool) -> Boundaries {
        let common = common(m, 0, length);
        let mut joined = common.joined | m.letter & m.letter << 1;
        let mut limit = common.limit;
        // `'(?i:[sdmt]|ll|ve|re)` is a pre-token of its own.
        let mut apostrophes = m.apostrophe & common.leads & m.letter >> 1 & below(common.trouble);
        while apostrophes != 0 {
            let at = apostrophes.trailing_zeros();
            apostrophes &= apostrophes - 1;
            if at + 3 > common.trouble {
                limit = limit.min(at);
                break;
            }
            let size = contraction(window, at as usize) as u32;
            if size > 0 {
                joined &= !(1_u64.checked_shl(at + size).unwrap_or(0));
            }
        }
        certain(joined, &common, limit, length, ended)
    }
}
