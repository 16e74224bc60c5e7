//! Waiting for a lock that another process holds: short waits that grow a little, up to one deadline for the
//! whole operation, however many statements it has.
//!
//! Whoever runs the core may have to look up from a wait, as Python has to at Ctrl-C. What it does then is its own: it
//! may use this very database, fork, or never come back. So an operation that has not begun yet lets go of everything
//! it holds, looks, and queues again ([`patiently`]).

use std::cell::Cell;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// How long is waited before looking up.
const SLICE: Duration = Duration::from_millis(50);

static LOOK: OnceLock<fn() -> bool> = OnceLock::new();

thread_local! {
    static DEADLINE: Cell<Option<Instant>> = const { Cell::new(None) };
    /// When to look up; `None` where the operation has begun.
    static LOOK_UP: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Sets what a waiting thread calls twenty times a second, with no lock of ours held; true ends the operation with
/// [`Error::Interrupted`]. The first to set it wins.
pub fn set_look(look: fn() -> bool) {
    let _ = LOOK.set(look);
}

/// Sets the deadline of the operation that starts on this thread.
pub(super) fn start(timeout: Duration) {
    DEADLINE.set(Instant::now().checked_add(timeout));
    LOOK_UP.set(None);
}

fn expired() -> bool {
    DEADLINE.get().is_some_and(|deadline| Instant::now() >= deadline)
}

fn looks_up() -> bool {
    LOOK_UP.get().is_some_and(|at| Instant::now() >= at)
}

/// Whether what is tried on this thread has to be given up: its time is up, or it is to be tried again.
pub(super) fn over() -> bool {
    expired() || looks_up()
}

/// Tries until it has begun or the time is up, and looks up in between. `attempt` takes all the locks it needs, calls
/// [`begun`] once it may not be tried again, and returns [`Error::StorageTimeout`] where others were in its way.
pub(super) fn patiently<T>(timeout: Duration, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    start(timeout);
    let deadline = DEADLINE.get();
    loop {
        LOOK_UP.set(LOOK.get().map(|_| Instant::now() + SLICE));
        let answer = attempt();
        let again = looks_up() && !expired() && matches!(answer, Err(Error::StorageTimeout(_)));
        LOOK_UP.set(None);
        if !again {
            return answer;
        }
        if LOOK.get().is_some_and(|look| look()) {
            return Err(Error::Interrupted);
        }
        // Looking may have started another operation on this thread.
        DEADLINE.set(deadline);
    }
}

/// From here on the operation on this thread runs to its end.
pub(super) fn begun() {
    LOOK_UP.set(None);
}

/// SQLite's busy handler. The waits differ from thread to thread, so that two do not knock in step.
pub(super) fn wait(tries: i32) -> bool {
    if over() {
        return false;
    }
    let step = u64::from(tries.clamp(0, 15).unsigned_abs()) + 1;
    let salt = DEADLINE.with(|cell| std::ptr::from_ref(cell).addr() as u64 >> 4) % 97;
    thread::sleep(Duration::from_micros(150 * step + salt));
    true
}
