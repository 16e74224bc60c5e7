//! BM25 over passages, neighbourhoods and sessions, with related words.
#![expect(
    clippy::indexing_slicing,
    reason = "All arrays here are laid out from the same sessions: `Layout` sizes them by its totals, and every index is a \
              base of a session plus an offset that the session itself holds, so each is below its array's length."
)]

use super::ConversationIndex;
use super::layout::Layout;
use crate::lexical::Query;
use crate::rank::{idf, saturate, standardize};

/// Messages on each side that belong to a message's neighbourhood.
const AROUND: usize = 3;
/// One word of the question in the sessions searched.
pub(super) struct Counted {
    /// Soft count of the word in each message: how often, times how near the matching term is.
    pub(super) messages: Vec<f32>,
    /// Its inverse frequency.
    pub(super) worth: f32,
}

/// Scores by words.
pub(super) struct Words {
    pub(super) passages: Vec<f32>,
    pub(super) around: Vec<f32>,
    sessions: Vec<f32>,
    pub(super) counted: Vec<Counted>,
}

/// Adds BM25 of one word over units made of messages: `sums` are running totals of soft counts and of lengths.
fn add_units(out: &mut [f32], bounds: &[(usize, usize)], counts: &[f64], lengths: &[f64]) {
    let n = bounds.len() as f32;
    let mean = bounds.iter().map(|(a, z)| lengths[*z] - lengths[*a]).sum::<f64>() / f64::from(n.max(1.0));
    let soft = |a: usize, z: usize| {
        let sum = (counts[z] - counts[a]) as f32;
        if sum < 1e-6 { 0.0 } else { sum }
    };
    let df: f32 = bounds.iter().map(|(a, z)| soft(*a, *z).min(1.0)).sum();
    if df <= 0.0 {
        return;
    }
    let worth = idf(n, df);
    for (o, (a, z)) in out.iter_mut().zip(bounds) {
        let tf = soft(*a, *z);
        if tf > 0.0 {
            *o += worth * saturate(tf, ((lengths[*z] - lengths[*a]) / mean.max(1.0)) as f32);
        }
    }
}

fn running(values: impl Iterator<Item = f32>) -> Vec<f64> {
    let mut sum = 0.0;
    let mut out = vec![0.0];
    out.extend(values.map(|v| {
        sum += f64::from(v);
        sum
    }));
    out
}

/// Messages within `AROUND` of each message, in its session.
fn neighbourhoods(layout: &Layout<'_>) -> Vec<(usize, usize)> {
    (0..layout.messages())
        .map(|i| {
            let s = layout.session_of[i] as usize;
            (i.saturating_sub(AROUND).max(layout.message[s]), (i + AROUND + 1).min(layout.message[s + 1]))
        })
        .collect()
}

impl Words {
    pub(super) fn new(index: &ConversationIndex, layout: &Layout<'_>, query: &Query) -> Self {
        let np = layout.passages();
        let mut lengths = vec![0.0_f32; np];
        for ((_, session), base) in layout.sessions.iter().zip(&layout.passage) {
            for (l, p) in lengths[*base..].iter_mut().zip(session.passages.iter()) {
                *l = ((p.last - p.first) as f32).max(1.0);
            }
        }
        let mean = lengths.iter().sum::<f32>() / (np as f32).max(1.0);
        let mut of_message = vec![0.0_f32; layout.messages()];
        for (i, s, e) in layout.entries() {
            let base = layout.passage[s];
            of_message[i] = lengths[base + e.first as usize..base + e.last as usize].iter().sum();
        }
        let message_lengths = running(of_message.iter().copied());
        let around = neighbourhoods(layout);
        let sessions: Vec<(usize, usize)> = layout.message.windows(2).map(|w| (w[0], w[1])).collect();
        let mut out = Self {
            passages: vec![0.0; np],
            around: vec![0.0; layout.messages()],
            sessions: vec![0.0; sessions.len()],
            counted: Vec::new(),
        };
        for term in &query.terms {
            let (tf, worth) = soft_counts(index, layout, &term.matches);
            let mut messages = vec![0.0_f32; layout.messages()];
            if worth > 0.0 {
                for ((o, tf), l) in out.passages.iter_mut().zip(&tf).zip(&lengths) {
                    if *tf > 0.0 {
                        *o += worth * saturate(*tf, l / mean.max(1.0));
                    }
                }
                for (i, s, e) in layout.entries() {
                    let base = layout.passage[s];
                    messages[i] = tf[base + e.first as usize..base + e.last as usize].iter().sum();
                }
                let counts = running(messages.iter().copied());
                add_units(&mut out.around, &around, &counts, &message_lengths);
                add_units(&mut out.sessions, &sessions, &counts, &message_lengths);
            }
            // A word that nothing holds still counts against coverage, as the rarest.
            let worth = if worth > 0.0 { worth } else { idf(np as f32, 0.0) };
            out.counted.push(Counted { messages, worth });
        }
        standardize(&mut out.passages);
        standardize(&mut out.around);
        out
    }

    /// z-scores of the sessions, over messages, so that a long session weighs as it is long.
    pub(super) fn of_sessions(&self, layout: &Layout<'_>) -> Vec<f32> {
        let mut z = self.sessions.clone();
        standardize(&mut z);
        layout.session_of.iter().map(|s| z[*s as usize]).collect()
    }
}

/// For each passage, how often it holds the word or a related term: the best of them, each times its weight and no more
/// worth than the word itself.
fn soft_counts(index: &ConversationIndex, layout: &Layout<'_>, matches: &[(u32, f32)]) -> (Vec<f32>, f32) {
    let n = layout.passages() as f32;
    let lists: Vec<_> = matches
        .iter()
        .map(|(id, weight)| {
            let list = index.lists.get(*id as usize).map_or(&[][..], Vec::as_slice);
            let here = list
                .iter()
                .filter_map(|(slot, a, z)| layout.at[*slot as usize].map(|s| (s as usize, *a, *z)));
            let here: Vec<_> = here.collect();
            let df: u32 = here.iter().map(|(_, a, z)| z - a).sum();
            (here, *weight, if df > 0 { idf(n, df as f32) } else { 0.0 }, df)
        })
        .filter(|l| l.3 > 0)
        .collect();
    let exact = lists.iter().find(|l| l.1 >= 1.0).map(|l| l.2);
    let worth = exact.unwrap_or_else(|| lists.iter().map(|l| l.2).fold(0.0, f32::max));
    let mut tf = vec![0.0_f32; layout.passages()];
    if worth > 0.0 {
        for (here, weight, own, _) in lists {
            let weight = weight * (own / worth).min(1.0);
            for (s, a, z) in here {
                let base = layout.passage[s];
                for [passage, count] in &layout.sessions[s].1.postings[a as usize..z as usize] {
                    let place = &mut tf[base + *passage as usize];
                    *place = place.max(*count as f32 * weight);
                }
            }
        }
    }
    (tf, worth)
}
