//! The patterns of the encodings, as hand-written scanners: where does the pre-token that starts here end?
//!
//! The patterns have no look-behind, so a pre-token depends only on what follows its start. Each scanner says
//! which alternative of the pattern it follows; the alternatives are quoted from tiktoken's definitions. This
//! is the reference: it handles every text, one character at a time.

use super::classes::{
    CASELESS, Classes, LETTER, LOWER, MARK, NEWLINE, NUMBER, OTHER, SPACE, UPPER, WHITE, class_at,
};

/// How an encoding cuts a text into pre-tokens.
pub trait Pattern {
    /// The end of the pre-token that starts at `start < text.len()`; always more than `start`.
    fn end(text: &[u8], start: usize) -> usize;
}

/// The pattern of `o200k_base` and `o200k_harmony`.
pub struct O200k;
/// The pattern of `cl100k_base`.
pub struct Cl100k;
/// The pattern of `p50k_base` and `r50k_base`.
pub struct P50k;

impl Pattern for O200k {
    fn end(text: &[u8], start: usize) -> usize {
        const WORD: Classes = LETTER | MARK;
        let (class, length) = class_at(text, start);
        let after = start + length;
        if class & LETTER != 0 {
            return word(text, start).0;
        }
        if class & NUMBER != 0 {
            return up_to_three_numbers(text, after);
        }
        let (next, next_length) = class_at(text, after);
        if class & MARK != 0 {
            // With the mark as the leading character if that finds a lower case ending, else as part of the word.
            return match word(text, after) {
                (end, true) => end,
                _ => word(text, start).0,
            };
        }
        if class & NEWLINE == 0 && next & WORD != 0 {
            return word(text, after).0;
        }
        // ` ?[^\s\p{L}\p{N}]+[\r\n/]*`
        if class & OTHER != 0 {
            return run_of(text, skip(text, after, OTHER | MARK), |byte| {
                matches!(byte, b'\r' | b'\n' | b'/')
            });
        }
        if class & SPACE != 0 && next & OTHER != 0 {
            let end = skip(text, after + next_length, OTHER | MARK);
            return run_of(text, end, |byte| matches!(byte, b'\r' | b'\n' | b'/'));
        }
        // `\s*[\r\n]+|\s+(?!\S)|\s+`
        let space = white_space(text, start);
        space.last_newline.unwrap_or_else(|| space.leave_one(start))
    }
}

/// `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+` or, where that matches nothing,
/// `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+`, then a contraction. Returns the end, and whether it was the first.
fn word(text: &[u8], start: usize) -> (usize, bool) {
    let mut at = start;
    let mut caseless_end = start;
    loop {
        let (class, length) = class_at(text, at);
        if class & (UPPER | CASELESS | MARK) == 0 {
            if class & LOWER != 0 {
                let end = skip(text, at + length, LOWER | CASELESS | MARK);
                return (end + contraction(text, end), true);
            }
            break;
        }
        at += length;
        if class & UPPER == 0 {
            caseless_end = at;
        }
    }
    // No lower case follows: the regex gives capitals back until a caseless letter or a mark ends the match.
    if caseless_end > start {
        return (caseless_end + contraction(text, caseless_end), true);
    }
    (at + contraction(text, at), false)
}

impl Pattern for Cl100k {
    fn end(text: &[u8], start: usize) -> usize {
        let (class, length) = class_at(text, start);
        let after = start + length;
        // `'(?i:[sdmt]|ll|ve|re)`
        if text.get(start) == Some(&b'\'') {
            let length = contraction(text, start);
            if length > 0 {
                return start + length;
            }
        }
        // `[^\r\n\p{L}\p{N}]?+\p{L}++`
        if class & LETTER != 0 {
            return skip(text, after, LETTER);
        }
        if class & NUMBER != 0 {
            return up_to_three_numbers(text, after);
        }
        let (next, next_length) = class_at(text, after);
        if class & NEWLINE == 0 && next & LETTER != 0 {
            return skip(text, after + next_length, LETTER);
        }
        // ` ?[^\s\p{L}\p{N}]++[\r\n]*+`
        if class & (OTHER | MARK) != 0 {
            return run_of(text, skip(text, after, OTHER | MARK), |byte| matches!(byte, b'\r' | b'\n'));
        }
        if class & SPACE != 0 && next & (OTHER | MARK) != 0 {
            let end = skip(text, after + next_length, OTHER | MARK);
            return run_of(text, end, |byte| matches!(byte, b'\r' | b'\n'));
        }
        // `\s++$|\s*[\r\n]|\s+(?!\S)|\s`
        let space = white_space(text, start);
        match space.last_newline {
            Some(newline) if space.end < text.len() => newline,
            _ => space.leave_one(start),
        }
    }
}

impl Pattern for P50k {
    fn end(text: &[u8], start: usize) -> usize {
        let (class, length) = class_at(text, start);
        let after = start + length;
        // `'(?:[sdmt]|ll|ve|re)`
        if text.get(start) == Some(&b'\'') {
            match (text.get(after), text.get(after + 1)) {
                (Some(b's' | b'd' | b'm' | b't'), _) => return after + 1,
                (Some(b'l'), Some(b'l')) | (Some(b'v' | b'r'), Some(b'e')) => return after + 2,
                _ => {}
            }
        }
        // ` ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++`
        let kinds = [LETTER, NUMBER, OTHER | MARK];
        if let Some(kind) = kinds.into_iter().find(|kind| class & kind != 0) {
            return skip(text, after, kind);
        }
        if class & SPACE != 0 {
            let next = class_at(text, after).0;
            if let Some(kind) = kinds.into_iter().find(|kind| next & kind != 0) {
                return skip(text, after, kind);
            }
        }
        // `\s++$|\s+(?!\S)|\s`
        white_space(text, start).leave_one(start)
    }
}

/// The end of the run of `classes` that starts at `at`.
#[inline(always)]
fn skip(text: &[u8], mut at: usize, classes: Classes) -> usize {
    loop {
        let (class, length) = class_at(text, at);
        if class & classes == 0 {
            return at;
        }
        at += length;
    }
}

/// The end of the run of ASCII bytes that starts at `at` and that `wanted` holds for.
#[inline(always)]
fn run_of(text: &[u8], mut at: usize, wanted: impl Fn(u8) -> bool) -> usize {
    while text.get(at).is_some_and(|&byte| wanted(byte)) {
        at += 1;
    }
    at
}

/// `\p{N}{1,3}` after its first number.
#[inline(always)]
fn up_to_three_numbers(text: &[u8], mut at: usize) -> usize {
    for _ in 0..2 {
        let (class, length) = class_at(text, at);
        if class & NUMBER == 0 {
            break;
        }
        at += length;
    }
    at
}

/// The length of `(?i:'s|'t|'re|'ve|'m|'ll|'d)` at `at`, 0 if there is none. `ſ` folds to `s`.
#[inline(always)]
pub fn contraction(text: &[u8], at: usize) -> usize {
    if text.get(at) != Some(&b'\'') {
        return 0;
    }
    let byte = |i: usize| text.get(at + i).map(|byte| byte.to_ascii_lowercase());
    match (byte(1), byte(2)) {
        (Some(b's' | b't' | b'm' | b'd'), _) => 2,
        (Some(b'r' | b'v'), Some(b'e')) | (Some(b'l'), Some(b'l')) => 3,
        _ if text.get(at + 1..at + 3) == Some("ſ".as_bytes()) => 3,
        _ => 0,
    }
}

/// A run of white space.
struct WhiteSpace {
    end: usize,
    /// Where its last character starts.
    last: usize,
    /// Where its last newline ends, if it has one.
    last_newline: Option<usize>,
    /// Whether the text ends with it.
    final_run: bool,
}

impl WhiteSpace {
    /// `\s+(?!\S)|\s`: all of it at the end of the text, else all but its last character, which belongs to what follows.
    fn leave_one(&self, start: usize) -> usize {
        if self.final_run || self.last == start { self.end } else { self.last }
    }
}

fn white_space(text: &[u8], start: usize) -> WhiteSpace {
    let mut run = WhiteSpace { end: start, last: start, last_newline: None, final_run: false };
    loop {
        let (class, length) = class_at(text, run.end);
        if class & WHITE == 0 {
            run.final_run = class == 0;
            return run;
        }
        run.last = run.end;
        run.end += length;
        if class & NEWLINE != 0 {
            run.last_newline = Some(run.end);
        }
    }
}
