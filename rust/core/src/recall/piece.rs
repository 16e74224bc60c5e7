//! A list that is a session's own, or its part of one list for all the sessions that came out of one file: taking out
//! and dropping twenty thousand sessions is then a few allocations, and a search finds them side by side in memory.

use std::ops::{Deref, Range};
use std::sync::Arc;

#[derive(Debug)]
pub(super) enum Piece<T> {
    Own(Vec<T>),
    Shared(Arc<Vec<T>>, Range<usize>),
}

impl<T> Default for Piece<T> {
    fn default() -> Self {
        Self::Own(Vec::new())
    }
}

impl<T> Deref for Piece<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Self::Own(list) => list,
            Self::Shared(all, range) => all.get(range.clone()).unwrap_or_default(),
        }
    }
}

impl<T: Clone> Piece<T> {
    /// Lets go of what others share.
    pub(super) fn part(&mut self) {
        if let Self::Shared(..) = self {
            *self = Self::Own(self.to_vec());
        }
    }
}

/// Hands out a list from its beginning on.
#[derive(Debug)]
pub(super) struct Pieces<T> {
    all: Arc<Vec<T>>,
    taken: usize,
}

impl<T> Pieces<T> {
    pub(super) fn new(all: Vec<T>) -> Self {
        Self { all: Arc::new(all), taken: 0 }
    }

    /// The next `count`; `None` where there are not as many.
    pub(super) fn next(&mut self, count: u32) -> Option<Piece<T>> {
        let end = self.taken.checked_add(count as usize).filter(|end| *end <= self.all.len())?;
        let start = std::mem::replace(&mut self.taken, end);
        Some(Piece::Shared(Arc::clone(&self.all), start..end))
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn is_done(&self) -> bool {
        self.taken == self.all.len()
    }
}
