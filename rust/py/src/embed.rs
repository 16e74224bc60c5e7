//! The built-in embedder.

use ai_infra_core::embed;
use ai_infra_core::error::Error;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::error::to_py;
use crate::items::items;

/// Little-endian f32 values from bytes.
pub fn floats(py: Python<'_>, bytes: &[u8]) -> PyResult<Vec<f32>> {
    let (chunks, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        let message = format!("{} bytes are no whole number of 4-byte floats", bytes.len());
        return Err(to_py(py, Error::InvalidInput(message)));
    }
    Ok(chunks.iter().map(|c| f32::from_le_bytes(*c)).collect())
}

/// Unit vectors of texts by the built-in embedder, as little-endian f32 rows of `local_dimensions()`.
#[pyfunction]
pub fn local_embed<'py>(
    py: Python<'py>,
    #[pyo3(from_py_with = items)] texts: Vec<String>,
) -> Bound<'py, PyBytes> {
    let rows: Vec<u8> = py.detach(|| {
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        embed::embed_batch(&texts).into_iter().flat_map(f32::to_le_bytes).collect()
    });
    PyBytes::new(py, &rows)
}

/// The number of components of the built-in embedder's vectors.
#[pyfunction]
pub fn local_dimensions() -> usize {
    embed::dimensions()
}

/// The name of the built-in embedder's model; it changes when its vectors do.
#[pyfunction]
pub fn local_model() -> &'static str {
    embed::model_name()
}
