//! 64 bytes of text as bit masks, one for each class of ASCII: bit i tells of byte i.

/// Where the classes of ASCII stand in 64 bytes. Each byte is in at most one of `letter`, `digit`, `space`,
/// `control`, `high`; what is in none of them is punctuation or a control character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Masks {
    /// `A-Za-z`.
    pub letter: u64,
    /// Bytes with bit 5 set: among letters, the lower case ones.
    pub bit5: u64,
    /// `0-9`.
    pub digit: u64,
    /// U+0020.
    pub space: u64,
    /// `\t` to `\r`: all other ASCII white space.
    pub control: u64,
    /// `\r` and `\n`.
    pub newline: u64,
    /// `'`.
    pub apostrophe: u64,
    /// `/`.
    pub slash: u64,
    /// Bytes of characters beyond ASCII.
    pub high: u64,
}

/// A way to make [`Masks`].
pub trait Lanes {
    /// Classifies 64 bytes.
    ///
    /// # Safety
    /// The processor must have the features the implementation names.
    unsafe fn masks(bytes: &[u8; 64]) -> Masks;
}

#[cfg(target_arch = "x86_64")]
pub use x86::{Avx2, Sse2};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Lanes, Masks};
    use std::arch::x86_64::*;

    /// 32 bytes at a time; needs `avx2`.
    pub struct Avx2;
    /// 16 bytes at a time; every x86-64 processor has it.
    pub struct Sse2;

    /// Both are the same steps at two widths. `x - low < width`, unsigned, is tested with the signed comparison
    /// that there is: `x - (low + 128) < width - 128`.
    macro_rules! lanes {
        ($name:ident, $bytes:literal, $bits:ty, $load:ident, $vector:ty, $set:ident, $sub:ident, $gt:ident,
         $eq:ident, $or:ident, $shift:ident, $movemask:ident) => {
            impl Lanes for $name {
                #[inline(always)]
                unsafe fn masks(bytes: &[u8; 64]) -> Masks {
                    let mut masks = Masks {
                        letter: 0,
                        bit5: 0,
                        digit: 0,
                        space: 0,
                        control: 0,
                        newline: 0,
                        apostrophe: 0,
                        slash: 0,
                        high: 0,
                    };
                    let mut at = 0;
                    while at < 64 {
                        // SAFETY: `at + $bytes <= 64`, the load takes any alignment, and the caller vouches for
                        // the features.
                        unsafe {
                            let v = $load(bytes.as_ptr().add(at).cast::<$vector>());
                            let bits = |v: $vector| u64::from($movemask(v) as $bits) << at;
                            let is = |byte: u8| $eq(v, $set(byte as i8));
                            let within = |v: $vector, low: u8, width: i8| {
                                $gt($set(width ^ -128), $sub(v, $set((low ^ 128) as i8)))
                            };
                            masks.letter |= bits(within($or(v, $set(0x20)), b'a', 26));
                            masks.bit5 |= bits($shift(v));
                            masks.digit |= bits(within(v, b'0', 10));
                            masks.space |= bits(is(b' '));
                            masks.control |= bits(within(v, b'\t', 5));
                            masks.newline |= bits($or(is(b'\n'), is(b'\r')));
                            masks.apostrophe |= bits(is(b'\''));
                            masks.slash |= bits(is(b'/'));
                            masks.high |= bits(v);
                        }
                        at += $bytes;
                    }
                    masks
                }
            }
        };
    }

    lanes!(
        Avx2,
        32,
        u32,
        _mm256_loadu_si256,
        __m256i,
        _mm256_set1_epi8,
        _mm256_sub_epi8,
        _mm256_cmpgt_epi8,
        _mm256_cmpeq_epi8,
        _mm256_or_si256,
        shift256,
        _mm256_movemask_epi8
    );
    lanes!(
        Sse2,
        16,
        u16,
        _mm_loadu_si128,
        __m128i,
        _mm_set1_epi8,
        _mm_sub_epi8,
        _mm_cmpgt_epi8,
        _mm_cmpeq_epi8,
        _mm_or_si128,
        shift128,
        _mm_movemask_epi8
    );

    #[inline(always)]
    unsafe fn shift256(v: __m256i) -> __m256i {
        // SAFETY: called where avx2 is there.
        unsafe { _mm256_slli_epi16(v, 2) }
    }

    #[inline(always)]
    unsafe fn shift128(v: __m128i) -> __m128i {
        // SAFETY: sse2 is always there.
        unsafe { _mm_slli_epi16(v, 2) }
    }
}
