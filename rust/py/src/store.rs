//! The binding of the local store: one call for a whole operation, detached from the GIL while it runs.

use std::path::PathBuf;
use std::sync::Once;
use std::time::Duration;

use ai_infra_core::error::{Error, Result};
use ai_infra_core::store::{self, Db, Listing, Namespace, PutRow, Query, Store};
use ai_infra_core::validate::{parse, text_of};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyCFunction, PyDict, PyTuple};

use crate::batch::{Batch, Pending, check, number};
use crate::error::{look, to_py};
use crate::item::{Handed, parts};
use crate::items::items;
use crate::validate;

/// Where an item is.
type Place<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>);

/// A store in one SQLite file, or in memory. Times are microseconds since 1970 UTC.
#[pyclass(frozen, module = "ai_infra._core")]
pub struct LocalStore {
    store: Store,
    max_bytes: usize,
}

pub fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|four| f32::from_ne_bytes(*four)).collect()
}

/// Turns a core result into a Python one.
pub fn raise<T>(py: Python<'_>, result: Result<T>) -> PyResult<T> {
    result.map_err(|error| to_py(py, error))
}

/// Makes `os.fork` safe for every database of this process, and waits for locks end at a signal whose handler raises;
/// called by whoever opens the first one.
pub fn arm(py: Python<'_>) -> PyResult<()> {
    static ARMED: Once = Once::new();
    let mut done = Ok(());
    if !ARMED.is_completed() {
        store::set_look(look);
        let os = py.import("os")?;
        if let Ok(register) = os.getattr("register_at_fork") {
            let hooks = PyDict::new(py);
            hooks.set_item("before", wrap_pyfunction!(before_fork, py)? as Bound<'_, PyCFunction>)?;
            let after = wrap_pyfunction!(after_fork, py)?;
            hooks.set_item("after_in_parent", &after)?;
            hooks.set_item("after_in_child", &after)?;
            ARMED.call_once(|| done = register.call((), Some(&hooks)).map(drop));
        }
    }
    done
}

/// Waits for running operations and closes every connection to a file; `os.fork` calls it.
#[pyfunction]
pub fn before_fork(py: Python<'_>) {
    py.detach(store::before_fork);
}

/// Lets operations run again after a fork, in parent and child.
#[pyfunction]
pub fn after_fork() {
    store::after_fork();
}

/// Whether a file is a SQLite database, ours or another's; false where it cannot be read.
#[pyfunction]
pub fn is_database(py: Python<'_>, path: PathBuf) -> bool {
    py.detach(|| store::is_database(&path))
}

#[pymethods]
impl LocalStore {
    /// Opens the file at `path`, or memory when there is none. Values have up to `max_bytes` bytes as JSON, indexes of
    /// namespaces take up to `room` bytes of memory. `model` names the embedder, None is the built-in one; `switch` takes
    /// over a store that holds another one's vectors.
    #[new]
    #[pyo3(signature = (path, timeout, max_bytes, room, model=None, switch=false))]
    fn new(
        py: Python<'_>,
        path: Option<PathBuf>,
        timeout: f64,
        max_bytes: usize,
        room: usize,
        model: Option<String>,
        switch: bool,
    ) -> PyResult<Self> {
        arm(py)?;
        let wait = Duration::try_from_secs_f64(timeout).map_err(|_| {
            Error::Configuration(format!("timeout={timeout} is no number of seconds; pass 0 or more"))
        });
        let wait = raise(py, wait)?;
        let store = py.detach(|| {
            let db = match path {
                Some(path) => Db::open(&path, wait)?,
                None => Db::memory()?,
            };
            Store::new(db, model.as_deref(), room, switch)
        });
        Ok(Self { store: raise(py, store)?, max_bytes })
    }

    /// Checks rows and turns them into what is stored. A row is a tuple or list of namespace, key, value, and
    /// optionally expiry (µs or None; `expires_at` where a row has none of its own), the expected version or None,
    /// and for an import `(created_at, updated_at, version)` or None.
    #[pyo3(signature = (rows, expires_at=None))]
    fn prepare(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = items)] rows: Vec<Bound<'_, PyAny>>,
        expires_at: Option<i64>,
    ) -> PyResult<Batch> {
        let many = rows.len() > 1;
        let mut checker = validate::Items::new(self.max_bytes);
        let mut ready = Vec::with_capacity(rows.len());
        for (index, row) in rows.iter().enumerate() {
            let put = check(&mut checker, row, expires_at)?;
            ready.push(raise(py, put.map_err(|error| if many { number(index, error) } else { error }))?);
        }
        Ok(Batch::new(ready))
    }

    /// The texts of a prepared batch whose vectors the store lacks, each once. `size`: that of the embedder's vectors,
    /// where it is known; held ones of another size do not count.
    #[pyo3(signature = (batch, size=None))]
    fn lacking(&self, py: Python<'_>, batch: &Batch, size: Option<usize>) -> PyResult<Vec<String>> {
        let found = py.detach(|| {
            let texts = batch.lock().iter().map(PutRow::text).collect::<Result<_>>()?;
            self.store.wanted(texts, size, true)
        });
        let (wanted, lacking) = raise(py, found)?;
        batch.want(wanted);
        Ok(lacking)
    }

    /// Writes all rows or none; returns each as it now is.
    #[pyo3(signature = (rows, now, expires_at=None))]
    fn put(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = items)] rows: Vec<Bound<'_, PyAny>>,
        now: i64,
        expires_at: Option<i64>,
    ) -> PyResult<Vec<Handed>> {
        let batch = self.prepare(py, rows, expires_at)?;
        let (rows, _) = batch.take();
        raise(py, py.detach(|| self.put_rows(rows, now)))
    }

    /// Writes a prepared batch with the vectors (bytes of f32 values) of the texts that were lacking, and empties it.
    fn put_batch(
        &self,
        py: Python<'_>,
        batch: &Batch,
        #[pyo3(from_py_with = items)] made: Vec<PyBackedBytes>,
        now: i64,
    ) -> PyResult<Vec<Handed>> {
        let (mut rows, wanted) = batch.take();
        let written = py.detach(|| {
            if let Some(wanted) = wanted {
                for (row, vector) in rows.iter_mut().zip(wanted.embedded(&made)?) {
                    row.vector = vector;
                }
            }
            self.put_rows(rows, now)
        });
        raise(py, written)
    }

    /// Every item, to be embedded again, and the texts whose vectors have to be made, each once. Held vectors of this
    /// embedder are taken over where they have `size`; where that is not known, all are made.
    #[pyo3(signature = (size=None))]
    fn pending(&self, py: Python<'_>, size: Option<usize>) -> PyResult<(Pending, Vec<String>)> {
        let found = py.detach(|| {
            let items = self.store.pending()?;
            let local = self.store.is_local();
            let text = |item: &store::Pending| {
                if local { Ok(String::new()) } else { parse(&item.value).map(|value| text_of(&value)) }
            };
            let texts = items.iter().map(text).collect::<Result<_>>()?;
            let rows = items.iter().map(|item| (item.id, item.seq)).collect();
            let (wanted, lacking) = self.store.wanted(texts, size, size.is_some())?;
            Ok((Pending::new(rows, wanted), lacking))
        });
        raise(py, found)
    }

    /// Gives the store to this embedder with the vectors (bytes of f32 values) of the texts that had none; false when
    /// items changed since `pending`, which has to be asked again then.
    fn reembed(
        &self,
        py: Python<'_>,
        pending: &Pending,
        #[pyo3(from_py_with = items)] made: Vec<PyBackedBytes>,
    ) -> PyResult<bool> {
        let wanted = pending.take();
        let given = py.detach(|| {
            let vectors = wanted.embedded(&made)?;
            let rows = pending.rows.iter().zip(vectors).map(|((id, seq), vector)| (*id, *seq, vector));
            self.store.reembed(&rows.collect::<Vec<_>>())
        });
        raise(py, given)
    }

    /// The best items for a question with their scores; `window` is `(limit, least score or None)`, `vector` the
    /// bytes of f32 values.
    #[pyo3(signature = (namespace, recursive, text, vector, filter, window, now))]
    #[expect(clippy::too_many_arguments, reason = "one call is one whole search")]
    fn search(
        &self,
        py: Python<'_>,
        namespace: Bound<'_, PyAny>,
        recursive: bool,
        text: Bound<'_, PyAny>,
        vector: Option<Bound<'_, PyBytes>>,
        filter: Option<Bound<'_, PyAny>>,
        window: (usize, Option<f32>),
        now: i64,
    ) -> PyResult<Vec<(Handed, f32)>> {
        let query = Query {
            namespace: raise(py, validate::namespace(&namespace))?,
            recursive,
            text: raise(py, validate::query(&text))?,
            vector: vector.map(|bytes| floats(bytes.as_bytes())),
            filter: raise(py, validate::filter(filter.as_ref()))?,
            limit: window.0,
            min_score: window.1.unwrap_or(f32::NEG_INFINITY),
        };
        let found = raise(py, py.detach(|| self.store.search(&query, now)))?;
        Ok(found.into_iter().map(|(item, score)| (Handed::from(item), score)).collect())
    }

    /// Reads items; None where there is none.
    fn get(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = items)] keys: Vec<Place<'_>>,
        now: i64,
    ) -> PyResult<Vec<Option<Handed>>> {
        let keys = raise(py, places(&keys))?;
        let items = raise(py, py.detach(|| self.store.get(&keys, now)))?;
        Ok(items.into_iter().map(|item| item.map(Handed::from)).collect())
    }

    /// Deletes; says of each key whether there was an item.
    fn delete(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = items)] keys: Vec<Place<'_>>,
        now: i64,
    ) -> PyResult<Vec<bool>> {
        let keys = raise(py, places(&keys))?;
        raise(py, py.detach(|| self.store.delete(&keys, now)))
    }

    /// The items of a namespace in order; `window` is `(limit or None, offset)`.
    #[pyo3(signature = (namespace, recursive, filter, window, now))]
    fn list(
        &self,
        py: Python<'_>,
        namespace: Option<Bound<'_, PyAny>>,
        recursive: bool,
        filter: Option<Bound<'_, PyAny>>,
        window: (Option<usize>, usize),
        now: i64,
    ) -> PyResult<Vec<Handed>> {
        let what = raise(py, listing(namespace.as_ref(), recursive, filter.as_ref(), window))?;
        let items = raise(py, py.detach(|| self.store.list(&what, now)))?;
        Ok(items.into_iter().map(Handed::from).collect())
    }

    /// How many items a listing would return.
    #[pyo3(signature = (namespace, recursive, filter, now))]
    fn count(
        &self,
        py: Python<'_>,
        namespace: Option<Bound<'_, PyAny>>,
        recursive: bool,
        filter: Option<Bound<'_, PyAny>>,
        now: i64,
    ) -> PyResult<usize> {
        let what = raise(py, listing(namespace.as_ref(), recursive, filter.as_ref(), (None, 0)))?;
        raise(py, py.detach(|| self.store.count(&what, now)))
    }

    /// The namespaces that hold an item, at and below `root`.
    #[pyo3(signature = (root, now))]
    fn namespaces<'py>(
        &self,
        py: Python<'py>,
        root: Option<Bound<'py, PyAny>>,
        now: i64,
    ) -> PyResult<Vec<Bound<'py, PyTuple>>> {
        let root = raise(py, root.as_ref().map(validate::namespace).transpose())?;
        let paths = raise(py, py.detach(|| self.store.namespaces(root.as_ref(), now)))?;
        paths.iter().map(|path| parts(py, path)).collect()
    }

    /// Deletes everything in a namespace; returns how many items there were.
    fn clear(&self, py: Python<'_>, namespace: Bound<'_, PyAny>, recursive: bool, now: i64) -> PyResult<i64> {
        let namespace = raise(py, validate::namespace(&namespace))?;
        raise(py, py.detach(|| self.store.clear(&namespace, recursive, now)))
    }

    /// Deletes up to `limit` items that expired by `until`; returns how many.
    fn sweep(&self, py: Python<'_>, until: i64, limit: i64) -> PyResult<usize> {
        raise(py, py.detach(|| self.store.sweep(until, limit)))
    }

    /// Removes what expired, and every trace of what was deleted; returns how many expired items went.
    fn purge(&self, py: Python<'_>, now: i64) -> PyResult<usize> {
        raise(py, py.detach(|| self.store.purge(now)))
    }

    /// Closes the store once the running operations are done.
    fn close(&self, py: Python<'_>) {
        py.detach(|| self.store.close());
    }
}

impl LocalStore {
    fn put_rows(&self, rows: Vec<PutRow>, now: i64) -> Result<Vec<Handed>> {
        let stamps = self.store.put(&rows, now)?;
        Ok(rows.into_iter().zip(stamps).map(|(row, stamp)| Handed::from(row.into_item(stamp))).collect())
    }
}

fn places(keys: &[Place<'_>]) -> Result<Vec<(Namespace, String)>> {
    keys.iter()
        .map(|(namespace, key)| Ok((validate::namespace(namespace)?, validate::key(key, "key")?)))
        .collect()
}

fn listing(
    namespace: Option<&Bound<'_, PyAny>>,
    recursive: bool,
    filter: Option<&Bound<'_, PyAny>>,
    (limit, offset): (Option<usize>, usize),
) -> Result<Listing> {
    Ok(Listing {
        namespace: namespace.map(validate::namespace).transpose()?,
        recursive,
        filter: validate::filter(filter)?,
        limit,
        offset,
    })
}
