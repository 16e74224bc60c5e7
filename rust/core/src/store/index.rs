//! The search index of one namespace: words and vectors in memory, caught up from the database before a search.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use rusqlite::{Connection, params_from_iter};

use super::items::Item;
use super::snapshots::purges;
use super::taking::{BESIDE, Taking};
use crate::embed;
use crate::error::Result;
use crate::lexical::{Documents, Gains};
use crate::validate::{parse, text_of};
use crate::vectors::{Ahead, Fusion, IdHash, Mix, Options, Precision, VectorIndex, unpack_into};

/// What the words of a text and its vector each give to a score.
pub(super) const WORDS: f32 = 0.5;
pub(super) const VECTOR: f32 = 0.5;

/// Vectors from which a graph is built. Up to here a look at all signs takes no longer than a graph with what the words
/// lift above it, is exact, and needs no second structure (benches/store/search.py with 100,000 and 200,000 items).
pub(super) const GRAPH_FROM: usize = 200_000;

/// Items read by one statement: each that is run costs as much as some rows, and rows of near ids lie together.
const TOGETHER: usize = 32;
static SQL_VALUES: LazyLock<String> = LazyLock::new(|| {
    let ids = vec!["?"; TOGETHER].join(", ");
    format!("SELECT id, value, NULL FROM items WHERE id IN ({ids})")
});
static SQL_BOTH: LazyLock<String> = LazyLock::new(|| {
    let ids = vec!["?"; TOGETHER].join(", ");
    format!("SELECT id, value, vector FROM items LEFT JOIN item_vectors ON item_id = id WHERE id IN ({ids})")
});

/// Asked for beyond the limit, for those that have expired.
const SPARE: usize = 2;
/// Bytes of found items that an index keeps, how many more for each item that it has (a fifth of what a vector of 384
/// dimensions takes here), and the largest of them.
const KEPT_BYTES: usize = 512 * 1024;
const KEPT_FOR_ONE: usize = 256;
const KEPT_ITEM: usize = 8 * 1024;

/// The index of one namespace as it was at one generation. Text and vector of an item have the same number.
#[derive(Debug, Default)]
pub(super) struct NamespaceIndex {
    pub(super) ns_id: i64,
    pub(super) generation: i64,
    /// The highest id that any item of the store had then: a higher one is new.
    pub(super) newest: i64,
    /// How often the database had been purged when the first of this was read.
    pub(super) purged: i64,
    /// The item of each number.
    pub(super) ids: Vec<u64>,
    pub(super) by_id: HashMap<u64, u32, IdHash>,
    pub(super) texts: Documents,
    pub(super) vectors: Option<VectorIndex>,
    /// Items that the latest reading has changed, and all since a file was last thought of.
    pub(super) latest: usize,
    pub(super) unsaved: AtomicUsize,
    /// Whether there was a graph then.
    pub(super) graph_noted: AtomicBool,
    pub(super) found: Mutex<Found>,
    /// The [version](super::db::Db::version) of the database that it is known to show; 0 for none.
    pub(super) version: AtomicU64,
}

/// A namespace as the database has it.
#[derive(Debug, Clone, Copy)]
pub(super) struct State {
    pub ns_id: i64,
    /// It grows with every change.
    pub generation: i64,
    /// Its reading at the last deletion.
    pub deleted: i64,
    /// Its reading when everything changed at once.
    pub reset: i64,
}

/// Items that searches have found, as they are at the index's generation.
#[derive(Debug, Default)]
pub(super) struct Found {
    items: HashMap<u64, Arc<Item>, IdHash>,
    bytes: usize,
}

impl NamespaceIndex {
    /// Whether the index shows the namespace as it is.
    pub fn is_at(&self, state: &State) -> bool {
        self.ns_id == state.ns_id && self.generation == state.generation
    }

    /// Whether nothing was written to a database in memory since the index was compared with it, and it has vectors
    /// as large as the question's.
    pub fn is_of(&self, version: Option<u64>, dimensions: usize) -> bool {
        version.is_some_and(|version| self.version.load(Ordering::Acquire) == version)
            && self.vectors.as_ref().is_some_and(|vectors| vectors.dimensions() == dimensions)
    }

    /// Notes that it shows the database as it is at `version`.
    pub fn compared(&self, version: Option<u64>) {
        self.version.store(version.unwrap_or(0), Ordering::Release);
    }

    /// Whether what it shows can be caught up to `state`.
    pub fn is_before(&self, state: &State) -> bool {
        self.ns_id == state.ns_id && (state.reset..=state.generation).contains(&self.generation)
    }

    /// The generation it shows.
    pub fn generation(&self) -> i64 {
        self.generation
    }

    /// How many items it holds.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// About how many bytes of memory it takes, with what it may keep of found items.
    pub fn bytes(&self) -> usize {
        // A table of numbers has one control byte beside each entry, and fills to 7/8.
        let numbers = self.ids.capacity() * 8 + self.by_id.capacity() * 8 / 7 * 17;
        let vectors = self.vectors.as_ref().map_or(0, VectorIndex::memory_bytes);
        size_of::<Self>() + numbers + self.texts.bytes() + vectors + KEPT_FOR_ONE * self.by_id.len()
    }

    /// The items that an earlier search has found, in the order of `ids`.
    pub fn kept(&self, ids: impl Iterator<Item = u64>) -> Vec<Option<Arc<Item>>> {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        ids.map(|id| found.items.get(&id).map(Arc::clone)).collect()
    }

    /// Keeps an item for the next search that finds it.
    pub fn keep(&self, id: i64, item: &Arc<Item>) {
        let bytes = item.value.len() + item.key.len() + item.namespace.len() + 200;
        if bytes <= KEPT_ITEM {
            let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
            if found.bytes + bytes > KEPT_BYTES + KEPT_FOR_ONE * self.by_id.len() {
                *found = Found::default();
            }
            if found.items.insert(id.unsigned_abs(), Arc::clone(item)).is_none() {
                found.bytes += bytes;
            }
        }
    }

    /// Reads what changed since its own generation, which costs the changes and, after a deletion, a pass over
    /// the ids. `local`: vectors are computed here; otherwise they are read.
    pub fn catch_up(&mut self, conn: &Connection, state: &State, local: bool) -> Result<()> {
        let State { ns_id, generation, deleted, .. } = *state;
        if !self.is_before(state) {
            *self = Self { ns_id, purged: purges(conn)?, ..Self::default() };
        }
        self.found = Mutex::default();
        self.latest = 0;
        if deleted > self.generation && !self.by_id.is_empty() {
            self.drop_deleted(conn)?;
        }
        let changed = self.changed(conn)?;
        self.latest += changed.len();
        let mut taking = Taking::new(local, changed.len());
        if self.by_id.is_empty() && changed.len() >= BESIDE {
            self.vectors = None;
            let (done, vectors) = taking.beside(|taking| self.read_items(conn, &changed, taking));
            if vectors.is_some() {
                self.vectors = vectors;
            }
            done?;
        } else {
            self.read_items(conn, &changed, &mut taking)?;
        }
        self.generation = generation;
        self.unsaved.fetch_add(self.latest, Ordering::Relaxed);
        Ok(())
    }

    /// Takes in items as the database has them.
    fn read_items(&mut self, conn: &Connection, ids: &[i64], taking: &mut Taking) -> Result<()> {
        let mut statement = conn.prepare_cached(if taking.local { &SQL_VALUES } else { &SQL_BOTH })?;
        let mut numbers = Vec::new();
        for ids in ids.chunks(TOGETHER) {
            // Where there are fewer, the last one is named again; it is found once.
            let named = ids.iter().chain(ids.last().into_iter().cycle()).take(TOGETHER);
            let mut rows = statement.query(params_from_iter(named))?;
            while let Some(row) = rows.next()? {
                let packed = row.get_ref(2)?.as_blob_or_null().map_err(rusqlite::Error::from)?;
                let vector = packed.map(|packed| {
                    unpack_into(packed, &mut numbers);
                    numbers.as_slice()
                });
                self.take(taking, row.get::<_, i64>(0)?.unsigned_abs(), super::read::text(row, 1)?, vector)?;
            }
        }
        self.taken(taking)
    }

    /// Takes in an item, in place of the one that has its id: its JSON, and its vector with the numbers of its stored
    /// form where that is not computed here. [`Self::taken`] ends it.
    pub fn take(&mut self, taking: &mut Taking, id: u64, value: &str, vector: Option<&[f32]>) -> Result<()> {
        let Taking { local, computed, way } = taking;
        let text = text_of(&parse(value)?);
        self.drop_item(id);
        computed.fill(0.0);
        let number = self.texts.add(&text, |vocab, term, count| {
            if *local && !vocab.is_function(term) {
                embed::add_term(vocab.text(term), vocab.row(term), count as f32, computed);
            }
        });
        self.ids.resize(self.texts.bound(), 0);
        if let Some(place) = self.ids.get_mut(number as usize) {
            *place = id;
        }
        self.by_id.insert(id, number);
        if *local {
            embed::normalize(computed);
            way.put(number, computed, &mut self.vectors)?;
        } else if let Some(vector) = vector {
            way.put(number, vector, &mut self.vectors)?;
        }
        Ok(())
    }

    /// Ends the taking in of items.
    pub fn taken(&mut self, taking: &mut Taking) -> Result<()> {
        taking.way.end(&mut self.vectors)
    }

    /// The ids of rows that are new or were written over since the index was made, in order; notes the newest id.
    fn changed(&mut self, conn: &Connection) -> Result<Vec<i64>> {
        let ids = |sql: &str, bounds: [i64; 2]| -> Result<Vec<i64>> {
            let mut statement = conn.prepare_cached(sql)?;
            Ok(statement.query_map(bounds, |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
        };
        let newest: i64 =
            conn.prepare_cached("SELECT coalesce(max(id), 0) FROM items")?.query_row([], |row| row.get(0))?;
        // New rows lie at the end of the table, among those of other namespaces; all of this one's keys lie
        // together in the index over them. Whichever is shorter is read.
        let behind = usize::try_from(newest.saturating_sub(self.newest)).unwrap_or(0);
        let new = if behind / 2 < self.by_id.len() {
            "SELECT id FROM items WHERE id > ? AND ns_id = ?"
        } else {
            "SELECT id FROM items INDEXED BY items_by_key WHERE id > ? AND ns_id = ?"
        };
        let mut changed = ids(new, [self.newest, self.ns_id])?;
        if self.generation > 0 {
            let over = "SELECT id FROM items WHERE ns_id = ? AND seq > ? AND seq > 0";
            changed.extend(ids(over, [self.ns_id, self.generation])?);
        }
        changed.sort_unstable();
        changed.dedup();
        self.newest = newest;
        Ok(changed)
    }

    /// Drops an item, if it is there.
    pub fn drop_item(&mut self, id: u64) {
        let Some(number) = self.by_id.remove(&id) else { return };
        self.texts.remove(number);
        if let Some(vectors) = &self.vectors {
            vectors.remove(u64::from(number));
        }
    }

    fn drop_deleted(&mut self, conn: &Connection) -> Result<()> {
        let mut statement = conn.prepare_cached("SELECT id FROM items WHERE ns_id = ?")?;
        let mut there = HashSet::with_capacity(self.by_id.len());
        let mut rows = statement.query([self.ns_id])?;
        while let Some(row) = rows.next()? {
            there.insert(row.get::<_, i64>(0)?.unsigned_abs());
        }
        let gone: Vec<u64> = self.by_id.keys().filter(|id| !there.contains(id)).copied().collect();
        self.latest += gone.len();
        gone.into_iter().for_each(|id| self.drop_item(id));
        Ok(())
    }

    /// Hands the best items to `accept`, best first and equal ones by id, as `(id, score)` a few at a time, until it has
    /// taken `limit` of them: it answers how many it takes. Every item has a score, so there are fewer only where
    /// fewer are accepted. `picky`: many may be refused.
    ///
    /// A score is half what the words give (the share of the question that the text answers, lowered by up to a
    /// half where the BM25 score is below the best one's) and half the cosine of the vectors.
    pub fn rank(
        &self,
        question: &str,
        vector: &[f32],
        (limit, min_score): (usize, f32),
        picky: bool,
        mut accept: impl FnMut(&[(u64, f32)]) -> Result<usize>,
    ) -> Result<()> {
        let looked = Cell::<Ahead>::default();
        let look = |count: &mut dyn FnMut()| {
            let mut ahead = Ahead::default();
            match self.known(vector) {
                Some(vectors) => vectors.look_ahead(vector, VECTOR, &mut ahead, count),
                None => count(),
            }
            looked.set(ahead);
        };
        self.texts.gains_beside(question, look, |mut gains| {
            let ahead = looked.take();
            gains.weigh(WORDS);
            let all = self.by_id.len();
            let spare = if picky { limit.saturating_mul(9).max(200) } else { SPARE };
            let mut count = limit.saturating_add(spare).min(all);
            let mut asked = HashSet::new();
            let mut taken = 0;
            loop {
                let mut ranked = self.fuse(&gains, vector, count, &ahead)?;
                let end = ranked.last().is_some_and(|(_, score)| *score < min_score);
                ranked.retain(|(id, score)| *score >= min_score && (asked.is_empty() || !asked.contains(id)));
                let mut rest = ranked.as_slice();
                while taken < limit && !rest.is_empty() {
                    // A step never takes more than are wanted.
                    let (now, later) = rest.split_at(rest.len().min(limit - taken));
                    taken += accept(now)?;
                    rest = later;
                }
                if taken >= limit || count >= all || end {
                    return Ok(());
                }
                asked.extend(ranked.into_iter().map(|(id, _)| id));
                count = count.saturating_mul(8).min(all);
            }
        })
    }

    /// The vectors, if there are any to compare the one asked for with.
    fn known(&self, vector: &[f32]) -> Option<&VectorIndex> {
        self.vectors.as_ref().filter(|_| vector.iter().any(|value| *value != 0.0))
    }

    /// The best `count` items with their scores, best first.
    fn fuse(
        &self,
        gains: &Gains<'_>,
        vector: &[f32],
        count: usize,
        ahead: &Ahead,
    ) -> Result<Vec<(u64, f32)>> {
        let nothing = gains.touched.is_some_and(<[u32]>::is_empty);
        let mix = Mix { weight: VECTOR, base: if nothing { &[] } else { &*gains.coverage } };
        let name = |number: u64| {
            usize::try_from(number).ok().and_then(|at| self.ids.get(at)).copied().unwrap_or_default()
        };
        let known = self.known(vector);
        let mut ranked = match known {
            Some(vectors) => {
                let exact = count >= self.by_id.len();
                let fusion = Fusion { k: count, mix, ahead: Some(ahead), raised: gains.touched, name, exact };
                vectors.fuse(vector, &fusion)?
            }
            None => Vec::new(),
        };
        // Those without a vector, or all where none was asked with.
        let rest = self.by_id.len() > known.map_or(0, VectorIndex::len);
        if rest && (known.is_none() || ranked.len() < count || lowest(&ranked) == 0.0) {
            let without =
                self.by_id.iter().filter(|(_, n)| known.is_none_or(|k| !k.contains(u64::from(**n))));
            ranked.extend(without.map(|(id, n)| (*id, mix.total(u64::from(*n), 0.0))));
            let order = |a: &(u64, f32), b: &(u64, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
            if count < ranked.len() {
                ranked.select_nth_unstable_by(count, order);
                ranked.truncate(count);
            }
            ranked.sort_unstable_by(order);
        }
        Ok(ranked)
    }
}

/// How vectors are held.
pub(super) fn options() -> Options {
    Options { precision: Precision::I8, graph_from: GRAPH_FROM, ..Options::default() }
}

fn lowest(ranked: &[(u64, f32)]) -> f32 {
    ranked.last().map_or(0.0, |(_, score)| *score)
}
