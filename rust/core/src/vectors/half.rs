//! IEEE 754 half precision (binary16): the two conversions, without a dependency.
//!
//! The SIMD kernels convert with the processor's own instructions; these are used when a row is
//! stored and on processors without such instructions. Both directions agree with the hardware
//! for every finite value (a test walks all 65,536 halves).

use crate::wide::wide;

/// The half nearest to `value`, ties to even; beyond the range it is infinite.
///
/// Every case is computed and one is chosen: a loop over many has no branches and takes several at once.
#[inline(always)]
pub fn from_f32(value: f32) -> u16 {
    let bits = value.to_bits();
    let magnitude = bits & 0x7fff_ffff;
    // Below 2^-14 the result is subnormal: adding 0.5 lets the adder do the rounding,
    // because the last place of 0.5 is 2^-24, the smallest half.
    let small = (f32::from_bits(magnitude) + 0.5).to_bits().wrapping_sub(0x3f00_0000);
    // Rebias the exponent by 127 - 15 and round the 13 bits that go.
    let odd = (magnitude >> 13) & 1;
    let normal = magnitude.wrapping_sub(0x3800_0000).wrapping_add(0x0fff + odd) >> 13;
    // At least 2^16: infinite, or NaN with its quiet bit set.
    let large = if magnitude > 0x7f80_0000 { 0x7e00 } else { 0x7c00 };
    let finite = if magnitude < 0x3880_0000 { small } else { normal };
    let half = if magnitude >= 0x4780_0000 { large } else { finite };
    (half | ((bits >> 16) & 0x8000)) as u16
}

wide! {
    /// Rounds each number to the nearest half.
    pub fn round(values: &mut [f32]) {
        for value in values {
            *value = to_f32(from_f32(*value));
        }
    }
}

wide! {
    /// The halves nearest to numbers, little-endian.
    pub fn pack(values: &[f32], out: &mut [[u8; 2]]) {
        for (two, value) in out.iter_mut().zip(values) {
            *two = from_f32(*value).to_le_bytes();
        }
    }
}

wide! {
    /// The values of halves, little-endian.
    pub fn unpack(halves: &[[u8; 2]], out: &mut [f32]) {
        for (value, two) in out.iter_mut().zip(halves) {
            *value = to_f32(u16::from_le_bytes(*two));
        }
    }
}

/// The value of a half, exactly.
#[inline(always)]
pub fn to_f32(half: u16) -> f32 {
    let sign = u32::from(half & 0x8000) << 16;
    let magnitude = u32::from(half & 0x7fff);
    // Multiplying by 2^112 rebiases normal and subnormal halves alike; infinities are never
    // stored (rows are normalised before they are rounded).
    let scaled = f32::from_bits(magnitude << 13) * f32::from_bits(0x7780_0000);
    f32::from_bits(scaled.to_bits() | sign)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finite_half_survives_the_round_trip() {
        for half in 0..=u16::MAX {
            if half & 0x7c00 != 0x7c00 {
                assert_eq!(from_f32(to_f32(half)), half);
            }
        }
    }

    #[test]
    fn many_at_once_are_what_each_one_is() {
        let mut values: Vec<f32> = (0..=u32::MAX).step_by(65_521).map(f32::from_bits).collect();
        values.retain(|value| !value.is_nan());
        let wanted: Vec<u16> = values.iter().map(|value| from_f32(*value)).collect();
        let mut packed = vec![[0; 2]; values.len()];
        pack(&values, &mut packed);
        assert_eq!(packed.iter().map(|two| u16::from_le_bytes(*two)).collect::<Vec<_>>(), wanted);
        let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        let back: Vec<u32> = wanted.iter().map(|half| to_f32(*half).to_bits()).collect();
        let mut unpacked = vec![0.0; values.len()];
        unpack(&packed, &mut unpacked);
        assert_eq!(bits(&unpacked), back);
        round(&mut values);
        assert_eq!(bits(&values), back);
    }

    #[test]
    fn rounding_picks_the_nearest_and_even_on_a_tie() {
        for half in 0..0x7bffu16 {
            let (low, high) = (to_f32(half), to_f32(half + 1));
            let middle = (low + high) / 2.0; // exact in f32
            assert_eq!(from_f32(middle), half + (half & 1));
            assert_eq!(from_f32(f32::from_bits(middle.to_bits() + 1)), half + 1);
            assert_eq!(from_f32(f32::from_bits(middle.to_bits() - 1)), half);
            assert_eq!(from_f32(-middle), 0x8000 | (half + (half & 1)));
        }
        assert_eq!(from_f32(65_520.0), 0x7c00);
        assert_eq!(from_f32(f32::INFINITY), 0x7c00);
        assert_eq!(from_f32(f32::NAN) & 0x7e00, 0x7e00);
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn the_processor_agrees() {
        use std::arch::x86_64::{_mm_cvtph_ps, _mm_cvtss_f32, _mm_set1_epi16};
        #[target_feature(enable = "f16c")]
        fn hardware(half: u16) -> f32 {
            _mm_cvtss_f32(_mm_cvtph_ps(_mm_set1_epi16(half as i16)))
        }
        if !std::arch::is_x86_feature_detected!("f16c") {
            return; // nothing to compare with on such a processor
        }
        for half in (0..=u16::MAX).filter(|half| half & 0x7c00 != 0x7c00) {
            // SAFETY: f16c was detected above.
            let expected = unsafe { hardware(half) };
            assert_eq!(to_f32(half).to_bits(), expected.to_bits());
        }
    }
}
