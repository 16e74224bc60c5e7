//! The graph in a [snapshot](crate::snapshot): a disposable cache that is either whole and right or not used.
//!
//! usearch reads nothing before the checksum has been found right: it has been seen to crash on,
//! or to accept, bytes with a flipped bit.

use std::io;
use std::path::Path;

use super::graph::Graph;
use super::links::Links;
use super::worker::Shared;
use super::{encode, fork};
use crate::snapshot::{self, Draft, Reader, Writer};

/// Of the body and of how nodes are encoded.
const VERSION: u64 = 2;
/// A node that stands for no row.
const NONE: u32 = u32::MAX;

/// A graph and the slots its nodes stand for, as they were at one moment.
struct Part {
    ids: Vec<u64>,
    nodes: Vec<u32>,
    graph: Vec<u8>,
}

/// `None` while there is no graph, or the worker is between adding and linking.
fn part(shared: &Shared) -> Option<Part> {
    let _gate = fork::enter();
    let state = shared.read();
    let graph = shared.graph();
    let (links, graph) = (state.serving.as_ref()?, graph.as_ref()?);
    if graph.len() != links.nodes() {
        return None;
    }
    Some(Part {
        ids: state.table.ids().to_vec(),
        nodes: links.rows().map(|slot| slot.unwrap_or(NONE)).collect(),
        graph: graph.save().ok()?,
    })
}

impl Part {
    fn write(&self, out: &mut Writer<'_>) -> io::Result<()> {
        out.list(&self.nodes)?;
        out.list(&self.graph)
    }
}

/// Puts the graph of a body into service. `ids` are those of the rows it was made from, in the order of their slots;
/// without them the rows are as they were.
fn read(shared: &Shared, body: &mut Reader, ids: Option<&[u64]>) -> Option<()> {
    let nodes: Vec<u32> = body.list()?;
    let bytes: Vec<u8> = body.list()?;
    let graph = Graph::load(encode::code_lines(shared.dimensions), shared.options.kernels, &bytes).ok()?;
    drop(bytes);
    if graph.len() != nodes.len() {
        return None;
    }
    let _gate = fork::enter();
    let mut state = shared.write();
    let table = &state.table;
    if ids.is_some_and(|ids| ids.len() != table.len()) {
        return None;
    }
    let mut rows = Vec::with_capacity(nodes.len());
    for node in nodes {
        rows.push(match ids {
            _ if node == NONE => None,
            Some(ids) => Some(table.slot(*ids.get(node as usize)?)?),
            None => Some(node),
        });
    }
    let links = Links::of(table.len(), rows)?;
    let old = shared.install(&mut state, graph, links);
    drop(state);
    drop(old);
    Some(())
}

/// What a graph alone is about.
fn about(shared: &Shared, generation: u64) -> Vec<u8> {
    let mut about = format!("vector graph, usearch {}", usearch::version()).into_bytes();
    for number in [VERSION, shared.dimensions as u64, generation] {
        about.extend_from_slice(&number.to_le_bytes());
    }
    about
}

/// See [`VectorIndex::save_cache`](super::VectorIndex::save_cache).
pub fn save(shared: &Shared, path: &Path, generation: u64) -> io::Result<bool> {
    let Some(part) = part(shared) else { return Ok(false) };
    let Some(mut draft) = Draft::begin(path)? else { return Ok(false) };
    draft.fill(&about(shared, generation), |out| {
        out.list(&part.ids)?;
        part.write(out)
    })?;
    draft.publish()?;
    Ok(true)
}

/// See [`VectorIndex::load_cache`](super::VectorIndex::load_cache).
pub fn load(shared: &Shared, path: &Path, generation: u64) -> Option<()> {
    let claim = shared.claim()?; // with a build under way the file is not needed
    let mut body = snapshot::open(path, &about(shared, generation))?;
    let ids: Vec<u64> = body.list()?;
    read(shared, &mut body, Some(&ids))?;
    drop(claim);
    Some(())
}
