//! The best `k` of a stream of scores: a buffer that is cut to its best half now and then.
//!
//! Order: higher score first, then lower id, so that equal scores always come in the same order
//! whatever the slots, the path or the thread. O(n) comparisons, and for scores in random order O(k log(n/k)) steps
//! beyond the first.

use std::cmp::Ordering;

/// Hits held before the first cut: a kilobyte, which is cheap to allocate.
const LEAST: usize = 64;

/// One result: a score and the id it belongs to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    /// Cosine similarity.
    pub score: f32,
    /// What the caller named the row, or a slot while the search runs.
    pub id: u64,
}

impl Hit {
    /// Best first.
    fn order(&self, other: &Self) -> Ordering {
        other.score.total_cmp(&self.score).then(self.id.cmp(&other.id))
    }
}

/// Collects the best `k` hits. Scores must not be NaN.
#[derive(Debug)]
pub struct TopK {
    k: usize,
    /// Nothing below it can be among the best.
    threshold: f32,
    held: Vec<Hit>,
    /// So many are cut to `k`.
    full: usize,
}

impl TopK {
    /// Room for `k` hits of a score of at least `min`; `expected` bounds how many will be offered.
    pub fn new(k: usize, min: f32, expected: usize) -> Self {
        let full = k.saturating_mul(2).max(LEAST);
        Self { k, threshold: min, held: Vec::with_capacity(full.min(expected)), full }
    }

    /// No score below this one can enter any more (an equal one can, by its id).
    #[inline]
    pub fn threshold(&self) -> f32 {
        self.threshold
    }

    /// Offers a hit.
    #[inline]
    pub fn offer(&mut self, score: f32, id: u64) {
        if score >= self.threshold {
            self.held.push(Hit { score, id });
            if self.held.len() >= self.full {
                self.cut();
            }
        }
    }

    fn cut(&mut self) {
        if let Some(last) = self.k.checked_sub(1).filter(|last| *last < self.held.len()) {
            let (_, worst, _) = self.held.select_nth_unstable_by(last, Hit::order);
            self.threshold = worst.score;
        }
        self.held.truncate(self.k);
    }

    /// The hits, best first.
    pub fn into_sorted(mut self) -> Vec<Hit> {
        self.cut();
        self.held.sort_unstable_by(Hit::order);
        self.held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_a_sort_for_every_k() {
        let mut state = 7u64;
        let hits: Vec<(f32, u64)> = (0..500)
            .map(|id| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (((state >> 33) % 40) as f32 / 40.0, id) // many ties
            })
            .collect();
        let mut sorted = hits.clone();
        sorted.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        for k in [0, 1, 2, 3, 10, 499, 500, 501] {
            for reverse in [false, true] {
                let mut top = TopK::new(k, 0.25, hits.len());
                let order: Vec<_> = if reverse { hits.iter().rev().collect() } else { hits.iter().collect() };
                order.into_iter().for_each(|&(score, id)| top.offer(score, id));
                let got: Vec<_> = top.into_sorted().into_iter().map(|h| (h.score, h.id)).collect();
                let want: Vec<_> = sorted.iter().copied().filter(|h| h.0 >= 0.25).take(k).collect();
                assert_eq!(got, want);
            }
        }
    }
}
