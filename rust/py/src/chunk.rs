//! Where conversations are cut.

use ai_infra_core::chunk;
use pyo3::prelude::*;

use crate::error::to_py;
use crate::items::items;

/// Chunks `(start, end)` of messages; `joined[i]`: message i stays with message i - 1.
#[pyfunction]
#[pyo3(signature = (joined, size=10, overlap=2))]
pub fn message_chunks(
    py: Python<'_>,
    #[pyo3(from_py_with = items)] joined: Vec<bool>,
    size: usize,
    overlap: usize,
) -> PyResult<Vec<(u32, u32)>> {
    py.detach(|| chunk::chunks(&joined, size, overlap)).map_err(|e| to_py(py, e))
}
