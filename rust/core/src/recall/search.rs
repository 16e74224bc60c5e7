//! Scoring: the views of a message, their sum, and the choice of chunks.
#![expect(
    clippy::indexing_slicing,
    reason = "All arrays here are laid out from the same sessions: `Layout` sizes them by its totals, and every index is a \
              base of a session plus an offset that the session itself holds, so each is below its array's length."
)]

use super::cues::Asked;
use super::session::{Session, quantize};
use super::{ConversationIndex, Embedding, Hit, PARTS, Request, WordMatch};
use crate::embed;
use crate::lexical::Query;
use crate::rank::{cover, idf, saturate, shares, standardize};

/// Messages on each side that belong to a message's neighbourhood.
const AROUND: usize = 3;
/// The sharpness of the shares: below 1 the strongest messages weigh more.
const TEMPERATURE: f32 = 0.7;

/// The sessions searched, in the order of their keys, and where each begins in the flat arrays.
pub(super) struct Layout<'a> {
    pub(super) sessions: Vec<(&'a str, &'a Session)>,
    /// First message, passage and chunk of each session, and the totals at the end.
    pub(super) message: Vec<usize>,
    pub(super) passage: Vec<usize>,
    chunk: Vec<usize>,
    /// Slot → position in `sessions`.
    at: Vec<Option<u32>>,
    /// Per message: its session.
    pub(super) session_of: Vec<u32>,
}

impl<'a> Layout<'a> {
    fn new(index: &'a ConversationIndex, only: Option<&[&str]>) -> Self {
        let mut out = Self {
            sessions: Vec::new(),
            message: vec![0],
            passage: vec![0],
            chunk: vec![0],
            at: vec![None; index.slots.len()],
            session_of: Vec::new(),
        };
        let wanted: Option<std::collections::HashSet<&str>> = only.map(|o| o.iter().copied().collect());
        let (mut m, mut p, mut c) = (0, 0, 0);
        for (key, slot) in &index.order {
            if wanted.as_ref().is_some_and(|w| !w.contains(key.as_str())) {
                continue;
            }
            let Some(Some(session)) = index.slots.get(*slot as usize) else { continue };
            let position = out.sessions.len() as u32;
            out.at[*slot as usize] = Some(position);
            out.sessions.push((key, session));
            m += session.messages.len();
            p += session.passages.len();
            c += session.chunks.len();
            out.message.push(m);
            out.passage.push(p);
            out.chunk.push(c);
            out.session_of.resize(m, position);
        }
        out
    }

    pub(super) fn messages(&self) -> usize {
        self.session_of.len()
    }

    fn passages(&self) -> usize {
        self.passage.last().copied().unwrap_or(0)
    }

    /// Every message with its flat number and its session's position.
    fn entries(&self) -> impl Iterator<Item = (usize, usize, &super::session::Entry)> {
        let first = self.message.iter().copied();
        first.zip(&self.sessions).enumerate().flat_map(|(s, (base, (_, session)))| {
            session.messages.iter().enumerate().map(move |(i, e)| (base + i, s, e))
        })
    }

    /// The flat messages `[a, z)` of all chunks.
    fn spans(&self) -> Vec<(u32, u32)> {
        let mut out = Vec::new();
        for ((_, session), base) in self.sessions.iter().zip(&self.message) {
            out.extend(session.chunks.iter().map(|(a, z)| (a + *base as u32, z + *base as u32)));
        }
        out
    }
}

/// The best of a message's passages.
fn per_message(layout: &Layout<'_>, passages: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0; layout.messages()];
    for (i, s, e) in layout.entries() {
        let base = layout.passage[s];
        let own = &passages[base + e.first as usize..base + e.last as usize];
        out[i] = own.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    }
    out
}

/// One word of the question in the sessions searched.
pub(super) struct Counted {
    /// Soft count of the word in each message: how often, times how near the matching term is.
    pub(super) messages: Vec<f32>,
    /// Its inverse frequency.
    pub(super) worth: f32,
}

/// Scores by words.
struct Words {
    passages: Vec<f32>,
    around: Vec<f32>,
    sessions: Vec<f32>,
    counted: Vec<Counted>,
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
    fn new(index: &ConversationIndex, layout: &Layout<'_>, query: &Query) -> Self {
        let np = layout.passages();
        let mut lengths = vec![0.0_f32; np];
        for ((_, session), base) in layout.sessions.iter().zip(&layout.passage) {
            for (l, p) in lengths[*base..].iter_mut().zip(&session.passages) {
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
    fn of_sessions(&self, layout: &Layout<'_>) -> Vec<f32> {
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
            let here = list.iter().filter_map(|(slot, a, z)| layout.at[*slot as usize].map(|s| (s as usize, *a, *z)));
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
                for (passage, count) in &layout.sessions[s].1.postings[a as usize..z as usize] {
                    let place = &mut tf[base + *passage as usize];
                    *place = place.max(*count as f32 * weight);
                }
            }
        }
    }
    (tf, worth)
}

/// Cosines of the question's vector with all passages; 0 where a passage has none.
fn cosines(index: &ConversationIndex, layout: &Layout<'_>, query: &Query, vector: Option<&[f32]>) -> Option<Vec<f32>> {
    let mut own;
    let row = match (index.embedding, vector) {
        (Embedding::None, _) | (Embedding::External(_), None) => return None,
        (Embedding::External(dim), Some(v)) if v.len() == dim => v,
        (Embedding::External(_), Some(_)) => return None,
        (Embedding::Local, _) => {
            let subject: Vec<&str> = query.terms.iter().map(|t| t.word.as_str()).collect();
            own = vec![0.0; embed::dimensions()];
            embed::embed_into(&subject.join(" "), &mut own);
            &own[..]
        }
    };
    let mut unit = row.to_vec();
    embed::normalize(&mut unit);
    let dim = unit.len().max(1);
    let mut bytes = Vec::with_capacity(dim);
    let step = quantize(&unit, &mut bytes);
    if step == 0.0 {
        return None;
    }
    let mut out = vec![0.0; layout.passages()];
    for ((_, session), base) in layout.sessions.iter().zip(&layout.passage) {
        let rows = session.vectors.chunks_exact(dim).zip(&session.scales);
        for (o, (v, scale)) in out[*base..].iter_mut().zip(rows) {
            *o = embed::dot_bytes(v, &bytes) as f32 * scale * step;
        }
    }
    Some(out)
}

/// How near each chunk's three nearest messages are, as z-scores; per message the best of its chunks.
fn chunk_similarity(layout: &Layout<'_>, spans: &[(u32, u32)], messages: &[f32]) -> Vec<f32> {
    let mut of_chunk: Vec<f32> = spans
        .iter()
        .map(|(a, z)| {
            let mut top = [f32::NEG_INFINITY; 3];
            for v in &messages[*a as usize..*z as usize] {
                if *v > top[2] {
                    top[2] = *v;
                    top.sort_by(|x, y| y.total_cmp(x));
                }
            }
            let held = ((z - a) as usize).clamp(1, 3);
            top[..held].iter().sum::<f32>() / held as f32
        })
        .collect();
    standardize(&mut of_chunk);
    let mut out = vec![f32::NEG_INFINITY; layout.messages()];
    for ((a, z), v) in spans.iter().zip(&of_chunk) {
        for o in &mut out[*a as usize..*z as usize] {
            *o = o.max(*v);
        }
    }
    out
}

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
    for (a, b) in &query.pairs {
        let (Some(a), Some(b)) = (index.vocab.id(a), index.vocab.id(b)) else { continue };
        for (slot, first, last) in index.lists.get(a as usize).map_or(&[][..], Vec::as_slice) {
            let Some(s) = layout.at[*slot as usize].map(|s| s as usize) else { continue };
            let session = layout.sessions[s].1;
            let mut before = usize::MAX;
            for (p, _) in &session.postings[*first as usize..*last as usize] {
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
        let query = Query::new(request.question, &self.vocab, true);
        let words = Words::new(self, &layout, &query);
        let cosine = cosines(self, &layout, &query, request.vector);
        let found = words.passages.iter().any(|v| *v != 0.0) || words.counted.iter().any(|c| c.messages.iter().any(|v| *v > 0.0));
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
        let shown = super::context::choose(&layout, &score, &words.passages, &spans, &chosen, request.context);
        let near = cosine.as_deref().map(|c| per_message(&layout, c));
        let mut out = Vec::with_capacity(chosen.len());
        let mut answered = 0.0;
        let strongest = chosen.first().map_or(1.0, |c| c.1).max(f32::MIN_POSITIVE);
        for ((chunk, gain), context) in chosen.into_iter().zip(shown) {
            let (a, z) = (spans[chunk].0 as usize, spans[chunk].1 as usize);
            let s = layout.session_of[a] as usize;
            let best = (a..z).max_by(|x, y| score[*x].total_cmp(&score[*y]).then(y.cmp(x))).unwrap_or(a);
            let matched = self.matched(&query, &words.counted, &layout, s, (a, z));
            let similarity = near.as_ref().map(|n| n[best]);
            if out.is_empty() {
                let covered: f32 = matched.iter().map(|m| m.share).sum();
                answered = 1.0 - (1.0 - covered.clamp(0.0, 1.0)) * (1.0 - similarity.unwrap_or(0.0).clamp(0.0, 1.0));
            }
            let mut parts = [0.0; PARTS.len()];
            for ((p, view), weight) in parts.iter_mut().zip(&views).zip(&self.weights) {
                *p = weight * view.get(best).copied().unwrap_or(0.0);
            }
            let base = layout.message[s] as u32;
            out.push(Hit {
                session: layout.sessions[s].0.to_owned(),
                chunk: (chunk - layout.chunk[s]) as u32,
                start: a as u32 - base,
                end: z as u32 - base,
                score: answered * (gain / strongest).clamp(0.0, 1.0).powf(0.25),
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
        let flag = |on: bool, of: fn(&super::session::Entry) -> bool| {
            if on { layout.entries().map(|(_, _, e)| f32::from(u8::from(of(e)))).collect() } else { Vec::new() }
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
    fn matched(&self, query: &Query, counted: &[Counted], layout: &Layout<'_>, s: usize, (a, z): (usize, usize)) -> Vec<WordMatch> {
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
                session.terms.binary_search_by_key(id, |t| t.0).is_ok_and(|t| {
                    let (_, p, q) = session.terms[t];
                    session.postings[p as usize..q as usize].iter().any(|(x, _)| (first..last).contains(x))
                })
            });
            if let Some((id, _)) = held {
                let found = self.vocab.text(*id).to_owned();
                out.push(WordMatch { asked: term.word.clone(), found, share: most * count.worth / whole });
            }
        }
        out
    }
}
