//! Similarity search: cosine over normalised vectors.
//!
//! [`VectorIndex`] is the one type to use. It holds the exact rows of one namespace or collection
//! and scans them with SIMD.

mod encode;
mod half;
mod index;
mod kernel;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
mod rows;
mod table;
mod topk;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use encode::{MAX_DIMENSIONS, Precision};
pub use index::{Filter, Search, VectorIndex};
pub use kernel::Kernels;
