//! Token counting for Python: strings in, numbers out.
//!
//! The GIL is released for work of more than [`DETACH`] bytes; below that, releasing it costs more than it gives.

use ai_infra_core::tokens::{self, Encoding as Core};
use pyo3::exceptions::PyUnicodeEncodeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString};
use std::borrow::Cow;

use crate::error::to_py;
use crate::items::items;

/// Bytes of text from which on the GIL is released: some 30 µs of counting, against 0.1 µs for releasing it.
const DETACH: usize = 16 << 10;

/// Messages that are read before their texts are counted: few enough to be still in the cache then.
const BLOCK: usize = 128;

/// The UTF-8 of `text`. A lone surrogate counts as U+FFFD, as in tiktoken; a pair of them is one character.
fn utf8<'a>(text: &'a Bound<'_, PyString>) -> PyResult<Cow<'a, str>> {
    match text.to_str() {
        Ok(utf8) => Ok(Cow::Borrowed(utf8)),
        Err(error) if error.is_instance_of::<PyUnicodeEncodeError>(text.py()) => {
            let utf16 =
                text.call_method1("encode", ("utf-16-le", "surrogatepass"))?.cast_into::<PyBytes>()?;
            let units = utf16.as_bytes().as_chunks().0.iter().map(|&unit| u16::from_le_bytes(unit));
            Ok(char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect())
        }
        Err(error) => Err(error),
    }
}

/// How many characters of `text` its first `decoded` characters are, as [`utf8`] reads them: a pair of surrogates, which
/// is one character there, is two in a Python string.
fn python_characters(text: &Bound<'_, PyString>, decoded: usize) -> PyResult<usize> {
    if text.to_str().is_ok() {
        return Ok(decoded);
    }
    let utf32 = text.call_method1("encode", ("utf-32-le", "surrogatepass"))?.cast_into::<PyBytes>()?;
    let mut units = utf32.as_bytes().as_chunks().0.iter().map(|&unit| u32::from_le_bytes(unit)).peekable();
    let mut characters = 0;
    for _ in 0..decoded {
        let high = units.next().is_some_and(|unit| (0xD800..0xDC00).contains(&unit));
        let pair = high && units.next_if(|unit| (0xDC00..0xE000).contains(unit)).is_some();
        characters += 1 + usize::from(pair);
    }
    Ok(characters)
}

/// Runs `work` on texts of `bytes` bytes in all, without the GIL if that is much.
fn run<T: Send>(py: Python<'_>, bytes: usize, work: impl FnOnce() -> T + Send) -> T {
    if bytes > DETACH { py.detach(work) } else { work() }
}

/// An estimate of the tokens of `text` for any model, from the kinds of its characters alone.
#[pyfunction]
#[pyo3(signature = (text, /))]
pub fn count_approximate(py: Python<'_>, text: &Bound<'_, PyString>) -> PyResult<usize> {
    let text = utf8(text)?;
    Ok(run(py, text.len(), || tokens::count_approximate(&text)))
}

/// An encoding by its tiktoken name; all five are in the module, nothing is loaded or built.
#[pyclass(frozen, module = "ai_infra._core")]
pub struct Encoding(&'static Core);

impl Encoding {
    /// Counts all `texts` at once: `count` gets their UTF-8. The strings stay alive in the caller's vector.
    fn all<T: Send>(
        py: Python<'_>,
        texts: &[Bound<'_, PyString>],
        count: impl FnOnce(&[Cow<'_, str>]) -> T + Send,
    ) -> PyResult<T> {
        let texts = texts.iter().map(utf8).collect::<PyResult<Vec<_>>>()?;
        let bytes = texts.iter().map(|text| text.len()).sum();
        Ok(run(py, bytes, || count(&texts)))
    }
}

#[pymethods]
impl Encoding {
    #[new]
    #[pyo3(signature = (name, /))]
    fn new(py: Python<'_>, name: &str) -> PyResult<Self> {
        Core::named(name).map(Self).map_err(|error| to_py(py, error))
    }

    /// The name, as tiktoken has it.
    #[getter]
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn __repr__(&self) -> String {
        format!("Encoding({:?})", self.0.name())
    }

    /// The number of tokens of `text`.
    #[pyo3(signature = (text, /))]
    fn count(&self, py: Python<'_>, text: &Bound<'_, PyString>) -> PyResult<usize> {
        let text = utf8(text)?;
        Ok(run(py, text.len(), || self.0.count(&text)))
    }

    /// The number of tokens of each text.
    #[pyo3(signature = (texts, /))]
    fn count_batch(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = items)] texts: Vec<Bound<'_, PyString>>,
    ) -> PyResult<Vec<usize>> {
        Self::all(py, &texts, |texts| texts.iter().map(|text| self.0.count(text)).collect())
    }

    /// The number of tokens of all texts together, each counted by itself.
    #[pyo3(signature = (texts, /))]
    fn count_total(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = items)] texts: Vec<Bound<'_, PyString>>,
    ) -> PyResult<usize> {
        Self::all(py, &texts, |texts| self.0.count_all(texts.iter().map(|text| &**text)))
    }

    /// The number of tokens of `text`, or `None` if it has more than `limit`.
    #[pyo3(signature = (text, limit, /))]
    fn count_up_to(
        &self,
        py: Python<'_>,
        text: &Bound<'_, PyString>,
        limit: usize,
    ) -> PyResult<Option<usize>> {
        let text = utf8(text)?;
        Ok(run(py, text.len(), || self.0.count_up_to(&text, limit)))
    }

    /// How many characters of `text`, from its start, have at most `limit` tokens.
    #[pyo3(signature = (text, limit, /))]
    fn prefix_within(&self, py: Python<'_>, text: &Bound<'_, PyString>, limit: usize) -> PyResult<usize> {
        let utf8 = utf8(text)?;
        let decoded = run(py, utf8.len(), || {
            let end = self.0.prefix_within(&utf8, limit);
            utf8.get(..end).unwrap_or_default().chars().count()
        });
        python_characters(text, decoded)
    }

    /// The first character from which on `text` has at most `limit` tokens.
    #[pyo3(signature = (text, limit, /))]
    fn suffix_within(&self, py: Python<'_>, text: &Bound<'_, PyString>, limit: usize) -> PyResult<usize> {
        let utf8 = utf8(text)?;
        let decoded = run(py, utf8.len(), || {
            let start = self.0.suffix_within(&utf8, limit);
            utf8.get(..start).unwrap_or_default().chars().count()
        });
        python_characters(text, decoded)
    }

    /// Counts chat messages: `per_message` + role + content for each exact `dict` whose only entries are a `role`
    /// and a `content`, both strings. Returns the sum, and the indices of the messages that are anything else.
    #[pyo3(signature = (messages, per_message, /))]
    fn count_messages(
        &self,
        py: Python<'_>,
        messages: &Bound<'_, PyList>,
        per_message: usize,
    ) -> PyResult<(usize, Vec<usize>)> {
        let (mut total, mut unread) = (0, Vec::new());
        let mut roles = Roles::new(self.0);
        let mut contents = Vec::with_capacity(BLOCK);
        let mut index = 0;
        // The length is read anew each time: another thread may change the list while the GIL is released.
        while index < messages.len() {
            contents.clear();
            while contents.len() < BLOCK && index < messages.len() {
                match plain(py, &messages.get_item(index)?)? {
                    Some((role, content)) => {
                        total = per_message.saturating_add(roles.count(role)?).saturating_add(total);
                        contents.push(content);
                    }
                    None => unread.push(index),
                }
                index += 1;
            }
            total += Self::all(py, &contents, |texts| self.0.count_all(texts.iter().map(|text| &**text)))?;
        }
        Ok((total, unread))
    }

    /// The ordinary tokens in rank order.
    fn vocabulary<'py>(&self, py: Python<'py>) -> Vec<Bound<'py, PyBytes>> {
        self.0.tokens().map(|token| PyBytes::new(py, token)).collect()
    }
}

/// The role and the content of an exact dict that has nothing else.
type RoleAndContent<'py> = (Bound<'py, PyString>, Bound<'py, PyString>);

fn plain<'py>(py: Python<'py>, message: &Bound<'py, PyAny>) -> PyResult<Option<RoleAndContent<'py>>> {
    let Ok(dict) = message.cast_exact::<PyDict>() else {
        return Ok(None);
    };
    if dict.len() != 2 {
        return Ok(None);
    }
    let (Some(role), Some(content)) =
        (dict.get_item(intern!(py, "role"))?, dict.get_item(intern!(py, "content"))?)
    else {
        return Ok(None);
    };
    match (role.cast_into(), content.cast_into()) {
        (Ok(role), Ok(content)) => Ok(Some((role, content))),
        _ => Ok(None),
    }
}

/// The counts of the last few roles: a chat has two or three, nearly always the same string objects.
struct Roles<'py> {
    encoding: &'static Core,
    known: Vec<(Bound<'py, PyString>, usize)>,
}

impl<'py> Roles<'py> {
    fn new(encoding: &'static Core) -> Self {
        Self { encoding, known: Vec::with_capacity(4) }
    }

    fn count(&mut self, role: Bound<'py, PyString>) -> PyResult<usize> {
        if let Some((_, count)) = self.known.iter().find(|(known, _)| known.is(&role)) {
            return Ok(*count);
        }
        let count = self.encoding.count(&utf8(&role)?);
        if self.known.len() < 4 {
            self.known.push((role, count));
        }
        Ok(count)
    }
}
