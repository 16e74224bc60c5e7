//! Fixed-size rows in blocks of cache lines: no doubling spike while they grow.
//!
//! A row is a whole number of 64-byte lines, so that every SIMD load is aligned and no kernel has
//! a tail; what lies beyond the last dimension is padding that contributes nothing to a product.
//! Slots are dense: removal moves the last row into the hole.

use std::alloc::{Layout, alloc, handle_alloc_error};

use crate::snapshot::{Flat, Reader};

/// Lines of one full block: 2 MiB, a huge page on x86-64 and ARM. With ordinary pages a scan of tens
/// of megabytes waits for address translation half of its time.
const BLOCK_LINES: usize = 2 * 1024 * 1024 / size_of::<Line>();

/// One cache line of row data.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct Line(pub [u8; 64]);

impl Default for Line {
    fn default() -> Self {
        Self([0; 64])
    }
}

// SAFETY: 64 bytes, as large as its alignment.
unsafe impl Flat for Line {}

impl Line {
    /// A line of 32 little-endian halves.
    #[inline(always)]
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

/// A full-size block, aligned so that one huge page can hold it.
#[repr(C, align(2097152))]
struct Huge([Line; BLOCK_LINES]);

/// Some rows. The first ones of a table live in a vector that doubles, so that a small table stays
/// small; then everything lives in full-size blocks, and nothing is ever moved again.
enum Block {
    Small(Vec<Line>),
    Huge(Box<Huge>, usize),
}

impl Block {
    fn huge(lines: &[Line]) -> Self {
        let layout = Layout::new::<Huge>();
        // SAFETY: the layout's size is not zero; all bytes zero are a valid `Huge`; the box frees
        // the memory with the same layout and allocator.
        let mut block = unsafe {
            let memory = alloc(layout);
            if memory.is_null() {
                handle_alloc_error(layout);
            }
            // Before it is touched: what has pages already keeps them.
            #[cfg(target_os = "linux")]
            libc::madvise(memory.cast(), layout.size(), libc::MADV_HUGEPAGE);
            memory.write_bytes(0, layout.size());
            Box::from_raw(memory.cast::<Huge>())
        };
        block.0.iter_mut().zip(lines).for_each(|(to, from)| *to = *from);
        Self::Huge(block, lines.len())
    }

    fn lines(&self) -> &[Line] {
        match self {
            Self::Small(lines) => lines,
            Self::Huge(block, len) => block.0.get(..*len).unwrap_or_default(),
        }
    }

    fn lines_mut(&mut self) -> &mut [Line] {
        match self {
            Self::Small(lines) => lines,
            Self::Huge(block, len) => block.0.get_mut(..*len).unwrap_or_default(),
        }
    }

    fn push(&mut self, row: &[Line]) {
        match self {
            Self::Small(lines) => {
                if lines.capacity() - lines.len() < row.len() {
                    lines.reserve_exact(lines.len().max(row.len() * 4));
                }
                lines.extend_from_slice(row);
            }
            Self::Huge(block, len) => {
                let free = block.0.get_mut(*len..).unwrap_or_default();
                free.iter_mut().zip(row).for_each(|(to, from)| *to = *from);
                *len += row.len();
            }
        }
    }

    fn truncate(&mut self, lines: usize) {
        match self {
            Self::Small(vector) => vector.truncate(lines),
            Self::Huge(_, len) => *len = (*len).min(lines),
        }
    }

    fn capacity(&self) -> usize {
        match self {
            Self::Small(lines) => lines.capacity(),
            Self::Huge(..) => BLOCK_LINES,
        }
    }
}

/// Rows of `row_lines` lines each, addressed by slot `0..len`.
pub struct Rows {
    row_lines: usize,
    rows_per_block: usize,
    blocks: Vec<Block>,
    len: usize,
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rows")
            .field("len", &self.len)
            .field("row_lines", &self.row_lines)
            .finish_non_exhaustive()
    }
}

impl Rows {
    /// An empty table of rows of at most a block; allocates nothing.
    pub fn new(row_lines: usize) -> Self {
        let row_lines = row_lines.clamp(1, BLOCK_LINES);
        Self { row_lines, rows_per_block: BLOCK_LINES / row_lines, blocks: Vec::new(), len: 0 }
    }

    /// How many rows there are.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Lines of a row.
    pub fn row_lines(&self) -> usize {
        self.row_lines
    }

    fn locate(&self, slot: usize) -> (usize, usize) {
        (slot / self.rows_per_block, slot % self.rows_per_block * self.row_lines)
    }

    /// The row at `slot`.
    pub fn get(&self, slot: usize) -> Option<&[Line]> {
        let (block, start) = self.locate(slot);
        self.blocks.get(block)?.lines().get(start..start + self.row_lines)
    }

    /// The row at `slot`, to be changed.
    pub fn get_mut(&mut self, slot: usize) -> Option<&mut [Line]> {
        let (block, start) = self.locate(slot);
        self.blocks.get_mut(block)?.lines_mut().get_mut(start..start + self.row_lines)
    }

    /// All rows in slot order, as they lie together.
    pub fn runs(&self) -> impl Iterator<Item = &[Line]> {
        self.blocks.iter().map(Block::lines)
    }

    /// All rows in slot order, one iterator a block.
    pub fn blocks(&self) -> impl Iterator<Item = std::slice::ChunksExact<'_, Line>> {
        self.blocks.iter().map(|block| block.lines().chunks_exact(self.row_lines))
    }

    /// The lines of a block, in slot order; `None` past the last one.
    pub fn block(&self, at: usize) -> Option<&[Line]> {
        self.blocks.get(at).map(Block::lines)
    }

    /// `len` rows, taken out of a snapshot into which [every block](Self::block) was put.
    pub fn read(row_lines: usize, len: usize, body: &mut Reader) -> Option<Self> {
        let mut new = Self::new(row_lines);
        while new.len < len {
            let rows = (len - new.len).min(new.rows_per_block);
            let lines = rows * new.row_lines;
            let mut block = if new.len == 0 && lines <= BLOCK_LINES / 4 {
                Block::Small(vec![Line::default(); lines])
            } else {
                let mut block = Block::huge(&[]);
                if let Block::Huge(_, filled) = &mut block {
                    *filled = lines;
                }
                block
            };
            body.values(block.lines_mut())?;
            new.blocks.push(block);
            new.len += rows;
        }
        Some(new)
    }

    /// Gets an empty table ready for so many rows; what fills full-size blocks is ready anyway.
    pub fn expect(&mut self, rows: usize) {
        let lines = rows.saturating_mul(self.row_lines);
        if self.blocks.is_empty() && lines <= BLOCK_LINES / 4 {
            self.blocks.push(Block::Small(Vec::with_capacity(lines)));
        }
    }

    /// Appends a row; `row` has exactly the table's number of lines.
    pub fn push(&mut self, row: &[Line]) {
        debug_assert_eq!(row.len(), self.row_lines);
        match self.blocks.last_mut() {
            None => self.blocks.push(Block::Small(Vec::new())),
            Some(Block::Small(lines)) if lines.len() + row.len() > BLOCK_LINES / 4 => {
                let block = Block::huge(lines);
                self.blocks.clear();
                self.blocks.push(block);
            }
            Some(_) => {}
        }
        if self.len >= self.blocks.len() * self.rows_per_block {
            self.blocks.push(Block::huge(&[]));
        }
        if let Some(block) = self.blocks.last_mut() {
            block.push(row);
            self.len += 1;
        }
    }

    /// Overwrites the row at `slot`, if there is one.
    pub fn set(&mut self, slot: usize, row: &[Line]) {
        for (to, from) in self.get_mut(slot).unwrap_or_default().iter_mut().zip(row) {
            *to = *from;
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
        let rest = last % self.rows_per_block * self.row_lines;
        if let Some(block) = self.blocks.last_mut() {
            block.truncate(rest);
            if rest == 0 {
                self.blocks.pop();
            }
        }
        self.len = last;
    }

    /// Bytes held by the blocks.
    pub fn memory_bytes(&self) -> usize {
        let lines: usize = self.blocks.iter().map(Block::capacity).sum();
        lines * size_of::<Line>() + self.blocks.capacity() * size_of::<Block>()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
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
    fn rows_that_are_expected_take_what_they_need() {
        for expected in [0, 1, 7, 100, 5_000] {
            let (mut ready, mut grown) = (Rows::new(12), Rows::new(12));
            ready.expect(expected);
            for i in 0..5_000u32 {
                if i as usize == expected && expected <= 100 {
                    assert_eq!(ready.blocks.first().map_or(0, Block::capacity), expected * 12);
                }
                ready.push(&row(12, i as u8));
                grown.push(&row(12, i as u8));
            }
            let same = |i| ready.get(i).unwrap().iter().zip(grown.get(i).unwrap()).all(|(a, b)| a.0 == b.0);
            assert!((0..5_000).all(same) && ready.len() == grown.len());
        }
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
        assert!(rows.memory_bytes() < bytes + 4 * 1024 * 1024);
    }

    #[test]
    fn the_longest_rows_fit() {
        let lines = 65_536 / 16;
        let mut rows = Rows::new(lines);
        for i in 0..20 {
            rows.push(&row(lines, i));
        }
        assert!((0..20).all(|i| { rows.get(i).unwrap().iter().all(|line| line.0 == [i as u8; 64]) }));
    }
}
