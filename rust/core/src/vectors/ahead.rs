//! The first look at a large table before it is known what the words are worth: by two threads, while the words are
//! counted.

use std::cell::Cell;
use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::index::VectorIndex;
use super::rows::Line;
use super::sift::{BLOCKS, GROUP};
use super::signs::{LANES, Look, PART};
use super::table::Table;
use super::{encode, fork};
use crate::aside::aside;

/// Bytes of signs from which it is worth telling the other thread.
const LEAST: usize = 1 << 21;
/// Blocks of one step: some 20 microseconds.
const STEP: usize = 16 * BLOCKS;

/// A search that goes on in this process: a second thread for one would take it from another.
pub struct Searching(usize);

static SEARCHING: AtomicUsize = AtomicUsize::new(0);

impl Searching {
    /// One more. To be dropped before [`fork::enter`]'s: a forked child finds none.
    pub fn begin() -> Self {
        Self(SEARCHING.fetch_add(1, Ordering::Relaxed))
    }
}

impl Drop for Searching {
    fn drop(&mut self) {
        SEARCHING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What each row of an index may be worth at most by its vector, as [`VectorIndex::look_ahead`] has found it.
#[derive(Debug, Default)]
pub struct Ahead {
    /// The table's count of changes then, and what a cosine of 1 is worth.
    of: Option<(u64, f32)>,
    /// As [`sift`](super::sift) has them: of rows that have nothing besides.
    pub(super) most: Vec<f32>,
    pub(super) tops: Vec<f32>,
}

thread_local! {
    /// The arrays, from one search to the next.
    static ROOM: Cell<(Vec<f32>, Vec<f32>)> = Cell::default();
}

impl Drop for Ahead {
    fn drop(&mut self) {
        if !self.most.is_empty() {
            let room = (mem::take(&mut self.most), mem::take(&mut self.tops));
            // A thread that ends has none any more.
            let _ = ROOM.try_with(|kept| kept.set(room));
        }
    }
}

/// The rows of a step.
struct Part<'a> {
    first: usize,
    blocks: &'a [Line],
    factors: &'a [f32],
    found: (&'a mut [f32], &'a mut [f32]),
}

impl VectorIndex {
    /// Runs `body`, and meanwhile estimates by signs what all rows are worth to `query`, where a cosine of 1 is worth
    /// `weight`: for a [`Fusion`](super::Fusion) of the same index and question. Only where that takes long and no other
    /// search goes on.
    pub fn look_ahead(&self, query: &[f32], weight: f32, ahead: &mut Ahead, body: &mut dyn FnMut()) {
        let gate = fork::enter();
        let state = self.shared.read();
        let long = state.serving.is_none() && state.table.sign_bytes() >= LEAST;
        // A question that is none is refused by the search.
        if !long || encode::check(query, self.dimensions(), None).is_err() {
            drop((state, gate));
            return body();
        }
        let searching = Searching::begin();
        if searching.0 > 0 {
            return body();
        }
        state.table.ask(query, |query| state.table.look_ahead(query.coded(), weight, ahead, body));
    }
}

impl Table {
    fn sign_bytes(&self) -> usize {
        self.signs.as_ref().map_or(0, |(rotation, _)| self.len() * rotation.lines())
    }

    fn look_ahead(&self, turned: &[f32], weight: f32, ahead: &mut Ahead, body: &mut dyn FnMut()) {
        let Some((_, signs)) = &self.signs else { return body() };
        if ahead.most.is_empty() {
            (ahead.most, ahead.tops) = ROOM.take();
        }
        let padded = self.len().next_multiple_of(LANES);
        ahead.most.resize(padded, 0.0);
        ahead.tops.resize(padded / PART, 0.0);
        let (mut look, mut across) = (Look::default(), Vec::new());
        let along = self.look(turned, weight, &mut look, &mut across);
        let (mut most, mut tops, mut first) = (&mut *ahead.most, &mut *ahead.tops, 0);
        let mut parts = Vec::with_capacity(padded / LANES / STEP + 2);
        for (blocks, factors) in signs.runs(STEP) {
            let (Some(own), Some(own_tops)) =
                (most.split_off_mut(..factors.len()), tops.split_off_mut(..factors.len() / PART))
            else {
                return body();
            };
            parts.push(Mutex::new(Part { first, blocks, factors, found: (own, own_tops) }));
            first += factors.len();
        }
        let kernel = self.kernels.signs.1;
        let step = |at: usize| {
            let Some(part) = parts.get(at) else { return };
            let mut part = part.lock().unwrap_or_else(PoisonError::into_inner);
            let Part { first, blocks, factors, found: (most, tops) } = &mut *part;
            let blocks = blocks.chunks(BLOCKS * look.lines);
            let found = most.chunks_mut(GROUP).zip(tops.chunks_mut(GROUP / PART));
            let mut sums = [0.0; GROUP];
            for ((at, (blocks, factors)), found) in
                (*first..).step_by(GROUP).zip(blocks.zip(factors.chunks(GROUP))).zip(found)
            {
                let bases = self.with_common(along, at, &[], &mut sums);
                // SAFETY: the kernel comes from `Kernels::available`.
                unsafe { kernel(&look, blocks, (factors, bases), found) };
            }
        };
        aside(parts.len(), &step, body);
        ahead.of = Some((self.changes, weight));
    }

    /// What was found ahead for a cosine of 1 that is worth `weight`, if nothing has changed since.
    pub(super) fn known<'a>(&self, ahead: Option<&'a Ahead>, weight: f32) -> Option<&'a Ahead> {
        ahead.filter(|ahead| ahead.of == Some((self.changes, weight)))
    }
}
