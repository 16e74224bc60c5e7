//! Where to cut a text so that a part of it stays within a number of tokens.

use super::encoding::Encoding;

/// Pre-tokens longer than this many bytes may be cut inside; shorter ones (words) stay whole.
const WHOLE: usize = 64;

impl Encoding {
    /// The byte length of a long prefix of `text` with at most `limit` tokens, at a character boundary.
    ///
    /// It ends where a pre-token ends, or inside a very long one. `count(&text[..n]) <= limit` always holds.
    /// Linear in the length of the prefix.
    pub fn prefix_within(&self, text: &str, limit: usize) -> usize {
        let mut goal = limit;
        let mut step = 1;
        loop {
            let (cut, certain) = self.prefix_cut(text, goal);
            let prefix = text.get(..cut).unwrap_or_default();
            if certain || self.count_up_to(prefix, limit).is_some() {
                return prefix.len();
            }
            goal = goal.saturating_sub(step);
            step *= 2;
        }
    }

    /// A cut of at most `goal` tokens as the *whole* text is cut into pre-tokens, and whether the prefix alone is
    /// cut the same way. Only white space looks ahead (`\s+(?!\S)`, `\s++$`), so a prefix that ends in something
    /// else is certain; so is one that is empty or everything.
    fn prefix_cut(&self, text: &str, goal: usize) -> (usize, bool) {
        let mut total = 0;
        let mut cut = 0;
        let mut next = None;
        self.each_piece(text, |start, end, tokens| {
            if total + tokens > goal {
                next = Some((start, end));
                return false;
            }
            total += tokens;
            cut = end;
            true
        });
        let Some((start, end)) = next else {
            return (cut, true);
        };
        if end - start > WHOLE && goal > total {
            let piece = text.get(start..end).unwrap_or_default();
            let inside = self.token_ends(piece, |ends| {
                ends.take(goal - total).filter(|&end| piece.is_char_boundary(end)).last()
            });
            if let Some(inside) = inside {
                return (start + inside, false);
            }
        }
        let last = text.get(..cut).and_then(|prefix| prefix.chars().next_back());
        (cut, last.is_none_or(|c| !c.is_whitespace()))
    }

    /// Where a long suffix of `text` with at most `limit` tokens starts, in bytes, at a character boundary.
    ///
    /// It starts where a pre-token starts, or inside a very long one. `count(&text[n..]) <= limit` always holds:
    /// the patterns have no look-behind, so a suffix that starts with a pre-token is cut as the whole text is.
    /// Linear in the length of the text.
    pub fn suffix_within(&self, text: &str, limit: usize) -> usize {
        let total = self.count(text);
        let excess = total.saturating_sub(limit);
        if excess == 0 {
            return 0;
        }
        let (mut dropped, mut cut, mut piece_start) = (0, 0, 0);
        let mut before = 0;
        self.each_piece(text, |start, end, tokens| {
            (piece_start, cut, before) = (start, end, dropped);
            dropped += tokens;
            dropped < excess
        });
        if cut - piece_start > WHOLE && dropped > excess {
            let piece = text.get(piece_start..cut).unwrap_or_default();
            let inside = self.token_ends(piece, |ends| {
                let mut later = ends.skip(excess - before - 1);
                later.find(|&end| piece.is_char_boundary(end))
            });
            let start = piece_start + inside.unwrap_or(piece.len());
            if self.count_up_to(text.get(start..).unwrap_or_default(), limit).is_some() {
                return start;
            }
        }
        cut
    }
}
