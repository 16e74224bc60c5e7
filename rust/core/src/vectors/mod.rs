//! Similarity search: cosine over normalised vectors.
//!
//! [`VectorIndex`] is the one type to use. It holds the exact rows of one namespace or collection
//! and scans them with SIMD; from some tens of thousands of rows it builds an HNSW graph in the
//! background, searches that, and scores what it proposes by the exact rows. Scores are always those
//! of the exact rows; only which rows are found is approximate then.
//!
//! ```text
//! index ── state: Table (rows; few: codes, signs; common) + Links ── cache (in a snapshot)
//!    ├──── scan, after a first look (sift), by the fastest kernel
//!    └──── worker (one thread) ── Graph (usearch)
//! ```

mod ahead;
mod cache;
mod common;
mod encode;
mod few;
mod fork;
mod fuse;
mod graph;
mod half;
mod ids;
mod index;
mod kernel;
mod links;
#[cfg(target_arch = "aarch64")]
mod neon;
mod options;
mod portable;
mod rows;
mod scan;
mod sift;
mod signs;
mod stored;
mod table;
mod topk;
mod worker;
#[cfg(target_arch = "x86_64")]
mod x86;
#[cfg(target_arch = "x86_64")]
mod x86_signs;

pub(crate) use ahead::Ahead;
pub(crate) use fuse::Fusion;
pub(crate) use graph::version as graph_version;
pub(crate) use ids::IdHash;
pub(crate) use index::Room;
pub(crate) use sift::Mix;
pub(crate) use stored::{Desk, pack, unpack, unpack_into};

pub use encode::{MAX_DIMENSIONS, Precision};
pub use index::VectorIndex;
pub use kernel::Kernels;
pub use options::{Filter, GRAPH_FROM, Options, Search};
pub use stored::{halves, numbers};

/// See [`crate::make_all`].
pub(crate) fn make_all() {
    Kernels::best();
    drop(fork::enter());
}
