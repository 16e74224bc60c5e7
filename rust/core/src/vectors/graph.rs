//! The one owner of a usearch index: an HNSW graph over codes, addressed by node number.
//!
//! usearch keeps the bytes and the links; distances are ours ([`Kernels::pair`] over the codes of
//! a row and its scale), so that its own SIMD library is not needed. Its traps, and what is done:
//!
//! * More callers than thread slots hang, crash or fail: slots are reserved with the capacity, and
//!   a gate admits no more callers than slots.
//! * Concurrent `add` leaves nodes unreachable: `add` takes `&mut self`.
//! * Removal and renaming have open bugs: nodes are never removed; see `links`.
//! * NaN is accepted: only checked and normalised vectors come here.
//! * Its bytes have no checksum: see `cache`.

use std::fmt;
use std::sync::{Condvar, Mutex, PoisonError};

use usearch::{Index, IndexOptions, MetricKind, ScalarKind};

use super::kernel::Kernels;
use super::rows::Line;

/// Neighbours of a node on the upper levels (twice as many on the ground).
const CONNECTIVITY: usize = 16;
/// Candidates kept while a node is added.
const EXPANSION_ADD: usize = 128;
/// Candidates kept by a search, at least: recall@10 of 0.99 at 100,000 clustered rows needs it.
const EXPANSION_SEARCH: usize = 96;

/// A failure inside usearch (it could not allocate, in practice). The exact rows answer then.
#[derive(Debug)]
pub struct GraphError;

/// What usearch threw says nothing to a caller.
fn ok<T, E>(result: Result<T, E>) -> Result<T, GraphError> {
    result.map_err(|_| GraphError)
}

/// Of the library, whose bytes no other version need understand.
pub fn version() -> &'static str {
    usearch::version()
}

/// Counts callers in and out; no more than `free` are inside.
#[derive(Debug)]
struct Gate {
    free: Mutex<usize>,
    left: Condvar,
}

struct Inside<'a>(&'a Gate);

impl Gate {
    fn enter(&self) -> Inside<'_> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        while *free == 0 {
            free = self.left.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
        *free -= 1;
        Inside(self)
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.left.notify_one();
    }
}

/// An HNSW graph of nodes `0..len`.
pub struct Graph {
    index: Index,
    lines: usize,
    capacity: usize,
    slots: usize,
    len: usize,
    gate: Gate,
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Graph")
            .field("len", &self.len)
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}

/// A row as the graph stores it: its codes, then its scale.
pub fn node_bytes(codes: &[Line], scale: f32, out: &mut Vec<u8>) {
    out.clear();
    out.extend(codes.iter().flat_map(|line| line.0));
    out.extend_from_slice(&scale.to_ne_bytes());
}

impl Graph {
    fn build(
        lines: usize,
        kernels: Kernels,
        load: impl FnOnce(&Index) -> Result<(), GraphError>,
    ) -> Result<Self, GraphError> {
        let mut index = ok(Index::new(&IndexOptions {
            dimensions: lines * 64 + 4,
            metric: MetricKind::IP,
            quantization: ScalarKind::U8,
            connectivity: CONNECTIVITY,
            expansion_add: EXPANSION_ADD,
            expansion_search: EXPANSION_SEARCH,
            multi: false,
        }))?;
        load(&index)?;
        let pair = kernels.pair;
        index.change_metric(Box::new(move |a: *const u8, b: *const u8| {
            // SAFETY: usearch passes rows of `dimensions` bytes, ours or its copies of ours:
            // `lines` lines of codes and a scale. The kernel comes from `Kernels::available`.
            unsafe {
                let (dot, sum) = pair(a, b, lines);
                let scales = a.add(lines * 64).cast::<f32>().read_unaligned()
                    * b.add(lines * 64).cast::<f32>().read_unaligned();
                1.0 - (i64::from(dot) - 128 * i64::from(sum)) as f32 * scales
            }
        }));
        index.change_expansion_search(EXPANSION_SEARCH);
        let slots = std::thread::available_parallelism().map_or(2, usize::from).max(4);
        let (capacity, len) = (index.capacity(), index.size());
        let mut graph = Self {
            index,
            lines,
            capacity,
            slots,
            len,
            gate: Gate { free: Mutex::new(slots), left: Condvar::new() },
        };
        graph.reserve(len)?;
        Ok(graph)
    }

    /// An empty graph for rows of `lines` lines of codes.
    pub fn new(lines: usize, kernels: Kernels, capacity: usize) -> Result<Self, GraphError> {
        let mut graph = Self::build(lines, kernels, |_| Ok(()))?;
        graph.reserve(capacity)?;
        Ok(graph)
    }

    /// A graph from the bytes of [`save`](Self::save), which the caller has verified.
    pub fn load(lines: usize, kernels: Kernels, bytes: &[u8]) -> Result<Self, GraphError> {
        let graph = Self::build(lines, kernels, |index| ok(index.load_from_buffer(bytes)))?;
        if graph.index.dimensions() != lines * 64 + 4 { Err(GraphError) } else { Ok(graph) }
    }

    fn reserve(&mut self, capacity: usize) -> Result<(), GraphError> {
        ok(self.index.reserve_capacity_and_threads(capacity, self.slots))?;
        self.capacity = capacity;
        Ok(())
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Adds node number `len` (see [`node_bytes`]).
    pub fn push(&mut self, node: &[u8]) -> Result<(), GraphError> {
        if node.len() != self.lines * 64 + 4 {
            return Err(GraphError);
        }
        if self.len >= self.capacity {
            self.reserve(self.len + self.len / 4 + 1_024)?;
        }
        let _inside = self.gate.enter();
        ok(self.index.add(self.len as u64, node))?;
        self.len += 1;
        Ok(())
    }

    /// About the `count` nearest nodes, of those that `keep` admits.
    pub fn search(
        &self,
        query: &[u8],
        count: usize,
        keep: Option<&dyn Fn(u64) -> bool>,
    ) -> Result<Vec<u64>, GraphError> {
        let _inside = self.gate.enter();
        ok(match keep {
            None => self.index.search(query, count),
            Some(keep) => self.index.filtered_search(query, count, keep),
        })
        .map(|matches| matches.keys)
    }

    /// The graph as bytes.
    pub fn save(&self) -> Result<Vec<u8>, GraphError> {
        let _inside = self.gate.enter();
        let mut bytes = vec![0; self.index.serialized_length()];
        ok(self.index.save_to_buffer(&mut bytes))?;
        Ok(bytes)
    }

    /// Bytes that usearch holds.
    pub fn memory_bytes(&self) -> usize {
        self.index.memory_usage()
    }
}
