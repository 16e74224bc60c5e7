//! `fork` while other threads search: a gate that everybody holds open while they hold a lock.
//!
//! A child inherits the locks of threads that it does not have. So a fork waits until no thread
//! is inside (a search, a change, one step of a background build: milliseconds at most), and the
//! child finds every lock free. Entering costs one shared atomic.

use std::cell::Cell;
use std::sync::{Once, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

static GATE: RwLock<()> = RwLock::new(());

thread_local! {
    /// The closed gate, between the calls before and after a fork, which one thread makes.
    static CLOSED: Cell<Option<RwLockWriteGuard<'static, ()>>> = const { Cell::new(None) };
}

/// Keeps forks out until the guard is dropped. Never nested: a waiting fork would come between.
pub fn enter() -> RwLockReadGuard<'static, ()> {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(register);
    GATE.read().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(unix)]
fn register() {
    // SAFETY: the three functions never unwind and stay valid as long as the program. If it fails
    // (no memory) a fork is as unsafe as it is in any threaded program; nothing else changes.
    unsafe { libc::pthread_atfork(Some(close), Some(open), Some(open)) };
}

#[cfg(not(unix))]
fn register() {
    let _ = (close as extern "C" fn(), open as extern "C" fn());
}

extern "C" fn close() {
    let gate = GATE.write().unwrap_or_else(PoisonError::into_inner);
    // A thread that forks while it ends has no thread-locals any more: the gate opens at once.
    let _ = CLOSED.try_with(|closed| closed.set(Some(gate)));
}

extern "C" fn open() {
    let _ = CLOSED.try_with(Cell::take);
}
