//! What all rows have in common.
//!
//! Many embedders put every vector into one narrow cone: the cosines of any two texts lie around 0.7, and what tells rows
//! apart is small beside what an estimate by [signs](super::signs) may be off by, which grows with the length of the
//! question. So the direction of the mean row is taken out of the question: what a row has of it is kept as a number, and
//! only the rest of the question, which is shorter, is estimated. Any direction gives the same results; the mean's leaves
//! the least. All of it follows from the rows.

use super::encode;
use super::rows::Line;
use super::scan::{Among, STRIDE, each};
use super::table::Table;

/// Rows that the mean is taken of.
const SAMPLE: usize = 1_024;
/// The square of the mean's length from which there is something to take out: spreads become 5 % smaller.
const LEAST: f32 = 0.1;

/// A direction, and what each row has of it.
#[derive(Debug)]
pub struct Common {
    /// Of length 1, turned as rows are before their signs are taken.
    turned: Vec<f32>,
    /// The cosine of each row with it, by slot.
    cosines: Vec<f32>,
}

impl Common {
    /// The cosine of a question with the direction; `across` becomes the rest of the question. All are turned.
    pub fn split(&self, question: &[f32], across: &mut Vec<f32>) -> f32 {
        let along = dot(question, &self.turned);
        across.clear();
        across.extend(question.iter().zip(&self.turned).map(|(value, common)| value - along * common));
        along
    }

    /// The cosines of the rows from `slot` on with the direction.
    pub fn from(&self, slot: usize) -> &[f32] {
        self.cosines.get(slot..).unwrap_or_default()
    }

    /// Stores a turned row at `slot`, which exists or is the next one.
    pub fn put(&mut self, slot: usize, turned: &[f32]) {
        let cosine = dot(turned, &self.turned);
        match self.cosines.get_mut(slot) {
            Some(place) => *place = cosine,
            None => self.cosines.push(cosine),
        }
    }

    /// Removes the row at `slot`; the last row takes its place.
    pub fn swap_remove(&mut self, slot: usize) {
        self.cosines.swap_remove(slot);
    }

    /// Bytes held.
    pub fn memory_bytes(&self) -> usize {
        (self.turned.capacity() + self.cosines.capacity()) * 4
    }
}

impl Table {
    /// Looks what the rows of a table with signs have in common now.
    pub(super) fn find_common(&mut self) {
        (self.common, self.looked) = (None, self.len());
        let Some((rotation, _)) = &self.signs else { return };
        let (mut mean, mut row) = (vec![0.0f32; self.dimensions], Vec::new());
        let sample = (0..self.len()).step_by(self.len().div_ceil(SAMPLE).max(1));
        let count = sample.len() as f32;
        for slot in sample {
            let exact = self.exact.get(slot).unwrap_or_default();
            encode::decode(exact, self.precision, self.dimensions, &mut row);
            mean.iter_mut().zip(&row).for_each(|(sum, value)| *sum += value);
        }
        if dot(&mean, &mean) < LEAST * count * count || count == 0.0 {
            return;
        }
        let (mut unit, mut turned, mut query) = (Vec::new(), Vec::new(), Vec::<Line>::new());
        encode::unit(&mean, &mut unit);
        rotation.turn(&unit, &mut turned, &mut row);
        encode::floats(&unit, true, &mut query);
        let mut cosines = Vec::with_capacity(self.len());
        let mut found = [0.0f32; STRIDE];
        each(&self.exact, Among::All, |slots, rows| {
            // SAFETY: the kernels come from `Kernels::available`; rows of tables with signs are halves.
            unsafe { (self.kernels.halves)(&query, rows, &mut found) };
            cosines.extend(found.iter().take(slots.len()));
        });
        self.common = Some(Common { turned, cosines });
    }
}

/// Σ aᵢ·bᵢ of two vectors of one length.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 16];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
    for (a, b) in a.iter().zip(b) {
        lanes.iter_mut().zip(a.iter().zip(b)).for_each(|(lane, (x, y))| *lane += x * y);
    }
    lanes.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(x, y)| x * y).sum::<f32>()
}
