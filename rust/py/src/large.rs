//! The binding of what large namespaces in PostgreSQL need: lists of words, and scores from them.

use ai_infra_core::lexical::{self, List};
use ai_infra_core::store;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::items::{Bytes, items};
use crate::store::{floats, raise};

/// A list of documents: term, block, bytes.
type GivenList = (String, u32, Bytes);
/// The lists to append, by column.
type Columns<'py> = (Vec<String>, Vec<u32>, Vec<Bound<'py, PyBytes>>);

/// What to keep of items: for each its words and its vector as a `real[]` literal, and the lists to append, by column.
#[pyfunction]
#[expect(clippy::type_complexity, reason = "two parts by column")]
pub fn list_documents<'py>(
    py: Python<'py>,
    #[pyo3(from_py_with = items)] values: Vec<String>,
    first: u32,
    #[pyo3(from_py_with = items)] removed: Vec<u32>,
    local: bool,
) -> PyResult<(Vec<(u32, Option<String>)>, Columns<'py>)> {
    let (documents, lists) = raise(
        py,
        py.detach(|| {
            let (documents, lists) = store::documents(&values, first, &removed, local)?;
            let documents: Vec<(u32, Option<String>)> = documents
                .into_iter()
                .map(|document| (document.length, document.vector.map(|vector| literal(&vector))))
                .collect();
            Ok((documents, lists))
        }),
    )?;
    let mut columns: Columns<'py> = (Vec::new(), Vec::new(), Vec::new());
    for (term, block, list) in lists {
        columns.0.push(term);
        columns.1.push(block);
        columns.2.push(PyBytes::new(py, &list));
    }
    Ok((documents, columns))
}

/// The bytes of f32 values as a `real[]` literal; `None` where all are 0, and there is no direction to compare.
#[pyfunction]
pub fn array_literal(vector: Bytes) -> Option<String> {
    let vector = floats(&vector.0);
    vector.iter().any(|value| *value != 0.0).then(|| literal(&vector))
}

fn literal(vector: &[f32]) -> String {
    use std::fmt::Write as _;

    let mut text = String::with_capacity(vector.len() * 12 + 2);
    text.push('{');
    for (at, value) in vector.iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        // Writing to a string cannot fail.
        let _ = write!(text, "{value}");
    }
    text.push('}');
    text
}

/// What to look up for a question: terms, beginnings of terms, parts of terms.
#[pyfunction]
pub fn wanted_terms(question: &str) -> (Vec<String>, Vec<String>, Vec<String>) {
    let wanted = lexical::wanted(question);
    (wanted.terms, wanted.beginnings, wanted.parts)
}

/// Of the terms that there are, those whose lists a question needs.
#[pyfunction]
pub fn needed_terms(
    py: Python<'_>,
    question: &str,
    #[pyo3(from_py_with = items)] there: Vec<String>,
) -> Vec<String> {
    py.detach(|| lexical::needed(question, &there))
}

/// The cosine of a vector (bytes of f32 values) with each of some arrays as PostgreSQL sends them in binary.
#[pyfunction]
pub fn array_cosines(
    py: Python<'_>,
    query: Bytes,
    #[pyo3(from_py_with = items)] arrays: Vec<Option<Bytes>>,
) -> Vec<Option<f32>> {
    let query = floats(&query.0);
    py.detach(|| arrays.iter().map(|array| store::cosine(&query, &array.as_ref()?.0)).collect())
}

/// What the words of a question give to the score of each document.
#[pyclass(frozen, module = "ai_infra._core")]
pub struct Scores {
    inner: store::Scores,
}

#[pymethods]
impl Scores {
    /// From the lists that the question needs, `(term, block, bytes)`; `documents` are there, with `words` words.
    #[new]
    fn new(
        py: Python<'_>,
        question: &str,
        #[pyo3(from_py_with = items)] lists: Vec<GivenList>,
        documents: usize,
        words: u64,
    ) -> Self {
        let lists: Vec<List> = lists.into_iter().map(|(term, block, list)| (term, block, list.0)).collect();
        Self { inner: py.detach(|| store::Scores::new(question, &lists, documents, words)) }
    }

    /// The documents to which words give most, best first.
    fn best(&self, count: usize) -> Vec<u32> {
        self.inner.best(count)
    }

    /// The score of each document with the cosine of its vector, in this order.
    fn fuse(&self, #[pyo3(from_py_with = items)] documents: Vec<(u32, Option<f32>)>) -> Vec<f32> {
        documents.into_iter().map(|(number, cosine)| self.inner.score(number, cosine)).collect()
    }
}
