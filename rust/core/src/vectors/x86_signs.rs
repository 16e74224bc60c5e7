//! The first look by signs for x86-64. What is looked up for three lines adds up in bytes, and their sums in two bytes:
//! those of odd rows on their own, and those of even rows with 256 times these, which comes off at the end.

use std::arch::x86_64::*;

use super::rows::Line;
use super::signs::{LANES, Look, PART, rate_blocks};
use super::x86::prefetch;

/// Bytes ahead of the line in work that are asked for: a line takes little time.
const AHEAD: usize = 3_072;

/// See [`Tables`](super::signs::Tables): of 64 entries, four for each three lines, for the lower six bits of each line
/// and for the upper two of all.
#[target_feature(enable = "avx512f,avx512bw")]
pub fn sixes(codes: &[i8], tables: &mut Vec<Line>) {
    tables.clear();
    for codes in codes.chunks(3 * 8) {
        let lines = codes.chunks(8);
        for line in lines.clone().chain([&[][..]; 2]).take(3) {
            tables.push(six(line.iter().take(6)));
        }
        tables.push(six(lines.flat_map(|line| line.iter().skip(6))));
    }
}

#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn six<'a>(codes: impl Iterator<Item = &'a i8> + Clone) -> Line {
    let none: u8 = codes.clone().filter(|code| **code < 0).map(|code| code.unsigned_abs()).sum();
    let mut entries = _mm512_set1_epi8(none.cast_signed());
    for (code, with) in codes.zip(WITH) {
        entries = _mm512_mask_add_epi8(entries, with, entries, _mm512_set1_epi8(*code));
    }
    let mut line = Line::default();
    // SAFETY: a line is 64 bytes, aligned.
    unsafe { _mm512_store_si512(line.0.as_mut_ptr().cast(), entries) };
    line
}

/// The numbers from 0 to 63 that have bit 0, bit 1 and so on.
const WITH: [u64; 6] = [
    0xaaaa_aaaa_aaaa_aaaa,
    0xcccc_cccc_cccc_cccc,
    0xf0f0_f0f0_f0f0_f0f0,
    0xff00_ff00_ff00_ff00,
    0xffff_0000_ffff_0000,
    0xffff_ffff_0000_0000,
];

/// See [`Estimates`](super::kernel::Estimates), by [`sixes`].
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
pub fn vbmi(look: &Look, blocks: &[Line], given: (&[f32], &[f32]), found: (&mut [f32], &mut [f32])) {
    let given = given.0.as_chunks().0.iter().zip(given.1.as_chunks().0);
    let found = found.0.as_chunks_mut().0.iter_mut().zip(found.1.as_chunks_mut().0);
    for ((block, given), found) in blocks.chunks_exact(look.lines.max(1)).zip(given).zip(found) {
        let (mut all, mut odd) = (_mm512_setzero_si512(), _mm512_setzero_si512());
        let mut add = |lines, tables| {
            let sum = look_up(lines, tables);
            all = _mm512_add_epi16(all, sum);
            odd = _mm512_add_epi16(odd, _mm512_srli_epi16::<8>(sum));
        };
        let (triples, rest) = block.as_chunks::<3>();
        let mut tables = look.tables.as_chunks().0.iter();
        triples.iter().zip(&mut tables).for_each(|(lines, tables)| add(lines, tables));
        if let (Some(first), Some(tables)) = (rest.first(), tables.next()) {
            add(&[*first, rest.get(1).copied().unwrap_or_default(), Line::default()], tables);
        }
        let even = _mm512_sub_epi16(all, _mm512_slli_epi16::<8>(odd));
        rate_512(look, [even, odd], given, found);
    }
}

/// What the tables say of three lines, a byte a row. One instruction looks up six signs of 64 rows; it takes no notice
/// of the upper two bits of a byte, so those of all three are put together and looked up once more.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
#[inline]
fn look_up(lines: &[Line; 3], tables: &[Line; 4]) -> __m512i {
    // SAFETY: a line is 64 bytes, aligned.
    let load = |line: &Line| unsafe { _mm512_load_si512(line.0.as_ptr().cast()) };
    lines.iter().for_each(|line| prefetch(line.0.as_ptr().wrapping_add(AHEAD)));
    let ([x, y, z], [a, b, c, d]) = (lines.each_ref().map(load), tables.each_ref().map(load));
    // Where the mask has a bit, it is that of the first; else that of the second.
    let (lower_two, lower_four) = (_mm512_set1_epi8(0b11), _mm512_set1_epi8(0b1111));
    let two =
        _mm512_ternarylogic_epi32::<0xca>(lower_two, _mm512_srli_epi16::<6>(x), _mm512_srli_epi16::<4>(y));
    let three = _mm512_ternarylogic_epi32::<0xca>(lower_four, two, _mm512_srli_epi16::<2>(z));
    let [x, y] = [_mm512_permutexvar_epi8(x, a), _mm512_permutexvar_epi8(y, b)];
    let [z, upper] = [_mm512_permutexvar_epi8(z, c), _mm512_permutexvar_epi8(three, d)];
    _mm512_add_epi8(_mm512_add_epi8(x, y), _mm512_add_epi8(z, upper))
}

/// `rate` of signs.rs, step by step the same, for a block.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn rate_512(
    look: &Look,
    [first, last]: [__m512i; 2],
    (factors, base): (&[f32; LANES], &[f32; LANES]),
    (most, tops): (&mut [f32; LANES], &mut [f32; 4]),
) {
    let halves =
        [first, last].map(|sums| [_mm512_castsi512_si256(sums), _mm512_extracti64x4_epi64::<1>(sums)]);
    let given = factors.as_chunks::<PART>().0.iter().zip(base.as_chunks::<PART>().0);
    let found = most.as_chunks_mut::<PART>().0.iter_mut().zip(tops);
    for ((sums, (factors, base)), (most, top)) in halves.as_flattened().iter().zip(given).zip(found) {
        // SAFETY: sixteen floats are 64 bytes.
        let (factors, base) = unsafe { (_mm512_loadu_ps(factors.as_ptr()), _mm512_loadu_ps(base.as_ptr())) };
        let sums = _mm512_slli_epi32::<1>(_mm512_cvtepu16_epi32(*sums));
        let twice = _mm512_sub_epi32(sums, _mm512_set1_epi32(look.sum));
        let scaled = _mm512_mul_ps(_mm512_cvtepi32_ps(twice), _mm512_set1_ps(look.scale));
        let middle = _mm512_add_ps(base, _mm512_mul_ps(scaled, factors));
        let above = _mm512_mul_ps(_mm512_set1_ps(look.tilt), factors);
        let found = _mm512_add_ps(_mm512_add_ps(middle, _mm512_set1_ps(look.flat)), above);
        let found = _mm512_max_ps(found, _mm512_setzero_ps());
        // SAFETY: as above.
        unsafe { _mm512_storeu_ps(most.as_mut_ptr(), found) };
        *top = _mm512_reduce_max_ps(found);
    }
}

/// See [`Estimates`](super::kernel::Estimates), by [`fours`](super::signs::fours).
#[target_feature(enable = "avx2,fma,f16c")]
pub fn avx2(look: &Look, blocks: &[Line], given: (&[f32], &[f32]), found: (&mut [f32], &mut [f32])) {
    let low_four = _mm256_set1_epi8(0b1111);
    if look.tables.len() < look.lines.max(1).div_ceil(2) {
        return;
    }
    rate_blocks(look, blocks, given, found, |block| {
        let mut sums = [0; LANES];
        for half in 0..2 {
            let (mut all, mut odd) = (_mm256_setzero_si256(), _mm256_setzero_si256());
            let tables = look.tables.as_ptr().cast::<u8>();
            for (at, lines) in block.chunks(3).enumerate() {
                let mut sum = _mm256_setzero_si256();
                for (line, at) in lines.iter().zip(3 * at..) {
                    // SAFETY: half a line is 32 bytes, aligned; each line of a block has 32 bytes of tables.
                    let (bits, low, high) = unsafe {
                        let table = tables.add(32 * at);
                        (
                            _mm256_load_si256(line.0.as_ptr().add(32 * half).cast()),
                            _mm256_broadcastsi128_si256(_mm_load_si128(table.cast())),
                            _mm256_broadcastsi128_si256(_mm_load_si128(table.add(16).cast())),
                        )
                    };
                    let upper = _mm256_and_si256(_mm256_srli_epi16::<4>(bits), low_four);
                    let found = _mm256_shuffle_epi8(low, _mm256_and_si256(bits, low_four));
                    sum = _mm256_add_epi8(sum, _mm256_add_epi8(found, _mm256_shuffle_epi8(high, upper)));
                }
                all = _mm256_add_epi16(all, sum);
                odd = _mm256_add_epi16(odd, _mm256_srli_epi16::<8>(sum));
            }
            let even = _mm256_sub_epi16(all, _mm256_slli_epi16::<8>(odd));
            // SAFETY: each goes to sixteen of 64 numbers.
            unsafe {
                let to = sums.as_mut_ptr().add(PART * half);
                _mm256_storeu_si256(to.cast(), even);
                _mm256_storeu_si256(to.add(LANES / 2).cast(), odd);
            }
        }
        sums
    });
}
