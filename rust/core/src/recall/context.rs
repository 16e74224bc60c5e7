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

/// Where each message ends when all are read from the strongest on. Sorts no more of them than are read.
struct Reading {
    ends: Vec<usize>,
    order: Vec<usize>,
    sorted: usize,
    read: usize,
}

impl Reading {
    fn new(messages: usize) -> Self {
        Self { ends: vec![usize::MAX; messages], order: (0..messages).collect(), sorted: 0, read: 0 }
    }

    /// The ends, right for all messages that end within `most` characters.
    fn up_to(&mut self, most: usize, density: &[f32], lengths: &[u32]) -> &[usize] {
        let stronger = |a: &usize, b: &usize| density[*b].total_cmp(&density[*a]).then(a.cmp(b));
        while self.read <= most && self.sorted < self.order.len() {
            let rest = &mut self.order[self.sorted..];
            let count = (self.sorted + 512).min(rest.len());
            if count < rest.len() {
                rest.select_nth_unstable_by(count, stronger);
            }
            rest[..count].sort_unstable_by(stronger);
            for i in &rest[..count] {
                let n = lengths[*i] as usize;
                if n > 0 {
                    // The strongest one is shown even where it alone exceeds the budget.
                    self.ends[*i] = if self.read == 0 { 0 } else { self.read + n };
                    self.read += n + 1;
                }
            }
            self.sorted += count;
        }
        &self.ends
    }
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
    let lengths: Vec<u32> = layout
        .entries()
        .map(|(_, _, entry)| if entry.chars > WHOLE { PASSAGE as u32 } else { entry.chars })
        .collect();
    let length = |i: usize| lengths[i];
    let density: Vec<f32> =
        score.iter().zip(&lengths).map(|(score, n)| score - BREVITY * ((*n).max(40) as f32).ln()).collect();
    let mut reading = Reading::new(score.len());
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
        let ends = reading.up_to(within, &density, &lengths);
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
