//! Dot products of signed bytes.
//!
//! One plain loop, compiled twice: for every processor, and for those with AVX2.

#[inline(always)]
fn plain(a: &[u8], b: &[u8]) -> i32 {
    // The bytes are two's complement: `as i8` reinterprets them.
    a.iter().zip(b).map(|(x, y)| i32::from(i16::from(*x as i8) * i16::from(*y as i8))).sum()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn wide(a: &[u8], b: &[u8]) -> i32 {
    plain(a, b)
}

/// Σ aᵢ·bᵢ of two vectors of signed bytes (the shorter length counts).
pub(crate) fn bytes(a: &[u8], b: &[u8]) -> i32 {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2, just asked; `wide` needs nothing else.
        return unsafe { wide(a, b) };
    }
    plain(a, b)
}

#[cfg(test)]
mod tests {
    use super::{bytes, plain};

    #[test]
    fn both_ways_agree_and_do_not_overflow() {
        let a: Vec<u8> = (0..500_u32).map(|i| (i * 37 % 251) as u8).collect();
        let b: Vec<u8> = (0..500_u32).map(|i| (i * 91 % 241) as u8).collect();
        assert_eq!(bytes(&a, &b), plain(&a, &b));
        assert_eq!(bytes(&[0x80; 4000], &[0x80; 4000]), 4000 * 128 * 128);
    }
}
