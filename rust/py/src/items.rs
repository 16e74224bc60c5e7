//! Lists and bytes from Python. PyO3's own conversion reserves room for as many items as an object says that it has:
//! a `range(10**12)`, or a class with a `__len__` of its own, would end the process.

use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString, PyTuple};

/// More in one call is refused.
const MOST: usize = 1 << 28;

/// The items of a list, a tuple or another sequence.
pub fn items<'py, T: FromPyObjectOwned<'py>>(object: &Bound<'py, PyAny>) -> PyResult<Vec<T>> {
    // SAFETY: `object` is a valid pointer, and the interpreter is attached.
    let sequence = unsafe { ffi::PySequence_Check(object.as_ptr()) } != 0;
    if !sequence || object.is_instance_of::<PyString>() {
        let name =
            object.get_type().name().map_or_else(|_| "another type".to_owned(), |name| name.to_string());
        return Err(PyTypeError::new_err(format!("a list is needed, not {name}")));
    }
    let length = object.len()?;
    if length > MOST {
        return Err(PyOverflowError::new_err(format!("{length} items are too many for one call")));
    }
    // Only these cannot lie about their length.
    let honest = object.is_exact_instance_of::<PyList>() || object.is_exact_instance_of::<PyTuple>();
    let mut found = Vec::with_capacity(if honest { length } else { 0 });
    for item in object.try_iter()? {
        if found.len() == MOST {
            return Err(PyOverflowError::new_err(format!("more than {MOST} items in one call")));
        }
        found.push(item?.extract::<T>().map_err(Into::into)?);
    }
    Ok(found)
}

/// [`items`], or nothing for `None`.
pub fn optional_items<'py, T: FromPyObjectOwned<'py>>(
    object: &Bound<'py, PyAny>,
) -> PyResult<Option<Vec<T>>> {
    if object.is_none() { Ok(None) } else { items(object).map(Some) }
}

/// [`items`] inside another type.
pub struct Items<T>(pub Vec<T>);

impl<'py, T: FromPyObjectOwned<'py>> FromPyObject<'_, 'py> for Items<T> {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        items(&object).map(Self)
    }
}

/// The content of a `bytes`.
#[derive(PartialEq, Eq, Hash)]
pub struct Bytes(pub Vec<u8>);

impl FromPyObject<'_, '_> for Bytes {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        Ok(Self(object.cast::<PyBytes>()?.as_bytes().to_vec()))
    }
}
