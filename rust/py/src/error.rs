//! Maps the core's errors to the classes of `ai_infra.errors`, in one place.

use ai_infra_core::error::Error;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

/// Looks a class of `ai_infra.errors` up and raises it with `message`.
fn raise(py: Python<'_>, class: &str, message: String) -> PyErr {
    static MODULE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let module = match MODULE
        .get_or_try_init(py, || Ok::<_, PyErr>(py.import("ai_infra.errors")?.into_any().unbind()))
    {
        Ok(module) => module.bind(py),
        Err(error) => return error,
    };
    match module.getattr(class).and_then(|c| Ok(c.cast_into::<PyType>()?)) {
        Ok(class) => PyErr::from_type(class, message),
        Err(error) => error,
    }
}

/// The Python exception for an error of the core.
pub fn to_py(py: Python<'_>, error: Error) -> PyErr {
    let class = match &error {
        Error::ContextLength(_) => "ContextLengthError",
        Error::InvalidText(_) => "InvalidTextError",
        Error::InvalidValue(_) => "InvalidValueError",
        Error::InvalidNamespace(_) => "InvalidNamespaceError",
        Error::InvalidFilter(_) => "InvalidFilterError",
        Error::Configuration(_) => "ConfigurationError",
        Error::Storage(_) | Error::StorageIo(_) | Error::StorageWrite(_) => "StorageError",
        Error::StorageFull(_) => "StorageFullError",
        Error::StorageCorrupt(_) => "StorageCorruptError",
        Error::StorageTimeout(_) => "StorageTimeoutError",
        Error::StorageClosed(_) => "StorageClosedError",
        Error::Conflict(_) => "ConflictError",
        Error::EmbeddingMismatch(_) => "EmbeddingMismatchError",
        Error::Embedding(_) => "EmbeddingError",
        _ => "InvalidInputError",
    };
    raise(py, class, error.to_string())
}
