//! The kernels for x86-64: AVX2 with FMA and F16C, AVX-512, AVX512-VNNI.
//!
//! One row after the other, with four or more accumulators to hide the latency of the multiply-add:
//! rows that lie in order are then one stream, which the memory delivers up to twice as fast as four
//! rows side by side once they are beyond the caches. What comes next is asked for ahead.

use std::arch::x86_64::*;

use super::kernel::Kernels;
use super::rows::Line;
use super::signs::fours;
use super::x86_signs;

/// AVX-512 F and BW.
pub const AVX512: Kernels =
    Kernels { name: "avx512", halves: halves_512, floats: floats_512, codes: codes_512, ..AVX2 };
/// AVX2, FMA, F16C.
pub const AVX2: Kernels = Kernels {
    name: "avx2",
    halves: halves_256,
    floats: floats_256,
    codes: codes_256,
    pair: pair_256,
    signs: (fours, x86_signs::avx2),
};

/// Bytes ahead of the line in work that are asked for: enough for the distance to memory, few enough
/// to stay in the first-level cache.
const AHEAD: usize = 1_024;

/// Runs `$body` with a pointer to each row, one to what is asked for meanwhile, and the lines that row and query have,
/// and stores its result. Rows need not lie together, so what comes is a row further on in the list.
macro_rules! each {
    ($rows:ident, $out:ident, $most:expr, |$p:ident, $next:ident, $lines:ident| $body:block) => {
        let ahead = $rows.first().map_or(1, |row| AHEAD.div_ceil(size_of_val(*row).max(1)));
        let later = $rows.iter().skip(ahead).chain($rows.last().into_iter().cycle());
        for ((row, later), out) in $rows.iter().zip(later).zip($out.iter_mut()) {
            let ($p, $next) = (row.as_ptr().cast::<u8>(), later.as_ptr().cast::<u8>());
            let $lines = row.len().min($most);
            *out = $body;
        }
    };
}

/// Asks for the line at an address, which may lie anywhere.
#[inline(always)]
pub fn prefetch(line: *const u8) {
    // SAFETY: a prefetch reads nothing and never faults; SSE is baseline on x86-64.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(line.cast()) };
}

// ------------------------------------------------------------------------------------------ 512

#[target_feature(enable = "avx512f,avx512bw")]
fn halves_512(query: &[Line], rows: &[&[Line]], out: &mut [f32]) {
    let q = query.as_ptr().cast::<f32>();
    each!(rows, out, query.len() / 2, |p, next, lines| {
        let mut sums = [_mm512_setzero_ps(); 4];
        for i in 0..lines / 2 {
            prefetch(next.wrapping_add(i * 128));
            prefetch(next.wrapping_add(i * 128 + 64));
            for (part, sum) in sums.iter_mut().enumerate() {
                // SAFETY: two lines of the row and four of the query, all aligned and below their
                // number, in four parts.
                unsafe {
                    let halves = _mm256_load_si256(p.add(i * 128 + part * 32).cast());
                    *sum = _mm512_fmadd_ps(
                        _mm512_cvtph_ps(halves),
                        _mm512_load_ps(q.add(i * 64 + part * 16)),
                        *sum,
                    );
                }
            }
        }
        if lines % 2 == 1 {
            let i = lines - 1;
            for (part, sum) in sums.iter_mut().take(2).enumerate() {
                // SAFETY: the last line of the row and two of the query, as above.
                unsafe {
                    let halves = _mm256_load_si256(p.add(i * 64 + part * 32).cast());
                    let values = _mm512_load_ps(q.add(i * 32 + part * 16));
                    *sum = _mm512_fmadd_ps(_mm512_cvtph_ps(halves), values, *sum);
                }
            }
        }
        _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(sums[0], sums[1]), _mm512_add_ps(sums[2], sums[3])))
    });
}

#[target_feature(enable = "avx512f,avx512bw")]
fn floats_512(query: &[Line], rows: &[&[Line]], out: &mut [f32]) {
    let q = query.as_ptr().cast::<f32>();
    each!(rows, out, query.len(), |p, next, lines| {
        let mut sums = [_mm512_setzero_ps(); 4];
        for i in 0..lines / 4 {
            for (part, sum) in sums.iter_mut().enumerate() {
                let line = i * 4 + part;
                prefetch(next.wrapping_add(line * 64));
                // SAFETY: `line` is below the lines of the query and of the row; all are aligned.
                unsafe {
                    let values = _mm512_load_ps(p.add(line * 64).cast());
                    *sum = _mm512_fmadd_ps(values, _mm512_load_ps(q.add(line * 16)), *sum);
                }
            }
        }
        for line in lines / 4 * 4..lines {
            // SAFETY: as above.
            unsafe {
                let values = _mm512_load_ps(p.add(line * 64).cast());
                sums[0] = _mm512_fmadd_ps(values, _mm512_load_ps(q.add(line * 16)), sums[0]);
            }
        }
        _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(sums[0], sums[1]), _mm512_add_ps(sums[2], sums[3])))
    });
}

#[target_feature(enable = "avx512f,avx512bw")]
fn codes_512(query: &[Line], rows: &[&[Line]], out: &mut [i32]) {
    let q = query.as_ptr().cast::<u8>();
    each!(rows, out, query.len(), |p, next, lines| {
        let mut sums = [_mm512_setzero_si512(); 2];
        for i in 0..lines {
            prefetch(next.wrapping_add(i * 64));
            for (part, sum) in sums.iter_mut().enumerate() {
                let at = i * 64 + part * 32;
                // SAFETY: half a line, `i` below the lines of the query and of the row; aligned.
                unsafe {
                    let signed = _mm512_cvtepi8_epi16(_mm256_load_si256(q.add(at).cast()));
                    let unsigned = _mm512_cvtepu8_epi16(_mm256_load_si256(p.add(at).cast()));
                    *sum = _mm512_add_epi32(*sum, _mm512_madd_epi16(unsigned, signed));
                }
            }
        }
        _mm512_reduce_add_epi32(_mm512_add_epi32(sums[0], sums[1]))
    });
}

/// See [`Codes`](super::kernel::Codes), one instruction for 64 products.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub fn codes_vnni(query: &[Line], rows: &[&[Line]], out: &mut [i32]) {
    let q = query.as_ptr().cast::<u8>();
    each!(rows, out, query.len(), |p, next, lines| {
        let mut sums = [_mm512_setzero_si512(); 2];
        for i in 0..lines / 2 {
            for (part, sum) in sums.iter_mut().enumerate() {
                let at = (i * 2 + part) * 64;
                prefetch(next.wrapping_add(at));
                // SAFETY: a line below those of the query and of the row; all are aligned.
                unsafe {
                    let codes = _mm512_load_si512(p.add(at).cast());
                    *sum = _mm512_dpbusd_epi32(*sum, codes, _mm512_load_si512(q.add(at).cast()));
                }
            }
        }
        if lines % 2 == 1 {
            let at = (lines - 1) * 64;
            // SAFETY: the last line of both, as above.
            unsafe {
                let codes = _mm512_load_si512(p.add(at).cast());
                sums[0] = _mm512_dpbusd_epi32(sums[0], codes, _mm512_load_si512(q.add(at).cast()));
            }
        }
        _mm512_reduce_add_epi32(_mm512_add_epi32(sums[0], sums[1]))
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
    each!(rows, out, query.len() / 2, |p, next, lines| {
        let mut sums = [_mm256_setzero_ps(); 4];
        for i in 0..lines {
            prefetch(next.wrapping_add(i * 64));
            for (part, sum) in sums.iter_mut().enumerate() {
                // SAFETY: a quarter of a line of the row, half a line of the query, aligned, below
                // their number.
                unsafe {
                    let halves = _mm_load_si128(p.add(i * 64 + part * 16).cast());
                    *sum = _mm256_fmadd_ps(
                        _mm256_cvtph_ps(halves),
                        _mm256_load_ps(q.add(i * 32 + part * 8)),
                        *sum,
                    );
                }
            }
        }
        sum_ps(_mm256_add_ps(_mm256_add_ps(sums[0], sums[1]), _mm256_add_ps(sums[2], sums[3])))
    });
}

#[target_feature(enable = "avx2,fma,f16c")]
fn floats_256(query: &[Line], rows: &[&[Line]], out: &mut [f32]) {
    let q = query.as_ptr().cast::<f32>();
    each!(rows, out, query.len(), |p, next, lines| {
        let mut sums = [_mm256_setzero_ps(); 2];
        for i in 0..lines {
            prefetch(next.wrapping_add(i * 64));
            for (half, sum) in sums.iter_mut().enumerate() {
                // SAFETY: half a line of the row and of the query, aligned, below their number.
                unsafe {
                    let values = _mm256_load_ps(p.add(i * 64 + half * 32).cast());
                    *sum = _mm256_fmadd_ps(values, _mm256_load_ps(q.add(i * 16 + half * 8)), *sum);
                }
            }
        }
        sum_ps(_mm256_add_ps(sums[0], sums[1]))
    });
}

#[target_feature(enable = "avx2,fma,f16c")]
fn codes_256(query: &[Line], rows: &[&[Line]], out: &mut [i32]) {
    let q = query.as_ptr().cast::<u8>();
    each!(rows, out, query.len(), |p, next, lines| {
        let mut sums = [_mm256_setzero_si256(); 4];
        for i in 0..lines {
            prefetch(next.wrapping_add(i * 64));
            for (part, sum) in sums.iter_mut().enumerate() {
                let at = i * 64 + part * 16;
                // SAFETY: a quarter of a line, `i` below the lines of both; all are aligned.
                unsafe {
                    // 16-bit products added in pairs: no saturation, unlike `maddubs`.
                    let signed = _mm256_cvtepi8_epi16(_mm_load_si128(q.add(at).cast()));
                    let unsigned = _mm256_cvtepu8_epi16(_mm_load_si128(p.add(at).cast()));
                    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(unsigned, signed));
                }
            }
        }
        sum_epi32(_mm256_add_epi32(_mm256_add_epi32(sums[0], sums[1]), _mm256_add_epi32(sums[2], sums[3])))
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
