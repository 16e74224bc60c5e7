//! How an index is built and what it is asked for.

use super::encode::Precision;
use super::kernel::Kernels;

/// Rows from which a graph answers sooner than a scan (benches/vectors measures the crossover).
pub const GRAPH_FROM: usize = 50_000;

/// How an index is built.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How rows are stored.
    pub precision: Precision,
    /// Rows from which a graph is built in the background; `usize::MAX` for never.
    pub graph_from: usize,
    /// The instructions to use (tests and benchmarks compare them).
    pub kernels: Kernels,
}

impl Default for Options {
    fn default() -> Self {
        Self { precision: Precision::default(), graph_from: GRAPH_FROM, kernels: Kernels::best() }
    }
}

/// Which rows a search may return.
#[derive(Clone, Copy, Debug, Default)]
pub enum Filter<'a> {
    /// Every row.
    #[default]
    All,
    /// Rows with these ids, in any order; unknown and repeated ids do nothing.
    Ids(&'a [u64]),
    /// Rows whose id has its bit set: id `i` is bit `i % 64` of word `i / 64`.
    Bitmap(&'a [u64]),
}

/// What to search for.
#[derive(Clone, Copy, Debug)]
pub struct Search<'a> {
    /// How many results at most.
    pub k: usize,
    /// The least cosine similarity of a result; `f32::NEG_INFINITY` for any.
    pub min_score: f32,
    /// Which rows may be returned.
    pub filter: Filter<'a>,
    /// Scan, even where a graph would be faster.
    pub exact: bool,
}

impl Search<'_> {
    /// The best `k` of all rows.
    pub fn best(k: usize) -> Self {
        Self { k, min_score: f32::NEG_INFINITY, filter: Filter::All, exact: false }
    }
}
