//! Waiting for a lock that another process holds: short waits that grow a little, up to one deadline for the
//! whole operation, however many statements it has.

use std::cell::Cell;
use std::thread;
use std::time::{Duration, Instant};

thread_local! {
    static DEADLINE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Sets the deadline of the operation that starts on this thread.
pub(super) fn start(timeout: Duration) {
    DEADLINE.set(Instant::now().checked_add(timeout));
}

/// Whether the operation on this thread has used its time up.
pub(super) fn expired() -> bool {
    DEADLINE.get().is_some_and(|deadline| Instant::now() >= deadline)
}

/// SQLite's busy handler. The waits differ from thread to thread, so that two do not knock in step.
pub(super) fn wait(tries: i32) -> bool {
    if expired() {
        return false;
    }
    let step = u64::from(tries.clamp(0, 15).unsigned_abs()) + 1;
    let salt = DEADLINE.with(|cell| std::ptr::from_ref(cell).addr() as u64 >> 4) % 97;
    thread::sleep(Duration::from_micros(150 * step + salt));
    true
}
