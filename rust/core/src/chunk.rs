//! Where a conversation is cut: chunks of messages, and passages of long messages.

use crate::error::{Error, Result};

/// Chunks `[start, end)` of at most `size` messages, neighbours sharing about `overlap`.
///
/// `joined[i]` is true when message `i` must stay in one chunk with message `i - 1` (a tool result with the call that
/// asked for it). A chunk grows beyond `size` only where one such group alone is larger; groups are never split, so the
/// overlap shrinks or grows to the nearest boundary. Every message is in at least one chunk. Linear.
///
/// # Errors
/// `size` is 0, or `overlap` is not smaller than `size`.
pub fn chunks(joined: &[bool], size: usize, overlap: usize) -> Result<Vec<(u32, u32)>> {
    if size == 0 || overlap >= size {
        return Err(Error::InvalidInput(format!(
            "chunk_size={size} and chunk_overlap={overlap}: chunk_size must be at least 1 and larger than chunk_overlap"
        )));
    }
    // Where a cut is allowed: before a message that is not joined to the one before it, and at the end.
    let n = joined.len();
    let mut cuts: Vec<usize> =
        (0..n).filter(|i| *i == 0 || !joined.get(*i).copied().unwrap_or(false)).collect();
    cuts.push(n);
    let end_of = |start: usize| {
        let first_after = cuts.partition_point(|c| *c <= start);
        let within = cuts.partition_point(|c| *c <= start + size);
        cuts.get(within.saturating_sub(1).max(first_after)).copied().unwrap_or(n)
    };
    let mut out = Vec::new();
    let (mut start, mut end) = (0, end_of(0));
    while start < n {
        out.push((u32::try_from(start).unwrap_or(u32::MAX), u32::try_from(end).unwrap_or(u32::MAX)));
        // The next chunk begins `overlap` messages before this end, or as soon after as lets it reach beyond it.
        let wanted = end.saturating_sub(overlap).max(start + 1);
        let next = cuts
            .iter()
            .skip(cuts.partition_point(|c| *c < wanted))
            .copied()
            .find(|c| *c >= n || end_of(*c) > end);
        start = if end >= n { n } else { next.unwrap_or(n) };
        end = end_of(start);
    }
    Ok(out)
}

/// Splits a long text into passages of at most about `size` bytes, at a paragraph, line, sentence or word end in the
/// second half of each. Byte offsets `[start, end)` on character boundaries; they cover the text. Linear.
#[must_use]
pub fn passages(text: &str, size: usize) -> Vec<(usize, usize)> {
    let size = size.max(8);
    let mut out = Vec::new();
    let mut start = 0;
    while let Some(rest) = text.get(start..) {
        if rest.len() <= size {
            break;
        }
        let mut most = size;
        while !rest.is_char_boundary(most) {
            most -= 1;
        }
        let mut half = most / 2;
        while !rest.is_char_boundary(half) {
            half -= 1;
        }
        let tail = rest.get(half..most).unwrap_or_default();
        let cut = ["\n\n", "\n", ". ", "。", "！", "？", " "]
            .iter()
            .find_map(|sep| tail.rfind(sep).map(|p| half + p + sep.len()))
            .unwrap_or(most);
        out.push((start, start + cut));
        start += cut;
    }
    out.push((start, text.len()));
    out
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
mod tests {
    use super::{chunks, passages};

    #[test]
    fn plain_chunks_have_size_and_overlap() {
        assert_eq!(chunks(&[false; 25], 10, 2).unwrap(), [(0, 10), (8, 18), (16, 25)]);
        assert_eq!(chunks(&[false; 10], 10, 2).unwrap(), [(0, 10)]);
        assert!(chunks(&[], 10, 2).unwrap().is_empty());
        assert!(chunks(&[false], 0, 0).is_err() && chunks(&[false], 3, 3).is_err());
    }

    #[test]
    fn groups_are_never_split() {
        let mut seed = 7_u64;
        for _ in 0..3000 {
            let mut next = || {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (seed >> 33) as usize
            };
            let n = next() % 60;
            let (size, overlap) = (1 + next() % 12, next() % 12);
            if overlap >= size {
                continue;
            }
            let joined: Vec<bool> = (0..n).map(|_| next() % 3 == 0).collect();
            let got = chunks(&joined, size, overlap).unwrap();
            let mut reached = 0;
            for (a, z) in &got {
                assert!(a < z && *a as usize <= reached && *z as usize > reached, "{got:?}");
                assert!(*a == 0 || !joined[*a as usize]);
                assert!(*z as usize == n || !joined[*z as usize]);
                if (z - a) as usize > size {
                    let inner = (*a as usize + 1..*z as usize).all(|i| joined[i]);
                    assert!(inner, "only one group may exceed the size");
                }
                reached = *z as usize;
            }
            assert_eq!(reached, n);
        }
    }

    #[test]
    fn passages_cover_the_text() {
        for text in
            ["", "a", &"word ".repeat(900), &"é".repeat(2000), &"文。".repeat(700), &"x\n\n".repeat(800)]
        {
            let got = passages(text, 900);
            let joined: String = got.iter().map(|(a, z)| &text[*a..*z]).collect();
            assert_eq!(joined, *text);
            assert!(got.iter().all(|(a, z)| z - a <= 900 && (a < z || text.is_empty())));
        }
    }
}
