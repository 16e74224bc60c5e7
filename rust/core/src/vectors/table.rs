//! The exact rows: ids, slots, encoded vectors, and the scan over all or some of them.

use std::collections::HashMap;
use std::sync::Arc;

use super::encode::{self, Precision};
use super::graph;
use super::ids::IdHash;
use super::kernel::Kernels;
use super::rows::{Line, Rows};
use super::sift::Mix;
use super::signs::{self, Rotation, Signs};
use super::topk::{Hit, TopK};

/// Rows scored per call of a kernel: their scores stay in the first-level cache.
const STRIDE: usize = 64;

/// Values from which the shorter scan over codes is worth its second pass.
const CODES_PAY: usize = 1 << 21;

/// What a cosine over codes may be off by. Rounding adds up to a spread of about 0.001; this is many times that.
const CODES_ERR: f32 = 0.01;

/// Encoded query; which parts are filled follows the table's precision.
#[derive(Debug)]
pub struct Query {
    /// As it was given.
    pub(super) unit: Vec<f32>,
    floats: Vec<Line>,
    /// For tables with codes: the signed codes, their scale and their sum.
    codes: Option<(Vec<Line>, f32, i32)>,
}

/// A vector made ready for storing outside of any lock.
#[derive(Debug, Default)]
pub struct Encoded {
    exact: Vec<Line>,
    pub(super) codes: Vec<Line>,
    pub(super) scale: f32,
    pub(super) signs: Vec<u32>,
    pub(super) factor: f32,
}

/// Rows scanned to answer a search.
#[derive(Clone, Copy, Debug)]
pub enum Among<'a> {
    /// Every row.
    All,
    /// Rows at these slots, which exist, each at most once.
    Slots(&'a [u32]),
}

/// All rows of one index.
#[derive(Debug)]
pub struct Table {
    pub(super) dimensions: usize,
    pub(super) precision: Precision,
    pub(super) kernels: Kernels,
    pub(super) exact: Rows,
    /// From a [number of rows](super::few) on, where the precision has them.
    pub(super) codes: Option<(Rows, Vec<f32>)>,
    /// For the first look at tables with codes, which have enough dimensions for it.
    pub(super) signs: Option<(Arc<Rotation>, Signs)>,
    pub(super) rotation: Option<Arc<Rotation>>,
    pub(super) ids: Vec<u64>,
    /// Whether every id is its slot.
    pub(super) straight: bool,
    pub(super) slots: HashMap<u64, u32, IdHash>,
}

impl Table {
    /// An empty table.
    pub fn new(dimensions: usize, precision: Precision, kernels: Kernels) -> Self {
        let lines = match precision {
            Precision::F32 => encode::float_lines(dimensions),
            Precision::F16 | Precision::I8 => encode::half_lines(dimensions),
        };
        let rotation = (precision == Precision::I8 && dimensions >= signs::LEAST)
            .then(|| Arc::new(Rotation::new(dimensions)));
        Self {
            dimensions,
            precision,
            kernels,
            exact: Rows::new(lines),
            codes: None,
            signs: None,
            rotation,
            ids: Vec::new(),
            straight: true,
            slots: HashMap::default(),
        }
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// The slot of `id`.
    pub fn slot(&self, id: u64) -> Option<u32> {
        // Where ids are numbers in order and nothing was removed, they are the slots.
        if usize::try_from(id).is_ok_and(|at| self.ids.get(at) == Some(&id)) {
            return Some(id as u32);
        }
        self.slots.get(&id).copied()
    }

    /// Ids in slot order.
    pub fn ids(&self) -> &[u64] {
        &self.ids
    }

    /// Bytes held.
    pub fn memory_bytes(&self) -> usize {
        let codes =
            self.codes.as_ref().map_or(0, |(rows, scales)| rows.memory_bytes() + scales.capacity() * 4);
        let signs = self.signs.as_ref().map_or(0, |(_, signs)| signs.memory_bytes());
        // The map keeps one control byte beside each entry and fills to 7/8.
        self.exact.memory_bytes()
            + codes
            + signs
            + self.ids.capacity() * 8
            + self.slots.capacity() * 8 / 7 * 17
    }

    /// What turns vectors before their signs are taken, where the table keeps signs or will.
    pub fn rotation(&self) -> Option<Arc<Rotation>> {
        self.rotation.clone()
    }

    /// Writes `unit` (of length 1 or 0) in the table's format.
    pub fn encode(precision: Precision, unit: &[f32], out: &mut Encoded) {
        match precision {
            Precision::F32 => encode::floats(unit, false, &mut out.exact),
            Precision::F16 | Precision::I8 => encode::halves(unit, &mut out.exact),
        }
    }

    /// Adds to it what scans of many rows read first.
    pub fn encode_codes(rotation: Option<&Rotation>, unit: &[f32], out: &mut Encoded) {
        if let Some(rotation) = rotation {
            out.factor = rotation.encode(unit, &mut out.signs);
        }
        out.scale = encode::row_codes(unit, &mut out.codes);
    }

    /// Stores a row under `id`, in the place of the one it had; returns its slot.
    pub fn put(&mut self, id: u64, row: &Encoded) -> u32 {
        if let Some(slot) = self.slot(id) {
            self.exact.set(slot as usize, &row.exact);
            if let Some((rows, scales)) = &mut self.codes {
                rows.set(slot as usize, &row.codes);
                if let Some(scale) = scales.get_mut(slot as usize) {
                    *scale = row.scale;
                }
            }
            if let Some((_, signs)) = &mut self.signs {
                signs.put(slot as usize, &row.signs, row.factor);
            }
            return slot;
        }
        let slot = self.ids.len() as u32;
        self.exact.push(&row.exact);
        if let Some((rows, scales)) = &mut self.codes {
            rows.push(&row.codes);
            scales.push(row.scale);
        }
        if let Some((_, signs)) = &mut self.signs {
            signs.put(slot as usize, &row.signs, row.factor);
        }
        self.straight &= id == u64::from(slot);
        self.ids.push(id);
        self.slots.insert(id, slot);
        slot
    }

    /// Appends to `out` the row at `slot` as a graph stores it.
    pub fn node(&self, slot: u32, out: &mut Vec<u8>) {
        if let Some((rows, scales)) = &self.codes {
            let scale = scales.get(slot as usize).copied().unwrap_or(0.0);
            graph::node_bytes(rows.get(slot as usize).unwrap_or_default(), scale, out);
        } else {
            let (mut values, mut lines) = (Vec::new(), Vec::new());
            let row = self.exact.get(slot as usize).unwrap_or_default();
            encode::decode(row, self.precision, self.dimensions, &mut values);
            let scale = encode::row_codes(&values, &mut lines);
            graph::node_bytes(&lines, scale, out);
        }
    }

    /// Removes `id`; returns the hole and the slot whose row moved into it (they are equal when
    /// the last row went).
    pub fn remove(&mut self, id: u64) -> Option<(u32, u32)> {
        let hole = self.slots.remove(&id)?;
        let last = self.ids.len().saturating_sub(1) as u32;
        self.exact.swap_remove(hole as usize);
        self.ids.swap_remove(hole as usize);
        if let Some((rows, scales)) = &mut self.codes {
            rows.swap_remove(hole as usize);
            scales.swap_remove(hole as usize);
        }
        if let Some((_, signs)) = &mut self.signs {
            signs.swap_remove(hole as usize);
        }
        self.straight = self.ids.is_empty() || (self.straight && hole == last);
        if let Some(moved) = self.ids.get(hole as usize) {
            self.slots.insert(*moved, hole);
        }
        Some((hole, last))
    }

    /// Encodes a query (of length 1 or 0).
    pub fn query(&self, unit: &[f32]) -> Query {
        let mut floats = Vec::new();
        encode::floats(unit, self.precision != Precision::F32, &mut floats);
        let codes = self.codes.is_some().then(|| {
            let mut lines = Vec::new();
            let (scale, sum) = encode::query_codes(unit, &mut lines);
            (lines, scale, sum)
        });
        Query { unit: unit.to_vec(), floats, codes }
    }

    /// The exact best `k` among `among`, best first. With codes, the scan over them proposes and
    /// the exact rows decide.
    pub fn scan(&self, query: &Query, k: usize, min: f32, among: Among<'_>) -> Vec<Hit> {
        let rows = self.count(among);
        let proposals = k.saturating_mul(4).saturating_add(64);
        if let (Some((lines, _, sum)), Some((codes, scales))) = (&query.codes, &self.codes)
            && rows / 4 > proposals
            && rows.saturating_mul(self.dimensions) >= CODES_PAY
        {
            let mut dots = [0i32; STRIDE];
            let offset = 128 * sum;
            let score = |slots: &[u32], rows: &[&[Line]], out: &mut [f32]| {
                // SAFETY: the kernels come from `Kernels::available`.
                unsafe { (self.kernels.codes)(lines, rows, &mut dots) };
                for ((out, dot), slot) in out.iter_mut().zip(dots).zip(slots) {
                    // The query's own scale is the same for all and left out.
                    let scale = scales.get(*slot as usize).copied().unwrap_or(0.0);
                    *out = (dot - offset) as f32 * scale;
                }
            };
            let proposed = self.collect(codes, proposals, f32::NEG_INFINITY, among, score, |id| id);
            let slots: Vec<u32> = proposed.iter().filter_map(|hit| self.slot(hit.id)).collect();
            return self.exact_scan(query, k, min, Among::Slots(&slots));
        }
        self.exact_scan(query, k, min, among)
    }

    fn exact_scan(&self, query: &Query, k: usize, min: f32, among: Among<'_>) -> Vec<Hit> {
        let kernel = if self.precision == Precision::F32 { self.kernels.floats } else { self.kernels.halves };
        let score = |_: &[u32], rows: &[&[Line]], out: &mut [f32]| {
            // SAFETY: the kernels come from `Kernels::available`.
            unsafe { kernel(&query.floats, rows, out) };
        };
        let mut hits = self.collect(&self.exact, k, min, among, score, |id| id);
        for hit in &mut hits {
            // Rounding can carry the product of two unit vectors just past 1.
            hit.score = hit.score.clamp(-1.0, 1.0);
        }
        hits
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
        let id = |slot: &u32| self.ids.get(*slot as usize).copied().unwrap_or_default();
        let kernel = if self.precision == Precision::F32 { self.kernels.floats } else { self.kernels.halves };
        let exact = |among: Among<'_>| {
            let score = |slots: &[u32], rows: &[&[Line]], out: &mut [f32]| {
                // SAFETY: the kernels come from `Kernels::available`.
                unsafe { kernel(&query.floats, rows, out) };
                for (out, slot) in out.iter_mut().zip(slots) {
                    *out = mix.total(id(slot), out.clamp(-1.0, 1.0));
                }
            };
            self.collect(&self.exact, k, f32::NEG_INFINITY, among, score, &name)
        };
        let worst = |hits: &[Hit]| hits.get(k.saturating_sub(1)).map(|hit| hit.score);
        let sifted = match among {
            Among::All => self.sift(&query.unit, k, mix, |slots| worst(&exact(Among::Slots(slots)))),
            Among::Slots(_) => None,
        };
        let among = sifted.as_deref().map_or(among, Among::Slots);
        let proposals = k.saturating_add(k / 2 + 32);
        if let (Some((lines, scale, sum)), Some((codes, scales))) = (&query.codes, &self.codes)
            && self.count(among) / 4 > proposals
        {
            let mut dots = [0i32; STRIDE];
            let offset = 128 * sum;
            let score = |slots: &[u32], rows: &[&[Line]], out: &mut [f32]| {
                // SAFETY: the kernels come from `Kernels::available`.
                unsafe { (self.kernels.codes)(lines, rows, &mut dots) };
                for ((out, dot), slot) in out.iter_mut().zip(dots).zip(slots) {
                    let scale = scale * scales.get(*slot as usize).copied().unwrap_or(0.0);
                    *out = mix.total(id(slot), (dot - offset) as f32 * scale);
                }
            };
            let proposed = self.collect(codes, proposals, f32::NEG_INFINITY, among, score, |id| id);
            let slots: Vec<u32> = proposed.iter().filter_map(|hit| self.slot(hit.id)).collect();
            let hits = exact(Among::Slots(&slots));
            let outside = proposed.last().map_or(0.0, |hit| hit.score) + mix.weight * CODES_ERR;
            if worst(&hits).is_some_and(|last| last > outside) {
                return hits;
            }
            // Too many are level with the last one for codes to tell them apart.
        }
        exact(among)
    }

    fn count(&self, among: Among<'_>) -> usize {
        match among {
            Among::All => self.len(),
            Among::Slots(slots) => slots.len(),
        }
    }

    /// Scores rows a stride at a time with `score(slots, rows, out)` and keeps the best under their names.
    fn collect(
        &self,
        table: &Rows,
        k: usize,
        min: f32,
        among: Among<'_>,
        mut score: impl FnMut(&[u32], &[&[Line]], &mut [f32]),
        name: impl Fn(u64) -> u64,
    ) -> Vec<Hit> {
        let mut top = TopK::new(k, min, self.len());
        let mut scores = [0.0f32; STRIDE];
        let mut run = |slots: &[u32], rows: &[&[Line]]| {
            let Some(scores) = scores.get_mut(..rows.len()) else {
                return;
            };
            score(slots, rows, scores);
            let mut threshold = top.threshold();
            for (score, slot) in scores.iter().zip(slots) {
                if *score >= threshold
                    && let Some(id) = self.ids.get(*slot as usize)
                {
                    top.offer(*score + 0.0, name(*id)); // -0.0 becomes 0.0: they are a tie
                    threshold = top.threshold();
                }
            }
        };
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
                            run(slots, rows);
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
                        run(chosen, rows);
                    }
                }
            }
        }
        top.into_sorted()
    }
}
