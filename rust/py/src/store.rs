//! The binding of the local store: one call for a whole operation, detached from the GIL while it runs.

use std::path::PathBuf;
use std::sync::Once;
use std::time::Duration;

use ai_infra_core::error::{Error, Result};
use ai_infra_core::store::{self, Item, Listing, Namespace, PutRow, Restored, Store};
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict, PyTuple};

use crate::error::to_py;
use crate::validate;

/// One row of a write: namespace, key, value, expiry (µs or None), expected version or None, and for an import
/// the item's `(created_at, updated_at, version)` or None.
type Row<'py> = (
    Bound<'py, PyAny>,
    Bound<'py, PyAny>,
    Bound<'py, PyAny>,
    Option<i64>,
    Option<i64>,
    Option<(i64, i64, i64)>,
);

/// Where an item is.
type Place<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>);

/// A store in one SQLite file, or in memory. Times are microseconds since 1970 UTC.
#[pyclass(frozen, module = "ai_infra._core")]
pub struct LocalStore {
    store: Store,
    max_bytes: usize,
}

/// Turns a core result into a Python one.
fn raise<T>(py: Python<'_>, result: Result<T>) -> PyResult<T> {
    result.map_err(|error| to_py(py, error))
}

/// Makes `os.fork` safe for every database of this process; called by whoever opens the first one.
pub fn arm_fork(py: Python<'_>) -> PyResult<()> {
    static ARMED: Once = Once::new();
    let mut done = Ok(());
    if !ARMED.is_completed() {
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

#[pymethods]
impl LocalStore {
    /// Opens the file at `path`, or memory when there is none.
    #[new]
    #[pyo3(signature = (path, timeout, max_bytes))]
    fn new(py: Python<'_>, path: Option<PathBuf>, timeout: f64, max_bytes: usize) -> PyResult<Self> {
        arm_fork(py)?;
        let wait = Duration::try_from_secs_f64(timeout).map_err(|_| {
            Error::Configuration(format!("timeout={timeout} is no number of seconds; pass 0 or more"))
        });
        let wait = raise(py, wait)?;
        let store = py.detach(|| match path {
            Some(path) => Store::open(&path, wait),
            None => Store::memory(),
        });
        Ok(Self { store: raise(py, store)?, max_bytes })
    }

    /// Writes all rows or none; returns each as it now is.
    fn put<'py>(&self, py: Python<'py>, rows: Vec<Row<'py>>, now: i64) -> PyResult<Vec<Bound<'py, PyTuple>>> {
        let many = rows.len() > 1;
        let mut ready = Vec::with_capacity(rows.len());
        for (index, row) in rows.into_iter().enumerate() {
            ready.push(raise(
                py,
                self.row(row).map_err(|error| if many { number(index, error) } else { error }),
            )?);
        }
        let stamps = raise(py, py.detach(|| self.store.put(&ready, now)))?;
        let each = ready.into_iter().zip(stamps);
        each.map(|(row, stamp)| to_tuple(py, &row.into_item(stamp))).collect()
    }

    /// Reads items; None where there is none.
    fn get<'py>(
        &self,
        py: Python<'py>,
        keys: Vec<Place<'py>>,
        now: i64,
    ) -> PyResult<Vec<Option<Bound<'py, PyTuple>>>> {
        let keys = raise(py, places(&keys))?;
        let items = raise(py, py.detach(|| self.store.get(&keys, now)))?;
        items.iter().map(|item| item.as_ref().map(|item| to_tuple(py, item)).transpose()).collect()
    }

    /// Deletes; says of each key whether there was an item.
    fn delete(&self, py: Python<'_>, keys: Vec<Place<'_>>, now: i64) -> PyResult<Vec<bool>> {
        let keys = raise(py, places(&keys))?;
        raise(py, py.detach(|| self.store.delete(&keys, now)))
    }

    /// The items of a namespace in order; `window` is `(limit or None, offset)`.
    #[pyo3(signature = (namespace, recursive, filter, window, now))]
    fn list<'py>(
        &self,
        py: Python<'py>,
        namespace: Option<Bound<'py, PyAny>>,
        recursive: bool,
        filter: Option<Bound<'py, PyAny>>,
        window: (Option<usize>, usize),
        now: i64,
    ) -> PyResult<Vec<Bound<'py, PyTuple>>> {
        let what = raise(py, listing(namespace.as_ref(), recursive, filter.as_ref(), window))?;
        let items = raise(py, py.detach(|| self.store.list(&what, now)))?;
        items.iter().map(|item| to_tuple(py, item)).collect()
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
        py.detach(|| self.store.db().close());
    }
}

impl LocalStore {
    fn row(&self, row: Row<'_>) -> Result<PutRow> {
        let (namespace, key, value, expires_at, expected, restored) = row;
        Ok(PutRow {
            namespace: validate::namespace(&namespace)?,
            key: validate::key(&key)?,
            value: validate::value_json(&value, self.max_bytes)?,
            expires_at,
            expected,
            restored: restored.map(|(created_at, updated_at, version)| Restored {
                created_at,
                updated_at,
                version,
            }),
        })
    }
}

/// Says which row of a batch was refused.
fn number(index: usize, error: Error) -> Error {
    let at = |text: String| format!("item {index} of the batch (nothing was written): {text}");
    match error {
        Error::InvalidInput(text) => Error::InvalidInput(at(text)),
        Error::InvalidText(text) => Error::InvalidText(at(text)),
        Error::InvalidValue(text) => Error::InvalidValue(at(text)),
        Error::InvalidNamespace(text) => Error::InvalidNamespace(at(text)),
        other => other,
    }
}

fn places(keys: &[Place<'_>]) -> Result<Vec<(Namespace, String)>> {
    keys.iter().map(|(namespace, key)| Ok((validate::namespace(namespace)?, validate::key(key)?))).collect()
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

fn parts<'py>(py: Python<'py>, path: &[u8]) -> PyResult<Bound<'py, PyTuple>> {
    PyTuple::new(py, raise(py, Namespace::parts(path))?)
}

/// `(namespace, key, value JSON, created_at, updated_at, expires_at, version)`.
fn to_tuple<'py>(py: Python<'py>, item: &Item) -> PyResult<Bound<'py, PyTuple>> {
    let namespace = parts(py, &item.namespace)?;
    (namespace, &item.key, &item.value, item.created_at, item.updated_at, item.expires_at, item.version)
        .into_pyobject(py)
}
