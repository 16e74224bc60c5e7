//! Items on their way into an index. Texts are taken apart one by one; vectors are handed on a few at a time, and in a
//! large index that is being made some hundred, to a thread beside: to encode them is a good part of the work, and needs
//! nothing of the texts but their numbers.

use std::mem;
use std::sync::mpsc::{self, SyncSender};
use std::thread;

use super::index::options;
use crate::embed;
use crate::error::{Error, Result};
use crate::vectors::{Room, VectorIndex};

/// Items from which a thread beside is worth it.
pub(super) const BESIDE: usize = 4_096;
/// Vectors handed on together: to a thread; and to the index, from where they still are in the nearest cache.
const BATCH: usize = 256;
const FEW: usize = 16;
/// Handings on that may wait for the thread: some MB.
const AHEAD: usize = 4;

/// Items on their way into the index.
#[derive(Debug)]
pub(super) struct Taking {
    pub local: bool,
    pub computed: Vec<f32>,
    pub way: Way,
}

/// The way of the vectors.
#[derive(Debug, Default)]
pub(super) struct Way {
    waiting: Waiting,
    room: Room,
    /// How many items there may be.
    expected: usize,
    /// The thread that takes them, where there is one.
    beside: Option<SyncSender<Waiting>>,
}

/// Vectors that are handed on together, one after the other.
#[derive(Debug, Default)]
struct Waiting {
    numbers: Vec<u64>,
    values: Vec<f32>,
}

impl Taking {
    /// `local`: vectors are computed here. `expected`: how many items there will be, or fewer.
    pub fn new(local: bool, expected: usize) -> Self {
        let computed = vec![0.0; if local { embed::dimensions() } else { 0 }];
        Self { local, computed, way: Way { expected, ..Way::default() } }
    }

    /// Runs `body`, which takes items into an index that has none, while a thread makes the index of their vectors; that
    /// is returned, also where it is not whole.
    pub fn beside(
        &mut self,
        body: impl FnOnce(&mut Self) -> Result<()>,
    ) -> (Result<()>, Option<VectorIndex>) {
        let (sender, receiver) = mpsc::sync_channel::<Waiting>(AHEAD);
        thread::scope(|scope| {
            let worker =
                thread::Builder::new().name("ai-infra-encode".to_owned()).spawn_scoped(scope, move || {
                    let (mut vectors, mut room) = (None, Room::default());
                    let done =
                        receiver.iter().try_for_each(|waiting| waiting.hand_on(&mut vectors, &mut room, 0));
                    (done, vectors)
                });
            // Where none can be started, `body` makes it all by itself.
            let Ok(worker) = worker else { return (body(self), None) };
            self.way.beside = Some(sender);
            let done = body(self);
            self.way.beside = None; // the thread ends with what it was sent
            match worker.join() {
                // Where it failed, `body` only knows that it is gone.
                Ok((Err(error), vectors)) => (Err(error), vectors),
                Ok((Ok(()), vectors)) => (done, vectors),
                Err(_) => (done.and_then(|()| Err(gone())), None),
            }
        })
    }
}

impl Way {
    /// Takes the vector of the item with this number, on its way into `vectors`.
    pub fn put(&mut self, number: u32, vector: &[f32], vectors: &mut Option<VectorIndex>) -> Result<()> {
        let Waiting { numbers, values } = &self.waiting;
        // After `reembed` they may be of another size.
        let most = if self.beside.is_some() { BATCH } else { FEW };
        if numbers.len() == most || values.len() != numbers.len() * vector.len() {
            self.end(vectors)?;
        }
        self.waiting.numbers.push(u64::from(number));
        self.waiting.values.extend_from_slice(vector);
        Ok(())
    }

    /// Hands on what waits.
    pub fn end(&mut self, vectors: &mut Option<VectorIndex>) -> Result<()> {
        let Self { waiting, room, expected, beside } = self;
        if let Some(thread) = beside {
            return thread.send(mem::take(waiting)).map_err(|_| gone());
        }
        waiting.hand_on(vectors, room, *expected)?;
        waiting.numbers.clear();
        waiting.values.clear();
        Ok(())
    }
}

impl Waiting {
    fn hand_on(&self, vectors: &mut Option<VectorIndex>, room: &mut Room, expected: usize) -> Result<()> {
        let Self { numbers, values } = self;
        let Some(dimensions) = values.len().checked_div(numbers.len()).filter(|size| *size > 0) else {
            return Ok(());
        };
        let fitting = vectors.take().filter(|vectors| vectors.dimensions() == dimensions);
        let known = match fitting {
            Some(known) => known,
            None => {
                let new = VectorIndex::new(dimensions, options())?;
                new.expect(expected);
                new
            }
        };
        vectors.insert(known).replace_in(room, numbers, values)
    }
}

fn gone() -> Error {
    Error::Storage("a thread that made an index has ended; search again".to_owned())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::vectors::Search;

    fn feed(taking: &mut Taking, vectors: &mut Option<VectorIndex>, sizes: &[(u32, usize)]) -> Result<()> {
        let mut number = 0;
        for (count, size) in sizes {
            for _ in 0..*count {
                let vector: Vec<f32> =
                    (0..*size).map(|at| ((number as usize * 31 + at * 7) % 19) as f32 - 9.0).collect();
                taking.way.put(number, &vector, vectors)?;
                number += 1;
            }
        }
        taking.way.end(vectors)
    }

    #[test]
    fn a_thread_beside_makes_the_same_index() {
        for sizes in [&[(3_000, 160)][..], &[(600, 8), (300, 160)], &[]] {
            let mut alone = None;
            feed(&mut Taking::new(false, 100), &mut alone, sizes).unwrap();
            let mut taking = Taking::new(false, 100);
            let (done, beside) = taking.beside(|taking| feed(taking, &mut None, sizes));
            done.unwrap();
            assert_eq!(alone.is_some(), beside.is_some());
            let Some((alone, beside)) = alone.zip(beside) else { continue };
            assert_eq!((alone.len(), alone.dimensions()), (beside.len(), beside.dimensions()));
            let question: Vec<f32> = (0..alone.dimensions()).map(|at| (at % 5) as f32 - 1.5).collect();
            assert_eq!(
                alone.search(&question, Search::best(50)).unwrap(),
                beside.search(&question, Search::best(50)).unwrap()
            );
        }
    }

    #[test]
    fn what_fails_on_either_side_is_told() {
        let mut taking = Taking::new(false, 100);
        let (done, _) = taking.beside(|taking| {
            feed(taking, &mut None, &[(1_000, 8)])?;
            Err(Error::InvalidInput("mine".to_owned()))
        });
        assert!(matches!(done, Err(Error::InvalidInput(_))));
        let (done, _) = taking.beside(|taking| {
            let nan = vec![f32::NAN; 8];
            (0..100_000).try_for_each(|number| taking.way.put(number, &nan, &mut None))?;
            taking.way.end(&mut None)
        });
        assert!(done.is_err_and(|error| !error.to_string().contains("a thread")), "the index's own error");
    }
}
