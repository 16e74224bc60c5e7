//! An index in a [snapshot](crate::snapshot), or its graph alone: whole and right, or not used.
//!
//! usearch reads nothing before the checksum has been found right: it has been seen to crash on,
//! or to accept, bytes with a flipped bit.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::encode::{MAX_DIMENSIONS, Precision};
use super::graph::{self, Graph};
use super::links::Links;
use super::options::Options;
use super::rows::{Line, Rows};
use super::signs::Signs;
use super::table::Table;
use super::worker::Shared;
use super::{encode, fork};
use crate::snapshot::{self, Draft, Reader, Writer};

/// Of the body and of how nodes are encoded.
const VERSION: u64 = 4;
/// A node that stands for no row.
const NONE: u32 = u32::MAX;

/// A graph and the slots its nodes stand for, as they were at one moment.
struct Served {
    ids: Vec<u64>,
    nodes: Vec<u32>,
    graph: Vec<u8>,
}

/// `None` while there is no graph, or the worker is between adding and linking.
fn served(shared: &Shared) -> Option<Served> {
    let _gate = fork::enter();
    let state = shared.read();
    let graph = shared.graph();
    let (links, graph) = (state.serving.as_ref()?, graph.as_ref()?);
    if graph.len() != links.nodes() {
        return None;
    }
    Some(Served {
        ids: state.table.ids().to_vec(),
        nodes: links.rows().map(|slot| slot.unwrap_or(NONE)).collect(),
        graph: graph.save().ok()?,
    })
}

/// Puts the graph of a body into service. `ids` are those of the rows it was made from, in the order of their slots.
fn read_graph(shared: &Shared, body: &mut Reader, ids: &[u64]) -> Option<()> {
    let nodes: Vec<u32> = body.list()?;
    let bytes: Vec<u8> = body.list()?;
    if !body.is_sound() {
        return None;
    }
    let graph = Graph::load(encode::code_lines(shared.dimensions), shared.options.kernels, &bytes).ok()?;
    drop(bytes);
    if graph.len() != nodes.len() {
        return None;
    }
    let _gate = fork::enter();
    let mut state = shared.write();
    let table = &state.table;
    if ids.len() != table.len() {
        return None;
    }
    let mut rows = Vec::with_capacity(nodes.len());
    for node in nodes {
        rows.push(if node == NONE { None } else { Some(table.slot(*ids.get(node as usize)?)?) });
    }
    let links = Links::of(table.len(), rows)?;
    let old = shared.install(&mut state, graph, links);
    drop(state);
    drop(old);
    Some(())
}

/// What a graph alone is about.
fn about(shared: &Shared, generation: u64) -> Vec<u8> {
    let mut about = format!("vector graph, usearch {}", graph::version()).into_bytes();
    for number in [VERSION, shared.dimensions as u64, generation] {
        about.extend_from_slice(&number.to_le_bytes());
    }
    about
}

/// See [`VectorIndex::save_cache`](super::VectorIndex::save_cache).
pub fn save(shared: &Shared, path: &Path, generation: u64) -> io::Result<bool> {
    let Some(served) = served(shared) else { return Ok(false) };
    let Some(mut draft) = Draft::begin(path)? else { return Ok(false) };
    draft.fill(&about(shared, generation), |out| {
        out.list(&served.ids)?;
        out.list(&served.nodes)?;
        out.list(&served.graph)
    })?;
    draft.publish()?;
    Ok(true)
}

/// See [`VectorIndex::load_cache`](super::VectorIndex::load_cache).
pub fn load(shared: &Shared, path: &Path, generation: u64) -> Option<()> {
    let claim = shared.claim()?; // with a build under way the file is not needed
    snapshot::load(path, &about(shared, generation), |body| {
        let ids: Vec<u64> = body.list()?;
        read_graph(shared, body, &ids)
    })?;
    drop(claim);
    Some(())
}

/// What a table holds in blocks of rows, in the order of a body.
#[derive(Clone, Copy)]
enum Part {
    Exact,
    Codes,
    Signs,
}

impl Table {
    fn block(&self, part: Part, at: usize) -> Option<&[Line]> {
        match part {
            Part::Exact => self.exact.block(at),
            Part::Codes => self.codes.as_ref()?.0.block(at),
            Part::Signs => self.signs.as_ref()?.1.blocks.block(at),
        }
    }

    /// This table, which is empty, with the rows of a body.
    fn read(mut self, body: &mut Reader) -> Option<Self> {
        let (ids, scales, factors): (Vec<u64>, Vec<f32>, Vec<f32>) =
            (body.list()?, body.list()?, body.list()?);
        self.exact = Rows::read(self.exact.row_lines(), ids.len(), body)?;
        if self.precision == Precision::I8 && scales.len() == ids.len() {
            self.make_codes();
        }
        if let Some((rows, held)) = &mut self.codes {
            *rows = Rows::read(rows.row_lines(), ids.len(), body)?;
            *held = scales;
        } else if !scales.is_empty() {
            return None;
        }
        if let Some((rotation, signs)) = &mut self.signs {
            *signs = Signs::read(rotation.lines(), ids.len(), factors, body)?;
        }
        self.slots.reserve(ids.len());
        self.slots.extend(ids.iter().copied().zip(0u32..));
        self.straight = ids.iter().copied().eq(0..ids.len() as u64);
        self.ids = ids;
        self.find_common();
        (self.slots.len() == self.ids.len()).then_some(self)
    }
}

/// See [`VectorIndex::write`](super::VectorIndex::write).
pub fn write(shared: &Shared, out: &mut Writer<'_>) -> io::Result<()> {
    let (ids, scales, factors) = {
        let _gate = fork::enter();
        let table = &shared.read().table;
        let scales = table.codes.as_ref().map_or(Vec::new(), |(_, scales)| scales.clone());
        let factors = table.signs.as_ref().map_or(Vec::new(), |(_, signs)| signs.factors.clone());
        (table.ids().to_vec(), scales, factors)
    };
    out.values(&[shared.dimensions as u64, shared.options.precision as u64])?;
    out.list(&ids)?;
    out.list(&scales)?;
    out.list(&factors)?;
    let mut lines = Vec::new();
    for part in [Part::Exact, Part::Codes, Part::Signs] {
        for at in 0.. {
            // Searches and the worker wait for the copying of a block, not for a disk.
            let there = {
                let _gate = fork::enter();
                let state = shared.read();
                let block = state.table.block(part, at);
                lines.clear();
                lines.extend_from_slice(block.unwrap_or_default());
                block.is_some()
            };
            if !there {
                break;
            }
            out.values(&lines)?;
        }
    }
    match served(shared).filter(|served| served.ids == ids) {
        Some(served) => {
            out.number(1)?;
            out.later(served.graph);
            out.list(&served.nodes)
        }
        None => out.number(0),
    }
}

/// See [`VectorIndex::read`](super::VectorIndex::read).
pub fn read(options: Options, body: &mut Reader) -> Option<(Arc<Shared>, bool)> {
    let (dimensions, precision) = (body.size()?, body.number()?);
    if !(1..=MAX_DIMENSIONS).contains(&dimensions) || precision != options.precision as u64 {
        return None;
    }
    let shared = Shared::new(dimensions, options);
    let table = Table::new(dimensions, options.precision, options.kernels).read(body)?;
    shared.write().table = table;
    let nodes: Option<Vec<u32>> = if body.number()? == 1 { Some(body.list()?) } else { None };
    if !body.is_sound() {
        return None;
    }
    let shared = Arc::new(shared);
    let had = nodes.is_some();
    if let (Some(nodes), Some(bytes)) = (nodes, body.later()) {
        // Reading them and making nodes of them takes longer than scans of the rows do: no search waits for it.
        let rows: Vec<_> = nodes.into_iter().map(|node| Some(node).filter(|node| *node != NONE)).collect();
        let count = rows.len();
        let links = Links::of(shared.read().table.len(), rows)?;
        let (lines, kernels) = (encode::code_lines(dimensions), options.kernels);
        Shared::adopt(&shared, links, move || {
            let graph = Graph::load(lines, kernels, &bytes.read()?).ok()?;
            (graph.len() == count).then_some(graph)
        });
    } else {
        Shared::tend(&shared);
    }
    Some((shared, had))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::time::Duration;

    use crate::snapshot::{Reader, through_a_file};
    use crate::vectors::{Options, Precision, Search, VectorIndex};

    fn exactly(k: usize) -> Search<'static> {
        Search { exact: true, ..Search::best(k) }
    }

    /// Of every precision, with and without a graph, in one block and in several.
    #[test]
    fn an_index_comes_back_to_the_bit() {
        let mut state = 7_u64;
        let mut random = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        };
        for (precision, count, graph_from) in [
            (Precision::F32, 0_u64, 1),
            (Precision::F16, 300, usize::MAX),
            (Precision::I8, 300, 200),
            (Precision::I8, 300, usize::MAX),
            (Precision::I8, 700, usize::MAX),
            (Precision::I8, 9_000, 8_000),
            (Precision::F32, 9_000, usize::MAX),
        ] {
            let options = Options { precision, graph_from, ..Options::default() };
            let index = VectorIndex::new(150, options).unwrap();
            for id in 0..count {
                index.add(id * 3, &[(); 150].map(|()| random())).unwrap();
            }
            (0..count / 50).for_each(|id| assert!(index.remove(id * 6)));
            assert!(index.settle(Duration::from_secs(60)));
            let read = |body: &mut Reader| VectorIndex::read(options, body).filter(|_| body.is_done());
            let (again, had_graph) = through_a_file(|out| index.write(out), read).0.unwrap();
            assert_eq!(had_graph, index.has_graph());
            // What is asked or changed before the graph is there is right as well.
            assert_eq!(again.search(&[0.5; 150], exactly(9)), index.search(&[0.5; 150], exactly(9)));
            assert!(again.settle(Duration::from_secs(60)));
            assert_eq!((again.len(), again.has_graph()), (index.len(), index.has_graph()));
            assert_eq!(index.has_graph(), graph_from < count as usize);
            for exact in [true, false] {
                for _ in 0..20 {
                    let (query, search) = ([(); 150].map(|()| random()), Search { exact, ..Search::best(5) });
                    let found = index.search(&query, search).unwrap();
                    assert_eq!(again.search(&query, search).unwrap(), found);
                }
            }
            // It goes on changing as the first one does.
            for index in [&index, &again] {
                index.replace(3, &[0.5; 150]).unwrap();
                index.remove(9);
                index.add(u64::MAX, &[-0.5; 150]).unwrap();
            }
            let query = [(); 150].map(|()| random());
            let found = |index: &VectorIndex| index.search(&query, Search::best(index.len())).unwrap();
            assert_eq!(found(&again), found(&index));
            let other = Options { precision: Precision::F16, ..options };
            let (read, _) = through_a_file(|out| index.write(out), |body| VectorIndex::read(other, body));
            assert_eq!(read.is_some(), precision == Precision::F16);
        }
    }
}
