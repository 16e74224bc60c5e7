//! Nearness of vectors.
#![expect(
    clippy::indexing_slicing,
    reason = "All arrays here are laid out from the same sessions: `Layout` sizes them by its totals, and every index is a \
              base of a session plus an offset that the session itself holds, so each is below its array's length."
)]

use super::layout::Layout;
use super::session::quantize;
use super::{ConversationIndex, Embedding};
use crate::embed;
use crate::lexical::Query;
use crate::rank::standardize;

/// Cosines of the question's vector with all passages; 0 where a passage has none.
pub(super) fn cosines(
    index: &ConversationIndex,
    layout: &Layout<'_>,
    query: &Query,
    vector: Option<&[f32]>,
) -> Option<Vec<f32>> {
    let mut own;
    let row = match (index.embedding, vector) {
        (Embedding::None, _) | (Embedding::External(_), None) => return None,
        (Embedding::External(dim), Some(v)) if v.len() == dim => v,
        (Embedding::External(_), Some(_)) => return None,
        (Embedding::Local, _) => {
            let subject: Vec<&str> = query.terms.iter().map(|t| query.word(t)).collect();
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
        let rows = session.vectors.chunks_exact(dim).zip(session.scales.iter());
        for (o, (v, scale)) in out[*base..].iter_mut().zip(rows) {
            *o = embed::dot_bytes(v, &bytes) as f32 * scale * step;
        }
    }
    Some(out)
}

/// How near each chunk's three nearest messages are, as z-scores; per message the best of its chunks.
pub(super) fn chunk_similarity(layout: &Layout<'_>, spans: &[(u32, u32)], messages: &[f32]) -> Vec<f32> {
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
