//! A stored item as Python sees it: the core's own, taken apart when it is asked.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use ai_infra_core::store::{Item, Namespace};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple};

use crate::store::raise;
use crate::validate;

/// One memory: a value under a namespace and a key.
///
/// It is a copy. The value is decoded when it is first asked for; changing it changes nothing in the store. A backend
/// makes one of the value as canonical JSON and of times in microseconds since 1970 UTC.
#[pyclass(frozen, eq, hash, module = "ai_infra._core")]
pub struct MemoryItem {
    item: Arc<Item>,
    value: PyOnceLock<Py<PyAny>>,
}

impl PartialEq for MemoryItem {
    fn eq(&self, other: &Self) -> bool {
        self.item == other.item
    }
}

impl Eq for MemoryItem {}

impl Hash for MemoryItem {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.item.hash(state);
    }
}

impl From<Arc<Item>> for MemoryItem {
    fn from(item: Arc<Item>) -> Self {
        Self { item, value: PyOnceLock::new() }
    }
}

/// An item that goes out to Python unknown to the garbage collector, which would look at thousands of them while a batch
/// is handed over and after it: only a value that is made to hold its own item would need that.
pub struct Handed(Arc<Item>);

impl From<Arc<Item>> for Handed {
    fn from(item: Arc<Item>) -> Self {
        Self(item)
    }
}

impl From<Item> for Handed {
    fn from(item: Item) -> Self {
        Self(Arc::new(item))
    }
}

impl<'py> IntoPyObject<'py> for Handed {
    type Target = MemoryItem;
    type Output = Bound<'py, MemoryItem>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Self::Output> {
        let item = Bound::new(py, MemoryItem::from(self.0))?;
        // SAFETY: every class of PyO3 is known to the collector, and its deallocation takes an object out itself, which
        // may be done again.
        unsafe { ffi::PyObject_GC_UnTrack(item.as_ptr().cast()) };
        Ok(item)
    }
}

#[pymethods]
impl MemoryItem {
    #[new]
    #[expect(clippy::too_many_arguments, reason = "the fields of an item")]
    fn new(
        py: Python<'_>,
        namespace: &Bound<'_, PyAny>,
        key: String,
        json: String,
        created_at: i64,
        updated_at: i64,
        expires_at: Option<i64>,
        version: i64,
    ) -> PyResult<Self> {
        let namespace = raise(py, validate::namespace(namespace))?.into_shared();
        Ok(Arc::new(Item { namespace, key, value: json, created_at, updated_at, expires_at, version }).into())
    }

    /// The parts of the namespace.
    #[getter]
    fn namespace<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        parts(py, &self.item.namespace)
    }

    /// The key.
    #[getter]
    fn key(&self) -> &str {
        &self.item.key
    }

    /// The value; a tuple that was put comes back as a list.
    #[getter]
    fn value(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        static LOADS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let value = self.value.get_or_try_init(py, || {
            let loads = LOADS.import(py, "json", "loads")?;
            loads.call1((&self.item.value,)).map(Bound::unbind)
        })?;
        Ok(value.clone_ref(py))
    }

    /// The value as canonical JSON.
    #[getter]
    fn json(&self) -> &str {
        &self.item.value
    }

    /// When the key was first written, in UTC; later writes keep it.
    #[getter]
    fn created_at<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        utc(py, self.item.created_at)
    }

    /// When the value was last written, in UTC.
    #[getter]
    fn updated_at<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        utc(py, self.item.updated_at)
    }

    /// From this moment on the item is gone; None: it stays.
    #[getter]
    fn expires_at<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.item.expires_at.map(|at| utc(py, at)).transpose()
    }

    /// `created_at`, `updated_at` and `expires_at` in microseconds since 1970 UTC.
    #[getter]
    fn times(&self) -> (i64, i64, Option<i64>) {
        (self.item.created_at, self.item.updated_at, self.item.expires_at)
    }

    /// 1 for a new item, one more with each write; pass it as `expected_version` to change only this one.
    #[getter]
    fn version(&self) -> i64 {
        self.item.version
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let item = &slf.get().item;
        let fields = (
            parts(slf.py(), &item.namespace)?,
            &item.key,
            &item.value,
            item.created_at,
            item.updated_at,
            item.expires_at,
            item.version,
        );
        Ok((slf.get_type().into_any(), fields.into_pyobject(slf.py())?))
    }

    /// It never fails: what a backend made wrongly is shown as it is.
    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let value = self.value(py).and_then(|value| Ok(value.bind(py).repr()?.to_string()));
        let updated = self.updated_at(py).and_then(|at| Ok(at.call_method0("isoformat")?.to_string()));
        Ok(format!(
            "MemoryItem(namespace={}, key={}, value={}, version={}, updated_at={})",
            self.namespace(py)?.repr()?,
            self.key().into_pyobject(py)?.repr()?,
            value.unwrap_or_else(|_| self.item.value.clone()),
            self.item.version,
            updated.unwrap_or_else(|_| self.item.updated_at.to_string()),
        ))
    }
}

/// A moment as an aware `datetime`.
fn utc(py: Python<'_>, micros: i64) -> PyResult<Bound<'_, PyAny>> {
    static EPOCH: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    static DELTA: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let epoch = EPOCH.get_or_try_init(py, || -> PyResult<_> {
        let module = py.import("datetime")?;
        let zone = PyDict::new(py);
        zone.set_item("tzinfo", module.getattr("UTC")?)?;
        Ok(module.getattr("datetime")?.call((1970, 1, 1), Some(&zone))?.unbind())
    })?;
    epoch.bind(py).add(DELTA.import(py, "datetime", "timedelta")?.call1((0, 0, micros))?)
}

/// The parts of an encoded namespace.
pub fn parts<'py>(py: Python<'py>, path: &[u8]) -> PyResult<Bound<'py, PyTuple>> {
    PyTuple::new(py, raise(py, Namespace::parts(path))?)
}
