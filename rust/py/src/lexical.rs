//! Word search over small texts: `TextIndex`.

use std::sync::{PoisonError, RwLock};

use ai_infra_core::lexical;
use pyo3::prelude::*;

use crate::items::{items, optional_items};

/// Texts by number, searchable by words. Any number of threads may search; writers take turns.
#[pyclass(frozen, module = "ai_infra._core")]
pub struct TextIndex {
    inner: RwLock<lexical::TextIndex>,
}

#[pymethods]
impl TextIndex {
    #[new]
    fn new() -> Self {
        Self { inner: RwLock::new(lexical::TextIndex::new()) }
    }

    fn add(&self, py: Python<'_>, #[pyo3(from_py_with = items)] items: Vec<(u64, String)>) {
        py.detach(|| {
            let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
            for (key, text) in &items {
                inner.add(*key, text);
            }
        });
    }

    fn remove(&self, py: Python<'_>, #[pyo3(from_py_with = items)] keys: Vec<u64>) -> usize {
        py.detach(|| {
            let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
            keys.iter().filter(|k| inner.remove(**k)).count()
        })
    }

    #[pyo3(signature = (question, *, limit=10, allowed=None))]
    fn search(
        &self,
        py: Python<'_>,
        question: &str,
        limit: usize,
        #[pyo3(from_py_with = optional_items)] allowed: Option<Vec<u64>>,
    ) -> Vec<(u64, f32, f32)> {
        py.detach(|| {
            let mut allowed = allowed;
            if let Some(a) = &mut allowed {
                a.sort_unstable();
            }
            let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
            let hits = inner.search(question, limit, allowed.as_deref());
            hits.into_iter().map(|h| (h.key, h.score, h.coverage)).collect()
        })
    }

    fn __len__(&self, py: Python<'_>) -> usize {
        py.detach(|| self.inner.read().unwrap_or_else(PoisonError::into_inner).len())
    }
}

/// The search stems of words.
#[pyfunction]
pub fn word_stems(py: Python<'_>, #[pyo3(from_py_with = items)] words: Vec<String>) -> Vec<String> {
    py.detach(|| words.iter().map(|w| lexical::stem(w)).collect())
}

/// The search terms of a text, in order.
#[pyfunction]
pub fn search_terms(py: Python<'_>, text: &str) -> Vec<String> {
    py.detach(|| lexical::terms(text))
}
