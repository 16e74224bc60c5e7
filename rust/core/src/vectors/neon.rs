//! The kernels for 64-bit ARM: NEON, which every such processor has.

use std::arch::aarch64::*;
use std::arch::asm;

use super::kernel::Kernels;
use super::portable;
use super::rows::Line;
use super::signs::fours;

/// NEON; the codes use the plain loop, which compilers vectorise well here.
pub const NEON: Kernels = Kernels {
    name: "neon",
    halves,
    floats,
    codes: portable::codes,
    pair: portable::pair,
    signs: (fours, portable::signs),
};

/// Four halves as four floats, one instruction (its intrinsic needs an unstable type).
#[target_feature(enable = "neon")]
fn widen(halves: uint16x4_t) -> float32x4_t {
    let wide: float32x4_t;
    // SAFETY: FCVTL is baseline ARMv8-A; it only reads and writes the two registers.
    unsafe {
        asm!("fcvtl {wide:v}.4s, {halves:v}.4h", wide = lateout(vreg) wide, halves = in(vreg) halves,
             options(pure, nomem, nostack, preserves_flags));
    }
    wide
}

#[target_feature(enable = "neon")]
fn floats(query: &[Line], rows: &[&[Line]], out: &mut [f32]) {
    for (row, out) in rows.iter().zip(out) {
        let mut sums = [vdupq_n_f32(0.0); 4];
        for (q, r) in query.iter().zip(*row) {
            for (i, sum) in sums.iter_mut().enumerate() {
                // SAFETY: four parts of 16 bytes of one line of 64 each.
                unsafe {
                    let q = vld1q_f32(q.0.as_ptr().cast::<f32>().add(i * 4));
                    let r = vld1q_f32(r.0.as_ptr().cast::<f32>().add(i * 4));
                    *sum = vfmaq_f32(*sum, q, r);
                }
            }
        }
        *out = vaddvq_f32(vaddq_f32(vaddq_f32(sums[0], sums[1]), vaddq_f32(sums[2], sums[3])));
    }
}

#[target_feature(enable = "neon")]
fn halves(query: &[Line], rows: &[&[Line]], out: &mut [f32]) {
    for (row, out) in rows.iter().zip(out) {
        let mut sums = [vdupq_n_f32(0.0); 4];
        for (q, r) in query.chunks_exact(2).zip(*row) {
            for (half, q) in q.iter().enumerate() {
                for (i, sum) in sums.iter_mut().enumerate() {
                    // SAFETY: 16 floats of the query's line, 16 halves of half the row's line.
                    unsafe {
                        let q = vld1q_f32(q.0.as_ptr().cast::<f32>().add(i * 4));
                        let r = vld1_u16(r.0.as_ptr().cast::<u16>().add(half * 16 + i * 4));
                        *sum = vfmaq_f32(*sum, q, widen(r));
                    }
                }
            }
        }
        *out = vaddvq_f32(vaddq_f32(vaddq_f32(sums[0], sums[1]), vaddq_f32(sums[2], sums[3])));
    }
}
