//! The first look by signs for x86-64. A byte of a line holds one bit of each of eight groups of dimensions: masked,
//! it is a number of 0 or a power of two to multiply with codes, and the power comes out of the sum at the end.

use std::arch::x86_64::*;

use super::rows::Line;
use super::signs::{LANES, Look, rate};

/// Runs `$body`, which gives the products of a block, and rates its rows by `$rate`.
macro_rules! blocks {
    ($look:ident, $blocks:ident, $given:ident, $found:ident, $rate:path, |$block:ident| $body:block) => {
        let given = $given.0.as_chunks::<LANES>().0.iter().zip($given.1.as_chunks::<LANES>().0);
        let found = $found.0.as_chunks_mut::<LANES>().0.iter_mut().zip($found.1);
        let rows = $blocks.chunks_exact($look.lines.max(1)).zip(given).zip(found);
        for (($block, given), found) in rows {
            let products = $body;
            $rate($look, &products, given, found);
        }
    };
}

/// [`rate`], step by step the same: left to the compiler it is done row by row.
#[target_feature(enable = "avx512f")]
#[inline]
fn rate_512(
    look: &Look,
    products: &__m512i,
    (factors, base): (&[f32; LANES], &[f32; LANES]),
    (most, top): (&mut [f32; LANES], &mut f32),
) {
    // SAFETY: sixteen floats are 64 bytes.
    let (factors, base) = unsafe { (_mm512_loadu_ps(factors.as_ptr()), _mm512_loadu_ps(base.as_ptr())) };
    let twice = _mm512_sub_epi32(_mm512_slli_epi32::<1>(*products), _mm512_set1_epi32(look.sum));
    let scaled = _mm512_mul_ps(_mm512_cvtepi32_ps(twice), _mm512_set1_ps(look.scale));
    let middle = _mm512_add_ps(base, _mm512_mul_ps(scaled, factors));
    let above = _mm512_mul_ps(_mm512_set1_ps(look.tilt), factors);
    let found = _mm512_add_ps(_mm512_add_ps(middle, _mm512_set1_ps(look.flat)), above);
    let found = _mm512_max_ps(found, _mm512_setzero_ps());
    // SAFETY: as above.
    unsafe { _mm512_storeu_ps(most.as_mut_ptr(), found) };
    *top = _mm512_reduce_max_ps(found);
}

/// See [`Estimates`](super::kernel::Estimates).
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub fn vnni(look: &Look, blocks: &[Line], given: (&[f32], &[f32]), found: (&mut [f32], &mut [f32])) {
    let masks: [__m512i; 8] = std::array::from_fn(|bit| _mm512_set1_epi8((1u8 << bit) as i8));
    blocks!(look, blocks, given, found, rate_512, |block| {
        let mut sums = [_mm512_setzero_si512(); 8];
        for (line, codes) in block.iter().zip(look.codes.as_chunks::<8>().0) {
            // SAFETY: a line is 64 bytes, aligned.
            let bits = unsafe { _mm512_load_si512(line.0.as_ptr().cast()) };
            for ((sum, mask), code) in sums.iter_mut().zip(&masks).zip(codes) {
                *sum = _mm512_dpbusd_epi32(*sum, _mm512_and_si512(bits, *mask), _mm512_set1_epi32(*code));
            }
        }
        let mut total = _mm512_setzero_si512();
        for (bit, sum) in sums.iter().enumerate() {
            total = _mm512_add_epi32(total, _mm512_srav_epi32(*sum, _mm512_set1_epi32(bit as i32)));
        }
        total
    });
}

/// See [`Estimates`](super::kernel::Estimates).
#[target_feature(enable = "avx2,fma,f16c")]
pub fn avx2(look: &Look, blocks: &[Line], given: (&[f32], &[f32]), found: (&mut [f32], &mut [f32])) {
    let (ones, pairs) = (_mm256_set1_epi8(1), _mm256_set1_epi16(1));
    blocks!(look, blocks, given, found, rate, |block| {
        let mut products = [0; LANES];
        for (half, products) in products.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            let mut total = _mm256_setzero_si256();
            for (line, codes) in block.iter().zip(look.codes.as_chunks::<8>().0) {
                // SAFETY: half a line is 32 bytes, aligned.
                let mut bits = unsafe { _mm256_load_si256(line.0.as_ptr().add(half * 32).cast()) };
                // At most 8 times 2 · 127: no 16-bit sum overflows.
                let mut sum = _mm256_setzero_si256();
                for code in codes {
                    let bit = _mm256_and_si256(bits, ones);
                    sum = _mm256_add_epi16(sum, _mm256_maddubs_epi16(bit, _mm256_set1_epi32(*code)));
                    bits = _mm256_srli_epi16::<1>(bits);
                }
                total = _mm256_add_epi32(total, _mm256_madd_epi16(sum, pairs));
            }
            // SAFETY: eight numbers are 32 bytes.
            unsafe { _mm256_storeu_si256(products.as_mut_ptr().cast(), total) };
        }
        products
    });
}
