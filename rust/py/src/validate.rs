//! From Python objects to what the core stores: the walk over values, and the checks of keys and namespaces.

use ai_infra_core::error::{Error, Result};
use ai_infra_core::store::{self, Filter, Namespace};
use ai_infra_core::validate::{Limits, Writer};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

use crate::error::to_py;

/// An integer of 4,300 decimal digits has at most so many bits; more are refused before they are printed.
const MAX_BITS: u64 = 14_285;

/// The text of a Python string, or the refusal of its lone surrogate.
pub fn text<'a>(string: &'a Bound<'_, PyString>, place: impl FnOnce() -> String) -> Result<&'a str> {
    string.to_str().map_err(|_| {
        Error::InvalidText(format!(
            "{}: the text holds a lone surrogate, half of a character; decode it properly or replace it",
            place()
        ))
    })
}

/// Writes `value` as canonical JSON. Subclasses of the JSON types are taken for what they are; a tuple is a list.
fn write(value: &Bound<'_, PyAny>, out: &mut Writer) -> Result<()> {
    if let Ok(string) = value.cast::<PyString>() {
        let text = text(string, || out.place())?;
        return out.string(text);
    }
    if value.is_none() {
        return out.null();
    }
    if let Ok(boolean) = value.cast::<PyBool>() {
        return out.boolean(boolean.is_true());
    }
    if let Ok(int) = value.cast::<PyInt>() {
        return write_int(int, out);
    }
    if let Ok(float) = value.cast::<PyFloat>() {
        return out.float(float.value());
    }
    if let Ok(dict) = value.cast::<PyDict>() {
        out.begin_dict()?;
        for (index, (key, value)) in dict.iter().enumerate() {
            let Ok(key) = key.cast::<PyString>() else {
                let kind = type_name(&key);
                return Err(out.refuse_key(&format!(
                    "a key is {kind}, and keys of JSON are strings; turn it into one"
                )));
            };
            let key = text(key, || format!("a key of {}", out.parent()))?;
            out.key(index, key);
            write(&value, out)?;
        }
        return out.end_dict();
    }
    if let Ok(list) = value.cast::<PyList>() {
        out.begin_list()?;
        for (index, value) in list.iter().enumerate() {
            out.item(index);
            write(&value, out)?;
        }
        return out.end_list();
    }
    if let Ok(tuple) = value.cast::<PyTuple>() {
        out.begin_list()?;
        for (index, value) in tuple.iter().enumerate() {
            out.item(index);
            write(&value, out)?;
        }
        return out.end_list();
    }
    let kind = type_name(value);
    Err(out.refuse(&format!("{kind} cannot be kept as JSON; use str, int, float, bool, None, list or dict")))
}

fn write_int(int: &Bound<'_, PyInt>, out: &mut Writer) -> Result<()> {
    if let Ok(small) = int.extract::<i64>() {
        return out.int(small);
    }
    let plain = int.py().get_type::<PyInt>();
    // The methods of `int` itself, whatever a subclass makes of them.
    let bits = plain.call_method1("bit_length", (int,)).and_then(|bits| bits.extract::<u64>());
    let digits = match bits {
        Ok(bits) if bits <= MAX_BITS => {
            plain.call_method1("__repr__", (int,)).and_then(|text| text.extract::<String>())
        }
        _ => return Err(out.refuse("an integer of more than 4300 digits; store it as text")),
    };
    match digits {
        Ok(digits) => out.big_int(&digits),
        Err(_) => Err(out.refuse("an integer with more digits than this Python prints; store it as text")),
    }
}

fn type_name(value: &Bound<'_, PyAny>) -> String {
    let kind = value.get_type();
    match (kind.module(), kind.name()) {
        (Ok(module), Ok(name)) if module != "builtins" => format!("an object of type {module}.{name}"),
        (_, Ok(name)) => format!("an object of type {name}"),
        _ => "an object".to_owned(),
    }
}

/// The items of a batch, checked one after another with the same buffer.
pub struct Items<'py> {
    writer: Writer,
    /// The namespace of the item before: rows of one namespace mostly follow each other.
    last: Option<(Bound<'py, PyAny>, Namespace)>,
}

impl<'py> Items<'py> {
    /// A checker of values of at most `max_bytes` of JSON.
    pub fn new(max_bytes: usize) -> Self {
        let writer = Writer::new("value", Limits { bytes: max_bytes, ..Limits::default() });
        Self { writer, last: None }
    }

    /// A value of an item: a dict, as canonical JSON.
    pub fn value(&mut self, value: &Bound<'py, PyAny>) -> Result<String> {
        if value.cast::<PyDict>().is_err() {
            return Err(Error::InvalidValue(format!(
                "value: {} is no dict; wrap it, as in {{\"value\": …}}",
                type_name(value)
            )));
        }
        self.writer.clear();
        write(value, &mut self.writer)?;
        Ok(self.writer.json()?.to_owned())
    }

    /// A checked namespace. Equal ones that follow each other share their encoding.
    pub fn namespace(&mut self, value: &Bound<'py, PyAny>) -> Result<Namespace> {
        if let Some((_, known)) = self.last.as_ref().filter(|(last, _)| last.is(value)) {
            return Ok(known.clone());
        }
        let mut fresh = namespace(value)?;
        if let Some((_, known)) = self.last.take().filter(|(_, known)| *known == fresh) {
            fresh = known;
        }
        self.last = Some((value.clone(), fresh.clone()));
        Ok(fresh)
    }
}

/// A checked key, or an id that obeys the same rules. Of a subclass of `str` the text itself, not what it prints.
pub fn key(value: &Bound<'_, PyAny>, name: &str) -> Result<String> {
    let Ok(string) = value.cast::<PyString>() else {
        return Err(Error::InvalidInput(format!("the {name} is {}; pass a string", type_name(value))));
    };
    let key = text(string, || format!("the {name}"))?;
    store::check_key(key, name)?;
    Ok(key.to_owned())
}

/// A checked namespace: a tuple of strings, or one string.
pub fn namespace(value: &Bound<'_, PyAny>) -> Result<Namespace> {
    if let Ok(string) = value.cast::<PyString>() {
        return Namespace::new([text(string, || "the namespace".to_owned())?]);
    }
    let Ok(tuple) = value.cast::<PyTuple>() else {
        return Err(Error::InvalidNamespace(format!(
            "the namespace is {}; pass a tuple of strings or one string",
            type_name(value)
        )));
    };
    let mut parts = Vec::with_capacity(tuple.len());
    for (index, part) in tuple.iter().enumerate() {
        let Ok(part) = part.cast_into::<PyString>() else {
            return Err(Error::InvalidNamespace(format!("part {index} of the namespace is no string")));
        };
        parts.push(part);
    }
    let mut texts = Vec::with_capacity(parts.len());
    for (index, part) in parts.iter().enumerate() {
        texts.push(text(part, || format!("part {index} of the namespace"))?);
    }
    Namespace::new(texts)
}

/// The text of a query.
pub fn query(value: &Bound<'_, PyAny>) -> Result<String> {
    match value.cast::<PyString>() {
        Ok(string) => Ok(text(string, || "the query".to_owned())?.to_owned()),
        Err(_) => Err(Error::InvalidInput(format!("the query is {}; pass text", type_name(value)))),
    }
}

/// A compiled filter, or none.
pub fn filter(value: Option<&Bound<'_, PyAny>>) -> Result<Option<Filter>> {
    let Some(value) = value.filter(|value| !value.is_none()) else {
        return Ok(None);
    };
    if value.cast::<PyDict>().is_err() {
        return Err(Error::InvalidFilter(format!(
            "the filter is {}; pass a dict of fields, such as {{\"city\": \"Oslo\"}}",
            type_name(value)
        )));
    }
    let mut out = Writer::new("filter", Limits { bytes: 1 << 20, ..Limits::default() });
    write(value, &mut out).map_err(|error| match error {
        Error::InvalidValue(text) => Error::InvalidFilter(text),
        other => other,
    })?;
    Ok(Some(Filter::new(out.json()?.to_owned())?))
}

/// The canonical JSON of an item's value (a dict), at most `max_bytes` long.
#[pyfunction]
pub fn canonical_json(py: Python<'_>, value: &Bound<'_, PyAny>, max_bytes: usize) -> PyResult<String> {
    Items::new(max_bytes).value(value).map_err(|error| to_py(py, error))
}

/// The canonical JSON of a filter that was checked.
#[pyfunction]
pub fn canonical_filter(py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
    Ok(filter(Some(value)).map_err(|error| to_py(py, error))?.map(|filter| filter.json().to_owned()))
}

/// A key, or an id that obeys the same rules, checked: its text as a plain `str`. `name` is what errors call it.
#[pyfunction]
#[pyo3(signature = (value, name="key"))]
pub fn check_key(py: Python<'_>, value: &Bound<'_, PyAny>, name: &str) -> PyResult<String> {
    key(value, name).map_err(|error| to_py(py, error))
}

/// The parts of a namespace, checked.
#[pyfunction]
pub fn check_namespace<'py>(py: Python<'py>, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyTuple>> {
    let namespace = namespace(value).map_err(|error| to_py(py, error))?;
    PyTuple::new(py, Namespace::parts(namespace.as_bytes()).map_err(|error| to_py(py, error))?)
}

/// Refuses a search that could not be made, before anybody is paid to embed its query.
#[pyfunction]
pub fn check_query(
    py: Python<'_>,
    namespace: &Bound<'_, PyAny>,
    query: &Bound<'_, PyAny>,
    filter: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let check = || {
        self::namespace(namespace)?;
        self::query(query)?;
        self::filter(Some(filter)).map(drop)
    };
    check().map_err(|error| to_py(py, error))
}
