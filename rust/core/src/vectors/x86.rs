//! The kernels for x86-64: AVX2 with FMA and F16C, AVX-512, AVX512-VNNI.
//!
//! Four rows at a time share every load of the query, which also gives the multiply-adds four or
//! eight independent chains to hide their latency in.
#![expect(clippy::indexing_slicing, reason = "fixed arrays of four, indexed by loops over 0..4")]

use std::arch::x86_64::*;

use super::kernel::Kernels;
use super::rows::Line;

/// AVX-512 F and BW.
pub const AVX512: Kernels =
    Kernels { name: "avx512", halves: halves_512, floats: floats_512, codes: codes_512, pair: pair_256 };
/// AVX2, FMA, F16C.
pub const AVX2: Kernels =
    Kernels { name: "avx2", halves: halves_256, floats: floats_256, codes: codes_256, pair: pair_256 };

/// Pointers to four rows (a missing one repeats the first) and the lines all of them have.
fn four(group: &[&[Line]], most: usize) -> ([*const u8; 4], usize) {
    let mut pointers = [std::ptr::null(); 4];
    let mut lines = most;
    for (i, pointer) in pointers.iter_mut().enumerate() {
        let row = group.get(i).or(group.first()).copied().unwrap_or_default();
        lines = lines.min(row.len());
        *pointer = row.as_ptr().cast();
    }
    (pointers, lines)
}

/// Runs `$body` for every four rows and stores its four results.
macro_rules! by_fours {
    ($rows:ident, $out:ident, $most:expr, |$p:ident, $lines:ident| $body:block) => {
        for (group, out) in $rows.chunks(4).zip($out.chunks_mut(4)) {
            let ($p, $lines) = four(group, $most);
            let results = $body;
            for (to, from) in out.iter_mut().zip(results) {
                *to = from;
            }
        }
    };
}

// ------------------------------------------------------------------------------------------ 512

#[target_feature(enable = "avx512f,avx512bw")]
fn halves_512(query: &[Line], rows: &[&[Line]], out: &mut [f32]) {
    let q = query.as_ptr().cast::<f32>();
    by_fours!(rows, out, query.len() / 2, |p, lines| {
        let (mut a, mut b) = ([_mm512_setzero_ps(); 4], [_mm512_setzero_ps(); 4]);
        for i in 0..lines {
            // SAFETY: `i` is below the lines of the query's half and of each row; lines are
            // 64 bytes, aligned.
            unsafe {
                let (low, high) = (_mm512_load_ps(q.add(i * 32)), _mm512_load_ps(q.add(i * 32 + 16)));
                for r in 0..4 {
                    let line = p[r].add(i * 64).cast::<__m256i>();
                    a[r] = _mm512_fmadd_ps(_mm512_cvtph_ps(_mm256_load_si256(line)), low, a[r]);
                    b[r] = _mm512_fmadd_ps(_mm512_cvtph_ps(_mm256_load_si256(line.add(1))), high, b[r]);
                }
            }
        }
        std::array::from_fn::<f32, 4, _>(|r| _mm512_reduce_add_ps(_mm512_add_ps(a[r], b[r])))
    });
}

#[target_feature(enable = "avx512f,avx512bw")]
fn floats_512(query: &[Line], rows: &[&[Line]], out: &mut [f32]) {
    let q = query.as_ptr().cast::<f32>();
    by_fours!(rows, out, query.len(), |p, lines| {
        let mut sums = [_mm512_setzero_ps(); 4];
        for i in 0..lines {
            // SAFETY: `i` is below the lines of the query and of each row; lines are aligned.
            unsafe {
                let part = _mm512_load_ps(q.add(i * 16));
                for r in 0..4 {
                    sums[r] = _mm512_fmadd_ps(_mm512_load_ps(p[r].add(i * 64).cast()), part, sums[r]);
                }
            }
        }
        sums.map(|s| _mm512_reduce_add_ps(s))
    });
}

#[target_feature(enable = "avx512f,avx512bw")]
fn codes_512(query: &[Line], rows: &[&[Line]], out: &mut [i32]) {
    let q = query.as_ptr().cast::<u8>();
    by_fours!(rows, out, query.len(), |p, lines| {
        let mut sums = [_mm512_setzero_si512(); 4];
        for i in 0..lines * 2 {
            // SAFETY: half lines of 32 bytes, `i` below twice the lines of all of them.
            unsafe {
                let part = _mm512_cvtepi8_epi16(_mm256_load_si256(q.add(i * 32).cast()));
                for r in 0..4 {
                    let line = _mm512_cvtepu8_epi16(_mm256_load_si256(p[r].add(i * 32).cast()));
                    sums[r] = _mm512_add_epi32(sums[r], _mm512_madd_epi16(line, part));
                }
            }
        }
        sums.map(|s| _mm512_reduce_add_epi32(s))
    });
}

/// See [`Codes`](super::kernel::Codes), one instruction for 64 products.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub fn codes_vnni(query: &[Line], rows: &[&[Line]], out: &mut [i32]) {
    let q = query.as_ptr().cast::<u8>();
    by_fours!(rows, out, query.len(), |p, lines| {
        let mut sums = [_mm512_setzero_si512(); 4];
        for i in 0..lines {
            // SAFETY: `i` is below the lines of the query and of each row; lines are aligned.
            unsafe {
                let part = _mm512_load_si512(q.add(i * 64).cast());
                for r in 0..4 {
                    sums[r] = _mm512_dpbusd_epi32(sums[r], _mm512_load_si512(p[r].add(i * 64).cast()), part);
                }
            }
        }
        sums.map(|s| _mm512_reduce_add_epi32(s))
    });
}

/// See [`Pair`](super::kernel::Pair).
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub unsafe fn pair_vnni(a: *const u8, b: *const u8, lines: usize) -> (i32, i32) {
    let (mut dot, mut sum) = (_mm512_setzero_si512(), _mm512_setzero_si512());
    let (bias, ones) = (_mm512_set1_epi8(-128), _mm512_set1_epi8(1));
    for i in 0..lines {
        // SAFETY: the caller promises `lines` lines behind both pointers; unaligned loads.
        unsafe {
            let other = _mm512_xor_si512(_mm512_loadu_si512(b.add(i * 64).cast()), bias);
            dot = _mm512_dpbusd_epi32(dot, _mm512_loadu_si512(a.add(i * 64).cast()), other);
            sum = _mm512_dpbusd_epi32(sum, ones, other);
        }
    }
    (_mm512_reduce_add_epi32(dot), _mm512_reduce_add_epi32(sum))
}

// ------------------------------------------------------------------------------------------ 256

#[target_feature(enable = "avx2,fma,f16c")]
fn sum_ps(v: __m256) -> f32 {
    let v = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
    let v = _mm_add_ps(v, _mm_movehl_ps(v, v));
    _mm_cvtss_f32(_mm_add_ss(v, _mm_shuffle_ps::<1>(v, v)))
}

#[target_feature(enable = "avx2,fma,f16c")]
fn sum_epi32(v: __m256i) -> i32 {
    let v = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256::<1>(v));
    let v = _mm_add_epi32(v, _mm_shuffle_epi32::<0b01_00_11_10>(v));
    _mm_cvtsi128_si32(_mm_add_epi32(v, _mm_shuffle_epi32::<0b10_11_00_01>(v)))
}

#[target_feature(enable = "avx2,fma,f16c")]
fn halves_256(query: &[Line], rows: &[&[Line]], out: &mut [f32]) {
    let q = query.as_ptr().cast::<f32>();
    by_fours!(rows, out, query.len() / 2, |p, lines| {
        let (mut a, mut b) = ([_mm256_setzero_ps(); 4], [_mm256_setzero_ps(); 4]);
        for i in 0..lines * 2 {
            // SAFETY: half lines: 16 halves of a row and one line of the query, aligned.
            unsafe {
                let (low, high) = (_mm256_load_ps(q.add(i * 16)), _mm256_load_ps(q.add(i * 16 + 8)));
                for r in 0..4 {
                    let line = p[r].add(i * 32).cast::<__m128i>();
                    a[r] = _mm256_fmadd_ps(_mm256_cvtph_ps(_mm_load_si128(line)), low, a[r]);
                    b[r] = _mm256_fmadd_ps(_mm256_cvtph_ps(_mm_load_si128(line.add(1))), high, b[r]);
                }
            }
        }
        std::array::from_fn::<f32, 4, _>(|r| sum_ps(_mm256_add_ps(a[r], b[r])))
    });
}

#[target_feature(enable = "avx2,fma,f16c")]
fn floats_256(query: &[Line], rows: &[&[Line]], out: &mut [f32]) {
    let q = query.as_ptr().cast::<f32>();
    by_fours!(rows, out, query.len(), |p, lines| {
        let (mut a, mut b) = ([_mm256_setzero_ps(); 4], [_mm256_setzero_ps(); 4]);
        for i in 0..lines {
            // SAFETY: `i` is below the lines of the query and of each row; lines are aligned.
            unsafe {
                let (low, high) = (_mm256_load_ps(q.add(i * 16)), _mm256_load_ps(q.add(i * 16 + 8)));
                for r in 0..4 {
                    let line = p[r].add(i * 64).cast::<f32>();
                    a[r] = _mm256_fmadd_ps(_mm256_load_ps(line), low, a[r]);
                    b[r] = _mm256_fmadd_ps(_mm256_load_ps(line.add(8)), high, b[r]);
                }
            }
        }
        std::array::from_fn::<f32, 4, _>(|r| sum_ps(_mm256_add_ps(a[r], b[r])))
    });
}

#[target_feature(enable = "avx2,fma,f16c")]
fn codes_256(query: &[Line], rows: &[&[Line]], out: &mut [i32]) {
    let q = query.as_ptr().cast::<u8>();
    by_fours!(rows, out, query.len(), |p, lines| {
        let mut sums = [_mm256_setzero_si256(); 4];
        for i in 0..lines * 4 {
            // SAFETY: quarter lines of 16 bytes, `i` below four times the lines of all of them.
            unsafe {
                let part = _mm256_cvtepi8_epi16(_mm_load_si128(q.add(i * 16).cast()));
                for r in 0..4 {
                    // 16-bit products added in pairs: no saturation, unlike `maddubs`.
                    let line = _mm256_cvtepu8_epi16(_mm_load_si128(p[r].add(i * 16).cast()));
                    sums[r] = _mm256_add_epi32(sums[r], _mm256_madd_epi16(line, part));
                }
            }
        }
        sums.map(|s| sum_epi32(s))
    });
}

#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn pair_256(a: *const u8, b: *const u8, lines: usize) -> (i32, i32) {
    let (mut dot, mut sum) = (_mm256_setzero_si256(), _mm256_setzero_si256());
    let (bias, ones) = (_mm256_set1_epi16(128), _mm256_set1_epi16(1));
    for i in 0..lines * 4 {
        // SAFETY: the caller promises `lines` lines behind both pointers; unaligned loads.
        unsafe {
            let one = _mm256_cvtepu8_epi16(_mm_loadu_si128(a.add(i * 16).cast()));
            let other = _mm256_sub_epi16(_mm256_cvtepu8_epi16(_mm_loadu_si128(b.add(i * 16).cast())), bias);
            dot = _mm256_add_epi32(dot, _mm256_madd_epi16(one, other));
            sum = _mm256_add_epi32(sum, _mm256_madd_epi16(ones, other));
        }
    }
    (sum_epi32(dot), sum_epi32(sum))
}
