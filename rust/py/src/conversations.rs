//! The binding of the local conversations: one call for a whole operation, detached from the GIL while it runs.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use ai_infra_core::conversations::{Conversations, Head, Stored, Vectors, Write};
use ai_infra_core::error::{Error, Result};
use ai_infra_core::store::Filter;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::error::to_py;
use crate::items::{Bytes, Items, items};
use crate::recall::ConversationIndex;
use crate::store::arm;

/// The fields of `ai_infra.storage.conversations.Write`.
type WriteRow = (
    String,
    String,
    Items<String>,
    String,
    Option<i64>,
    Option<i64>,
    Option<String>,
    i64,
    HashMap<Bytes, Bytes>,
    Option<(i64, i64)>,
);

/// The fields of `ai_infra.storage.conversations.Head`.
type HeadRow =
    (i64, i64, String, String, i64, String, Option<i64>, Option<i64>, Option<String>, i64, i64, i64);

/// Those of `Stored`.
type StoredRow<'py> = (HeadRow, Vec<String>, Bound<'py, PyDict>);

/// Those of `State`.
type StateRow = (i64, i64, Option<String>);

/// A conversation's row, its `seq`, and its new vectors by hash.
type Embedded = (i64, i64, HashMap<Bytes, Bytes>);

/// Those of `Changes`.
type ChangesRow<'py> = (StateRow, Vec<i64>, Vec<StoredRow<'py>>, bool);

/// Those of `Picked`.
type PickedRow<'py> = (HeadRow, Bound<'py, PyDict>);

fn vectors(made: HashMap<Bytes, Bytes>) -> HashMap<Vec<u8>, Vec<u8>> {
    made.into_iter().map(|(hash, vector)| (hash.0, vector.0)).collect()
}

/// Conversations of users in one SQLite file, or in memory. Times are microseconds since 1970 UTC.
#[pyclass(frozen, module = "ai_infra._core")]
pub struct LocalConversations(Conversations);

fn raise<T>(py: Python<'_>, result: Result<T>) -> PyResult<T> {
    result.map_err(|error| to_py(py, error))
}

fn row(head: Head) -> HeadRow {
    (
        head.id,
        head.seq,
        head.user_id,
        head.session_id,
        head.length,
        head.metadata,
        head.starts,
        head.ends,
        head.summary,
        head.summarized,
        head.created_at,
        head.updated_at,
    )
}

fn bytes<'py>(py: Python<'py>, vectors: Vectors) -> PyResult<Bound<'py, PyDict>> {
    let out = PyDict::new(py);
    for (hash, vector) in vectors {
        out.set_item(PyBytes::new(py, &hash), PyBytes::new(py, &vector))?;
    }
    Ok(out)
}

fn stored(py: Python<'_>, found: Stored) -> PyResult<StoredRow<'_>> {
    Ok((row(found.head), found.messages, bytes(py, found.vectors)?))
}

#[pymethods]
impl LocalConversations {
    /// Opens the file at `path`, or memory when there is none.
    #[new]
    #[pyo3(signature = (path, timeout))]
    fn new(py: Python<'_>, path: Option<PathBuf>, timeout: f64) -> PyResult<Self> {
        arm(py)?;
        let wait = Duration::try_from_secs_f64(timeout).map_err(|_| {
            Error::Configuration(format!("timeout={timeout} is no number of seconds; pass 0 or more"))
        });
        let wait = raise(py, wait)?;
        let opened = py.detach(|| match path {
            Some(path) => Conversations::open(&path, wait),
            None => Conversations::memory(),
        });
        Ok(Self(raise(py, opened)?))
    }

    fn put(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = items)] writes: Vec<WriteRow>,
        model: &str,
        now: i64,
    ) -> PyResult<Vec<(HeadRow, usize)>> {
        let writes: Vec<Write> = writes
            .into_iter()
            .map(|w| Write {
                user_id: w.0,
                session_id: w.1,
                messages: w.2.0,
                metadata: w.3,
                starts: w.4,
                ends: w.5,
                summary: w.6,
                summarized: w.7,
                vectors: vectors(w.8),
                restored: w.9,
            })
            .collect();
        let heads = raise(py, py.detach(|| self.0.put(&writes, model, now)))?;
        Ok(heads.into_iter().map(|(head, changed)| (row(head), changed)).collect())
    }

    fn state(&self, py: Python<'_>, user_id: &str) -> PyResult<StateRow> {
        let state = raise(py, py.detach(|| self.0.state(user_id)))?;
        Ok((state.id, state.generation, state.model))
    }

    fn changes<'py>(
        &self,
        py: Python<'py>,
        user_id: &str,
        held: HashMap<i64, i64>,
        most: i64,
    ) -> PyResult<ChangesRow<'py>> {
        let found = raise(py, py.detach(|| self.0.changes(user_id, &held, most)))?;
        let state = (found.state.id, found.state.generation, found.state.model);
        let loaded = found.loaded.into_iter().map(|one| stored(py, one)).collect::<PyResult<_>>()?;
        Ok((state, found.live, loaded, found.whole))
    }

    fn pick<'py>(
        &self,
        py: Python<'py>,
        user_id: &str,
        #[pyo3(from_py_with = items)] wanted: Vec<(i64, Items<i64>)>,
    ) -> PyResult<Vec<PickedRow<'py>>> {
        let wanted: Vec<_> = wanted.into_iter().map(|(id, positions)| (id, positions.0)).collect();
        let found = raise(py, py.detach(|| self.0.pick(user_id, &wanted)))?;
        found
            .into_iter()
            .map(|one| {
                let messages = PyDict::new(py);
                for (at, text) in one.messages {
                    messages.set_item(at, text)?;
                }
                Ok((row(one.head), messages))
            })
            .collect()
    }

    fn known<'py>(
        &self,
        py: Python<'py>,
        user_id: &str,
        #[pyo3(from_py_with = items)] hashes: Vec<Bytes>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let hashes: Vec<_> = hashes.into_iter().map(|hash| hash.0).collect();
        let found = raise(py, py.detach(|| self.0.known(user_id, &hashes)))?;
        bytes(py, found)
    }

    fn get<'py>(&self, py: Python<'py>, user_id: &str, session_id: &str) -> PyResult<Option<StoredRow<'py>>> {
        let found = raise(py, py.detach(|| self.0.get(user_id, session_id)))?;
        found.map(|one| stored(py, one)).transpose()
    }

    fn list(&self, py: Python<'_>, user_id: Option<&str>) -> PyResult<Vec<HeadRow>> {
        Ok(raise(py, py.detach(|| self.0.list(user_id)))?.into_iter().map(row).collect())
    }

    fn delete(&self, py: Python<'_>, user_id: &str, session_id: Option<&str>) -> PyResult<usize> {
        raise(py, py.detach(|| self.0.delete(user_id, session_id)))
    }

    fn totals(&self, py: Python<'_>, user_id: Option<&str>) -> PyResult<(i64, i64, i64)> {
        let totals = raise(py, py.detach(|| self.0.totals(user_id)))?;
        Ok((totals.users, totals.conversations, totals.messages))
    }

    fn pending<'py>(&self, py: Python<'py>) -> PyResult<Vec<StoredRow<'py>>> {
        let found = raise(py, py.detach(|| self.0.pending()))?;
        found.into_iter().map(|one| stored(py, one)).collect()
    }

    fn reembed(
        &self,
        py: Python<'_>,
        model: &str,
        #[pyo3(from_py_with = items)] rows: Vec<Embedded>,
    ) -> PyResult<bool> {
        let rows: Vec<_> = rows.into_iter().map(|(id, seq, made)| (id, seq, vectors(made))).collect();
        raise(py, py.detach(|| self.0.reembed(model, &rows)))
    }

    fn restore(
        &self,
        py: Python<'_>,
        user_id: &str,
        model: &str,
        index: &ConversationIndex,
    ) -> Option<(i64, i64)> {
        py.detach(|| self.0.restore(user_id, model, &mut index.write()))
    }

    fn keep(
        &self,
        py: Python<'_>,
        user_id: &str,
        model: &str,
        mark: (i64, i64),
        index: &ConversationIndex,
    ) -> bool {
        py.detach(|| self.0.keep(user_id, model, mark, &index.read()))
    }

    fn purge(&self, py: Python<'_>) -> PyResult<()> {
        raise(py, py.detach(|| self.0.purge()))
    }

    /// Closes once the running operations are done.
    fn close(&self, py: Python<'_>) {
        py.detach(|| self.0.db().close());
    }
}

/// For each of these JSON values, whether it satisfies the filter (the JSON that `canonical_filter` gave).
#[pyfunction]
pub fn filter_matches(
    py: Python<'_>,
    filter: String,
    #[pyo3(from_py_with = items)] values: Vec<String>,
) -> PyResult<Vec<bool>> {
    let accepted = py.detach(|| {
        let filter = Filter::new(filter)?;
        let matcher = filter.matcher()?;
        values.iter().map(|value| matcher.accepts(value)).collect()
    });
    raise(py, accepted)
}
