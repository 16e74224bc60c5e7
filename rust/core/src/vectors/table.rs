//! The rows of one index: ids, slots, encoded vectors.

use std::collections::HashMap;
use std::sync::Arc;

use super::common::Common;
use super::encode::{self, Precision};
use super::graph;
use super::ids::IdHash;
use super::kernel::Kernels;
use super::rows::{Line, Rows};
use super::signs::{self, Rotation, Signs};

/// A vector made ready for storing outside of any lock.
#[derive(Debug, Default)]
pub struct Encoded {
    exact: Vec<Line>,
    pub(super) codes: Vec<Line>,
    pub(super) scale: f32,
    pub(super) signs: Vec<u8>,
    pub(super) factor: f32,
    turned: Vec<f32>,
    spare: Vec<f32>,
}

/// All rows of one index.
#[derive(Debug)]
pub struct Table {
    pub(super) dimensions: usize,
    pub(super) precision: Precision,
    pub(super) kernels: Kernels,
    pub(super) exact: Rows,
    /// From a [number of rows](super::few) on, where the precision has them.
    pub(super) codes: Option<(Rows, Vec<f32>)>,
    /// For the first look at tables with codes, which have enough dimensions for it.
    pub(super) signs: Option<(Arc<Rotation>, Signs)>,
    pub(super) rotation: Option<Arc<Rotation>>,
    /// What the rows had in common when they were last looked at, if that was much.
    pub(super) common: Option<Common>,
    /// How many rows there were then.
    pub(super) looked: usize,
    pub(super) ids: Vec<u64>,
    /// How often a row was put or removed.
    pub(super) changes: u64,
    /// Whether every id is its slot.
    pub(super) straight: bool,
    pub(super) slots: HashMap<u64, u32, IdHash>,
}

impl Table {
    /// An empty table.
    pub fn new(dimensions: usize, precision: Precision, kernels: Kernels) -> Self {
        let lines = match precision {
            Precision::F32 => encode::float_lines(dimensions),
            Precision::F16 | Precision::I8 => encode::half_lines(dimensions),
        };
        let rotation = (precision == Precision::I8 && dimensions >= signs::LEAST)
            .then(|| Arc::new(Rotation::new(dimensions)));
        Self {
            dimensions,
            precision,
            kernels,
            exact: Rows::new(lines),
            codes: None,
            signs: None,
            rotation,
            common: None,
            looked: 0,
            ids: Vec::new(),
            changes: 0,
            straight: true,
            slots: HashMap::default(),
        }
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// The slot of `id`.
    pub fn slot(&self, id: u64) -> Option<u32> {
        // Where ids are numbers in order and nothing was removed, they are the slots.
        if usize::try_from(id).is_ok_and(|at| self.ids.get(at) == Some(&id)) {
            return Some(id as u32);
        }
        self.slots.get(&id).copied()
    }

    /// Ids in slot order.
    pub fn ids(&self) -> &[u64] {
        &self.ids
    }

    /// Bytes held.
    pub fn memory_bytes(&self) -> usize {
        let codes =
            self.codes.as_ref().map_or(0, |(rows, scales)| rows.memory_bytes() + scales.capacity() * 4);
        let signs = self.signs.as_ref().map_or(0, |(_, signs)| signs.memory_bytes());
        let common = self.common.as_ref().map_or(0, Common::memory_bytes);
        // The map keeps one control byte beside each entry and fills to 7/8.
        self.exact.memory_bytes()
            + codes
            + signs
            + common
            + self.ids.capacity() * 8
            + self.slots.capacity() * 8 / 7 * 17
    }

    /// What turns vectors before their signs are taken, where the table keeps signs or will.
    pub fn rotation(&self) -> Option<Arc<Rotation>> {
        self.rotation.clone()
    }

    /// Writes `unit` (of length 1 or 0) in the table's format.
    pub fn encode(precision: Precision, unit: &[f32], out: &mut Encoded) {
        match precision {
            Precision::F32 => encode::floats(unit, false, &mut out.exact),
            Precision::F16 | Precision::I8 => encode::halves(unit, &mut out.exact),
        }
    }

    /// Adds to it what scans of many rows read first. Where there is a rotation, all of it is of the turned vector: what
    /// rounding takes from the values of that is as good as random, whatever the vector.
    pub fn encode_codes(rotation: Option<&Rotation>, unit: &[f32], out: &mut Encoded) {
        let Encoded { codes, signs, turned, spare, .. } = out;
        let Some(rotation) = rotation else {
            out.scale = encode::row_codes(unit, codes);
            return;
        };
        rotation.turn(unit, turned, spare);
        out.factor = rotation.encode(turned, signs);
        out.scale = encode::row_codes(turned, codes);
    }

    /// Gets ready for so many rows, where there is none yet.
    pub fn expect(&mut self, rows: usize) {
        if self.ids.is_empty() {
            self.exact.expect(rows);
            self.ids.reserve_exact(rows);
            self.slots.reserve(rows);
        }
    }

    /// Stores a row under `id`, in the place of the one it had; returns its slot.
    pub fn put(&mut self, id: u64, row: &Encoded) -> u32 {
        self.changes += 1;
        if let Some(slot) = self.slot(id) {
            self.exact.set(slot as usize, &row.exact);
            if let Some((rows, scales)) = &mut self.codes {
                rows.set(slot as usize, &row.codes);
                if let Some(scale) = scales.get_mut(slot as usize) {
                    *scale = row.scale;
                }
            }
            if let Some((_, signs)) = &mut self.signs {
                signs.put(slot as usize, &row.signs, row.factor);
            }
            if let Some(common) = &mut self.common {
                common.put(slot as usize, &row.turned);
            }
            return slot;
        }
        let slot = self.ids.len() as u32;
        self.exact.push(&row.exact);
        if let Some((rows, scales)) = &mut self.codes {
            rows.push(&row.codes);
            scales.push(row.scale);
        }
        if let Some((_, signs)) = &mut self.signs {
            signs.put(slot as usize, &row.signs, row.factor);
        }
        if let Some(common) = &mut self.common {
            common.put(slot as usize, &row.turned);
        }
        self.straight &= id == u64::from(slot);
        self.ids.push(id);
        self.slots.insert(id, slot);
        // With twice as many, not whenever there are so many: rows come and go.
        if self.signs.is_some() && self.len() >= 2 * self.looked {
            self.find_common();
        }
        slot
    }

    /// Appends to `out` the row at `slot` as a graph stores it.
    pub fn node(&self, slot: u32, out: &mut Vec<u8>) {
        if let Some((rows, scales)) = &self.codes {
            let scale = scales.get(slot as usize).copied().unwrap_or(0.0);
            graph::node_bytes(rows.get(slot as usize).unwrap_or_default(), scale, out);
        } else {
            let (mut values, mut lines) = (Vec::new(), Vec::new());
            let row = self.exact.get(slot as usize).unwrap_or_default();
            encode::decode(row, self.precision, self.dimensions, &mut values);
            let scale = encode::row_codes(&values, &mut lines);
            graph::node_bytes(&lines, scale, out);
        }
    }

    /// Removes `id`; returns the hole and the slot whose row moved into it (they are equal when
    /// the last row went).
    pub fn remove(&mut self, id: u64) -> Option<(u32, u32)> {
        let hole = self.slots.remove(&id)?;
        self.changes += 1;
        let last = self.ids.len().saturating_sub(1) as u32;
        self.exact.swap_remove(hole as usize);
        self.ids.swap_remove(hole as usize);
        if let Some((rows, scales)) = &mut self.codes {
            rows.swap_remove(hole as usize);
            scales.swap_remove(hole as usize);
        }
        if let Some((_, signs)) = &mut self.signs {
            signs.swap_remove(hole as usize);
        }
        if let Some(common) = &mut self.common {
            common.swap_remove(hole as usize);
        }
        self.straight = self.ids.is_empty() || (self.straight && hole == last);
        if let Some(moved) = self.ids.get(hole as usize) {
            self.slots.insert(*moved, hole);
        }
        Some((hole, last))
    }
}
