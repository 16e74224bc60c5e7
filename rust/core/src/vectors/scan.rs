//! The scan over all or some rows of a table.

use std::cell::RefCell;
use std::mem;
use std::sync::{Mutex, PoisonError};

use super::ahead::Ahead;
use super::encode::{self, Precision};
use super::rows::{Line, Rows};
use super::sift::Mix;
use super::table::Table;
use super::topk::{Hit, TopK};
use crate::aside::aside;

/// Rows scored per call of a kernel: their scores stay in the first-level cache.
pub(super) const STRIDE: usize = 64;

/// Values from which the shorter scan over codes is worth its second pass.
const CODES_PAY: usize = 1 << 21;
/// Rows for each one that is wanted from which it pays where codes and rows are in the cache.
const ROWS_FOR_ONE: usize = 4;

/// Rows that two threads rate by their codes, and how many of them at a time.
const SHARED: usize = 512;
const PART: usize = 128;

/// Spreads that a cosine over codes may be off by: that of one row in 10^15 is off by more.
const SPREADS: f32 = 8.0;

/// A question; which parts are filled follows the table's precision.
#[derive(Debug, Default)]
pub struct Query {
    /// Its vector, of length 1 or 0.
    unit: Vec<f32>,
    /// That turned, where the table has a rotation and codes.
    turned: Vec<f32>,
    spare: Vec<f32>,
    floats: Vec<Line>,
    /// For tables with codes: the signed codes, their scale and their sum.
    codes: Vec<Line>,
    scale: f32,
    sum: i32,
}

impl Query {
    /// What its codes are of.
    pub(super) fn coded(&self) -> &[f32] {
        if self.turned.is_empty() { &self.unit } else { &self.turned }
    }
}

/// Rows scanned to answer a search.
#[derive(Clone, Copy, Debug)]
pub enum Among<'a> {
    /// Every row.
    All,
    /// Rows at these slots, which exist, each at most once.
    Slots(&'a [u32]),
}

thread_local! {
    /// Kept from one search to the next: what is this large is dear to allocate.
    static ASKED: RefCell<Query> = RefCell::default();
    static RATED: RefCell<Vec<f32>> = RefCell::default();
}

impl Table {
    /// Gives `body` the question `vector`, made ready for this table. No such body inside another.
    pub fn ask<T>(&self, vector: &[f32], body: impl FnOnce(&Query) -> T) -> T {
        ASKED.with_borrow_mut(|query| {
            encode::unit(vector, &mut query.unit);
            encode::floats(&query.unit, self.precision != Precision::F32, &mut query.floats);
            query.turned.clear();
            if self.codes.is_some() {
                let Query { unit, turned, spare, .. } = &mut *query;
                if let Some(rotation) = &self.rotation {
                    rotation.turn(unit, turned, spare);
                }
                let mut codes = mem::take(&mut query.codes);
                (query.scale, query.sum) = encode::query_codes(query.coded(), &mut codes);
                query.codes = codes;
            }
            body(query)
        })
    }

    /// The exact best `k` among `among`, best first. With codes, the scan over them proposes and
    /// the exact rows decide.
    pub fn scan(&self, query: &Query, k: usize, min: f32, among: Among<'_>) -> Vec<Hit> {
        let rows = self.count(among);
        let proposals = k.saturating_mul(4).saturating_add(64);
        if let Some((codes, scales)) = &self.codes
            && rows / 4 > proposals
            && rows.saturating_mul(self.dimensions) >= CODES_PAY
        {
            let mut top = TopK::new(proposals, f32::NEG_INFINITY, rows);
            let mut dots = [0i32; STRIDE];
            each(codes, among, |slots, rows| {
                // SAFETY: the kernels come from `Kernels::available`.
                unsafe { (self.kernels.codes)(&query.codes, rows, &mut dots) };
                for (dot, slot) in dots.iter().zip(slots) {
                    // The query's own scale is the same for all and left out.
                    let scale = scales.get(*slot as usize).copied().unwrap_or(0.0);
                    top.offer((dot - 128 * query.sum) as f32 * scale, u64::from(*slot));
                }
            });
            let slots: Vec<u32> = top.into_sorted().iter().map(|hit| hit.id as u32).collect();
            return self.exact(query, (k, min), Among::Slots(&slots), |_, cosine| cosine, |id| id);
        }
        self.exact(query, (k, min), among, |_, cosine| cosine, |id| id)
    }

    /// The best `k` among `among` by what `mix` makes of their cosines, best first; `name(id)` is what their hits are
    /// called, and of equal ones the lower name comes first.
    pub fn scan_by(
        &self,
        query: &Query,
        k: usize,
        among: Among<'_>,
        (mix, ahead): (&Mix<'_>, Option<&Ahead>),
        name: impl Fn(u64) -> u64,
    ) -> Vec<Hit> {
        let exact = |among: Among<'_>| {
            let score = |id, cosine| mix.total(id, cosine);
            self.exact(query, (k, f32::NEG_INFINITY), among, score, &name)
        };
        let sifted = match among {
            // The k-th best by rows is at most one error below the k-th best by codes.
            Among::All => self.sift(query.coded(), k, mix, ahead, |slots| {
                self.rate(query, k, Among::Slots(slots), (mix, false), |kth, error, _| kth - error)
            }),
            Among::Slots(_) => None,
        };
        let among = sifted.as_deref().map_or(among, Among::Slots);
        // Whoever has looked ahead was alone.
        let alone = self.known(ahead, mix.weight).is_some();
        match self.by_codes(query, k, among, (mix, alone)) {
            Some(left) => exact(Among::Slots(&left)),
            None => exact(among),
        }
    }

    /// The slots of those among `among` that can be among its best `k`, by their codes. `None` where that does not pay
    /// or leaves most of them.
    fn by_codes(
        &self,
        query: &Query,
        k: usize,
        among: Among<'_>,
        (mix, alone): (&Mix<'_>, bool),
    ) -> Option<Vec<u32>> {
        let count = self.count(among);
        if count / ROWS_FOR_ONE < k {
            return None;
        }
        let left = self.rate(query, k, among, (mix, alone), |kth, error, rated| {
            // What is rated one more error below the k-th best by rows is worse.
            let bar = kth - 2.0 * error;
            let mut left = Vec::with_capacity(4 * k);
            let mut keep = |slot: u32, score: f32| {
                if score >= bar {
                    left.push(slot);
                }
            };
            match among {
                Among::All => (0..).zip(rated).for_each(|(slot, score)| keep(slot, *score)),
                Among::Slots(slots) => slots.iter().zip(rated).for_each(|(slot, score)| keep(*slot, *score)),
            }
            left
        });
        left.filter(|left| left.len() < count / 2)
    }

    /// Gives `body` the `k`-th best of what those among `among` are worth by their codes, what each may be off by, and all
    /// in their order. `None` where there are no codes or not so many rows. `alone`: another thread may help.
    fn rate<T>(
        &self,
        query: &Query,
        k: usize,
        among: Among<'_>,
        (mix, alone): (&Mix<'_>, bool),
        body: impl FnOnce(f32, f32, &[f32]) -> T,
    ) -> Option<T> {
        let (codes, scales) = self.codes.as_ref()?;
        let last = k.checked_sub(1)?;
        RATED.with_borrow_mut(|rated| {
            // Rates some rows, and gives their largest scale.
            let rate = |among: Among<'_>, rated: &mut [f32]| {
                let (mut rest, mut largest) = (rated.iter_mut(), 0.0f32);
                let mut dots = [0i32; STRIDE];
                each(codes, among, |slots, rows| {
                    // SAFETY: the kernels come from `Kernels::available`.
                    unsafe { (self.kernels.codes)(&query.codes, rows, &mut dots) };
                    for ((dot, slot), place) in dots.iter().zip(slots).zip(&mut rest) {
                        let scale = scales.get(*slot as usize).copied().unwrap_or(0.0);
                        largest = largest.max(scale);
                        let cosine = (dot - 128 * query.sum) as f32 * (query.scale * scale);
                        *place = mix.total(self.id(*slot), cosine);
                    }
                });
                largest
            };
            rated.clear();
            rated.resize(self.count(among), 0.0);
            let largest = match among {
                Among::Slots(slots) if alone && slots.len() >= SHARED => {
                    let parts = slots.chunks(PART).zip(rated.chunks_mut(PART));
                    let parts: Vec<_> = parts.map(|(slots, rated)| Mutex::new((slots, rated, 0.0))).collect();
                    let step = |at: usize| {
                        let Some(part) = parts.get(at) else { return };
                        let (slots, rated, largest) =
                            &mut *part.lock().unwrap_or_else(PoisonError::into_inner);
                        *largest = rate(Among::Slots(slots), rated);
                    };
                    aside(parts.len(), &step, || ());
                    let largest = parts.into_iter().map(|part| part.into_inner().map_or(0.0, |part| part.2));
                    largest.fold(0.0, f32::max)
                }
                _ => rate(among, rated),
            };
            let mut top = TopK::new(k, f32::NEG_INFINITY, rated.len());
            (0..).zip(&*rated).for_each(|(at, score)| top.offer(*score, at));
            let error = mix.weight * self.codes_error(query.scale, largest);
            Some(body(top.into_sorted().get(last)?.score, error, rated))
        })
    }

    /// What a cosine over codes of these scales may be off by. Rounding moves each value by up to half a scale, with a
    /// spread of a scale / √12; a sum of that by the values of a vector of length 1 has the same spread.
    fn codes_error(&self, asked: f32, row: f32) -> f32 {
        if self.rotation.is_some() {
            SPREADS * (asked.hypot(row) / 12f32.sqrt())
        } else {
            // Values that are not turned may all be moved to the same side.
            (asked + row) / 2.0 * (self.dimensions as f32).sqrt()
        }
    }

    /// The best `k` of at least `min` by `score(id, cosine)`, under their names.
    fn exact(
        &self,
        query: &Query,
        (k, min): (usize, f32),
        among: Among<'_>,
        score: impl Fn(u64, f32) -> f32,
        name: impl Fn(u64) -> u64,
    ) -> Vec<Hit> {
        let kernel = if self.precision == Precision::F32 { self.kernels.floats } else { self.kernels.halves };
        let mut top = TopK::new(k, min, self.count(among));
        let mut cosines = [0.0f32; STRIDE];
        each(&self.exact, among, |slots, rows| {
            // SAFETY: the kernels come from `Kernels::available`.
            unsafe { kernel(&query.floats, rows, &mut cosines) };
            for (cosine, slot) in cosines.iter().zip(slots) {
                let id = self.id(*slot);
                // Rounding can carry the product of two unit vectors just past 1.
                let score = score(id, cosine.clamp(-1.0, 1.0));
                if score >= top.threshold() {
                    top.offer(score + 0.0, name(id)); // -0.0 becomes 0.0: they are a tie
                }
            }
        });
        top.into_sorted()
    }

    fn id(&self, slot: u32) -> u64 {
        self.ids.get(slot as usize).copied().unwrap_or_default()
    }

    fn count(&self, among: Among<'_>) -> usize {
        match among {
            Among::All => self.len(),
            Among::Slots(slots) => slots.len(),
        }
    }
}

/// Hands slots and rows to `body`, a stride at a time.
pub(super) fn each(table: &Rows, among: Among<'_>, mut body: impl FnMut(&[u32], &[&[Line]])) {
    let mut rows: [&[Line]; STRIDE] = [&[]; STRIDE];
    let mut slots = [0u32; STRIDE];
    match among {
        Among::All => {
            let mut next = 0u32;
            for mut block in table.blocks() {
                while block.len() > 0 {
                    let mut filled = 0;
                    for ((slot, place), row) in slots.iter_mut().zip(&mut rows).zip(&mut block) {
                        (*slot, *place) = (next, row);
                        next += 1;
                        filled += 1;
                    }
                    if let (Some(slots), Some(rows)) = (slots.get(..filled), rows.get(..filled)) {
                        body(slots, rows);
                    }
                }
            }
        }
        Among::Slots(chosen) => {
            for chosen in chosen.chunks(STRIDE) {
                for (place, slot) in rows.iter_mut().zip(chosen) {
                    *place = table.get(*slot as usize).unwrap_or_default();
                }
                if let Some(rows) = rows.get(..chosen.len()) {
                    body(chosen, rows);
                }
            }
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::super::{Options, Precision, VectorIndex};
    use super::*;

    /// Also of vectors whose values are all moved to the same side, as counts of words are.
    #[test]
    fn no_cosine_over_codes_is_off_by_more_than_is_said() {
        let mut state = 7u64;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for size in [96usize, 128, 384, 1_536] {
            let index =
                VectorIndex::new(size, Options { precision: Precision::I8, ..Options::default() }).unwrap();
            for id in 0..900 {
                let mut vector: Vec<f32> = match id % 3 {
                    0 => (0..size).map(|_| random(2_001) as f32 - 1_000.0).collect(),
                    1 => (0..size).map(|_| random(3) as f32 / 2.0).collect(),
                    _ => (0..size).map(|at| if at % 40 == 3 { 1.0 } else { 0.1 }).collect(),
                };
                *vector.first_mut().unwrap() += 3.0;
                index.add(id, &vector).unwrap();
            }
            let state = index.shared.read();
            let table = &state.table;
            let all: Vec<u32> = (0..900).collect();
            let mix = Mix { weight: 1.0, base: &[] };
            for asked in 0..30 {
                let mut unit = Vec::new();
                encode::decode(table.exact.get(asked).unwrap(), table.precision, size, &mut unit);
                table.ask(&unit, |query| {
                    let exact = table.exact(query, (900, -2.0), Among::All, |_, cosine| cosine, |id| id);
                    let rated = table.rate(query, 1, Among::Slots(&all), (&mix, false), |_, error, rated| {
                        (error, rated.to_vec())
                    });
                    let (error, rated) = rated.unwrap();
                    for hit in exact {
                        let code = *rated.get(hit.id as usize).unwrap();
                        assert!(
                            (code - hit.score.max(0.0)).abs() <= error,
                            "{size}: {code} {} {error}",
                            hit.score
                        );
                    }
                    assert!(size < 128 || error < 0.06, "{size}: {error}");
                });
            }
        }
    }
}
