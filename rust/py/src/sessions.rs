//! The binding of the local sessions: one call for a whole operation, detached from the GIL while it runs.

use std::path::PathBuf;
use std::time::Duration;

use ai_infra_core::error::{Error, Result};
use ai_infra_core::store::{Head, Sessions, Turn};
use pyo3::prelude::*;

use crate::error::to_py;
use crate::items::items;
use crate::store::arm;

/// `(ref, version, length, turns, created_at, updated_at, state)`.
type HeadRow = (i64, i64, i64, i64, i64, i64, Option<String>);

/// A session, the position of the first message read, and the messages.
type TailRow = (HeadRow, i64, Vec<String>);

/// `(turn id, start, end)`.
type TurnRow = (String, i64, i64);

/// Append-only logs of messages in one SQLite file, or in memory. Times are microseconds since 1970 UTC.
#[pyclass(frozen, module = "ai_infra._core")]
pub struct LocalSessions(Sessions);

fn raise<T>(py: Python<'_>, result: Result<T>) -> PyResult<T> {
    result.map_err(|error| to_py(py, error))
}

fn row(head: Head) -> HeadRow {
    (head.id, head.version, head.length, head.turns, head.created_at, head.updated_at, head.state)
}

fn turn_row(turn: Turn) -> TurnRow {
    (turn.id, turn.start, turn.end)
}

#[pymethods]
impl LocalSessions {
    /// Opens the file at `path`, or memory when there is none.
    #[new]
    #[pyo3(signature = (path, timeout))]
    fn new(py: Python<'_>, path: Option<PathBuf>, timeout: f64) -> PyResult<Self> {
        arm(py)?;
        let wait = Duration::try_from_secs_f64(timeout).map_err(|_| {
            Error::Configuration(format!("timeout={timeout} is no number of seconds; pass 0 or more"))
        });
        let wait = raise(py, wait)?;
        let sessions = py.detach(|| match path {
            Some(path) => Sessions::open(&path, wait),
            None => Sessions::memory(),
        });
        Ok(Self(raise(py, sessions)?))
    }

    /// The session with the end of its log; None where there is none.
    #[pyo3(signature = (session, known, start, last))]
    fn load(
        &self,
        py: Python<'_>,
        session: &str,
        known: i64,
        start: i64,
        last: i64,
    ) -> PyResult<Option<TailRow>> {
        let tail = raise(py, py.detach(|| self.0.load(session, known, start, last)))?;
        Ok(tail.map(|tail| (row(tail.head), tail.start, tail.messages)))
    }

    /// The messages at positions `start` to `end`, not included.
    #[pyo3(signature = (r#ref, start, end))]
    fn read(&self, py: Python<'_>, r#ref: i64, start: i64, end: i64) -> PyResult<Vec<String>> {
        raise(py, py.detach(|| self.0.read(r#ref, start, end)))
    }

    /// Appends a turn and sets the state.
    #[pyo3(signature = (session, expected, turn_id, messages, state, now))]
    #[expect(
        clippy::too_many_arguments,
        reason = "the arguments of the core's function, and the interpreter"
    )]
    fn append(
        &self,
        py: Python<'_>,
        session: &str,
        expected: (i64, i64),
        turn_id: &str,
        #[pyo3(from_py_with = items)] messages: Vec<String>,
        state: Option<&str>,
        now: i64,
    ) -> PyResult<HeadRow> {
        raise(py, py.detach(|| self.0.append(session, expected, turn_id, &messages, state, now))).map(row)
    }

    /// The turn with this id.
    #[pyo3(signature = (r#ref, turn_id))]
    fn turn(&self, py: Python<'_>, r#ref: i64, turn_id: &str) -> PyResult<Option<TurnRow>> {
        Ok(raise(py, py.detach(|| self.0.turn(r#ref, turn_id)))?.map(turn_row))
    }

    /// All turns, oldest first.
    #[pyo3(signature = (r#ref))]
    fn turns(&self, py: Python<'_>, r#ref: i64) -> PyResult<Vec<TurnRow>> {
        Ok(raise(py, py.detach(|| self.0.turns(r#ref)))?.into_iter().map(turn_row).collect())
    }

    /// Makes a session of the beginning of another.
    #[pyo3(signature = (r#ref, target, end, state, now))]
    fn fork(
        &self,
        py: Python<'_>,
        r#ref: i64,
        target: &str,
        end: i64,
        state: Option<&str>,
        now: i64,
    ) -> PyResult<Option<HeadRow>> {
        Ok(raise(py, py.detach(|| self.0.fork(r#ref, target, end, state, now)))?.map(row))
    }

    /// The sessions whose id begins with `prefix`, the one changed last first.
    #[pyo3(signature = (prefix, limit, offset))]
    fn list(
        &self,
        py: Python<'_>,
        prefix: &str,
        limit: Option<i64>,
        offset: i64,
    ) -> PyResult<Vec<(String, HeadRow)>> {
        let found = raise(py, py.detach(|| self.0.list(prefix, limit, offset)))?;
        Ok(found.into_iter().map(|(id, head)| (id, row(head))).collect())
    }

    /// Deletes a session; False where there was none.
    #[pyo3(signature = (session))]
    fn delete(&self, py: Python<'_>, session: &str) -> PyResult<bool> {
        raise(py, py.detach(|| self.0.delete(session)))
    }

    /// Closes once the running operations are done.
    fn close(&self, py: Python<'_>) {
        py.detach(|| self.0.db().close());
    }
}
