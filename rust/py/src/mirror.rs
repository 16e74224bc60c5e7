//! The binding of a mirror: what a search index shows of another database.

use std::sync::Arc;

use ai_infra_core::error::{Error, Result};
use ai_infra_core::store::{self, Content, Entry, Loaded, Namespace, Question};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple};

use crate::item::Handed;
use crate::items::{Bytes, items};
use crate::store::{arm, floats, raise};
use crate::validate;

/// Items of another database in memory, searched as a local store searches its own.
#[pyclass(frozen, module = "ai_infra._core")]
pub struct Mirror {
    inner: store::Mirror,
}

#[pymethods]
impl Mirror {
    /// An empty one. `local`: vectors are computed here, by the built-in embedder, and not read.
    #[new]
    fn new(py: Python<'_>, local: bool) -> PyResult<Self> {
        arm(py)?;
        Ok(Self { inner: store::Mirror::new(local) })
    }

    /// About how many bytes of memory it takes.
    #[getter]
    fn memory_bytes(&self) -> usize {
        self.inner.bytes()
    }

    /// Takes rows as they are, in these columns (more do not matter): `(namespace, each part followed by a zero byte;
    /// key, value JSON, created_at, updated_at, expires_at, version, vector)`. Without a value it is the vector of an
    /// item in another row, without a vector as well the item is gone; without a namespace there is no row, and in place
    /// of a version stands how many numbers vectors have, if that is known. Returns by how many items the mirror has
    /// grown.
    fn load(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = items)] rows: Vec<Bound<'_, PyTuple>>,
    ) -> PyResult<i64> {
        // Python's texts and bytes never change, and `cells` holds them: nothing is copied before the core does.
        let mut cells = Vec::with_capacity(rows.len());
        let mut dimensions = None;
        for row in &rows {
            let ns = row.get_item(0)?;
            if ns.is_none() {
                dimensions = row.get_item(6)?.extract()?;
            } else {
                let vector = row.get_item(7)?;
                let vector = if vector.is_none() { None } else { Some(vector.cast_into::<PyBytes>()?) };
                let value = row.get_item(2)?;
                let value = if value.is_none() { None } else { Some(value.cast_into::<PyString>()?) };
                cells.push((
                    row,
                    ns.cast_into::<PyBytes>()?,
                    row.get_item(1)?.cast_into::<PyString>()?,
                    value,
                    vector,
                ));
            }
        }
        let mut ready: Vec<Loaded<'_>> = Vec::with_capacity(cells.len());
        let mut last: Option<(&[u8], Arc<[u8]>)> = None;
        for (row, ns, key, value, vector) in &cells {
            let place = ns.as_bytes();
            let vector = vector.as_ref().map(|vector| vector.as_bytes());
            let content = match (value, vector) {
                (Some(value), vector) => {
                    let namespace = match &last {
                        Some((same, namespace)) if *same == place => Arc::clone(namespace),
                        _ => {
                            let namespace = raise(py, zero_ended(place))?.into_shared();
                            last = Some((place, Arc::clone(&namespace)));
                            namespace
                        }
                    };
                    let entry = Entry {
                        namespace,
                        value: value.to_str()?,
                        created_at: row.get_item(3)?.extract()?,
                        updated_at: row.get_item(4)?.extract()?,
                        expires_at: row.get_item(5)?.extract()?,
                        version: row.get_item(6)?.extract()?,
                    };
                    Content::Item(entry, vector)
                }
                (None, Some(vector)) => Content::Vector(vector),
                (None, None) => Content::Nothing,
            };
            ready.push(Loaded { place, key: key.to_str()?, content });
        }
        raise(py, py.detach(|| self.inner.load(&ready, dimensions)))
    }

    /// The best items for a question with their scores; `window` is `(limit, least score or None)`, `vector` the
    /// bytes of f32 values.
    #[pyo3(signature = (text, vector, filter, window, now))]
    fn search(
        &self,
        py: Python<'_>,
        text: Bound<'_, PyAny>,
        vector: Option<Bytes>,
        filter: Option<Bound<'_, PyAny>>,
        window: (usize, Option<f32>),
        now: i64,
    ) -> PyResult<Vec<(Handed, f32)>> {
        let text = raise(py, validate::query(&text))?;
        let filter = raise(py, validate::filter(filter.as_ref()))?;
        let vector = vector.map(|bytes| floats(&bytes.0));
        let question = Question {
            text: &text,
            vector: vector.as_deref(),
            filter: filter.as_ref(),
            limit: window.0,
            min_score: window.1.unwrap_or(f32::NEG_INFINITY),
        };
        let found = raise(py, py.detach(|| self.inner.search(&question, now)))?;
        Ok(found.into_iter().map(|(item, score)| (Handed::from(item), score)).collect())
    }
}

/// A namespace in the encoding of the PostgreSQL backend.
pub fn zero_ended(ns: &[u8]) -> Result<Namespace> {
    let damaged = |_| Error::StorageCorrupt("a namespace in the database is damaged".to_owned());
    let text = std::str::from_utf8(ns).map_err(damaged)?;
    Namespace::new(text.split_terminator('\0'))
}
