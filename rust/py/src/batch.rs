//! Batches on their way into a store: rows that were checked, and items that are to be embedded again.

use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ai_infra_core::error::{Error, Result};
use ai_infra_core::store::{PutRow, Restored, Wanted};
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

use crate::store::raise;
use crate::validate;

/// Items that are to be embedded again.
#[pyclass(frozen, module = "ai_infra._core")]
pub struct Pending {
    /// Of each the row, and when it was written over.
    pub rows: Vec<(i64, i64)>,
    wanted: Mutex<Wanted>,
}

impl Pending {
    pub fn new(rows: Vec<(i64, i64)>, wanted: Wanted) -> Self {
        Self { rows, wanted: Mutex::new(wanted) }
    }

    /// Where the vectors come from; empty from then on.
    pub fn take(&self) -> Wanted {
        mem::take(&mut *self.wanted.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[pymethods]
impl Pending {
    fn __len__(&self) -> usize {
        self.rows.len()
    }
}

/// Rows that were checked, ready to be written.
#[pyclass(frozen, module = "ai_infra._core")]
pub struct Batch {
    rows: Mutex<Vec<PutRow>>,
    /// Where the vectors come from, once that was asked.
    wanted: Mutex<Option<Wanted>>,
}

impl Batch {
    pub fn new(rows: Vec<PutRow>) -> Self {
        Self { rows: Mutex::new(rows), wanted: Mutex::default() }
    }

    pub fn lock(&self) -> MutexGuard<'_, Vec<PutRow>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The rows, and where their vectors come from where that was asked; empty from then on.
    pub fn take(&self) -> (Vec<PutRow>, Option<Wanted>) {
        let wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner).take();
        (mem::take(&mut self.lock()), wanted)
    }

    /// Notes where the vectors come from.
    pub fn want(&self, wanted: Wanted) {
        *self.wanted.lock().unwrap_or_else(PoisonError::into_inner) = Some(wanted);
    }
}

#[pymethods]
impl Batch {
    /// The text of each value for search: its strings; empty where it has none.
    fn texts(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        raise(py, self.lock().iter().map(PutRow::text).collect())
    }
}

/// A row as it is written. The outer error is that of a caller who passes no row at all.
pub fn check<'py>(
    checker: &mut validate::Items<'py>,
    row: &Bound<'py, PyAny>,
    expires_at: Option<i64>,
) -> PyResult<Result<PutRow>> {
    let fields = match row.cast::<PyTuple>() {
        Ok(tuple) => tuple.clone(),
        Err(_) => row.cast::<PyList>()?.to_tuple(),
    };
    let extra = |at: usize| if at < fields.len() { fields.get_item(at).map(Some) } else { Ok(None) };
    let (namespace, key, value) = (fields.get_item(0)?, fields.get_item(1)?, fields.get_item(2)?);
    let expires_at = extra(3)?.map_or(Ok(expires_at), |at| at.extract())?;
    let expected = extra(4)?.map_or(Ok(None), |version| version.extract())?;
    let restored: Option<(i64, i64, i64)> = extra(5)?.map_or(Ok(None), |past| past.extract())?;
    let mut put = || {
        Ok(PutRow {
            namespace: checker.namespace(&namespace)?,
            key: validate::key(&key, "key")?,
            value: checker.value(&value)?,
            expires_at,
            expected,
            vector: None,
            restored: restored.map(|(created_at, updated_at, version)| Restored {
                created_at,
                updated_at,
                version,
            }),
        })
    };
    Ok(put())
}

/// Says which row of a batch was refused.
pub fn number(index: usize, error: Error) -> Error {
    let at = |text: String| format!("item {index} of the batch (nothing was written): {text}");
    match error {
        Error::InvalidInput(text) => Error::InvalidInput(at(text)),
        Error::InvalidText(text) => Error::InvalidText(at(text)),
        Error::InvalidValue(text) => Error::InvalidValue(at(text)),
        Error::InvalidNamespace(text) => Error::InvalidNamespace(at(text)),
        other => other,
    }
}
