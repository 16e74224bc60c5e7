//! Dot products of one query with many rows, by the best instructions the processor has.
//!
//! A kernel takes rows as slices of lines, so that a scan of a block and of a hand-picked subset run
//! the same code and give a row the same score to the last bit.
//!
//! Layouts: halves, floats: as they are. Codes: `u8 = i8 + 128`, because the dot product
//! instruction of AVX512-VNNI multiplies unsigned by signed; the caller subtracts
//! `128 · Σ query`. Padding in a query is zero, so padding in a row may be anything finite.

use std::sync::OnceLock;

#[cfg(target_arch = "aarch64")]
use super::neon;
use super::portable;
use super::rows::Line;
use super::signs::{Look, Tables, fours};
#[cfg(target_arch = "x86_64")]
use super::{x86, x86_signs};

/// `out[i] = query · rows[i]`. For halves the query has two lines a row line, for floats one.
pub type Floats = unsafe fn(query: &[Line], rows: &[&[Line]], out: &mut [f32]);
/// `out[i] = Σ query(i8) · rows[i](u8)`.
pub type Codes = unsafe fn(query: &[Line], rows: &[&[Line]], out: &mut [i32]);
/// `Σ a(u8) · (b(u8) - 128)` and `Σ (b - 128)` over two rows of codes of `lines` lines.
pub type Pair = unsafe fn(a: *const u8, b: *const u8, lines: usize) -> (i32, i32);

/// What signs say of rows, block by block: for each row, with its factor and what it is worth besides, the most that
/// its score may be; and the largest of each [`PART`](super::signs::PART). See [`super::signs`].
pub type Estimates = unsafe fn(
    look: &Look,
    blocks: &[Line],
    factors_base: (&[f32], &[f32]),
    most_tops: (&mut [f32], &mut [f32]),
);

/// One set of kernels.
///
/// # Safety
/// A member may only be called on a processor with the set's instructions, which
/// [`Kernels::available`] guarantees for every set that it returns. `Floats`, `Codes` and `Estimates` clip
/// to the shortest of what they are given by themselves; `Pair` reads `64 · lines` bytes of both.
#[derive(Clone, Copy, Debug)]
pub struct Kernels {
    /// The instructions, for humans.
    pub name: &'static str,
    pub(super) halves: Floats,
    pub(super) floats: Floats,
    pub(super) codes: Codes,
    pub(super) pair: Pair,
    pub(super) signs: (Tables, Estimates),
}

const PORTABLE: Kernels = Kernels {
    name: "portable",
    halves: portable::halves,
    floats: portable::floats,
    codes: portable::codes,
    pair: portable::pair,
    signs: (fours, portable::signs),
};

impl Kernels {
    /// Every set this processor can run, the fastest first.
    pub fn available() -> Vec<Self> {
        let mut sets = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma")
                && is_x86_feature_detected!("f16c");
            let avx512 = avx2 && is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw");
            if avx512 && is_x86_feature_detected!("avx512vnni") {
                let vnni =
                    Self { name: "avx512vnni", codes: x86::codes_vnni, pair: x86::pair_vnni, ..x86::AVX512 };
                if is_x86_feature_detected!("avx512vbmi") {
                    sets.push(Self {
                        name: "avx512vbmi",
                        signs: (x86_signs::sixes, x86_signs::vbmi),
                        ..vnni
                    });
                }
                sets.push(vnni);
            }
            if avx512 {
                sets.push(x86::AVX512);
            }
            if avx2 {
                sets.push(x86::AVX2);
            }
        }
        #[cfg(target_arch = "aarch64")]
        if std::arch::is_aarch64_feature_detected!("neon") {
            sets.push(neon::NEON);
        }
        sets.push(PORTABLE);
        sets
    }

    /// The fastest set, detected once.
    pub fn best() -> Self {
        static BEST: OnceLock<Kernels> = OnceLock::new();
        *BEST.get_or_init(|| Self::available().first().copied().unwrap_or(PORTABLE))
    }
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "a test fails by panicking")]
mod tests {
    use super::super::half;
    use super::*;

    fn noise(state: &mut u64) -> f32 {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((*state >> 40) as f32 / (1u64 << 24) as f32) * 2.0 - 1.0
    }

    fn floats(values: &[f32]) -> Vec<Line> {
        values.chunks_exact(16).map(|c| Line::from_floats(&std::array::from_fn(|i| c[i]))).collect()
    }

    #[test]
    fn every_set_agrees_with_f64() {
        let mut seed = 1;
        for lines in [1usize, 2, 3, 7, 12] {
            let dims = lines * 32;
            let query: Vec<f32> = (0..dims).map(|_| noise(&mut seed)).collect();
            let rows: Vec<Vec<f32>> = (0..9)
                .map(|_| (0..dims).map(|_| half::to_f32(half::from_f32(noise(&mut seed)))).collect())
                .collect();
            let expected: Vec<f64> = rows
                .iter()
                .map(|r| r.iter().zip(&query).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum())
                .collect();
            let q = floats(&query);
            let as_floats: Vec<Vec<Line>> = rows.iter().map(|r| floats(r)).collect();
            let as_halves: Vec<Vec<Line>> = rows
                .iter()
                .map(|r| {
                    r.chunks_exact(32)
                        .map(|c| Line::from_halves(&std::array::from_fn(|i| half::from_f32(c[i]))))
                        .collect()
                })
                .collect();
            for set in Kernels::available() {
                for (kernel, data) in [(set.floats, &as_floats), (set.halves, &as_halves)] {
                    let data: Vec<&[Line]> = data.iter().map(Vec::as_slice).collect();
                    let mut out = [0.0; 9];
                    // SAFETY: the set comes from `available`.
                    unsafe { kernel(&q, &data, &mut out) };
                    for (got, want) in out.iter().zip(&expected) {
                        assert!((f64::from(*got) - want).abs() < 1e-4, "{} {got} {want}", set.name);
                    }
                    for (i, got) in out.iter().enumerate() {
                        let mut alone = [0.0; 1];
                        // SAFETY: as above.
                        unsafe { kernel(&q, &data[i..=i], &mut alone) };
                        assert_eq!(alone[0].to_bits(), got.to_bits(), "alone and in a group: {}", set.name);
                    }
                }
            }
        }
    }

    #[test]
    fn codes_are_exact_at_their_extremes() {
        let mut seed = 3;
        for lines in [1usize, 2, 5, 24] {
            let make = |seed: &mut u64| -> Vec<Line> {
                (0..lines)
                    .map(|_| {
                        Line(std::array::from_fn(|_| (noise(seed) * 400.0).clamp(-127.0, 127.0) as i8 as u8))
                    })
                    .collect()
            };
            let query = make(&mut seed);
            let rows: Vec<Vec<Line>> = (0..6)
                .map(|_| make(&mut seed).iter().map(|l| Line(l.0.map(|b| b ^ 0x80))).collect())
                .collect();
            let flat = |r: &[Line]| r.iter().flat_map(|l| l.0).collect::<Vec<u8>>();
            let slices: Vec<&[Line]> = rows.iter().map(Vec::as_slice).collect();
            for set in Kernels::available() {
                let mut out = [0; 6];
                // SAFETY: the set comes from `available`.
                unsafe { (set.codes)(&query, &slices, &mut out) };
                for (got, row) in out.iter().zip(&rows) {
                    let want: i32 = flat(row)
                        .iter()
                        .zip(flat(&query))
                        .map(|(a, b)| i32::from(*a) * i32::from(b as i8))
                        .sum();
                    assert_eq!(*got, want, "{}", set.name);
                }
                let (a, b) = (flat(&rows[0]), flat(&rows[1]));
                let want = a.iter().zip(&b).map(|(a, b)| i32::from(*a) * (i32::from(*b) - 128)).sum::<i32>();
                let sum = b.iter().map(|b| i32::from(*b) - 128).sum::<i32>();
                // SAFETY: as above; both hold `lines` lines.
                assert_eq!(unsafe { (set.pair)(a.as_ptr(), b.as_ptr(), lines) }, (want, sum), "{}", set.name);
            }
        }
    }
}
