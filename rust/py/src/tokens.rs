//! Token counting for Python: strings in, numbers out.

use ai_infra_core::tokens::Encoding as Core;
use pyo3::exceptions::PyUnicodeEncodeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use std::borrow::Cow;

use crate::error::to_py;

/// The UTF-8 of `text`. A lone surrogate counts as U+FFFD, as in tiktoken; a pair of them is one character.
fn utf8<'a>(text: &'a Bound<'_, PyString>) -> PyResult<Cow<'a, str>> {
    match text.to_str() {
        Ok(utf8) => Ok(Cow::Borrowed(utf8)),
        Err(error) if error.is_instance_of::<PyUnicodeEncodeError>(text.py()) => {
            let utf16 = text
                .call_method1("encode", ("utf-16-le", "surrogatepass"))?
                .cast_into::<PyBytes>()?;
            let units = utf16
                .as_bytes()
                .as_chunks()
                .0
                .iter()
                .map(|&unit| u16::from_le_bytes(unit));
            Ok(char::decode_utf16(units)
                .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
                .collect())
        }
        Err(error) => Err(error),
    }
}

/// An encoding by its tiktoken name; all five are in the module, nothing is loaded or built.
#[pyclass(frozen, module = "ai_infra._core")]
pub struct Encoding(&'static Core);

#[pymethods]
impl Encoding {
    #[new]
    fn new(py: Python<'_>, name: &str) -> PyResult<Self> {
        Core::named(name)
            .map(Self)
            .map_err(|error| to_py(py, error))
    }

    /// The name, as tiktoken has it.
    #[getter]
    fn name(&self) -> &'static str {
        self.0.name()
    }

    /// The number of tokens of `text`.
    #[pyo3(signature = (text, /))]
    fn count(&self, text: &Bound<'_, PyString>) -> PyResult<usize> {
        Ok(self.0.count(&utf8(text)?))
    }

    /// The number of tokens of each text.
    #[pyo3(signature = (texts, /))]
    fn count_batch(&self, texts: Vec<Bound<'_, PyString>>) -> PyResult<Vec<usize>> {
        texts
            .iter()
            .map(|text| Ok(self.0.count(&utf8(text)?)))
            .collect()
    }

    /// The number of tokens of `text`, or `None` if it has more than `limit`.
    #[pyo3(signature = (text, limit, /))]
    fn count_up_to(&self, text: &Bound<'_, PyString>, limit: usize) -> PyResult<Option<usize>> {
        Ok(self.0.count_up_to(&utf8(text)?, limit))
    }

    /// The ordinary tokens in rank order.
    fn vocabulary<'py>(&self, py: Python<'py>) -> Vec<Bound<'py, PyBytes>> {
        self.0
            .tokens()
            .map(|token| PyBytes::new(py, token))
            .collect()
    }
}
