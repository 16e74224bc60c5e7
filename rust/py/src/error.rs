//! Maps the core's errors to the classes of `ai_infra.errors`, in one place.

use std::cell::RefCell;

use ai_infra_core::error::Error;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

thread_local! {
    /// What a signal handler raised while this thread waited.
    static RAISED: RefCell<Option<PyErr>> = const { RefCell::new(None) };
}

/// Lets the handlers of signals run, which Python does on its main thread alone; whether one has raised.
pub fn look() -> bool {
    let raised = Python::try_attach(|py| py.check_signals().err()).flatten();
    let over = raised.is_some();
    RAISED.set(raised);
    over
}

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
    if matches!(error, Error::Interrupted)
        && let Some(raised) = RAISED.take()
    {
        return raised;
    }
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
