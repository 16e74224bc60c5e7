//! `VectorIndex` for Python: reads buffers, releases the GIL for long scans.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ai_infra_core::error::Error;
use ai_infra_core::vectors::{self, Filter, Kernels, Options, Precision, Search};
use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;

use crate::error::to_py;
use crate::floats::{lent, real};
use crate::items::items;

/// Bytes of vectors below which a scan is shorter than giving the GIL away and taking it back
/// (tens of microseconds of work against a tenth of one, and a queue for it under load).
const KEEP_GIL_BYTES: usize = 1 << 20;

/// Numbers lent by Python: a contiguous buffer of f32 or f64, or a list of floats.
enum Numbers {
    F32(PyBuffer<f32>),
    F64(PyBuffer<f64>),
    List(Vec<f32>),
}

/// A component of a vector.
struct Real(f32);

impl FromPyObject<'_, '_> for Real {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        real(&object).map(|number| Self(number as f32))
    }
}

impl Numbers {
    fn new(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let refuse = |message: String| to_py(object.py(), Error::InvalidInput(message));
        let contiguous = |yes: bool| {
            if yes { Ok(()) } else { Err(refuse("the buffer is not C-contiguous; copy it first".to_owned())) }
        };
        if let Some(buffer) = lent::<f32>(object) {
            contiguous(buffer.is_c_contiguous())?;
            return Ok(Self::F32(buffer));
        }
        if let Some(buffer) = lent::<f64>(object) {
            contiguous(buffer.is_c_contiguous())?;
            return Ok(Self::F64(buffer));
        }
        // bytes: the raw memory of f32 values in this machine's order.
        if let Ok(bytes) = object.cast::<pyo3::types::PyBytes>() {
            let (values, rest) = bytes.as_bytes().as_chunks::<4>();
            if !rest.is_empty() {
                return Err(refuse(format!(
                    "{} bytes are no whole number of 4-byte floats",
                    bytes.as_bytes().len()
                )));
            }
            return Ok(Self::List(values.iter().map(|b| f32::from_ne_bytes(*b)).collect()));
        }
        let numbers: PyResult<Vec<Real>> = items(object);
        numbers.map(|numbers| Self::List(numbers.into_iter().map(|number| number.0).collect())).map_err(|_| {
            let name = object.get_type().name().map_or_else(|_| "another type".to_owned(), |name| name.to_string());
            refuse(format!(
                "a vector is a list of floats, bytes of f32 values, or a contiguous buffer of f32 or f64; got {name}"
            ))
        })
    }

    fn len(&self) -> usize {
        match self {
            Self::F32(buffer) => buffer.item_count(),
            Self::F64(buffer) => buffer.item_count(),
            Self::List(values) => values.len(),
        }
    }

    /// Copies values `start..end` out, so that no other thread can change them while they are used.
    fn copy(&self, start: usize, end: usize) -> Vec<f32> {
        match self {
            Self::F32(buffer) => copy(buffer, start, end, |x| x),
            Self::F64(buffer) => copy(buffer, start, end, |x| x as f32),
            Self::List(values) => values.get(start..end).unwrap_or_default().to_vec(),
        }
    }

    /// All of them.
    fn into_all(self) -> Vec<f32> {
        match self {
            Self::List(values) => values,
            buffer => buffer.copy(0, buffer.len()),
        }
    }
}

/// Copies elements `start..end` of a contiguous buffer. Another thread may be writing to it (the
/// GIL does not stop native code): then the copy holds a mixture, which is checked like any input.
fn copy<T: pyo3::buffer::Element>(
    buffer: &PyBuffer<T>,
    start: usize,
    end: usize,
    to: impl Fn(T) -> f32,
) -> Vec<f32> {
    let Some(all) = buffer.as_slice_ptr() else {
        return Vec::new();
    };
    let base = all.cast::<T>().as_ptr();
    (start.min(all.len())..end.min(all.len()))
        // SAFETY: `buffer` keeps the memory alive and in place, the index is below its length, and
        // the element type was checked by `PyBuffer::get`; a volatile read supposes nothing else.
        .map(|i| to(unsafe { base.add(i).read_volatile() }))
        .collect()
}

/// Ids lent by Python: a contiguous buffer of u64 or i64, or a list of ints.
fn ids(object: &Bound<'_, PyAny>) -> PyResult<Vec<u64>> {
    let py = object.py();
    if let Some(buffer) = lent::<u64>(object) {
        return buffer.to_vec(py);
    }
    if let Some(buffer) = lent::<i64>(object) {
        return buffer
            .to_vec(py)?
            .into_iter()
            .map(|id| {
                u64::try_from(id).map_err(|_| {
                    to_py(py, Error::InvalidInput(format!("id {id} is negative; ids are 0 to 2**64 - 1")))
                })
            })
            .collect();
    }
    items(object).map_err(|_| {
        to_py(
            py,
            Error::InvalidInput(
                "ids are a list or a contiguous buffer of integers from 0 to 2**64 - 1".to_owned(),
            ),
        )
    })
}

fn precision(py: Python<'_>, name: &str) -> PyResult<Precision> {
    match name {
        "f16" => Ok(Precision::F16),
        "i8" => Ok(Precision::I8),
        "f32" => Ok(Precision::F32),
        _ => Err(to_py(
            py,
            Error::InvalidInput(format!("precision is {name:?}; it is one of 'f16', 'i8', 'f32'")),
        )),
    }
}

fn kernels(py: Python<'_>, name: Option<&str>) -> PyResult<Kernels> {
    let Some(name) = name else {
        return Ok(Kernels::best());
    };
    let available = Kernels::available();
    available.iter().find(|set| set.name == name).copied().ok_or_else(|| {
        let names: Vec<_> = available.iter().map(|set| set.name).collect();
        to_py(py, Error::InvalidInput(format!("kernels is {name:?}; this processor has {names:?}")))
    })
}

/// A failure of the file system, as `StorageError`.
fn storage_error(py: Python<'_>, error: &std::io::Error, path: &Path) -> PyErr {
    let message = format!("cannot save the vector cache {}: {error}", path.display());
    match py.import("ai_infra.errors").and_then(|module| module.getattr("StorageError")?.call1((message,))) {
        Ok(error) => PyErr::from_value(error),
        Err(error) => error,
    }
}

/// See `_core.pyi`.
#[pyclass(frozen, module = "ai_infra._core")]
pub struct VectorIndex {
    inner: vectors::VectorIndex,
}

impl VectorIndex {
    fn insert(
        &self,
        py: Python<'_>,
        ids_object: &Bound<'_, PyAny>,
        vectors: &Bound<'_, PyAny>,
        replace: bool,
    ) -> PyResult<()> {
        let ids = ids(ids_object)?;
        let all = Numbers::new(vectors)?.into_all();
        py.detach(
            || {
                if replace { self.inner.replace_many(&ids, &all) } else { self.inner.add_many(&ids, &all) }
            },
        )
        .map_err(|error| to_py(py, error))
    }
}

#[pymethods]
impl VectorIndex {
    #[new]
    #[pyo3(signature = (dimensions, *, precision = "f16", graph_from = vectors::GRAPH_FROM, kernels = None))]
    fn new(
        py: Python<'_>,
        dimensions: usize,
        precision: &str,
        graph_from: Option<usize>,
        kernels: Option<&str>,
    ) -> PyResult<Self> {
        let precision = self::precision(py, precision)?;
        let graph_from = graph_from.unwrap_or(usize::MAX);
        let kernels = self::kernels(py, kernels)?;
        vectors::VectorIndex::new(dimensions, Options { precision, graph_from, kernels })
            .map(|inner| Self { inner })
            .map_err(|error| to_py(py, error))
    }

    /// The sets of instructions that this processor has, the fastest first.
    #[staticmethod]
    fn available_kernels() -> Vec<&'static str> {
        Kernels::available().iter().map(|set| set.name).collect()
    }

    #[getter]
    fn dimensions(&self) -> usize {
        self.inner.dimensions()
    }

    #[getter]
    fn precision(&self) -> &'static str {
        match self.inner.precision() {
            Precision::F16 => "f16",
            Precision::I8 => "i8",
            Precision::F32 => "f32",
        }
    }

    fn __len__(&self, py: Python<'_>) -> usize {
        py.detach(|| self.inner.len())
    }

    fn __contains__(&self, py: Python<'_>, id: u64) -> bool {
        py.detach(|| self.inner.contains(id))
    }

    fn memory_bytes(&self, py: Python<'_>) -> usize {
        py.detach(|| self.inner.memory_bytes())
    }

    fn add(&self, py: Python<'_>, id: u64, vector: &Bound<'_, PyAny>) -> PyResult<()> {
        let vector = Numbers::new(vector)?.into_all();
        py.detach(|| self.inner.add(id, &vector)).map_err(|error| to_py(py, error))
    }

    fn replace(&self, py: Python<'_>, id: u64, vector: &Bound<'_, PyAny>) -> PyResult<()> {
        let vector = Numbers::new(vector)?.into_all();
        py.detach(|| self.inner.replace(id, &vector)).map_err(|error| to_py(py, error))
    }

    fn add_many(&self, py: Python<'_>, ids: &Bound<'_, PyAny>, vectors: &Bound<'_, PyAny>) -> PyResult<()> {
        self.insert(py, ids, vectors, false)
    }

    fn replace_many(
        &self,
        py: Python<'_>,
        ids: &Bound<'_, PyAny>,
        vectors: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        self.insert(py, ids, vectors, true)
    }

    fn remove(&self, py: Python<'_>, id: u64) -> bool {
        py.detach(|| self.inner.remove(id))
    }

    #[getter]
    fn has_graph(&self, py: Python<'_>) -> bool {
        py.detach(|| self.inner.has_graph())
    }

    #[pyo3(signature = (timeout = 60.0))]
    fn settle(&self, py: Python<'_>, timeout: f64) -> PyResult<bool> {
        let timeout = Duration::try_from_secs_f64(timeout).map_err(|_| {
            to_py(py, Error::InvalidInput(format!("timeout is {timeout}; give seconds from 0")))
        })?;
        Ok(py.detach(|| self.inner.settle(timeout)))
    }

    fn save_cache(&self, py: Python<'_>, path: PathBuf, generation: u64) -> PyResult<bool> {
        py.detach(|| self.inner.save_cache(&path, generation))
            .map_err(|error| storage_error(py, &error, &path))
    }

    fn load_cache(&self, py: Python<'_>, path: PathBuf, generation: u64) -> bool {
        py.detach(|| self.inner.load_cache(&path, generation))
    }

    #[pyo3(signature = (query, k = 10, *, ids = None, min_score = None, exact = false))]
    fn search(
        &self,
        py: Python<'_>,
        query: &Bound<'_, PyAny>,
        k: usize,
        ids: Option<&Bound<'_, PyAny>>,
        min_score: Option<f32>,
        exact: bool,
    ) -> PyResult<Vec<(u64, f32)>> {
        let query = Numbers::new(query)?.into_all();
        let ids = ids.map(self::ids).transpose()?;
        let search = Search {
            k,
            min_score: min_score.unwrap_or(f32::NEG_INFINITY),
            filter: ids.as_deref().map_or(Filter::All, Filter::Ids),
            exact,
        };
        let found = if self.inner.idle_scan_bytes().is_some_and(|bytes| bytes <= KEEP_GIL_BYTES) {
            self.inner.search(&query, search)
        } else {
            py.detach(|| self.inner.search(&query, search))
        };
        found.map_err(|error| to_py(py, error))
    }
}
