//! Scoring: the views of a message, their sum, and the choice of chunks.
#![expect(
    clippy::indexing_slicing,
    reason = "All arrays here are laid out from the same sessions: `Layout` sizes them by its totals, and every index is a \
              base of a session plus an offset that the session itself holds, so each is below its array's length."
)]

use super::cues::Asked;
use super::layout::{Layout, per_message};
use super::session::Entry;
use super::similar::{chunk_similarity, cosines};
use super::words::{Counted, Words};
use super::{ConversationIndex, Hit, PARTS, Request, WordMatch};
use crate::lexical::Query;
use crate::rank::{cover, shares, standardize};

/// The sharpness of the shares: below 1 the strongest messages weigh more.
const TEMPERATURE: f32 = 0.7;

/// 1 for messages of the one speaker that the question names.
fn by_speaker(layout: &Layout<'_>, words: &[String], out: &mut [f32]) {
    let mut named: Vec<&[String]> = Vec::new();
    for (_, session) in &layout.sessions {
        for name in &session.speakers {
            if name.first().is_some_and(|f| words.contains(f)) && !named.contains(&name.as_slice()) {
                named.push(name);
            }
        }
    }
    let [only] = named.as_slice() else { return };
    for (i, s, e) in layout.entries() {
        let name = e.speaker.and_then(|n| layout.sessions[s].1.speakers.get(n as usize));
        out[i] = f32::from(u8::from(name.is_some_and(|n| n == only)));
    }
}

/// How many of the question's neighbouring pairs of words stand side by side in each message, at most 2.
fn phrases(index: &ConversationIndex, layout: &Layout<'_>, query: &Query, out: &mut [f32]) {
    for (a, b) in query.pairs() {
        let (Some(a), Some(b)) = (index.vocab.id(a), index.vocab.id(b)) else { continue };
        for (slot, first, last) in index.lists.get(a as usize).map_or(&[][..], Vec::as_slice) {
            let Some(s) = layout.at[*slot as usize].map(|s| s as usize) else { continue };
            let session = layout.sessions[s].1;
            let mut before = usize::MAX;
            for [p, _] in &session.postings[*first as usize..*last as usize] {
                let passage = &session.passages[*p as usize];
                let terms = &session.sequence[passage.first as usize..passage.last as usize];
                if terms.windows(2).any(|w| w == [a, b]) {
                    let m = session.messages.partition_point(|e| e.last <= *p);
                    if m != before {
                        let o = &mut out[layout.message[s] + m];
                        *o = (*o + 1.0).min(2.0);
                        before = m;
                    }
                }
            }
        }
    }
}

impl ConversationIndex {
    /// The chunks that answer the question, best first. Nothing when no word of it and no vector finds anything.
    #[must_use]
    pub fn search(&self, request: &Request<'_>) -> Vec<Hit> {
        let layout = Layout::new(self, request.sessions);
        let n = layout.messages();
        if n == 0 || request.limit == 0 {
            return Vec::new();
        }
        let query = Query::new(request.question, &self.vocab, self.related);
        let words = Words::new(self, &layout, &query);
        let cosine = cosines(self, &layout, &query, request.vector);
        let found = words.passages.iter().any(|v| *v != 0.0)
            || words.counted.iter().any(|c| c.messages.iter().any(|v| *v > 0.0));
        if !found && cosine.is_none() {
            return Vec::new();
        }
        let spans = layout.spans();
        let views = self.views(&layout, &query, &words, cosine.as_deref(), &spans);
        let mut score = vec![0.0_f32; n];
        for (view, weight) in views.iter().zip(&self.weights) {
            for (s, v) in score.iter_mut().zip(view) {
                *s += weight * v;
            }
        }
        let mut share = score.clone();
        shares(&mut share, TEMPERATURE);
        let chosen = cover(&share, &spans, request.limit);
        let shown =
            super::context::choose(&layout, &score, &words.passages, &spans, &chosen, request.context);
        let near = cosine.as_deref().map(|c| per_message(&layout, c));
        let mut out = Vec::with_capacity(chosen.len());
        let mut answered = 0.0;
        // Far down the list gains differ by what rounding does to them, and come in an order of their own.
        let mut strength = 1.0_f32;
        let strongest = chosen.first().map_or(1.0, |c| c.1).max(f32::MIN_POSITIVE);
        for ((chunk, gain), context) in chosen.into_iter().zip(shown) {
            let (a, z) = (spans[chunk].0 as usize, spans[chunk].1 as usize);
            let s = layout.session_of[a] as usize;
            let best = (a..z).max_by(|x, y| score[*x].total_cmp(&score[*y]).then(y.cmp(x))).unwrap_or(a);
            let matched = self.matched(&query, &words.counted, &layout, s, (a, z));
            let similarity = near.as_ref().map(|n| n[best]);
            if out.is_empty() {
                let covered: f32 = matched.iter().map(|m| m.share).sum();
                answered =
                    1.0 - (1.0 - covered.clamp(0.0, 1.0)) * (1.0 - similarity.unwrap_or(0.0).clamp(0.0, 1.0));
            }
            let mut parts = [0.0; PARTS.len()];
            for ((p, view), weight) in parts.iter_mut().zip(&views).zip(&self.weights) {
                *p = weight * view.get(best).copied().unwrap_or(0.0);
            }
            strength = (gain / strongest).clamp(0.0, strength);
            let base = layout.message[s] as u32;
            out.push(Hit {
                session: layout.sessions[s].0.to_owned(),
                chunk: (chunk - layout.chunk[s]) as u32,
                start: a as u32 - base,
                end: z as u32 - base,
                score: answered * strength.powf(0.25),
                context,
                best: best as u32 - base,
                words: matched,
                similarity,
                parts,
            });
        }
        out
    }

    /// The views of every message, in the order of [`PARTS`]; an empty one says nothing.
    fn views(
        &self,
        layout: &Layout<'_>,
        query: &Query,
        words: &Words,
        cosine: Option<&[f32]>,
        spans: &[(u32, u32)],
    ) -> [Vec<f32>; PARTS.len()] {
        let n = layout.messages();
        let own = per_message(layout, &words.passages);
        let mut neighbours = vec![0.0_f32; n];
        for i in 1..n {
            if layout.session_of[i] == layout.session_of[i - 1] {
                neighbours[i] += own[i - 1];
                neighbours[i - 1] += own[i];
            }
        }
        let (mut near, mut chunk_near) = (Vec::new(), Vec::new());
        if let Some(cosine) = cosine {
            let mut z = cosine.to_vec();
            standardize(&mut z);
            near = per_message(layout, &z);
            chunk_near = chunk_similarity(layout, spans, &near);
        }
        let asked = Asked::new(&query.words);
        let (mut speaker, mut phrase) = (vec![0.0; n], vec![0.0; n]);
        by_speaker(layout, &query.words, &mut speaker);
        phrases(self, layout, query, &mut phrase);
        let flag = |on: bool, of: fn(&Entry) -> bool| {
            if on {
                layout.entries().map(|(_, _, e)| f32::from(u8::from(of(e)))).collect()
            } else {
                Vec::new()
            }
        };
        let date = if asked.months.is_empty() {
            Vec::new()
        } else {
            let fit: Vec<f32> = layout.sessions.iter().map(|(_, s)| asked.fits(s.date)).collect();
            layout.session_of.iter().map(|s| fit[*s as usize]).collect()
        };
        [
            own,
            words.around.clone(),
            words.of_sessions(layout),
            neighbours,
            near,
            chunk_near,
            speaker,
            flag(asked.when, |e| e.has_time),
            flag(asked.amount, |e| e.has_number),
            flag(true, |e| e.by_user),
            date,
            phrase,
        ]
    }

    /// Which words of the question the flat messages `[a, z)` of session `s` hold, and as what.
    fn matched(
        &self,
        query: &Query,
        counted: &[Counted],
        layout: &Layout<'_>,
        s: usize,
        (a, z): (usize, usize),
    ) -> Vec<WordMatch> {
        let whole: f32 = counted.iter().map(|c| c.worth).sum::<f32>().max(f32::MIN_POSITIVE);
        let session = layout.sessions[s].1;
        let base = layout.message[s];
        let first = session.messages[a - base].first;
        let last = session.messages[z - 1 - base].last;
        let mut out = Vec::new();
        for (term, count) in query.terms.iter().zip(counted) {
            let most = count.messages[a..z].iter().copied().fold(0.0, f32::max).min(1.0);
            if most <= 0.0 {
                continue;
            }
            // The heaviest match that stands in the chunk; matches are sorted by weight.
            let held = term.matches.iter().find(|(id, _)| {
                session.terms.binary_search_by_key(id, |t| t[0]).is_ok_and(|t| {
                    let [_, p, q] = session.terms[t];
                    session.postings[p as usize..q as usize].iter().any(|[x, _]| (first..last).contains(x))
                })
            });
            if let Some((id, _)) = held {
                let found = self.vocab.text(*id).to_owned();
                out.push(WordMatch {
                    asked: query.word(term).to_owned(),
                    found,
                    share: most * count.worth / whole,
                });
            }
        }
        out
    }
}
