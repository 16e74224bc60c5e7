//! A second thread for the longest step of a search.
//!
//! One thread waits for the whole process and takes part in one search at a time, so a search that is alone becomes
//! shorter, and many at once are none the slower: the others do without. Nobody ever waits for it to begin. A step is
//! taken by whoever is free first, and where it comes too late, there are none left.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// The thread ends after so long without work.
const IDLE: Duration = Duration::from_secs(10);
/// Looks at whether the thread has done its last step before waiting for that costs more than they do.
const LOOKS: usize = 2_000;

/// Steps that two threads take.
struct Job<'a> {
    steps: usize,
    next: AtomicUsize,
    step: &'a (dyn Fn(usize) + Sync),
    /// The other thread is in here.
    inside: AtomicBool,
    /// With what it panicked.
    failed: Mutex<Option<Box<dyn Any + Send>>>,
}

impl Job<'_> {
    fn work(&self) {
        loop {
            let at = self.next.fetch_add(1, Ordering::Relaxed);
            if at >= self.steps {
                return;
            }
            (self.step)(at);
        }
    }
}

/// Where a job lies.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Posted(*const Job<'static>);

// SAFETY: a job is made to be shared: its step is Sync, the rest are atomics and a mutex. That it is there is seen to by
// `Post`.
unsafe impl Send for Posted {}

/// What the thread and those that give it work tell each other.
#[derive(Default)]
struct Desk {
    /// The process that has the thread: a forked child has none.
    pid: u32,
    waiting: bool,
    job: Option<Posted>,
    /// The job that it is in.
    taken: Option<Posted>,
}

static DESK: Mutex<Desk> = Mutex::new(Desk { pid: 0, waiting: false, job: None, taken: None });
static COME: Condvar = Condvar::new();
static DONE: Condvar = Condvar::new();
static SECOND: LazyLock<bool> =
    LazyLock::new(|| thread::available_parallelism().is_ok_and(|cores| cores.get() > 1));

fn desk() -> MutexGuard<'static, Desk> {
    DESK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes the steps 0 to `steps` - 1, each once and in any order, some of them meanwhile on another thread; `body` runs
/// first here. Returns when all are done.
pub(crate) fn aside<T>(steps: usize, step: &(dyn Fn(usize) + Sync), body: impl FnOnce() -> T) -> T {
    let (inside, failed) = (AtomicBool::new(false), Mutex::new(None));
    let job = Job { steps, next: AtomicUsize::new(0), step, inside, failed };
    let post = Post::new(&job);
    let answer = body();
    job.work();
    drop(post);
    if let Some(panic) = job.failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        resume_unwind(panic);
    }
    answer
}

/// A job that the thread may take as long as this lives: it ends when the thread is not in there and never will be.
struct Post<'a>(&'a Job<'a>, Option<Posted>);

impl<'a> Post<'a> {
    fn new(job: &'a Job<'a>) -> Self {
        let posted = Posted(std::ptr::from_ref(job).cast());
        // Whoever finds the desk occupied, goes on alone.
        let Some(mut desk) = DESK.try_lock().ok().filter(|_| *SECOND) else { return Self(job, None) };
        if desk.pid != process::id() {
            *desk = Desk { pid: process::id(), ..Desk::default() };
        }
        if desk.job.is_some() || desk.taken.is_some() {
            return Self(job, None);
        }
        if !desk.waiting {
            let started = thread::Builder::new().name("ai-infra-aside".to_owned()).spawn(serve);
            if started.is_err() {
                return Self(job, None);
            }
            desk.waiting = true;
        }
        desk.job = Some(posted);
        COME.notify_one();
        Self(job, Some(posted))
    }
}

impl Drop for Post<'_> {
    fn drop(&mut self) {
        let Some(posted) = self.1 else { return };
        let mut desk = desk();
        if desk.job == Some(posted) {
            desk.job = None;
            return;
        }
        drop(desk);
        if (0..LOOKS).any(|_| {
            std::hint::spin_loop();
            !self.0.inside.load(Ordering::Acquire)
        }) {
            return;
        }
        desk = self::desk();
        while self.0.inside.load(Ordering::Acquire) {
            desk = DONE.wait(desk).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// The other thread.
fn serve() {
    let mut desk = desk();
    loop {
        if let Some(posted) = desk.job.take() {
            // SAFETY: who has posted it waits until it is not `inside`, which is set before the desk is free again.
            let job = unsafe { &*posted.0 };
            job.inside.store(true, Ordering::Relaxed);
            desk.taken = Some(posted);
            drop(desk);
            let done = catch_unwind(AssertUnwindSafe(|| job.work()));
            if let Err(panic) = done {
                *job.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
            }
            desk = self::desk();
            desk.taken = None;
            // From here on the job may be gone.
            job.inside.store(false, Ordering::Release);
            DONE.notify_all();
        } else {
            let (free, late) = COME.wait_timeout(desk, IDLE).unwrap_or_else(PoisonError::into_inner);
            desk = free;
            if late.timed_out() && desk.job.is_none() {
                desk.waiting = false;
                return;
            }
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn every_step_is_taken_once_by_whoever_is_free() {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                thread::spawn(|| {
                    for steps in [0, 1, 2, 50].into_iter().cycle().take(2_000) {
                        let taken: Vec<AtomicUsize> = (0..steps).map(|_| AtomicUsize::new(0)).collect();
                        let step = |at: usize| _ = taken.get(at).unwrap().fetch_add(1, Ordering::Relaxed);
                        assert_eq!(aside(steps, &step, || steps), steps);
                        assert!(taken.into_iter().all(|taken| taken.into_inner() == 1));
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }

    #[test]
    fn a_panic_comes_out_and_leaves_the_thread() {
        for _ in 0..20 {
            let step = |at: usize| {
                thread::sleep(Duration::from_millis(1));
                assert_ne!(at, 3);
            };
            assert!(catch_unwind(AssertUnwindSafe(|| aside(5, &step, || ()))).is_err());
            let slow = |_| thread::sleep(Duration::from_millis(1));
            assert!(catch_unwind(|| aside(5, &slow, || assert!(DESK.is_poisoned()))).is_err());
            assert_eq!(aside(5, &|_| (), || 7), 7);
        }
    }
}
