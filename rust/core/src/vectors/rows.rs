//! Fixed-size rows in blocks of cache lines: no doubling spike while they grow.
//!
//! A row is a whole number of 64-byte lines, so that every SIMD load is aligned and no kernel has
//! a tail; what lies beyond the last dimension is padding that contributes nothing to a product.
//! Slots are dense: removal moves the last row into the hole.

/// Bytes of one full block.
const BLOCK_BYTES: usize = 512 * 1024;

/// One cache line of row data.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct Line(pub [u8; 64]);

impl Line {
    /// A line of 32 little-endian halves.
    pub fn from_halves(halves: &[u16; 32]) -> Self {
        let mut line = Self([0; 64]);
        for (to, from) in line.0.chunks_exact_mut(2).zip(halves) {
            to.copy_from_slice(&from.to_ne_bytes());
        }
        line
    }

    /// A line of 16 floats.
    pub fn from_floats(floats: &[f32; 16]) -> Self {
        let mut line = Self([0; 64]);
        for (to, from) in line.0.chunks_exact_mut(4).zip(floats) {
            to.copy_from_slice(&from.to_ne_bytes());
        }
        line
    }
}

/// Rows of `row_lines` lines each, addressed by slot `0..len`.
#[derive(Debug)]
pub struct Rows {
    row_lines: usize,
    /// log2 of the rows in a block.
    shift: u32,
    blocks: Vec<Vec<Line>>,
    len: usize,
}

impl Rows {
    /// An empty table; allocates nothing.
    pub fn new(row_lines: usize) -> Self {
        let row_lines = row_lines.max(1);
        let rows = (BLOCK_BYTES / (row_lines * size_of::<Line>())).max(1);
        Self { row_lines, shift: rows.ilog2(), blocks: Vec::new(), len: 0 }
    }

    /// How many rows there are.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.len
    }

    fn block_lines(&self) -> usize {
        self.row_lines << self.shift
    }

    fn locate(&self, slot: usize) -> (usize, usize) {
        (slot >> self.shift, (slot & ((1 << self.shift) - 1)) * self.row_lines)
    }

    /// The row at `slot`.
    pub fn get(&self, slot: usize) -> Option<&[Line]> {
        let (block, start) = self.locate(slot);
        self.blocks.get(block)?.get(start..start + self.row_lines)
    }

    /// All rows in slot order, one iterator a block.
    pub fn blocks(&self) -> impl Iterator<Item = std::slice::ChunksExact<'_, Line>> {
        self.blocks.iter().map(|block| block.chunks_exact(self.row_lines))
    }

    /// Appends a row; `row` has exactly the table's number of lines.
    pub fn push(&mut self, row: &[Line]) {
        debug_assert_eq!(row.len(), self.row_lines);
        let full = self.block_lines();
        if self.blocks.last().is_none_or(|block| block.len() >= full) {
            self.blocks.push(Vec::new());
        }
        let first = self.blocks.len() == 1;
        if let Some(block) = self.blocks.last_mut() {
            if block.capacity() - block.len() < row.len() {
                // The first block doubles, so that a small table stays small; later ones are
                // allocated whole.
                let wanted = if first { (block.len() * 2).max(row.len() * 4).min(full) } else { full };
                block.reserve_exact(wanted.max(block.len() + row.len()) - block.len());
            }
            block.extend_from_slice(row);
            self.len += 1;
        }
    }

    /// Overwrites the row at `slot`, if there is one.
    pub fn set(&mut self, slot: usize, row: &[Line]) {
        let (block, start) = self.locate(slot);
        let lines = self.row_lines;
        if let Some(target) = self.blocks.get_mut(block).and_then(|b| b.get_mut(start..start + lines)) {
            for (to, from) in target.iter_mut().zip(row) {
                *to = *from;
            }
        }
    }

    /// Removes the row at `slot`; the last row takes its place.
    pub fn swap_remove(&mut self, slot: usize) {
        let Some(last) = self.len.checked_sub(1).filter(|last| slot <= *last) else {
            return;
        };
        if slot != last
            && let Some(row) = self.get(last).map(<[Line]>::to_vec)
        {
            self.set(slot, &row);
        }
        if let Some(block) = self.blocks.last_mut() {
            block.truncate(block.len().saturating_sub(self.row_lines));
            if block.is_empty() {
                self.blocks.pop();
            }
        }
        self.len = last;
    }

    /// Bytes held by the blocks.
    pub fn memory_bytes(&self) -> usize {
        let lines: usize = self.blocks.iter().map(Vec::capacity).sum();
        lines * size_of::<Line>() + self.blocks.capacity() * size_of::<Vec<Line>>()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn row(lines: usize, value: u8) -> Vec<Line> {
        vec![Line([value; 64]); lines]
    }

    #[test]
    fn rows_are_found_after_growth_and_removal() {
        let mut rows = Rows::new(12);
        for i in 0..5_000u32 {
            rows.push(&row(12, (i % 251) as u8));
        }
        assert_eq!(rows.len(), 5_000);
        assert!((0..5_000).all(|i| { rows.get(i).unwrap().iter().all(|l| l.0 == [(i % 251) as u8; 64]) }));
        assert_eq!(rows.blocks().map(|b| b.len()).sum::<usize>(), 5_000);
        rows.swap_remove(7);
        assert_eq!(rows.get(7).unwrap()[0].0[0], (4_999 % 251) as u8);
        assert_eq!(rows.get(4_999).map(<[Line]>::len), None);
        while rows.len() > 0 {
            rows.swap_remove(0);
        }
        assert!(rows.get(0).is_none());
        rows.swap_remove(0);
        assert_eq!(rows.len(), 0);
    }

    #[test]
    fn memory_follows_the_rows() {
        let mut rows = Rows::new(12);
        assert_eq!(rows.memory_bytes(), 0);
        rows.push(&row(12, 1));
        assert!(rows.memory_bytes() < 8 * 768);
        for i in 1..20_000u32 {
            rows.push(&row(12, i as u8));
        }
        let bytes = 20_000 * 768;
        assert!(rows.memory_bytes() < bytes + BLOCK_BYTES + bytes / 50);
    }

    #[test]
    fn a_row_larger_than_a_block_has_its_own() {
        let lines = BLOCK_BYTES / 64 + 3;
        let mut rows = Rows::new(lines);
        rows.push(&row(lines, 1));
        rows.push(&row(lines, 2));
        assert_eq!(rows.get(1).unwrap().len(), lines);
    }
}
