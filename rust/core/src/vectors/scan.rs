//! The scan over all or some rows of a table.

use std::cell::RefCell;

use super::encode::{self, Precision};
use super::rows::{Line, Rows};
use super::sift::Mix;
use super::table::Table;
use super::topk::{Hit, TopK};

/// Rows scored per call of a kernel: their scores stay in the first-level cache.
const STRIDE: usize = 64;

/// Values from which the shorter scan over codes is worth its second pass.
const CODES_PAY: usize = 1 << 21;
/// Rows for each one that is wanted from which it pays where codes and rows are in the cache.
const ROWS_FOR_ONE: usize = 4;

/// What a cosine over codes may be off by. Rounding adds up to a spread of about 0.001; this is many times that.
const CODES_ERR: f32 = 0.01;

/// A question; which parts are filled follows the table's precision.
#[derive(Debug, Default)]
pub struct Query {
    /// Its vector, of length 1 or 0.
    pub(super) unit: Vec<f32>,
    floats: Vec<Line>,
    /// For tables with codes: the signed codes, their scale and their sum.
    codes: Vec<Line>,
    scale: f32,
    sum: i32,
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
            let Query { unit, floats, codes, scale, sum } = query;
            encode::unit(vector, unit);
            encode::floats(unit, self.precision != Precision::F32, floats);
            if self.codes.is_some() {
                (*scale, *sum) = encode::query_codes(unit, codes);
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
        mix: &Mix<'_>,
        name: impl Fn(u64) -> u64,
    ) -> Vec<Hit> {
        let exact = |among: Among<'_>| {
            let score = |id, cosine| mix.total(id, cosine);
            self.exact(query, (k, f32::NEG_INFINITY), among, score, &name)
        };
        let sifted = match among {
            // The k-th best by rows is at most one error below the k-th best by codes.
            Among::All => self.sift(&query.unit, k, mix, |slots| {
                let rated = self.rate(query, k, Among::Slots(slots), mix, |kth, _| kth);
                rated.map(|kth| kth - CODES_ERR * mix.weight)
            }),
            Among::Slots(_) => None,
        };
        let among = sifted.as_deref().map_or(among, Among::Slots);
        match self.by_codes(query, k, among, mix) {
            Some(left) => exact(Among::Slots(&left)),
            None => exact(among),
        }
    }

    /// The slots of those among `among` that can be among its best `k`, by their codes. `None` where that does not pay
    /// or leaves most of them.
    fn by_codes(&self, query: &Query, k: usize, among: Among<'_>, mix: &Mix<'_>) -> Option<Vec<u32>> {
        let count = self.count(among);
        if count / ROWS_FOR_ONE < k {
            return None;
        }
        let left = self.rate(query, k, among, mix, |kth, rated| {
            // What is rated one more error below the k-th best by rows is worse.
            let bar = kth - 2.0 * CODES_ERR * mix.weight;
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

    /// Gives `body` what those among `among` are worth by their codes, in their order, and the `k`-th best of it. `None`
    /// where there are no codes or not so many rows.
    fn rate<T>(
        &self,
        query: &Query,
        k: usize,
        among: Among<'_>,
        mix: &Mix<'_>,
        body: impl FnOnce(f32, &[f32]) -> T,
    ) -> Option<T> {
        let (codes, scales) = self.codes.as_ref()?;
        let last = k.checked_sub(1)?;
        RATED.with_borrow_mut(|rated| {
            rated.clear();
            let mut top = TopK::new(k, f32::NEG_INFINITY, self.count(among));
            let mut dots = [0i32; STRIDE];
            each(codes, among, |slots, rows| {
                // SAFETY: the kernels come from `Kernels::available`.
                unsafe { (self.kernels.codes)(&query.codes, rows, &mut dots) };
                rated.extend(dots.iter().zip(slots).map(|(dot, slot)| {
                    let scale = query.scale * scales.get(*slot as usize).copied().unwrap_or(0.0);
                    let score = mix.total(self.id(*slot), (dot - 128 * query.sum) as f32 * scale);
                    top.offer(score, u64::from(*slot));
                    score
                }));
            });
            Some(body(top.into_sorted().get(last)?.score, rated))
        })
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
fn each(table: &Rows, among: Among<'_>, mut body: impl FnMut(&[u32], &[&[Line]])) {
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
