//! `fork()` with SQLite inside is only safe when no connection is open at that moment: the locks SQLite keeps
//! for its files live in process memory, and a child that inherits that memory believes it holds locks which
//! the kernel never gave it. So every operation passes a gate; before a fork the gate closes, waits for those
//! inside and closes every connection to a file; after the fork it opens again in parent and child, and each
//! of them opens connections of its own at the next use.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};
use std::thread::JoinHandle;
use std::{mem, process};

use super::db::Shared;

static GATE: RwLock<()> = RwLock::new(());
/// The process whose last fork, the one that made it, went through the gate.
static BORN: AtomicU32 = AtomicU32::new(0);
static OPEN: Mutex<Vec<Weak<Shared>>> = Mutex::new(Vec::new());

thread_local! {
    /// The closed gate, held by the thread that forks, from just before to just after.
    static HELD: RefCell<Option<RwLockWriteGuard<'static, ()>>> = const { RefCell::new(None) };
}

/// Passes the gate; keep the guard for as long as a connection is in use. Never call it twice in one operation.
pub(super) fn enter() -> RwLockReadGuard<'static, ()> {
    GATE.read().unwrap_or_else(PoisonError::into_inner)
}

/// Remembers a database, so that its connections are closed before a fork.
pub(super) fn register(shared: Weak<Shared>) {
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    open.retain(|known| known.strong_count() > 0);
    open.push(shared);
}

/// The files of the databases that are open in this process.
pub(super) fn open_files() -> Vec<PathBuf> {
    let open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    open.iter().filter_map(Weak::upgrade).filter_map(|shared| shared.file().map(Path::to_owned)).collect()
}

/// Whether the fork that made this process closed the gate first.
pub(super) fn passed_the_gate() -> bool {
    BORN.load(Ordering::Acquire) == process::id()
}

/// Lets go of a thread of the parent, which is not here: to drop its handle would touch its stack, which may be gone.
pub(super) fn leave(thread: Option<JoinHandle<()>>) {
    mem::forget(thread);
}

/// To be called in the forking thread right before `fork()`: waits for running operations and closes every
/// connection to a file. Pair it with [`after_fork`] in parent and child.
pub fn before_fork() {
    crate::make_all();
    let gate = GATE.write().unwrap_or_else(PoisonError::into_inner);
    let known: Vec<_> =
        OPEN.lock().unwrap_or_else(PoisonError::into_inner).iter().filter_map(Weak::upgrade).collect();
    for shared in known {
        shared.rest();
    }
    HELD.with(|held| held.replace(Some(gate)));
}

/// To be called right after `fork()`, in the parent and in the child, by the thread that forked.
pub fn after_fork() {
    BORN.store(process::id(), Ordering::Release);
    HELD.with(|held| drop(held.take()));
}
