//! The kernels without special instructions: plain loops in shapes that compilers vectorise.
//!
//! They are declared `unsafe` only to share a type with the others; only `pair` has a contract.

use super::half;
use super::rows::Line;
use super::signs::{LANES, Look, rate_blocks};

/// Sums 16 lanes in a fixed order.
fn total(lanes: &[f32; 16]) -> f32 {
    lanes.iter().sum()
}

fn float(bytes: &[u8]) -> f32 {
    bytes.first_chunk().map_or(0.0, |b| f32::from_ne_bytes(*b))
}

/// See [`Floats`](super::kernel::Floats); rows of f32.
pub unsafe fn floats(query: &[Line], rows: &[&[Line]], out: &mut [f32]) {
    for (row, out) in rows.iter().zip(out) {
        let mut lanes = [0.0f32; 16];
        for (q, r) in query.iter().zip(*row) {
            for ((lane, q), r) in lanes.iter_mut().zip(q.0.chunks_exact(4)).zip(r.0.chunks_exact(4)) {
                *lane += float(q) * float(r);
            }
        }
        *out = total(&lanes);
    }
}

/// See [`Floats`](super::kernel::Floats); rows of halves.
pub unsafe fn halves(query: &[Line], rows: &[&[Line]], out: &mut [f32]) {
    for (row, out) in rows.iter().zip(out) {
        let mut lanes = [0.0f32; 16];
        let parts = row.iter().flat_map(|line| line.0.chunks_exact(32));
        for (q, r) in query.iter().zip(parts) {
            for ((lane, q), r) in lanes.iter_mut().zip(q.0.chunks_exact(4)).zip(r.chunks_exact(2)) {
                let half = r.first_chunk().map_or(0, |b| u16::from_ne_bytes(*b));
                *lane += float(q) * half::to_f32(half);
            }
        }
        *out = total(&lanes);
    }
}

/// See [`Codes`](super::kernel::Codes).
pub unsafe fn codes(query: &[Line], rows: &[&[Line]], out: &mut [i32]) {
    for (row, out) in rows.iter().zip(out) {
        *out = query
            .iter()
            .zip(*row)
            .map(|(q, r)| q.0.iter().zip(&r.0).map(|(q, r)| i32::from(*q as i8) * i32::from(*r)).sum::<i32>())
            .sum();
    }
}

/// See [`Pair`](super::kernel::Pair).
pub unsafe fn pair(a: *const u8, b: *const u8, lines: usize) -> (i32, i32) {
    // SAFETY: the caller promises 64 bytes a line behind both pointers.
    let (a, b) =
        unsafe { (std::slice::from_raw_parts(a, lines * 64), std::slice::from_raw_parts(b, lines * 64)) };
    let signed = |code: &u8| i32::from(*code) - 128;
    (a.iter().zip(b).map(|(a, b)| i32::from(*a) * signed(b)).sum(), b.iter().map(signed).sum())
}

/// See [`Estimates`](super::kernel::Estimates), by [`fours`](super::signs::fours).
pub fn signs(look: &Look, blocks: &[Line], given: (&[f32], &[f32]), found: (&mut [f32], &mut [f32])) {
    let tables = look.tables.iter().flat_map(|line| line.0.as_chunks::<16>().0.as_chunks::<2>().0);
    rate_blocks(look, blocks, given, found, |block| {
        let mut sums = [0u16; LANES];
        for (line, [low, high]) in block.iter().zip(tables.clone()) {
            for (at, pair) in line.0.as_chunks::<2>().0.iter().enumerate() {
                for (byte, at) in pair.iter().zip([at, at + LANES / 2]) {
                    let parts = [low.get(usize::from(byte & 15)), high.get(usize::from(byte >> 4))];
                    let both = parts.into_iter().flatten().map(|part| u16::from(*part)).sum::<u16>();
                    if let Some(sum) = sums.get_mut(at) {
                        *sum += both;
                    }
                }
            }
        }
        sums
    });
}
