//! The best `k` of a stream of scores: a bounded heap behind one comparison.
//!
//! Order: higher score first, then lower id, so that equal scores always come in the same order
//! whatever the slots, the path or the thread. O(n) comparisons and O(k log k · log(n/k)) heap
//! steps for scores in random order.

/// One result: a score and the id it belongs to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    /// Cosine similarity.
    pub score: f32,
    /// What the caller named the row, or a slot while the search runs.
    pub id: u64,
}

impl Hit {
    /// Whether `self` comes before `other`.
    #[inline]
    fn beats(&self, other: &Self) -> bool {
        self.score > other.score || (self.score == other.score && self.id < other.id)
    }
}

/// Collects the best `k` hits. Scores must not be NaN.
#[derive(Debug)]
pub struct TopK {
    k: usize,
    min: f32,
    /// A binary heap with the worst hit at the root.
    heap: Vec<Hit>,
}

impl TopK {
    /// Room for `k` hits of a score of at least `min`; `expected` bounds how many will be offered.
    pub fn new(k: usize, min: f32, expected: usize) -> Self {
        Self { k, min, heap: Vec::with_capacity(k.min(expected)) }
    }

    /// No score below this one can enter any more (an equal one can, by its id).
    #[inline]
    pub fn threshold(&self) -> f32 {
        match self.heap.first() {
            Some(worst) if self.heap.len() >= self.k => worst.score,
            _ => self.min,
        }
    }

    /// Offers a hit.
    #[inline]
    pub fn offer(&mut self, score: f32, id: u64) {
        let hit = Hit { score, id };
        if self.heap.len() < self.k {
            if score >= self.min {
                self.heap.push(hit);
                self.rise();
            }
        } else if let Some(worst) = self.heap.first_mut()
            && hit.beats(worst)
        {
            *worst = hit;
            self.sink();
        }
    }

    fn rise(&mut self) {
        let mut child = self.heap.len().saturating_sub(1);
        while child > 0 {
            let parent = (child - 1) / 2;
            match (self.heap.get(parent), self.heap.get(child)) {
                (Some(above), Some(below)) if above.beats(below) => self.heap.swap(parent, child),
                _ => return,
            }
            child = parent;
        }
    }

    fn sink(&mut self) {
        let mut parent = 0;
        loop {
            let left = 2 * parent + 1;
            let Some(mut worst) = self.heap.get(left) else {
                return;
            };
            let mut child = left;
            if let Some(right) = self.heap.get(left + 1)
                && worst.beats(right)
            {
                (child, worst) = (left + 1, right);
            }
            match self.heap.get(parent) {
                Some(above) if above.beats(worst) => self.heap.swap(parent, child),
                _ => return,
            }
            parent = child;
        }
    }

    /// The hits, best first.
    pub fn into_sorted(mut self) -> Vec<Hit> {
        self.heap.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then(a.id.cmp(&b.id)));
        self.heap
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
