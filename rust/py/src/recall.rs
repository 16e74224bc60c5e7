//! Search over conversations: `ConversationIndex`.

use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use ai_infra_core::recall::{self, Embedding, Message, PARTS, Request};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::embed::floats;
use crate::error::to_py;
use crate::items::{items, optional_items};

/// One user's conversations, searchable by words and vectors. Any number of threads may search; writers take turns.
#[pyclass(frozen, module = "ai_infra._core")]
pub struct ConversationIndex {
    inner: RwLock<recall::ConversationIndex>,
}

impl ConversationIndex {
    // The core does not panic; should a lock be poisoned all the same, its data is as sound as the last write left it.
    pub fn read(&self) -> RwLockReadGuard<'_, recall::ConversationIndex> {
        self.inner.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub fn write(&self) -> RwLockWriteGuard<'_, recall::ConversationIndex> {
        self.inner.write().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// A result of `ConversationIndex.search`.
#[pyclass(frozen, module = "ai_infra._core")]
pub struct RecallHit {
    hit: recall::Hit,
}

#[pymethods]
impl RecallHit {
    #[getter]
    fn session(&self) -> &str {
        &self.hit.session
    }

    #[getter]
    fn chunk(&self) -> u32 {
        self.hit.chunk
    }

    #[getter]
    fn start(&self) -> u32 {
        self.hit.start
    }

    #[getter]
    fn end(&self) -> u32 {
        self.hit.end
    }

    #[getter]
    fn score(&self) -> f32 {
        self.hit.score
    }

    #[getter]
    fn best(&self) -> u32 {
        self.hit.best
    }

    #[getter]
    fn similarity(&self) -> Option<f32> {
        self.hit.similarity
    }

    #[getter]
    fn context(&self) -> Vec<(u32, u32, u32)> {
        self.hit.context.iter().map(|s| (s.message, s.start, s.end)).collect()
    }

    #[getter]
    fn words(&self) -> Vec<(String, String, f32)> {
        self.hit.words.iter().map(|w| (w.asked.clone(), w.found.clone(), w.share)).collect()
    }

    #[getter]
    fn parts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let out = PyDict::new(py);
        for (name, value) in PARTS.iter().zip(self.hit.parts) {
            if value != 0.0 {
                out.set_item(name, value)?;
            }
        }
        Ok(out)
    }
}

#[pymethods]
impl ConversationIndex {
    #[new]
    #[pyo3(signature = (chunk_size=10, chunk_overlap=2, *, embedding="local", dimensions=0))]
    fn new(
        py: Python<'_>,
        chunk_size: usize,
        chunk_overlap: usize,
        embedding: &str,
        dimensions: usize,
    ) -> PyResult<Self> {
        let embedding = match embedding {
            "none" => Embedding::None,
            "local" => Embedding::Local,
            "external" => Embedding::External(dimensions),
            other => {
                let message = format!("embedding={other:?}: use \"local\", \"external\" or \"none\"");
                return Err(to_py(py, ai_infra_core::error::Error::InvalidInput(message)));
            }
        };
        let inner =
            recall::ConversationIndex::new(chunk_size, chunk_overlap, embedding).map_err(|e| to_py(py, e))?;
        Ok(Self { inner: RwLock::new(inner) })
    }

    #[pyo3(signature = (session, texts, *, roles=None, speakers=None, joined=None, date=None, vectors=None))]
    #[expect(clippy::too_many_arguments, reason = "one call a session; Python passes them by name")]
    fn put(
        &self,
        py: Python<'_>,
        session: &str,
        #[pyo3(from_py_with = items)] texts: Vec<String>,
        #[pyo3(from_py_with = optional_items)] roles: Option<Vec<String>>,
        #[pyo3(from_py_with = optional_items)] speakers: Option<Vec<Option<String>>>,
        #[pyo3(from_py_with = optional_items)] joined: Option<Vec<bool>>,
        date: Option<&str>,
        vectors: Option<&Bound<'_, PyBytes>>,
    ) -> PyResult<Vec<(u32, u32)>> {
        let lengths =
            [roles.as_ref().map(Vec::len), speakers.as_ref().map(Vec::len), joined.as_ref().map(Vec::len)];
        if lengths.iter().flatten().any(|n| *n != texts.len()) {
            let message =
                format!("roles, speakers and joined need one entry for each of {} texts", texts.len());
            return Err(to_py(py, ai_infra_core::error::Error::InvalidInput(message)));
        }
        let vectors = vectors.map(|v| floats(py, v.as_bytes())).transpose()?;
        py.detach(|| {
            let messages: Vec<Message<'_>> = texts
                .iter()
                .enumerate()
                .map(|(i, text)| Message {
                    text,
                    user: roles
                        .as_ref()
                        .is_none_or(|r| r.get(i).is_some_and(|r| r == "user" || r == "human")),
                    speaker: speakers.as_ref().and_then(|s| s.get(i)).and_then(Option::as_deref),
                    joined: joined.as_ref().and_then(|j| j.get(i)).copied().unwrap_or(false),
                })
                .collect();
            let mut inner = self.write();
            inner.put(session, date, &messages, vectors.as_deref())?;
            Ok(inner.chunks(session).unwrap_or_default().to_vec())
        })
        .map_err(|e| to_py(py, e))
    }

    fn remove(&self, py: Python<'_>, session: &str) -> bool {
        py.detach(|| self.write().remove(session))
    }

    #[pyo3(signature = (question, *, limit=5, vector=None, sessions=None, context=2000))]
    fn search(
        &self,
        py: Python<'_>,
        question: &str,
        limit: usize,
        vector: Option<&Bound<'_, PyBytes>>,
        #[pyo3(from_py_with = optional_items)] sessions: Option<Vec<String>>,
        context: usize,
    ) -> PyResult<Vec<RecallHit>> {
        let vector = vector.map(|v| floats(py, v.as_bytes())).transpose()?;
        let only: Option<Vec<&str>> = sessions.as_ref().map(|s| s.iter().map(String::as_str).collect());
        let hits = py.detach(|| {
            let request =
                Request { question, vector: vector.as_deref(), sessions: only.as_deref(), limit, context };
            self.read().search(&request)
        });
        Ok(hits.into_iter().map(|hit| RecallHit { hit }).collect())
    }

    #[pyo3(signature = (weights, *, related=true))]
    fn set_weights(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = items)] weights: Vec<f32>,
        related: bool,
    ) -> PyResult<()> {
        let weights: [f32; PARTS.len()] = weights.try_into().map_err(|given: Vec<f32>| {
            let message = format!("{} weights for {} views", given.len(), PARTS.len());
            to_py(py, ai_infra_core::error::Error::InvalidInput(message))
        })?;
        py.detach(|| self.write().set_weights(weights, related));
        Ok(())
    }

    #[staticmethod]
    fn default_weights() -> Vec<(&'static str, f32)> {
        PARTS.into_iter().zip(recall::WEIGHTS).collect()
    }

    fn sessions(&self, py: Python<'_>) -> Vec<String> {
        py.detach(|| self.read().sessions().map(str::to_owned).collect())
    }

    fn chunks(&self, py: Python<'_>, session: &str) -> Option<Vec<(u32, u32)>> {
        py.detach(|| self.read().chunks(session).map(<[_]>::to_vec))
    }

    /// Components of a vector from outside; 0 without such.
    #[getter]
    fn dimensions(&self, py: Python<'_>) -> usize {
        py.detach(|| self.read().dimensions())
    }

    /// About how many bytes of memory it takes.
    #[getter]
    fn footprint(&self, py: Python<'_>) -> usize {
        py.detach(|| self.read().bytes())
    }

    fn __len__(&self, py: Python<'_>) -> usize {
        py.detach(|| self.read().messages())
    }
}

/// The passages of messages, in the order in which `ConversationIndex.put` takes vectors: (message, start, end).
#[pyfunction]
pub fn message_passages(
    py: Python<'_>,
    #[pyo3(from_py_with = items)] texts: Vec<String>,
) -> Vec<(u32, u32, u32)> {
    py.detach(|| {
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        recall::passages(&texts).into_iter().map(|s| (s.message, s.start, s.end)).collect()
    })
}
