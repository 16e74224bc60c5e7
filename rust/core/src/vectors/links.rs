//! Which node of a graph stands for which row.
//!
//! A graph only grows. A row that changes or goes leaves a dead node behind; a row without a node
//! is in the tail, which every search scans exactly. So a change costs nothing here, results are
//! right at every moment, and a worker moves the tail into the graph when it finds time.

use std::collections::BTreeSet;

/// No row, or no node.
const NONE: u32 = u32::MAX;

/// The two directions, and what is in neither.
#[derive(Debug, Default)]
pub struct Links {
    row_of: Vec<u32>,
    node_of: Vec<u32>,
    tail: BTreeSet<u32>,
    /// Taken from the tail by the worker, whose nodes are being made.
    picked: BTreeSet<u32>,
    dead: usize,
}

impl Links {
    /// `rows` rows, all of them in the tail.
    pub fn new(rows: usize) -> Self {
        Self {
            row_of: Vec::new(),
            node_of: vec![NONE; rows],
            tail: (0..rows as u32).collect(),
            ..Self::default()
        }
    }

    fn kill(&mut self, slot: u32) {
        if let Some(node) = self.node_of.get_mut(slot as usize).filter(|node| **node != NONE) {
            if let Some(row) = self.row_of.get_mut(*node as usize) {
                *row = NONE;
            }
            self.dead += 1;
            *node = NONE;
        }
    }

    /// The row at `slot` is new or has changed.
    pub fn put(&mut self, slot: u32) {
        if slot as usize == self.node_of.len() {
            self.node_of.push(NONE);
        }
        self.kill(slot);
        self.picked.remove(&slot);
        self.tail.insert(slot);
    }

    /// The row at `hole` went and the one at `last` took its place.
    pub fn remove(&mut self, hole: u32, last: u32) {
        self.kill(hole);
        self.tail.remove(&hole);
        self.picked.remove(&hole);
        let node = self.node_of.pop().unwrap_or(NONE);
        if hole == last {
            return; // it was in no set any more, having been taken out as `hole`
        }
        // Both are asked: the node that is being made for `last` would not find it there.
        if self.tail.remove(&last) | self.picked.remove(&last) {
            self.tail.insert(hole);
        }
        if let Some(place) = self.node_of.get_mut(hole as usize) {
            *place = node;
        }
        if let Some(row) = self.row_of.get_mut(node as usize) {
            *row = hole;
        }
    }

    /// Takes up to `most` slots out of the tail to make nodes for; a row that changes before its
    /// node is linked goes back to the tail.
    pub fn pick(&mut self, most: usize) -> Vec<u32> {
        let slots: Vec<u32> = self.tail.iter().copied().take(most).collect();
        for slot in &slots {
            self.tail.remove(slot);
            self.picked.insert(*slot);
        }
        slots
    }

    /// The next node was made from the row at `slot` as it was when it was picked.
    pub fn link(&mut self, slot: u32) {
        let node = self.row_of.len() as u32;
        if self.picked.remove(&slot)
            && let Some(place) = self.node_of.get_mut(slot as usize)
        {
            *place = node;
            self.row_of.push(slot);
        } else {
            self.row_of.push(NONE);
            self.dead += 1;
        }
    }

    /// Those of a stored graph: the slot of each node in order, of `rows` rows. `None` when a slot has two nodes or is
    /// none of the rows'.
    pub fn of(rows: usize, nodes: Vec<Option<u32>>) -> Option<Self> {
        let mut node_of = vec![NONE; rows];
        for (node, slot) in (0u32..).zip(&nodes) {
            if let Some(slot) = slot {
                let place = node_of.get_mut(*slot as usize)?;
                if std::mem::replace(place, node) != NONE {
                    return None;
                }
            }
        }
        let tail = (0u32..).zip(&node_of).filter(|(_, node)| **node == NONE).map(|(slot, _)| slot).collect();
        let dead = nodes.iter().filter(|slot| slot.is_none()).count();
        let row_of = nodes.into_iter().map(|slot| slot.unwrap_or(NONE)).collect();
        Some(Self { row_of, node_of, tail, picked: BTreeSet::new(), dead })
    }

    /// The slot that node `node` stands for, if its row is still the same.
    pub fn row(&self, node: u64) -> Option<u32> {
        self.row_of.get(usize::try_from(node).ok()?).copied().filter(|row| *row != NONE)
    }

    /// Slots without a node.
    pub fn tail(&self) -> impl Iterator<Item = u32> {
        self.tail.iter().chain(&self.picked).copied()
    }

    /// How many rows have no node.
    pub fn tail_len(&self) -> usize {
        self.tail.len() + self.picked.len()
    }

    /// Nodes in order, with the slot of each.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = Option<u32>> {
        self.row_of.iter().map(|row| (*row != NONE).then_some(*row))
    }

    /// Nodes that stand for nothing.
    pub fn dead(&self) -> usize {
        self.dead
    }

    /// How many nodes there are.
    pub fn nodes(&self) -> usize {
        self.row_of.len()
    }

    /// Bytes held; a set of integers takes about eight bytes each.
    pub fn memory_bytes(&self) -> usize {
        (self.row_of.capacity() + self.node_of.capacity()) * 4 + self.tail.len() * 8
    }
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    /// Plays changes against plain vectors of contents: a live node always has its row's content.
    #[test]
    fn live_nodes_always_stand_for_their_row() {
        let (mut rows, mut nodes): (Vec<u64>, Vec<u64>) = ((0..40).collect(), Vec::new());
        let mut links = Links::new(rows.len());
        let (mut picked, mut state) = (Vec::new(), 9u64);
        for step in 1_000..40_000u64 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (kind, at) = ((state >> 33) % 5, (state >> 40) as usize % (rows.len() + 1));
            match kind {
                0 | 1 if at < rows.len() => {
                    rows[at] = step;
                    links.put(at as u32);
                }
                0 | 1 if rows.len() < 60 => {
                    rows.push(step);
                    links.put(at as u32);
                }
                2 if at < rows.len() => {
                    links.remove(at as u32, rows.len() as u32 - 1);
                    rows.swap_remove(at);
                }
                _ => {
                    if picked.is_empty() {
                        picked = links.pick(3).into_iter().map(|slot| (slot, rows[slot as usize])).collect();
                    } else {
                        for (slot, content) in picked.drain(..) {
                            nodes.push(content);
                            links.link(slot);
                        }
                    }
                }
            }
            if step % 50 == 0 {
                let live: Vec<_> = (0..nodes.len() as u64).filter_map(|n| Some((n, links.row(n)?))).collect();
                assert!(live.iter().all(|(n, slot)| nodes[*n as usize] == rows[*slot as usize]));
                assert_eq!(live.len() + links.tail_len(), rows.len());
                assert_eq!(nodes.len() - live.len(), links.dead());
            }
        }
    }
}
