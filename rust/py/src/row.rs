//! A stored item as Python sees it: the core's own row, taken apart when it is asked.

use std::sync::Arc;

use ai_infra_core::store::{Item, Namespace};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::store::raise;
use crate::validate;

/// One stored item. `json` is the value as canonical JSON; times are microseconds since 1970 UTC.
#[pyclass(frozen, eq, hash, module = "ai_infra._core")]
#[derive(PartialEq, Eq, Hash)]
pub struct Row {
    item: Arc<Item>,
}

impl From<Arc<Item>> for Row {
    fn from(item: Arc<Item>) -> Self {
        Self { item }
    }
}

impl From<Item> for Row {
    fn from(item: Item) -> Self {
        Arc::new(item).into()
    }
}

#[pymethods]
impl Row {
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
        Ok(Item { namespace, key, value: json, created_at, updated_at, expires_at, version }.into())
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

    /// The value as canonical JSON.
    #[getter]
    fn json(&self) -> &str {
        &self.item.value
    }

    /// When the key was first written.
    #[getter]
    fn created_at(&self) -> i64 {
        self.item.created_at
    }

    /// When the value was last written.
    #[getter]
    fn updated_at(&self) -> i64 {
        self.item.updated_at
    }

    /// From this moment on the item is gone; None: it stays.
    #[getter]
    fn expires_at(&self) -> Option<i64> {
        self.item.expires_at
    }

    /// 1 for a new item, one more with each write.
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

    fn __repr__(&self) -> String {
        let parts = Namespace::parts(&self.item.namespace).unwrap_or_default();
        format!("Row({parts:?}, {:?}, {:?}, version={})", self.item.key, self.item.value, self.item.version)
    }
}

/// The parts of an encoded namespace.
pub fn parts<'py>(py: Python<'py>, path: &[u8]) -> PyResult<Bound<'py, PyTuple>> {
    PyTuple::new(py, raise(py, Namespace::parts(path))?)
}
