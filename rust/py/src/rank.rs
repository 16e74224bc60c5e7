//! Fusion of two rankings.

use ai_infra_core::error::Error;
use ai_infra_core::rank;
use pyo3::prelude::*;

use crate::error::to_py;
use crate::items::items;

/// The sum of the z-scores of two scores of the same items, the second weighted.
#[pyfunction]
#[pyo3(signature = (words, similarity, weight=0.5))]
pub fn fuse_scores(
    py: Python<'_>,
    #[pyo3(from_py_with = items)] words: Vec<f32>,
    #[pyo3(from_py_with = items)] similarity: Vec<f32>,
    weight: f32,
) -> PyResult<Vec<f32>> {
    if words.len() != similarity.len() {
        let message =
            format!("{} word scores and {} similarities: one of each an item", words.len(), similarity.len());
        return Err(to_py(py, Error::InvalidInput(message)));
    }
    Ok(py.detach(|| rank::fuse(&words, &similarity, weight)))
}
