//! One bit a dimension: a first look at every row that reads an eighth of what its codes take.
//!
//! A vector is turned by a fixed rotation that looks random (flipped signs and Hadamard transforms), which spreads
//! whatever it holds over all dimensions; the signs of the first ones are kept, and one number for what they miss of it.
//! With the signs a cosine is estimated without bias, and the spread of the error is known whatever the vectors are:
//! `√(g² - 1) / √(dimensions - 1)`, where g is the root of the number of signs by the sum of what the signed dimensions
//! have (Gao and Long 2024, RaBitQ, where all dimensions are signed). So a row whose estimate lies many spreads below the
//! bar is not among the best, and only the others are looked at again. Of many dimensions not all need signs: as many
//! are kept as make the spread [what is small enough](SMALL).
//!
//! [`LANES`] rows lie together: a line holds eight dimensions of each, a byte a row. What some dimensions of the question
//! add for each of their signs is looked up in tables that fit a register, for all rows of the line at once (André,
//! Kermarrec and Le Scouarnec 2015, PQ Fast Scan). All of it follows from the vectors; a file keeps it because turning
//! 100,000 of them takes longer than reading it.

use std::f32::consts::PI;

use super::common::dot;
use super::encode::code;
use super::rows::{Line, Rows};
use crate::snapshot::Reader;

/// Rows that lie together.
pub const LANES: usize = 64;
/// Rows of which the largest estimate is noted.
pub const PART: usize = 16;
/// Fewer dimensions than this say too little by their signs.
pub const LEAST: usize = 128;
/// Flips and transforms; two spread every dimension over all others.
const ROUNDS: usize = 2;
/// The spread from which more signs are not worth reading: it is a little more than that of all signs of 384 dimensions.
const SMALL: f32 = 0.04;
/// Signs are kept in groups of so many: the lines of three make the kernels' step.
const STEP: usize = 3 * 8;
/// Spreads between an estimate and the bar: that of one row in 30,000 is off by more, to either side.
const SPREADS: f32 = 4.0;
/// The most that four tables may add together: it fits a byte.
const MOST: f32 = 255.0;
/// The most that all may add: it fits two.
const MOST_OF_ALL: f32 = 65_000.0;

/// A fixed rotation of vectors of one size. It makes them longer by up to 63 zeros first.
#[derive(Debug)]
pub struct Rotation {
    /// Values of the vectors.
    size: usize,
    /// How many of them have signs.
    kept: usize,
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
        // The spread of `kept` signs is √((π/2 · size/kept - 1) / size).
        let kept = PI / 2.0 / (SMALL * SMALL + 1.0 / size as f32);
        let kept = (kept as usize).next_multiple_of(STEP).min(size);
        Self { size, kept, block: 1 << size.trailing_zeros(), flips: flips.collect() }
    }

    /// Lines of a block of [`LANES`] rows.
    pub fn lines(&self) -> usize {
        self.kept / 8
    }

    /// Turns `unit`, keeping its length; `spare` is room to work in.
    pub fn turn(&self, unit: &[f32], out: &mut Vec<f32>, spare: &mut Vec<f32>) {
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

    /// The signs of a turned vector (of length 1 or 0), a byte for each line, and the factor that goes with them.
    pub fn encode(&self, turned: &[f32], out: &mut Vec<u8>) -> f32 {
        let turned = turned.get(..self.kept).unwrap_or(turned);
        out.clear();
        out.extend(turned.as_chunks::<8>().0.iter().map(|values| {
            values.iter().rev().fold(0u8, |byte, value| byte << 1 | (!value.to_bits() >> 31) as u8)
        }));
        let mut lanes = [0.0f32; 16];
        for part in turned.as_chunks::<16>().0 {
            lanes.iter_mut().zip(part).for_each(|(lane, value)| *lane += value.abs());
        }
        let sum: f32 = lanes.iter().sum();
        // A zero vector has no direction: the factor of a common one keeps its estimate within the common spread.
        if sum > 0.0 { 1.0 / sum } else { self.usual() / (self.kept as f32).sqrt() }
    }

    /// The usual g of the module's formula: a turned value has √(2 / (π · size)), sign aside, in the mean.
    fn usual(&self) -> f32 {
        (PI / 2.0 * self.size as f32 / self.kept as f32).sqrt()
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
    /// What signs add, as the kernel looks it up.
    pub tables: Vec<Line>,
    /// Lines of a block of rows.
    pub lines: usize,
    /// What all tables add together at most.
    pub sum: i32,
    /// `base + scale · factor · (2 · found - sum)` is the estimate of a score.
    pub scale: f32,
    /// `flat + tilt · factor` above it, a score is not believed any more.
    pub flat: f32,
    /// See `flat`.
    pub tilt: f32,
    codes: Vec<i8>,
}

impl Look {
    /// Gets ready for a question that was [turned](Rotation::turn), or a part of one, where a cosine of 1 is worth
    /// `weight`, and for the kernel that `tables` fits.
    ///
    /// # Safety
    /// The tables come from `Kernels::available`.
    pub unsafe fn ask(&mut self, rotation: &Rotation, turned: &[f32], weight: f32, tables: Tables) {
        let codes = &mut self.codes;
        let whole = dot(turned, turned).sqrt();
        let turned = turned.get(..rotation.kept).unwrap_or(turned);
        // Each kernel adds up what four tables say before it takes more room for it: at most what 24 dimensions have,
        // half of which may be rounded up.
        let largest = turned.chunks(3 * 8).map(length).fold(0.0, f32::max);
        let kept = rotation.kept as f32;
        let inverse = ((MOST - 12.0) / largest).min((MOST_OF_ALL - kept / 2.0) / length(turned));
        let inverse = inverse.min(127.0 / turned.iter().fold(0.0, |most, value| value.abs().max(most)));
        let inverse = if inverse.is_finite() { inverse } else { 0.0 };
        codes.clear();
        codes.extend(turned.iter().map(|value| code(value * inverse) as i8));
        self.sum = codes.iter().map(|code| i32::from(code.unsigned_abs())).sum();
        // SAFETY: the caller promises it.
        unsafe { tables(codes, &mut self.tables) };
        self.lines = rotation.lines();
        let step = if inverse > 0.0 { 1.0 / inverse } else { 0.0 };
        self.scale = weight * step;
        // The spread grows with the question's length and with √(g² - 1), which lies below its tangent at the usual g.
        let (root, spread, usual) =
            (kept.sqrt(), whole * SPREADS / (rotation.size as f32 - 1.0).sqrt(), rotation.usual());
        let middle = (usual * usual - 1.0).sqrt();
        let slope = usual / middle;
        self.tilt = weight * spread * slope * root;
        // Rounding moves each value by up to half a step, with a spread of a step / √12; a row's factor of g / √kept
        // makes of the sum of all a spread of g times that.
        let rounding = SPREADS * usual * step / 12f32.sqrt();
        self.flat = weight * (spread * (middle - usual * slope) + rounding);
    }
}

/// The sum of what values have, signs aside.
fn length(values: &[f32]) -> f32 {
    values.iter().map(|value| value.abs()).sum()
}

/// Makes the tables of a kernel from the codes of a question. The entry for some signs is what the codes with these
/// signs have: less than 256 in the 24 dimensions of three lines.
///
/// # Safety
/// As for the kernel that the tables are for.
pub type Tables = unsafe fn(codes: &[i8], tables: &mut Vec<Line>);

/// A table for four codes: bit `n` of an index says that dimension `n` is not negative.
fn table(codes: &[i8]) -> [u8; 16] {
    let none: u8 = codes.iter().filter(|code| **code < 0).map(|code| code.unsigned_abs()).sum();
    let mut entries = [none; 16];
    for (bit, code) in codes.iter().enumerate() {
        for (index, entry) in entries.iter_mut().enumerate() {
            *entry = entry.wrapping_add_signed(if index >> bit & 1 == 1 { *code } else { 0 });
        }
    }
    entries
}

/// Tables of 16 entries, two for each line and two lines in each of a table's: for the lower and the upper four bits.
pub fn fours(codes: &[i8], tables: &mut Vec<Line>) {
    tables.clear();
    for codes in codes.chunks(2 * 8) {
        let mut line = Line::default();
        for (place, codes) in line.0.as_chunks_mut::<16>().0.iter_mut().zip(codes.chunks(4)) {
            *place = table(codes);
        }
        tables.push(line);
    }
}

/// What a kernel does with what it found for some rows: the most that each score may be, 0 or more, and the largest.
#[inline(always)]
fn rate(
    look: &Look,
    found: &[u16; PART],
    (factors, base): (&[f32; PART], &[f32; PART]),
    (most, top): (&mut [f32; PART], &mut f32),
) {
    let rows = found.iter().zip(factors).zip(base);
    for (((found, factor), base), most) in rows.zip(&mut *most) {
        let middle = base + (2 * i32::from(*found) - look.sum) as f32 * look.scale * factor;
        *most = (middle + look.flat + look.tilt * factor).max(0.0);
    }
    // The bits of numbers that are not negative are in their order.
    *top = f32::from_bits(most.iter().fold(0, |top, most| most.to_bits().max(top)));
}

/// The byte of a line for the row at `slot`. Kernels add up even and odd bytes apart: in order again, these are the rows.
fn lane(slot: usize) -> usize {
    let at = slot % LANES;
    2 * (at % (LANES / 2)) + at / (LANES / 2)
}

/// [`rate`] for all rows of some blocks, of which `find` gives what the tables add up to.
#[inline(always)]
pub fn rate_blocks(
    look: &Look,
    blocks: &[Line],
    given: (&[f32], &[f32]),
    found: (&mut [f32], &mut [f32]),
    find: impl Fn(&[Line]) -> [u16; LANES],
) {
    let mut given = given.0.as_chunks().0.iter().zip(given.1.as_chunks().0);
    let mut found = found.0.as_chunks_mut().0.iter_mut().zip(found.1);
    for block in blocks.chunks_exact(look.lines.max(1)) {
        let sums = find(block);
        for ((sums, given), found) in sums.as_chunks::<PART>().0.iter().zip(&mut given).zip(&mut found) {
            rate(look, sums, given, found);
        }
    }
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
    pub fn put(&mut self, slot: usize, bytes: &[u8], factor: f32) {
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
        for (line, byte) in self.blocks.get_mut(slot / LANES).unwrap_or_default().iter_mut().zip(bytes) {
            if let Some(place) = line.0.get_mut(lane(slot)) {
                *place = *byte;
            }
        }
    }

    fn bytes(&self, slot: usize) -> Vec<u8> {
        let lines = self.blocks.get(slot / LANES).unwrap_or_default().iter();
        lines.map(|line| line.0.get(lane(slot)).copied().unwrap_or_default()).collect()
    }

    /// Removes the row at `slot`; the last row takes its place.
    pub fn swap_remove(&mut self, slot: usize) {
        let Some(last) = self.len.checked_sub(1).filter(|last| slot <= *last) else { return };
        if slot != last {
            let factor = self.factors.get(last).copied().unwrap_or_default();
            self.put(slot, &self.bytes(last), factor);
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
mod tests;
