//! The vectors that an embedder returned, whatever they are made of, as the bytes of f32 values.

use ai_infra_core::vectors;
use pyo3::buffer::{Element, PyBuffer};
use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyComplex, PyFloat, PyInt, PyList, PyString, PyTuple};

use crate::items::items;
use crate::store::raise;

/// The bytes of each vector that is one.
type Rows<'py> = Vec<Option<Bound<'py, PyBytes>>>;

/// For each of these values its numbers as the bytes of f32 values, `None` where it is no sequence of numbers; and
/// which of them hold one that is not finite.
#[pyfunction]
pub fn float_rows<'py>(
    py: Python<'py>,
    #[pyo3(from_py_with = items)] values: Vec<Bound<'py, PyAny>>,
) -> PyResult<(Rows<'py>, Vec<usize>)> {
    let mut rows = Vec::with_capacity(values.len());
    let mut odd = Vec::new();
    let mut numbers = Vec::new();
    for (position, value) in values.iter().enumerate() {
        numbers.clear();
        if !read(value, &mut numbers)? {
            rows.push(None);
            continue;
        }
        // A product with zero is NaN exactly for NaN and infinities; the sum has no branches.
        if numbers.iter().map(|number| number * 0.0).sum::<f32>() != 0.0 {
            odd.push(position);
        }
        rows.push(Some(PyBytes::new_with(py, 4 * numbers.len(), |bytes| {
            for (four, number) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(&numbers) {
                *four = number.to_le_bytes();
            }
            Ok(())
        })?));
    }
    Ok((rows, odd))
}

/// The stored form of vectors that come as the bytes of f32 values: of each its direction, as the bytes of f16 values.
#[pyfunction]
pub fn pack_vectors<'py>(
    py: Python<'py>,
    #[pyo3(from_py_with = items)] vectors: Vec<Bound<'py, PyBytes>>,
) -> PyResult<Vec<Bound<'py, PyBytes>>> {
    let pack =
        |vector: &Bound<'py, PyBytes>| Ok(PyBytes::new(py, &raise(py, vectors::halves(vector.as_bytes()))?));
    vectors.iter().map(pack).collect()
}

/// The vectors that PostgreSQL holds, of so many numbers each, as the bytes of f32 values.
#[pyfunction]
pub fn unpack_vectors<'py>(
    py: Python<'py>,
    #[pyo3(from_py_with = items)] stored: Vec<Bound<'py, PyBytes>>,
    dimensions: usize,
) -> PyResult<Vec<Bound<'py, PyBytes>>> {
    let unpack = |stored: &Bound<'py, PyBytes>| {
        let numbers = raise(py, vectors::numbers(stored.as_bytes(), dimensions))?;
        Ok(PyBytes::new(py, &numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<_>>()))
    };
    stored.iter().map(unpack).collect()
}

/// Appends the numbers of `value`; false where it has something else. What its own code raises, other than that it is
/// no number, goes through.
fn read(value: &Bound<'_, PyAny>, out: &mut Vec<f32>) -> PyResult<bool> {
    let done = if let Ok(list) = value.cast::<PyList>() {
        if plain(list, out) { Ok(()) } else { all(&list.to_tuple(), out) }
    } else if let Ok(tuple) = value.cast::<PyTuple>() {
        all(tuple, out)
    } else if text(value) {
        return Ok(false);
    } else if let Some(buffer) = lent::<f32>(value) {
        let start = out.len();
        out.resize(start + buffer.item_count(), 0.0);
        buffer.copy_to_slice(value.py(), out.get_mut(start..).unwrap_or_default())
    } else if let Some(buffer) = lent::<f64>(value)
        && buffer.dimensions() == 1
    {
        buffer.to_vec(value.py()).map(|numbers| out.extend(numbers.into_iter().map(|number| number as f32)))
    } else {
        value.try_iter().and_then(|mut numbers| numbers.try_for_each(|number| push(&number?, out)))
    };
    match done {
        Ok(()) => Ok(true),
        Err(error) => {
            let py = value.py();
            let expected = error.is_instance_of::<PyTypeError>(py)
                || error.is_instance_of::<PyValueError>(py)
                || error.is_instance_of::<PyOverflowError>(py);
            if expected { Ok(false) } else { Err(error) }
        }
    }
}

/// Appends the numbers of a list whose items are all plain floats; where one is not, returns false and appends nothing.
/// They are read where they lie: a tuple of the items would count references up and down in each of hundreds of objects,
/// which lie anywhere in memory, and that takes longer than to read them.
fn plain(list: &Bound<'_, PyList>, out: &mut Vec<f32>) -> bool {
    let start = out.len();
    out.reserve(list.len());
    for at in 0..list.len() {
        // SAFETY: attached, and nothing in this loop runs code that could change the list, so `at` is below its length
        // and the list keeps what it lends us: to read a plain float is to read a field.
        let number = unsafe {
            let item = ffi::PyList_GetItem(list.as_ptr(), at.cast_signed());
            (ffi::PyFloat_CheckExact(item) != 0).then(|| ffi::PyFloat_AsDouble(item))
        };
        let Some(number) = number else {
            out.truncate(start);
            return false;
        };
        out.push(number as f32);
    }
    true
}

/// The numbers of a tuple, which stays as it is whatever the code of its items does.
fn all(tuple: &Bound<'_, PyTuple>, out: &mut Vec<f32>) -> PyResult<()> {
    out.reserve(tuple.len());
    tuple.iter_borrowed().try_for_each(|number| push(&number, out))
}

fn push(number: &Bound<'_, PyAny>, out: &mut Vec<f32>) -> PyResult<()> {
    out.push(real(number)? as f32);
    Ok(())
}

/// A number. A complex one of numpy would become a float by losing its imaginary part, which may be all there is.
pub fn real(number: &Bound<'_, PyAny>) -> PyResult<f64> {
    if !number.is_instance_of::<PyFloat>()
        && !number.is_instance_of::<PyInt>()
        && (number.is_instance_of::<PyComplex>()
            || number.getattr("imag").and_then(|imaginary| imaginary.is_truthy()).unwrap_or(false))
    {
        return Err(PyTypeError::new_err("a complex number is no component of a vector"));
    }
    number.extract()
}

/// The buffer of an object, if it holds such numbers as this machine reads them; PyO3 does not look at their order of
/// bytes.
pub fn lent<T: Element>(object: &Bound<'_, PyAny>) -> Option<PyBuffer<T>> {
    const FOREIGN: &[u8] = if cfg!(target_endian = "little") { b">!" } else { b"<" };
    let buffer = PyBuffer::<T>::get(object).ok()?;
    let order = buffer.format().to_bytes().first();
    order.is_none_or(|order| !FOREIGN.contains(order)).then_some(buffer)
}

fn text(value: &Bound<'_, PyAny>) -> bool {
    value.is_instance_of::<PyString>()
        || value.is_instance_of::<PyBytes>()
        || value.is_instance_of::<PyByteArray>()
}
