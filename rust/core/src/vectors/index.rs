//! [`VectorIndex`]: what the rest of the product uses, safe from any thread.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::encode::{self, MAX_DIMENSIONS, Precision};
use super::graph::{self, GraphError};
use super::links::Links;
use super::options::{Filter, Options, Search};
use super::scan::{Among, Query};
use super::table::{Encoded, Table};
use super::topk::Hit;
use super::worker::{Shared, State};
use super::{cache, fork};
use crate::error::{Error, Result};
use crate::snapshot::{Reader, Writer};

/// Vectors of one namespace, searched by cosine similarity.
///
/// Any number of threads may search while others write: a search holds a shared lock, a change an
/// exclusive one for as long as it copies encoded rows. A fork waits for both and finds the index
/// usable in the child.
#[derive(Debug)]
pub struct VectorIndex {
    pub(super) shared: Arc<Shared>,
}

/// Room to encode vectors in, for who adds a few at a time.
#[derive(Debug, Default)]
pub(crate) struct Room {
    unit: Vec<f32>,
    rows: Vec<Encoded>,
}

impl VectorIndex {
    /// An empty index for vectors of `dimensions` values.
    ///
    /// # Errors
    /// `InvalidInput` if `dimensions` is 0 or above [`MAX_DIMENSIONS`].
    pub fn new(dimensions: usize, options: Options) -> Result<Self> {
        if dimensions == 0 || dimensions > MAX_DIMENSIONS {
            return Err(Error::InvalidInput(format!(
                "dimensions is {dimensions}; a vector has 1 to {MAX_DIMENSIONS} dimensions"
            )));
        }
        Ok(Self { shared: Arc::new(Shared::new(dimensions, options)) })
    }

    /// How many values a vector has.
    pub fn dimensions(&self) -> usize {
        self.shared.dimensions
    }

    /// How rows are stored.
    pub fn precision(&self) -> Precision {
        self.shared.options.precision
    }

    /// How many vectors there are.
    pub fn len(&self) -> usize {
        let _gate = fork::enter();
        self.shared.read().table.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether `id` is there.
    pub fn contains(&self, id: u64) -> bool {
        let _gate = fork::enter();
        self.shared.read().table.slot(id).is_some()
    }

    /// Whether searches of the whole index use a graph now.
    pub fn has_graph(&self) -> bool {
        let _gate = fork::enter();
        self.shared.read().serving.is_some()
    }

    /// Bytes held in memory.
    pub fn memory_bytes(&self) -> usize {
        let _gate = fork::enter();
        let state = self.shared.read();
        let links =
            [&state.serving, &state.building].into_iter().flatten().map(Links::memory_bytes).sum::<usize>();
        let graph = self.shared.graph().as_ref().map_or(0, graph::Graph::memory_bytes);
        state.table.memory_bytes() + links + graph
    }

    /// Adds a vector under a new id.
    ///
    /// # Errors
    /// `InvalidInput` if `id` is taken, or the vector has the wrong size or a value that is not
    /// finite. Nothing has changed then.
    pub fn add(&self, id: u64, vector: &[f32]) -> Result<()> {
        encode::check(vector, self.dimensions(), Some(0))?;
        self.insert(&[id], vector, false, &mut Room::default())
    }

    /// Stores a vector under `id`, in the place of the one it had, if any.
    ///
    /// # Errors
    /// `InvalidInput` as for [`add`](Self::add), but a taken id is fine.
    pub fn replace(&self, id: u64, vector: &[f32]) -> Result<()> {
        encode::check(vector, self.dimensions(), Some(0))?;
        self.insert(&[id], vector, true, &mut Room::default())
    }

    /// Adds `ids.len()` vectors lying one after the other in `vectors`; all or none.
    ///
    /// # Errors
    /// `InvalidInput` naming the position of the first bad vector or taken id.
    pub fn add_many(&self, ids: &[u64], vectors: &[f32]) -> Result<()> {
        self.insert(ids, vectors, false, &mut Room::default())
    }

    /// As [`add_many`](Self::add_many), replacing what is there; of a repeated id the last counts.
    ///
    /// # Errors
    /// `InvalidInput` naming the position of the first bad vector.
    pub fn replace_many(&self, ids: &[u64], vectors: &[f32]) -> Result<()> {
        self.insert(ids, vectors, true, &mut Room::default())
    }

    /// [`replace_many`](Self::replace_many) in a room that was used before.
    pub(crate) fn replace_in(&self, room: &mut Room, ids: &[u64], vectors: &[f32]) -> Result<()> {
        self.insert(ids, vectors, true, room)
    }

    /// Gets an empty index ready for so many rows, so that it need not grow by doubling.
    pub(crate) fn expect(&self, rows: usize) {
        let _gate = fork::enter();
        self.shared.write().table.expect(rows);
    }

    fn insert(&self, ids: &[u64], vectors: &[f32], replace: bool, room: &mut Room) -> Result<()> {
        let dimensions = self.dimensions();
        if let [_] = ids {
            encode::check(vectors, dimensions, Some(0))?;
        } else if ids.len().checked_mul(dimensions) != Some(vectors.len()) {
            return Err(Error::InvalidInput(format!(
                "{} ids with {} values; {} ids of {dimensions} dimensions need {}",
                ids.len(),
                vectors.len(),
                ids.len(),
                ids.len().saturating_mul(dimensions)
            )));
        }
        for (position, vector) in vectors.chunks_exact(dimensions).enumerate() {
            encode::check(vector, dimensions, Some(position))?;
        }
        if !replace {
            let mut sorted = ids.to_vec();
            sorted.sort_unstable();
            if let Some(twice) =
                sorted.windows(2).find(|pair| pair.first() == pair.last()).and_then(<[u64]>::first)
            {
                return Err(Error::InvalidInput(format!("id {twice} is given twice in one batch")));
            }
        }
        // Encoding is the expensive part and needs no lock; the copy into the table is short.
        let Room { unit, rows } = room;
        if rows.len() < ids.len() {
            rows.resize_with(ids.len(), Encoded::default);
        }
        let mut with_codes = {
            let _gate = fork::enter();
            let table = &self.shared.read().table;
            table.wants_codes(table.len().saturating_add(ids.len()))
        };
        let rotation = self.shared.rotation.as_deref();
        for (vector, row) in vectors.chunks_exact(dimensions).zip(&mut *rows) {
            encode::unit(vector, unit);
            Table::encode(self.precision(), unit, row);
            if with_codes {
                Table::encode_codes(rotation, unit, row);
            }
        }
        {
            let _gate = fork::enter();
            let mut state = self.shared.write();
            if !with_codes && state.table.wants_codes(state.table.len().saturating_add(ids.len())) {
                // Others have added rows meanwhile.
                with_codes = true;
                for (vector, row) in vectors.chunks_exact(dimensions).zip(&mut *rows) {
                    encode::unit(vector, unit);
                    Table::encode_codes(rotation, unit, row);
                }
            }
            let taken = |(_, id): &(usize, &u64)| state.table.slot(**id).is_some();
            if !replace && let Some((position, id)) = ids.iter().enumerate().find(taken) {
                return Err(Error::InvalidInput(format!(
                    "id {id} at position {position} is already in the index; replace it, or remove it first"
                )));
            }
            if state.table.len().saturating_add(ids.len()) >= u32::MAX as usize {
                return Err(Error::InvalidInput(format!("an index holds fewer than {} vectors", u32::MAX)));
            }
            if with_codes {
                state.table.make_codes();
            }
            for (id, row) in ids.iter().zip(&*rows) {
                state.put(*id, row);
            }
        }
        Shared::tend(&self.shared);
        Ok(())
    }

    /// Removes a vector; false if there was none.
    pub fn remove(&self, id: u64) -> bool {
        let removed = {
            let _gate = fork::enter();
            self.shared.write().remove(id)
        };
        Shared::tend(&self.shared);
        removed
    }

    /// Bytes that a scan of every row reads, if no change is under way just now. A caller that
    /// holds a lock of its own (Python's) can tell with it whether a search is short.
    pub fn idle_scan_bytes(&self) -> Option<usize> {
        let _gate = fork::enter();
        let state = self.shared.state.try_read().ok()?;
        Some(state.table.len().saturating_mul(self.dimensions()).saturating_mul(2))
    }

    /// The best rows for `query` as `(id, cosine similarity)`: higher first, of equal scores the
    /// lower id first. A zero vector, stored or asked for, scores 0. A filter never shortens the
    /// result while enough rows match.
    ///
    /// # Errors
    /// `InvalidInput` if the query has the wrong size or a value that is not finite, or
    /// `min_score` is NaN.
    pub fn search(&self, query: &[f32], search: Search<'_>) -> Result<Vec<(u64, f32)>> {
        encode::check(query, self.dimensions(), None)?;
        if search.min_score.is_nan() {
            return Err(Error::InvalidInput("min_score is NaN; give a number from -1 to 1".to_owned()));
        }
        let _gate = fork::enter();
        let state = self.shared.read();
        let chosen = choose(&state.table, search.filter);
        let hits = state.table.ask(query, |query| {
            self.propose(&state, query, &search, chosen.as_deref()).unwrap_or_else(|| {
                let among = chosen.as_deref().map_or(Among::All, Among::Slots);
                state.table.scan(query, search.k, search.min_score, among)
            })
        });
        Ok(hits.into_iter().map(|hit| (hit.id, hit.score)).collect())
    }

    /// The answer by way of the graph, where there is one and it is the faster and safe way.
    pub(super) fn propose(
        &self,
        state: &State,
        query: &Query,
        search: &Search<'_>,
        chosen: Option<&[u32]>,
    ) -> Option<Vec<Hit>> {
        let links = state.serving.as_ref()?;
        let rows = chosen.map_or(state.table.len(), <[u32]>::len);
        // A filter that keeps few rows makes a graph wander; scanning those rows is exact and fast.
        let few = rows < self.shared.options.graph_from / 3 * 2 || rows < state.table.len() / 10;
        if search.exact || few || search.k > rows / 20 || links.tail_len() > rows / 4 {
            return None;
        }
        let graph = self.shared.graph();
        let graph = graph.as_ref()?;
        // Twice as many as asked for, since codes are coarser than rows, and some for dead nodes.
        let mut count = search.k * 2 + 32;
        let mut node = Vec::new();
        encode_query(query.coded(), &mut node);
        let found: std::result::Result<Vec<u64>, GraphError> = match chosen {
            None => {
                count += count * links.dead() / links.nodes().max(1);
                graph.search(&node, count, None)
            }
            Some(slots) => {
                let mut bits = vec![0u64; state.table.len().div_ceil(64)];
                for slot in slots {
                    if let Some(word) = bits.get_mut(*slot as usize / 64) {
                        *word |= 1 << (slot % 64);
                    }
                }
                let keep = |node| {
                    let word =
                        |slot: u32| bits.get(slot as usize / 64).map_or(0, |word| word >> (slot % 64) & 1);
                    links.row(node).is_some_and(|slot| word(slot) == 1)
                };
                graph.search(&node, count, Some(&keep))
            }
        };
        let mut slots: Vec<u32> = found.ok()?.into_iter().filter_map(|node| links.row(node)).collect();
        match chosen {
            None => slots.extend(links.tail()),
            Some(chosen) => slots.extend(links.tail().filter(|slot| chosen.binary_search(slot).is_ok())),
        }
        slots.sort_unstable();
        slots.dedup();
        (slots.len() >= search.k)
            .then(|| state.table.scan(query, search.k, search.min_score, Among::Slots(&slots)))
    }

    /// Waits until the background has nothing to do; true if so within `timeout`.
    pub fn settle(&self, timeout: Duration) -> bool {
        Shared::tend(&self.shared);
        self.shared.settle(timeout)
    }

    /// Puts rows, codes and the graph, if there is one, into a snapshot. The caller sees to it that no row changes
    /// meanwhile; searches go on.
    pub(crate) fn write(&self, out: &mut Writer<'_>) -> io::Result<()> {
        cache::write(&self.shared, out)
    }

    /// Takes out what [`Self::write`] has put in, and whether there was a graph: it serves some time later. `None` if
    /// that was an index of another precision, or is not as it was written.
    pub(crate) fn read(options: Options, body: &mut Reader) -> Option<(Self, bool)> {
        cache::read(options, body).map(|(shared, graph)| (Self { shared }, graph))
    }

    /// Writes the graph, if there is one, to `path`: to a temporary file beside it that is synced
    /// and renamed. False if there is nothing to save.
    ///
    /// `generation` is the caller's number for the rows as they are: a cache is only loaded with
    /// the same one.
    ///
    /// # Errors
    /// What the file system says. The file that was there before is untouched then.
    pub fn save_cache(&self, path: &Path, generation: u64) -> io::Result<bool> {
        cache::save(&self.shared, path, generation)
    }

    /// Takes the graph from `path` if the file is whole, of this version, and was made from these
    /// rows (`generation`, count, ids and dimensions agree). False otherwise: the graph is then
    /// built in the background as if there were no file.
    pub fn load_cache(&self, path: &Path, generation: u64) -> bool {
        let loaded = cache::load(&self.shared, path, generation).is_some();
        Shared::tend(&self.shared);
        loaded
    }
}

fn encode_query(coded: &[f32], out: &mut Vec<u8>) {
    let mut lines = Vec::new();
    let scale = encode::row_codes(coded, &mut lines);
    graph::node_bytes(&lines, scale, out);
}

/// The slots that a filter admits, in order; `None` for all.
fn choose(table: &Table, filter: Filter<'_>) -> Option<Vec<u32>> {
    match filter {
        Filter::All => None,
        Filter::Ids(ids) => {
            let mut slots: Vec<u32> = ids.iter().filter_map(|id| table.slot(*id)).collect();
            slots.sort_unstable(); // in memory order
            slots.dedup();
            Some(slots)
        }
        Filter::Bitmap(words) => {
            let word =
                |id: u64| usize::try_from(id / 64).ok().and_then(|at| words.get(at)).copied().unwrap_or(0);
            let slots = table.ids().iter().zip(0u32..);
            Some(slots.filter_map(|(id, slot)| (word(*id) >> (id % 64) & 1 == 1).then_some(slot)).collect())
        }
    }
}
