//! One bit a dimension: a first look at every row that reads an eighth of what its codes take.
//!
//! A vector is turned by a fixed rotation that looks random (flipped signs and Hadamard transforms), which spreads
//! whatever it holds over all dimensions; the signs of the result are kept, and one number for what they miss of it.
//! With the signs a cosine is estimated without bias, and the spread of the error is known whatever the vectors are:
//! `√(1/ρ² - 1) / √(dimensions - 1)`, where ρ is the cosine between the turned vector and its signs (Gao and Long 2024,
//! RaBitQ). So a row whose estimate lies many spreads below the bar is not among the best, and only the others are
//! looked at again.
//!
//! Sixteen rows lie together: a line holds 32 dimensions of each, so that a kernel gets sixteen products at once and
//! never adds up across a register. All of it follows from the vectors; a file keeps it because turning 100,000 of them takes
//! longer than reading it.

use super::encode::code;
use super::rows::{Line, Rows};
use crate::snapshot::Reader;

/// Rows that lie together.
pub const LANES: usize = 16;
/// Fewer dimensions than this say too little by their signs.
pub const LEAST: usize = 128;
/// Flips and transforms; two spread every dimension over all others.
const ROUNDS: usize = 2;
/// Spreads between an estimate and the bar: that of one row in 30,000 is off by more, to either side.
const SPREADS: f32 = 4.0;
/// What rounding a question to codes may add to an estimate.
const ROUNDING: f32 = 0.002;

/// A fixed rotation of vectors of one size. It makes them longer by up to 63 zeros first.
#[derive(Debug)]
pub struct Rotation {
    size: usize,
    /// Dimensions that one transform goes over: the largest power of two in `size`.
    block: usize,
    /// For each round and dimension the sign bit to flip, or 0.
    flips: Vec<u32>,
}

impl Rotation {
    /// The rotation for vectors of `dimensions` values; always the same.
    pub fn new(dimensions: usize) -> Self {
        let size = dimensions.next_multiple_of(64);
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let flips = (0..ROUNDS * size).map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 32) as u32 & 0x8000_0000
        });
        Self { size, block: 1 << size.trailing_zeros(), flips: flips.collect() }
    }

    /// Lines of a block of [`LANES`] rows.
    pub fn lines(&self) -> usize {
        self.size / 32
    }

    /// Turns `unit`, keeping its length; `spare` is room to work in.
    fn turn(&self, unit: &[f32], out: &mut Vec<f32>, spare: &mut Vec<f32>) {
        out.clear();
        out.extend_from_slice(unit);
        out.resize(self.size, 0.0);
        let blocks = self.size / self.block;
        let scale = 1.0 / (self.block as f32).sqrt();
        for flips in self.flips.chunks_exact(self.size) {
            for (value, flip) in out.iter_mut().zip(flips) {
                *value = f32::from_bits(value.to_bits() ^ flip) * scale;
            }
            out.chunks_exact_mut(self.block).for_each(hadamard);
            if blocks > 1 {
                // Each block of the next round takes something from all of this one's.
                spare.clear();
                spare.resize(self.size, 0.0);
                for (at, block) in out.chunks_exact(self.block).enumerate() {
                    spare.iter_mut().skip(at).step_by(blocks).zip(block).for_each(|(to, from)| *to = *from);
                }
                std::mem::swap(out, spare);
            }
        }
    }

    /// The signs of `unit` (of length 1 or 0) as [`Signs`] keeps them, and the factor that goes with them.
    pub fn encode(&self, unit: &[f32], out: &mut Vec<u32>) -> f32 {
        let (mut turned, mut spare) = (Vec::new(), Vec::new());
        self.turn(unit, &mut turned, &mut spare);
        out.clear();
        out.extend(turned.as_chunks::<32>().0.iter().map(|values| {
            let mut word = 0;
            for (bit, four) in values.as_chunks::<4>().0.iter().enumerate() {
                for (byte, value) in four.iter().enumerate() {
                    word |= (!value.to_bits() >> 31) << (8 * byte + bit);
                }
            }
            word
        }));
        let mut lanes = [0.0f32; 16];
        for part in turned.as_chunks::<16>().0 {
            lanes.iter_mut().zip(part).for_each(|(lane, value)| *lane += value.abs());
        }
        let sum: f32 = lanes.iter().sum();
        // A zero vector has no direction: the factor of a common one keeps its estimate within the common spread.
        if sum > 0.0 { 1.0 / sum } else { 1.25 / (self.size as f32).sqrt() }
    }
}

/// A Hadamard transform in place; the length is a power of two, and at least 8.
fn hadamard(values: &mut [f32]) {
    for [a, b, c, d, e, f, g, h] in values.as_chunks_mut::<8>().0 {
        let ([p, q, r, s], [t, u, v, w]) =
            ([*a + *b, *a - *b, *c + *d, *c - *d], [*e + *f, *e - *f, *g + *h, *g - *h]);
        let ([i, j, k, l], [m, n, o, x]) = ([p + r, q + s, p - r, q - s], [t + v, u + w, t - v, u - w]);
        (*a, *b, *c, *d) = (i + m, j + n, k + o, l + x);
        (*e, *f, *g, *h) = (i - m, j - n, k - o, l - x);
    }
    let mut half = 8;
    while half < values.len() {
        for pair in values.chunks_exact_mut(2 * half) {
            let (low, high) = pair.split_at_mut(half);
            for (a, b) in low.iter_mut().zip(high) {
                (*a, *b) = (*a + *b, *a - *b);
            }
        }
        half *= 2;
    }
}

/// A question ready for a kernel: what a row's score is for it, by the row's signs.
#[derive(Debug, Default)]
pub struct Look {
    /// The codes (i8) of four dimensions each.
    pub codes: Vec<i32>,
    /// Lines of a block of rows.
    pub lines: usize,
    /// Of all codes.
    pub sum: i32,
    /// `base + scale · factor · (2 · product - sum)` is the estimate of a score.
    pub scale: f32,
    /// `flat + tilt · factor` above it, a score is not believed any more.
    pub flat: f32,
    /// See `flat`.
    pub tilt: f32,
    turned: Vec<f32>,
    spare: Vec<f32>,
}

impl Look {
    /// Gets ready for the question `unit` where a cosine of 1 is worth `weight`.
    pub fn ask(&mut self, rotation: &Rotation, unit: &[f32], weight: f32) {
        let Self { turned, spare, codes, .. } = self;
        rotation.turn(unit, turned, spare);
        let largest = turned.iter().fold(0.0f32, |most, value| most.max(value.abs()));
        let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
        codes.clear();
        self.sum = 0;
        for four in turned.as_chunks::<4>().0 {
            let four = four.map(|value| code(value * inverse));
            self.sum += four.iter().map(|code| i32::from(*code as i8)).sum::<i32>();
            codes.push(i32::from_le_bytes(four));
        }
        self.lines = rotation.lines();
        self.scale = weight * largest / 127.0;
        // With g = 1/ρ the spread grows with √(g² - 1), which lies below its tangent at g = 1.25, the usual value.
        let (root, spread) = ((rotation.size as f32).sqrt(), SPREADS / (rotation.size as f32 - 1.0).sqrt());
        self.tilt = weight * spread * (5.0 / 3.0) * root;
        self.flat = weight * (spread * (0.75 - 1.25 * 5.0 / 3.0) + ROUNDING);
    }
}

/// What a kernel does with the products of sixteen rows: the most that each score may be, 0 or more, and the largest.
#[inline(always)]
pub fn rate(
    look: &Look,
    products: &[i32; LANES],
    (factors, base): (&[f32; LANES], &[f32; LANES]),
    (most, top): (&mut [f32; LANES], &mut f32),
) {
    let rows = products.iter().zip(factors).zip(base);
    for (((product, factor), base), most) in rows.zip(&mut *most) {
        let middle = base + (2 * product - look.sum) as f32 * look.scale * factor;
        *most = (middle + look.flat + look.tilt * factor).max(0.0);
    }
    // The bits of numbers that are not negative are in their order.
    *top = f32::from_bits(most.iter().fold(0, |top, most| most.to_bits().max(top)));
}

/// The signs of rows, by slot.
#[derive(Debug)]
pub struct Signs {
    pub(super) blocks: Rows,
    lines: usize,
    /// One a row, and zeros to the end of the last block.
    pub(super) factors: Vec<f32>,
    len: usize,
}

impl Signs {
    /// No rows, of `lines` lines a block.
    pub fn new(lines: usize) -> Self {
        Self { blocks: Rows::new(lines), lines, factors: Vec::new(), len: 0 }
    }

    /// `len` rows from a snapshot into which the factors and every block were put.
    pub fn read(lines: usize, len: usize, factors: Vec<f32>, body: &mut Reader) -> Option<Self> {
        let blocks = Rows::read(lines, len.div_ceil(LANES), body)?;
        (factors.len() == len.next_multiple_of(LANES)).then_some(Self { blocks, lines, factors, len })
    }

    /// Stores a row at `slot`, which exists or is the next one.
    pub fn put(&mut self, slot: usize, words: &[u32], factor: f32) {
        if slot == self.len {
            if slot.is_multiple_of(LANES) {
                self.blocks.push(&vec![Line([0; 64]); self.lines]);
                self.factors.resize(slot + LANES, 0.0);
            }
            self.len += 1;
        }
        if let Some(place) = self.factors.get_mut(slot) {
            *place = factor;
        }
        for (line, word) in self.blocks.get_mut(slot / LANES).unwrap_or_default().iter_mut().zip(words) {
            if let Some(place) = line.0.as_chunks_mut::<4>().0.get_mut(slot % LANES) {
                *place = word.to_le_bytes();
            }
        }
    }

    fn words(&self, slot: usize) -> Vec<u32> {
        let lines = self.blocks.get(slot / LANES).unwrap_or_default().iter();
        let lane = |line: &Line| line.0.as_chunks::<4>().0.get(slot % LANES).copied().unwrap_or_default();
        lines.map(|line| u32::from_le_bytes(lane(line))).collect()
    }

    /// Removes the row at `slot`; the last row takes its place.
    pub fn swap_remove(&mut self, slot: usize) {
        let Some(last) = self.len.checked_sub(1).filter(|last| slot <= *last) else { return };
        if slot != last {
            let factor = self.factors.get(last).copied().unwrap_or_default();
            self.put(slot, &self.words(last), factor);
        }
        if last.is_multiple_of(LANES) {
            self.blocks.swap_remove(last / LANES);
            self.factors.truncate(last);
        } else if let Some(place) = self.factors.get_mut(last) {
            *place = 0.0;
        }
        self.len = last;
    }

    /// All rows in order: blocks of `most` at most, and the factors of their rows.
    pub fn runs(&self, most: usize) -> impl Iterator<Item = (&[Line], &[f32])> {
        let runs = self.blocks.runs().flat_map(move |run| run.chunks(most * self.lines));
        let mut rest = self.factors.as_slice();
        runs.map(move |run| {
            let (factors, later) =
                rest.split_at_checked(run.len() / self.lines * LANES).unwrap_or((rest, &[]));
            rest = later;
            (run, factors)
        })
    }

    /// Bytes held.
    pub fn memory_bytes(&self) -> usize {
        self.blocks.memory_bytes() + self.factors.capacity() * 4
    }
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "a test fails by panicking")]
mod tests {
    use super::super::kernel::Kernels;
    use super::*;

    fn noise(state: &mut u64) -> f32 {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    fn unit(values: Vec<f32>) -> Vec<f32> {
        let length = values.iter().map(|x| x * x).sum::<f32>().sqrt();
        values.into_iter().map(|x| x / length).collect()
    }

    fn dot(a: &[f32], b: &[f32]) -> f32 {
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    }

    /// Vectors as they come: noise, around one centre, with few large values, with one value.
    fn kinds(size: usize, seed: &mut u64) -> Vec<Vec<f32>> {
        let centre: Vec<f32> = (0..size).map(|_| noise(seed)).collect();
        let mut made = Vec::new();
        for n in 0..120 {
            let mut row: Vec<f32> = match n % 4 {
                0 => (0..size).map(|_| noise(seed)).collect(),
                1 => centre.iter().map(|x| x + 0.5 * noise(seed)).collect(),
                2 => (0..size).map(|i| if i % 37 == n % 37 { 9.0 } else { 0.3 } * noise(seed)).collect(),
                _ => vec![0.0; size],
            };
            if n % 4 == 3 {
                row[n * 7 % size] = 1.0;
            }
            made.push(unit(row));
        }
        made
    }

    #[test]
    fn a_rotation_keeps_products() {
        let mut seed = 5;
        for size in [128usize, 200, 384, 1_536] {
            let rotation = Rotation::new(size);
            let rows = kinds(size, &mut seed);
            let (mut a, mut b, mut spare) = (Vec::new(), Vec::new(), Vec::new());
            for pair in rows.windows(2) {
                rotation.turn(&pair[0], &mut a, &mut spare);
                rotation.turn(&pair[1], &mut b, &mut spare);
                assert!((dot(&a, &b) - dot(&pair[0], &pair[1])).abs() < 1e-4);
            }
        }
    }

    #[test]
    fn no_score_lies_above_what_is_believed() {
        let mut seed = 9;
        for size in [128usize, 200, 384, 1_536] {
            let rotation = Rotation::new(size);
            let rows = kinds(size, &mut seed);
            let mut signs = Signs::new(rotation.lines());
            let mut words = Vec::new();
            for (slot, row) in rows.iter().enumerate() {
                let factor = rotation.encode(row, &mut words);
                signs.put(slot, &words, factor);
            }
            let mut look = Look::default();
            let padded = rows.len().next_multiple_of(LANES);
            let base: Vec<f32> = (0..padded).map(|n| n as f32 / 1_000.0).collect();
            for query in &rows {
                look.ask(&rotation, query, 0.5);
                let mut first: Option<Vec<f32>> = None;
                for kernel in Kernels::available().into_iter().map(|set| set.signs) {
                    let (mut most, mut tops) = (vec![0.0; padded], vec![0.0; padded / LANES]);
                    let mut at = 0;
                    for (blocks, factors) in signs.runs(3) {
                        let part = at..at + factors.len();
                        at = part.end;
                        // SAFETY: the kernel comes from `available`.
                        unsafe {
                            kernel(
                                &look,
                                blocks,
                                (factors, &base[part.clone()]),
                                (&mut most[part.clone()], &mut tops[part.start / LANES..]),
                            );
                        }
                    }
                    assert_eq!(at, padded);
                    for (slot, row) in rows.iter().enumerate() {
                        let score = base[slot] + 0.5 * dot(row, query);
                        assert!(score <= most[slot] + 1e-5, "{size} {slot}: {score} {}", most[slot]);
                    }
                    for (most, top) in most.chunks(LANES).zip(&tops) {
                        assert_eq!(most.iter().copied().fold(0.0, f32::max).to_bits(), top.to_bits());
                    }
                    let bits = |v: &[f32]| v[..rows.len()].iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                    if let Some(first) = &first {
                        assert_eq!(bits(first), bits(&most), "kernels differ");
                    }
                    first = Some(most);
                }
            }
        }
    }

    #[test]
    fn rows_come_and_go() {
        let mut signs = Signs::new(4);
        let mut held: Vec<u32> = Vec::new();
        let mut state = 3;
        for step in 0..4_000u32 {
            let more = if step % 2 == 0 { 9_000 } else { held.len() + 1 };
            let at = (noise(&mut state).abs() * more as f32) as usize;
            if step % 7 == 5 && at < held.len() {
                signs.swap_remove(at);
                held.swap_remove(at);
            } else {
                let at = at.min(held.len());
                signs.put(at, &[step, step + 1, step + 2, step + 3], step as f32);
                if at == held.len() { held.push(step) } else { held[at] = step }
            }
            if step % 97 == 0 {
                for (slot, step) in held.iter().enumerate() {
                    assert_eq!(signs.words(slot), [*step, step + 1, step + 2, step + 3]);
                }
                let factors: Vec<f32> = signs.runs(2).flat_map(|(_, factors)| factors.to_vec()).collect();
                assert_eq!(factors.len(), held.len().next_multiple_of(LANES));
                assert!(held.iter().zip(&factors).all(|(step, factor)| *step as f32 == *factor));
                assert!(factors.iter().skip(held.len()).all(|factor| *factor == 0.0));
            }
        }
        assert!(held.len() > 200);
        held.iter().for_each(|_| signs.swap_remove(0));
        assert_eq!((signs.len, signs.factors.len()), (0, 0));
    }
}
