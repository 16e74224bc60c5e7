//! [`VectorIndex`]: what the rest of the product uses, safe from any thread.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::encode::{self, MAX_DIMENSIONS, Precision};
use super::kernel::Kernels;
use super::table::{Among, Encoded, Table};
use crate::error::{Error, Result};

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
}

impl Search<'_> {
    /// The best `k` of all rows.
    pub fn best(k: usize) -> Self {
        Self { k, min_score: f32::NEG_INFINITY, filter: Filter::All }
    }
}

/// Vectors of one namespace, searched by cosine similarity.
///
/// Any number of threads may search while others write: a search holds a shared lock for its
/// scan, a change an exclusive one for as long as it copies encoded rows.
#[derive(Debug)]
pub struct VectorIndex {
    dimensions: usize,
    precision: Precision,
    table: RwLock<Table>,
}

impl VectorIndex {
    /// An empty index for vectors of `dimensions` values.
    ///
    /// # Errors
    /// `InvalidInput` if `dimensions` is 0 or above [`MAX_DIMENSIONS`].
    pub fn new(dimensions: usize, precision: Precision) -> Result<Self> {
        Self::with_kernels(dimensions, precision, Kernels::best())
    }

    /// As [`new`](Self::new), with chosen instructions (tests and benchmarks compare them).
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_kernels(dimensions: usize, precision: Precision, kernels: Kernels) -> Result<Self> {
        if dimensions == 0 || dimensions > MAX_DIMENSIONS {
            return Err(Error::InvalidInput(format!(
                "dimensions is {dimensions}; a vector has 1 to {MAX_DIMENSIONS} dimensions"
            )));
        }
        Ok(Self { dimensions, precision, table: RwLock::new(Table::new(dimensions, precision, kernels)) })
    }

    // A panic cannot leave the table half changed (nothing in it panics), so poison is ignored.
    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many values a vector has.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// How rows are stored.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// How many vectors there are.
    pub fn len(&self) -> usize {
        self.read().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether `id` is there.
    pub fn contains(&self, id: u64) -> bool {
        self.read().slot(id).is_some()
    }

    /// Bytes held in memory.
    pub fn memory_bytes(&self) -> usize {
        self.read().memory_bytes()
    }

    /// Adds a vector under a new id.
    ///
    /// # Errors
    /// `InvalidInput` if `id` is taken, or the vector has the wrong size or a value that is not
    /// finite. Nothing has changed then.
    pub fn add(&self, id: u64, vector: &[f32]) -> Result<()> {
        self.insert(&[id], vector, false)
    }

    /// Stores a vector under `id`, in the place of the one it had, if any.
    ///
    /// # Errors
    /// `InvalidInput` as for [`add`](Self::add), but a taken id is fine.
    pub fn replace(&self, id: u64, vector: &[f32]) -> Result<()> {
        self.insert(&[id], vector, true)
    }

    /// Adds `ids.len()` vectors lying one after the other in `vectors`; all or none.
    ///
    /// # Errors
    /// `InvalidInput` naming the position of the first bad vector or taken id.
    pub fn add_many(&self, ids: &[u64], vectors: &[f32]) -> Result<()> {
        self.insert(ids, vectors, false)
    }

    /// As [`add_many`](Self::add_many), replacing what is there; of a repeated id the last counts.
    ///
    /// # Errors
    /// `InvalidInput` naming the position of the first bad vector.
    pub fn replace_many(&self, ids: &[u64], vectors: &[f32]) -> Result<()> {
        self.insert(ids, vectors, true)
    }

    fn insert(&self, ids: &[u64], vectors: &[f32], replace: bool) -> Result<()> {
        if let [_] = ids {
            encode::check(vectors, self.dimensions, Some(0))?;
        } else if ids.len().checked_mul(self.dimensions) != Some(vectors.len()) {
            return Err(Error::InvalidInput(format!(
                "{} ids with {} values; {} ids of {} dimensions need {}",
                ids.len(),
                vectors.len(),
                ids.len(),
                self.dimensions,
                ids.len().saturating_mul(self.dimensions)
            )));
        }
        for (position, vector) in vectors.chunks_exact(self.dimensions).enumerate() {
            encode::check(vector, self.dimensions, Some(position))?;
        }
        if !replace {
            let mut seen: Vec<u64> = ids.to_vec();
            seen.sort_unstable();
            if let Some(twice) =
                seen.windows(2).find_map(|w| (w.first() == w.last()).then(|| w.first())).flatten()
            {
                return Err(Error::InvalidInput(format!("id {twice} is given twice in one batch")));
            }
        }
        // Encoding is the expensive part and needs no lock; the copy into the table is short.
        let mut unit = Vec::new();
        let encoded: Vec<Encoded> = vectors
            .chunks_exact(self.dimensions)
            .map(|vector| {
                let mut row = Encoded::default();
                encode::unit(vector, &mut unit);
                Table::encode(self.precision, &unit, &mut row);
                row
            })
            .collect();
        let mut table = self.write();
        if !replace
            && let Some((position, id)) = ids.iter().enumerate().find(|(_, id)| table.slot(**id).is_some())
        {
            return Err(Error::InvalidInput(format!(
                "id {id} at position {position} is already in the index; replace it, or remove it first"
            )));
        }
        if table.len().saturating_add(ids.len()) > u32::MAX as usize {
            return Err(Error::InvalidInput(format!("an index holds at most {} vectors", u32::MAX)));
        }
        for (id, row) in ids.iter().zip(&encoded) {
            table.put(*id, row);
        }
        Ok(())
    }

    /// Removes a vector; false if there was none.
    pub fn remove(&self, id: u64) -> bool {
        self.write().remove(id).is_some()
    }

    /// Bytes that a search of every row reads, if no change is under way just now. A caller that
    /// holds a lock of its own (Python's) can tell with it whether a search is short.
    pub fn idle_scan_bytes(&self) -> Option<usize> {
        let table = self.table.try_read().ok()?;
        Some(table.len().saturating_mul(self.dimensions).saturating_mul(2))
    }

    /// The best rows for `query` as `(id, cosine similarity)`: higher first, of equal scores the
    /// lower id first. A zero vector, stored or asked for, scores 0.
    ///
    /// # Errors
    /// `InvalidInput` if the query has the wrong size or a value that is not finite, or
    /// `min_score` is NaN.
    pub fn search(&self, query: &[f32], search: Search<'_>) -> Result<Vec<(u64, f32)>> {
        encode::check(query, self.dimensions, None)?;
        if search.min_score.is_nan() {
            return Err(Error::InvalidInput("min_score is NaN; give a number from -1 to 1".to_owned()));
        }
        let mut unit = Vec::new();
        encode::unit(query, &mut unit);
        let table = self.read();
        let query = table.query(&unit);
        let hits = match search.filter {
            Filter::All => table.scan(&query, search.k, search.min_score, Among::All),
            Filter::Ids(ids) => {
                let mut slots: Vec<u32> = ids.iter().filter_map(|id| table.slot(*id)).collect();
                slots.sort_unstable(); // in memory order
                slots.dedup();
                table.scan(&query, search.k, search.min_score, Among::Slots(&slots))
            }
            Filter::Bitmap(words) => {
                let chosen = |id: u64| {
                    usize::try_from(id / 64)
                        .ok()
                        .and_then(|at| words.get(at))
                        .is_some_and(|w| w >> (id % 64) & 1 == 1)
                };
                let slots: Vec<u32> = table
                    .ids()
                    .iter()
                    .zip(0u32..)
                    .filter_map(|(id, slot)| chosen(*id).then_some(slot))
                    .collect();
                table.scan(&query, search.k, search.min_score, Among::Slots(&slots))
            }
        };
        Ok(hits.into_iter().map(|hit| (hit.id, hit.score)).collect())
    }
}
