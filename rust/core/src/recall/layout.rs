//! Where the messages, passages and chunks of the sessions searched lie in flat arrays.
#![expect(
    clippy::indexing_slicing,
    reason = "All arrays here are laid out from the same sessions: `Layout` sizes them by its totals, and every index is a \
              base of a session plus an offset that the session itself holds, so each is below its array's length."
)]

use super::ConversationIndex;
use super::session::{Entry, Session};

/// The sessions searched, in the order of their keys, and where each begins in the flat arrays.
pub(super) struct Layout<'a> {
    pub(super) sessions: Vec<(&'a str, &'a Session)>,
    /// First message, passage and chunk of each session, and the totals at the end.
    pub(super) message: Vec<usize>,
    pub(super) passage: Vec<usize>,
    pub(super) chunk: Vec<usize>,
    /// Slot → position in `sessions`.
    pub(super) at: Vec<Option<u32>>,
    /// Per message: its session.
    pub(super) session_of: Vec<u32>,
}

impl<'a> Layout<'a> {
    pub(super) fn new(index: &'a ConversationIndex, only: Option<&[&str]>) -> Self {
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

    pub(super) fn passages(&self) -> usize {
        self.passage.last().copied().unwrap_or(0)
    }

    /// Every message with its flat number and its session's position.
    pub(super) fn entries(&self) -> impl Iterator<Item = (usize, usize, &Entry)> {
        let first = self.message.iter().copied();
        first.zip(&self.sessions).enumerate().flat_map(|(s, (base, (_, session)))| {
            session.messages.iter().enumerate().map(move |(i, e)| (base + i, s, e))
        })
    }

    /// The flat messages `[a, z)` of all chunks.
    pub(super) fn spans(&self) -> Vec<(u32, u32)> {
        let mut out = Vec::new();
        for ((_, session), base) in self.sessions.iter().zip(&self.message) {
            out.extend(session.chunks.iter().map(|(a, z)| (a + *base as u32, z + *base as u32)));
        }
        out
    }
}

/// The best of a message's passages.
pub(super) fn per_message(layout: &Layout<'_>, passages: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0; layout.messages()];
    for (i, s, e) in layout.entries() {
        let base = layout.passage[s];
        let own = &passages[base + e.first as usize..base + e.last as usize];
        out[i] = own.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    }
    out
}
