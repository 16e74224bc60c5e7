//! Search: each namespace has an index of its own, loaded when it is first asked and forgotten when others need
//! the room. The database is the truth: before each search an index is caught up with it, so what another thread
//! or process has written is found by the next search.

use std::borrow::Cow;
use std::collections::HashMap;
use std::process;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::thread::JoinHandle;

use rusqlite::Connection;

use super::filter::{Filter, Matcher};
use super::fork;
use super::index::{NamespaceIndex, State};
use super::items::{Item, Store, namespaces_in};
use super::models::same_model;
use super::namespace::Namespace;
use super::read::item;
use crate::embed;
use crate::error::{Error, Result};

/// What to search for.
#[derive(Debug, Clone)]
pub struct Query {
    /// Where.
    pub namespace: Namespace,
    /// Also below.
    pub recursive: bool,
    /// The question.
    pub text: String,
    /// Its vector, where the store's embedder is not the built-in one.
    pub vector: Option<Vec<f32>>,
    /// Only values that satisfy it.
    pub filter: Option<Filter>,
    /// At most so many.
    pub limit: usize,
    /// Leave out what scores less.
    pub min_score: f32,
}

/// A found item with its score, 0 to 1.
pub type Scored = (Arc<Item>, f32);

type Shared = Arc<RwLock<NamespaceIndex>>;

/// The loaded indexes of a store, by namespace.
///
/// A forked child starts with none: another thread of the parent may have held one of the locks at that moment,
/// and in the child nobody would ever open it.
#[derive(Debug)]
pub(super) struct Indexes {
    pid: u32,
    /// Bytes that they may take together; the least used go first.
    room: usize,
    loaded: Mutex<Loaded>,
    /// The thread that saves an index.
    saver: Mutex<Option<JoinHandle<()>>>,
    child: OnceLock<Box<Indexes>>,
}

impl Drop for Indexes {
    fn drop(&mut self) {
        if self.pid != process::id() {
            fork::leave(self.saver.get_mut().unwrap_or_else(PoisonError::into_inner).take());
        }
    }
}

#[derive(Debug, Default)]
struct Loaded {
    clock: u64,
    /// The index, when it was last used, and how many bytes it took when it was last made or changed.
    by_path: HashMap<Vec<u8>, (Shared, u64, usize)>,
    total: usize,
}

impl Indexes {
    /// None, of which each may take `room` bytes of memory together with the others.
    pub fn new(room: usize) -> Self {
        let pid = process::id();
        Self { pid, room, loaded: Mutex::default(), saver: Mutex::default(), child: OnceLock::new() }
    }

    /// Drops every index, and with it every text it was made of.
    pub fn forget(&self) {
        *self.lock() = Loaded::default();
    }

    fn here(&self) -> &Self {
        let pid = process::id();
        let mut here = self;
        while here.pid != pid {
            here = here.child.get_or_init(|| Box::new(Self::new(self.room)));
        }
        here
    }

    fn lock(&self) -> MutexGuard<'_, Loaded> {
        self.here().loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread of this process that saves an index.
    pub fn saver(&self) -> MutexGuard<'_, Option<JoinHandle<()>>> {
        self.here().saver.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every index that is loaded.
    pub fn all(&self) -> Vec<Shared> {
        self.lock().by_path.values().map(|(shared, ..)| Arc::clone(shared)).collect()
    }

    fn get(&self, path: &[u8]) -> Shared {
        let mut loaded = self.lock();
        loaded.clock += 1;
        let clock = loaded.clock;
        if let Some(known) = loaded.by_path.get_mut(path) {
            known.1 = clock;
            return Arc::clone(&known.0);
        }
        let fresh = Shared::default();
        loaded.by_path.insert(path.to_vec(), (Arc::clone(&fresh), clock, 0));
        fresh
    }

    fn remove(&self, path: &[u8]) {
        let mut loaded = self.lock();
        if let Some((_, _, freed)) = loaded.by_path.remove(path) {
            loaded.total = loaded.total.saturating_sub(freed);
        }
    }

    /// Notes how many bytes an index takes now, and makes room.
    fn weigh(&self, path: &[u8], bytes: usize) {
        let mut loaded = self.lock();
        let Some(known) = loaded.by_path.get_mut(path) else { return };
        let before = std::mem::replace(&mut known.2, bytes);
        loaded.total = (loaded.total + bytes).saturating_sub(before);
        while loaded.total > self.room && loaded.by_path.len() > 1 {
            let oldest =
                loaded.by_path.iter().min_by_key(|(_, (_, used, _))| *used).map(|(path, _)| path.clone());
            let Some((_, _, freed)) = oldest.and_then(|path| loaded.by_path.remove(&path)) else { return };
            loaded.total = loaded.total.saturating_sub(freed);
        }
    }
}

impl Store {
    /// The items that answer a question best. Expiry, filter and namespace work before the limit: there are fewer
    /// than `limit` only where fewer qualify.
    ///
    /// # Errors
    /// [`Error::EmbeddingMismatch`] when the query's vector has another size than the store's, or the store was
    /// given to another embedder; the storage errors.
    pub fn search(&self, query: &Query, now: i64) -> Result<Vec<Scored>> {
        let vector = self.query_vector(query)?;
        let matcher = query.filter.as_ref().map(Filter::matcher).transpose()?;
        if query.limit == 0 {
            return Ok(Vec::new());
        }
        let paths = if query.recursive {
            self.db()
                .read(|conn| namespaces_in(conn, Some(&query.namespace), true))?
                .into_iter()
                .map(|(_, path)| path)
                .collect()
        } else {
            vec![query.namespace.as_bytes().to_vec()]
        };
        let asked = Asked { query, vector: &vector, matcher, now };
        let mut found = Vec::new();
        for path in paths {
            self.search_one(&path, &asked, &mut found)?;
        }
        if query.recursive {
            // Stable: equal scores stay in the order of namespaces.
            found.sort_by(|a: &Scored, b: &Scored| b.1.total_cmp(&a.1));
            found.truncate(query.limit);
        }
        Ok(found)
    }

    fn query_vector<'a>(&self, query: &'a Query) -> Result<Cow<'a, [f32]>> {
        match &query.vector {
            Some(vector) if vector.is_empty() || !vector.iter().all(|value| value.is_finite()) => {
                Err(Error::Embedding("the embedding of the query is empty or not finite".to_owned()))
            }
            Some(vector) => Ok(Cow::Borrowed(vector)),
            None if self.is_local() => {
                let mut vector = vec![0.0; embed::dimensions()];
                embed::embed_into(&query.text, &mut vector);
                Ok(Cow::Owned(vector))
            }
            None => Ok(Cow::default()),
        }
    }

    fn search_one(&self, path: &[u8], asked: &Asked<'_>, found: &mut Vec<Scored>) -> Result<()> {
        let shared = self.indexes.get(path);
        // The lock is taken before the snapshot: so an index is never ahead of what its reader sees.
        let index = shared.read().unwrap_or_else(PoisonError::into_inner);
        let before = found.len();
        if index.is_of(self.db().version(), asked.vector.len()) {
            let fetch = |ids: &[i64]| self.db().read(|conn| fetch(conn, ids, path));
            if collect(&index, asked, fetch, found)? {
                return Ok(());
            }
            // What the index showed was changed while it was searched.
            found.truncate(before);
        }
        let done = self.db().snapshot(|conn| {
            let Some(state) = self.state(conn, path, asked.vector)? else { return Ok(None) };
            if !index.is_at(&state) {
                return Ok(Some(false));
            }
            index.compared(self.db().version());
            collect(&index, asked, |ids| fetch(conn, ids, path), found).map(Some)
        })?;
        let due = index.is_due();
        drop(index);
        match done {
            Some(true) => {
                if due {
                    self.keep(&shared, false);
                }
                return Ok(());
            }
            Some(false) => found.truncate(before),
            // Neither what was deleted nor a name that somebody made up stays in memory.
            None => {
                self.indexes.remove(path);
                return Ok(());
            }
        }
        let mut index = shared.write().unwrap_or_else(PoisonError::into_inner);
        self.db().snapshot(|conn| {
            let Some(state) = self.state(conn, path, asked.vector)? else { return Ok(()) };
            if index.is_blank()
                && let Some(kept) = self.kept_index(conn, &state)?
            {
                *index = kept;
            }
            if let Err(error) = index.catch_up(conn, &state, self.is_local()) {
                *index = NamespaceIndex::default();
                return Err(error);
            }
            index.compared(self.db().version());
            collect(&index, asked, |ids| fetch(conn, ids, path), found).map(drop)
        })?;
        let (bytes, due, new) = (index.bytes(), index.is_due(), index.is_new());
        drop(index);
        self.indexes.weigh(path, bytes);
        if due {
            self.keep(&shared, new);
        }
        Ok(())
    }

    /// The namespace as it is now; `None` when there is no such namespace.
    fn state(&self, conn: &Connection, path: &[u8], vector: &[f32]) -> Result<Option<State>> {
        let mut statement = conn.prepare_cached(
            "SELECT (SELECT value FROM meta WHERE key = 'embedding'),
                    (SELECT value FROM meta WHERE key = 'dimensions'), id, gen, deleted, reset
             FROM (SELECT 1) LEFT JOIN namespaces ON path = ?",
        )?;
        let mut rows = statement.query([path])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        same_model(row.get_ref(0)?.as_str_or_null().map_err(rusqlite::Error::from)?, &self.model)?;
        let held = row.get_ref(1)?.as_str_or_null().map_err(rusqlite::Error::from)?;
        if let Some(held) = held
            && !self.is_local()
            && held.parse() != Ok(vector.len())
        {
            return Err(Error::EmbeddingMismatch(format!(
                "the store holds vectors of {held} dimensions, and the query's has {}; ask the embedder for {held}, \
                 or call reembed()",
                vector.len()
            )));
        }
        let id: Option<i64> = row.get(2)?;
        id.map(|ns_id| Ok(State { ns_id, generation: row.get(3)?, deleted: row.get(4)?, reset: row.get(5)? }))
            .transpose()
    }
}

/// One search, made ready.
struct Asked<'a> {
    query: &'a Query,
    vector: &'a [f32],
    matcher: Option<Matcher<'a>>,
    now: i64,
}

/// Items as they are in the database now, each with the generation of its last change.
fn fetch(conn: &Connection, ids: &[i64], path: &[u8]) -> Result<Vec<Option<(i64, Item)>>> {
    let mut statement = conn.prepare_cached(
        "SELECT key, value, created_at, updated_at, expires_at, version, seq FROM items WHERE id = ?",
    )?;
    let path: Arc<[u8]> = path.into();
    let mut one = |id: &i64| {
        let mut rows = statement.query([id])?;
        rows.next()?.map(|row| Ok((row.get(6)?, item(row, Arc::clone(&path))?))).transpose()
    };
    ids.iter().map(&mut one).collect()
}

/// Appends what the index finds. False when an item is no longer as the index shows it, which cannot be inside one
/// snapshot: every change gives an item a new generation, and ids are never reused.
fn collect(
    index: &NamespaceIndex,
    asked: &Asked<'_>,
    fetch: impl Fn(&[i64]) -> Result<Vec<Option<(i64, Item)>>>,
    found: &mut Vec<Scored>,
) -> Result<bool> {
    let Asked { query, vector, matcher, now } = asked;
    let mut same = true;
    index.rank(&query.text, vector, (query.limit, query.min_score), matcher.is_some(), |ranked| {
        let before = found.len();
        let mut items = index.kept(ranked.iter().map(|(id, _)| *id));
        let places = items.iter_mut().zip(ranked).filter(|(place, _)| place.is_none());
        let (places, missing): (Vec<_>, Vec<i64>) =
            places.map(|(place, (id, _))| (place, id.cast_signed())).unzip();
        if !missing.is_empty() {
            for ((place, id), item) in places.into_iter().zip(&missing).zip(fetch(&missing)?) {
                match item {
                    Some((seq, item)) if seq <= index.generation() => {
                        index.keep(*id, place.insert(Arc::new(item)));
                    }
                    _ => same = false,
                }
            }
        }
        for (item, (_, score)) in items.into_iter().zip(ranked) {
            let Some(item) = item.filter(|item| item.expires_at.is_none_or(|at| at > *now)) else { continue };
            if matcher.as_ref().map_or(Ok(true), |matcher| matcher.accepts(&item.value))? {
                found.push((item, *score));
            }
        }
        Ok(found.len() - before)
    })?;
    Ok(same)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::store::{Db, PutRow};

    fn namespace(n: usize) -> Namespace {
        Namespace::new([format!("n{n}").as_str()]).unwrap()
    }

    fn ask(store: &Store, n: usize) {
        let query = Query {
            namespace: namespace(n),
            recursive: false,
            text: "fig".to_owned(),
            vector: None,
            filter: None,
            limit: 100,
            min_score: f32::NEG_INFINITY,
        };
        assert_eq!(store.search(&query, 1).unwrap().len(), 50);
    }

    #[test]
    fn indexes_take_the_memory_they_may() {
        let filled = |room| {
            let store = Store::new(Db::memory().unwrap(), None, room, false).unwrap();
            for n in 0..20 {
                let row = |key: usize| PutRow {
                    namespace: namespace(n),
                    key: key.to_string(),
                    value: format!(r#"{{"t":"fig {key}"}}"#),
                    expires_at: None,
                    expected: None,
                    restored: None,
                    vector: None,
                };
                store.put(&(0..50).map(row).collect::<Vec<_>>(), 1).unwrap();
            }
            store
        };
        let whole = filled(usize::MAX);
        (0..20).for_each(|n| ask(&whole, n));
        let bytes: Vec<usize> =
            whole.indexes.all().iter().map(|index| index.read().unwrap().bytes()).collect();
        assert_eq!(bytes.len(), 20);
        let total = bytes.iter().sum::<usize>();
        assert_eq!(whole.indexes.lock().total, total);
        let half = filled(total / 2);
        (0..20).chain(0..20).for_each(|n| ask(&half, n));
        assert!((9..=11).contains(&half.indexes.all().len()), "{}", half.indexes.all().len());
        assert!(half.indexes.lock().total <= total / 2);
        // What was just searched stays, and is the only one where there is room for none.
        let none = filled(0);
        (0..20).for_each(|n| ask(&none, n));
        assert_eq!(none.indexes.all().len(), 1);
    }
}
