//! The binding of [`ai_infra_core::fit`].

use std::sync::{Mutex, MutexGuard, PoisonError};

use ai_infra_core::fit::{Goal, Planner, Row};
use pyo3::prelude::*;

use crate::items::items;

/// Finds where to cut a conversation; fed from its newest message backwards.
#[pyclass(frozen, module = "ai_infra._core")]
pub struct FitPlanner(Mutex<Planner>);

impl FitPlanner {
    fn lock(&self) -> MutexGuard<'_, Planner> {
        // The planner has no state between two fields that a panic could tear.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl FitPlanner {
    #[new]
    fn new(first: usize, end: usize, budget: u64) -> Self {
        Self(Mutex::new(Planner::new(first, end, budget)))
    }

    /// Takes older messages, the newest first: what each costs, and the first index of its group.
    /// Answers whether an older one could still be kept.
    fn push(
        &self,
        #[pyo3(from_py_with = items)] tokens: Vec<u64>,
        #[pyo3(from_py_with = items)] reach: Vec<usize>,
    ) -> bool {
        let mut planner = self.lock();
        for (tokens, reach) in tokens.into_iter().zip(reach) {
            planner.push(Row { tokens, reach });
        }
        planner.wants_more()
    }

    #[getter]
    fn all_fit(&self) -> bool {
        self.lock().all_fit()
    }

    /// The index of the first message to keep, and the tokens from there to the end.
    #[pyo3(signature = (budget, *, low_water=None, keep=None))]
    fn cut(&self, budget: u64, low_water: Option<u64>, keep: Option<usize>) -> (usize, u64) {
        let cut = self.lock().cut(&Goal { budget, low_water, keep });
        (cut.index, cut.tokens)
    }
}
