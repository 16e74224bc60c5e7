//! What a result gives to read: the messages that brought it, not the whole chunk.
//!
//! The strongest messages of all sessions that fill the reading budget are each shown by the first result whose chunk
//! holds them. Once that much is shown, results show what belongs to the next budget, and so on, from their whole session:
//! what was too weak for an earlier chunk's turn is not lost. A result that would show nothing shows the strongest message
//! of its chunk not shown yet.
#![expect(
    clippy::indexing_slicing,
    reason = "Flat message numbers come from the layout that sized the arrays; session positions likewise."
)]

use super::layout::Layout;
use super::{PASSAGE, Span};

/// Messages up to this many characters are shown whole; of longer ones, their best passage.
const WHOLE: u32 = 1500;
/// How much a short message is preferred: scores fall by this many units each time the length grows e-fold.
const BREVITY: f32 = 0.15;

/// What of message `i` is shown.
fn span(layout: &Layout<'_>, i: usize, passages: &[f32]) -> Span {
    let s = layout.session_of[i] as usize;
    let (session, first) = (layout.sessions[s].1, layout.message[s]);
    let entry = &session.messages[i - first];
    let message = (i - first) as u32;
    if entry.chars <= WHOLE {
        return Span { message, start: 0, end: entry.chars };
    }
    let base = layout.passage[s];
    let best = (entry.first..entry.last)
        .max_by(|x, y| passages[base + *x as usize].total_cmp(&passages[base + *y as usize]).then(y.cmp(x)))
        .unwrap_or(entry.first);
    let passage = &session.passages[best as usize];
    Span { message, start: passage.start, end: passage.end }
}

/// The spans to read of each chosen chunk, in order. O(messages log messages).
pub(super) fn choose(
    layout: &Layout<'_>,
    score: &[f32],
    passages: &[f32],
    spans: &[(u32, u32)],
    chosen: &[(usize, f32)],
    budget: usize,
) -> Vec<Vec<Span>> {
    let length = |i: usize| {
        let s = layout.session_of[i] as usize;
        let chars = layout.sessions[s].1.messages[i - layout.message[s]].chars;
        if chars > WHOLE { PASSAGE as u32 } else { chars }
    };
    let density: Vec<f32> =
        (0..score.len()).map(|i| score[i] - BREVITY * (length(i).max(40) as f32).ln()).collect();
    let mut order: Vec<usize> = (0..score.len()).collect();
    order.sort_by(|a, b| density[*b].total_cmp(&density[*a]).then(a.cmp(b)));
    // Where each message ends when all are read from the strongest on.
    let mut ends = vec![usize::MAX; score.len()];
    let mut read = 0_usize;
    for i in order {
        let n = length(i) as usize;
        if n > 0 {
            // The strongest one is shown even where it alone exceeds the budget.
            ends[i] = if read == 0 { 0 } else { read + n };
            read += n + 1;
        }
    }
    let mut shown = vec![false; score.len()];
    let mut given = 0_usize;
    let mut out = Vec::with_capacity(chosen.len());
    for (chunk, _) in chosen {
        let inside = spans[*chunk].0 as usize..spans[*chunk].1 as usize;
        let within = budget.max(1).saturating_mul(given / budget.max(1) + 1);
        let around = if given < budget {
            inside.clone()
        } else {
            let s = layout.session_of[inside.start] as usize;
            layout.message[s]..layout.message[s + 1]
        };
        let mut take: Vec<usize> = around.filter(|i| ends[*i] <= within && !shown[*i]).collect();
        if take.is_empty() {
            let next = inside.filter(|i| !shown[*i] && length(*i) > 0);
            take.extend(next.max_by(|a, b| density[*a].total_cmp(&density[*b]).then(b.cmp(a))));
        }
        for i in &take {
            shown[*i] = true;
            given += length(*i) as usize + 1;
        }
        out.push(take.into_iter().map(|i| span(layout, i, passages)).collect());
    }
    out
}
