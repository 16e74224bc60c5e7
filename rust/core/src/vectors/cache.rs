//! The graph as a file: a disposable cache that is either whole and right or not used.
//!
//! ```text
//! 0   magic, 8 bytes            32  rows of the index      56  xxh3-128 of all the rest
//! 8   format version, u32       40  nodes of the graph     72  id of each node, u64
//! 12  dimensions, u32           48  bytes of the graph      …  one bit a node: stands for a row
//! 16  hash of usearch's version                             …  the graph
//! 24  generation, u64           (integers are little-endian)
//! ```
//!
//! usearch reads nothing before the checksum has been found right: it has been seen to crash on,
//! or to accept, a file with a flipped bit.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::graph::Graph;
use super::links::Links;
use super::worker::Shared;
use super::{encode, fork};

const MAGIC: &[u8; 8] = b"AIVECGR\n";
/// Of this layout and of how nodes are encoded.
const VERSION: u32 = 1;
const SUM_AT: usize = 56;
const HEADER: usize = 72;

/// Builds the header without its checksum.
fn header(shared: &Shared, generation: u64, rows: usize, nodes: usize, graph: usize) -> Vec<u8> {
    let mut header = Vec::with_capacity(HEADER);
    header.extend_from_slice(MAGIC);
    header.extend_from_slice(&VERSION.to_le_bytes());
    header.extend_from_slice(&(shared.dimensions as u32).to_le_bytes());
    header.extend_from_slice(&xxh3_64(usearch::version().as_bytes()).to_le_bytes());
    for number in [generation, rows as u64, nodes as u64, graph as u64] {
        header.extend_from_slice(&number.to_le_bytes());
    }
    header
}

fn checksum(header: &[u8], body: &[&[u8]]) -> [u8; 16] {
    let mut hash = Xxh3::new();
    hash.update(header);
    body.iter().for_each(|part| hash.update(part));
    hash.digest128().to_le_bytes()
}

/// The temporary file beside `path`: one name, so that killed saves leave at most one behind.
fn temporary(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    path.with_file_name(name)
}

/// Whether a rename onto `path` replaces nothing but a file: it would take the place of a device or a pipe as well.
fn replaceable(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.is_file() => {
            Err(io::Error::new(io::ErrorKind::InvalidInput, "there is something that is not a regular file"))
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// See [`VectorIndex::save_cache`](super::VectorIndex::save_cache).
pub fn save(shared: &Shared, path: &Path, generation: u64) -> io::Result<bool> {
    replaceable(path)?;
    let (head, ids, live, graph) = {
        let _gate = fork::enter();
        let state = shared.read();
        let graph = shared.graph();
        let (Some(links), Some(graph)) = (&state.serving, graph.as_ref()) else {
            return Ok(false);
        };
        if graph.len() != links.nodes() {
            return Ok(false); // the worker is between adding and linking: try again later
        }
        let mut ids = Vec::with_capacity(links.nodes() * 8);
        let mut live = vec![0u8; links.nodes().div_ceil(8)];
        for (node, slot) in links.rows().enumerate() {
            let id = slot.and_then(|slot| state.table.ids().get(slot as usize).copied());
            ids.extend_from_slice(&id.unwrap_or(0).to_le_bytes());
            if let (Some(_), Some(byte)) = (id, live.get_mut(node / 8)) {
                *byte |= 1 << (node % 8);
            }
        }
        let Ok(bytes) = graph.save() else {
            return Ok(false);
        };
        (header(shared, generation, state.table.len(), links.nodes(), bytes.len()), ids, live, bytes)
    };
    let sum = checksum(&head, &[&ids, &live, &graph]);
    let partial = temporary(path);
    let written = (|| {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&partial)?;
        for part in [head.as_slice(), &sum, &ids, &live, &graph] {
            file.write_all(part)?;
        }
        file.sync_all()?;
        fs::rename(&partial, path)
    })();
    if let Err(error) = written {
        // What cannot be written cannot always be removed; the error to report is the first.
        let _ = fs::remove_file(&partial);
        return Err(error);
    }
    #[cfg(unix)]
    if let Some(folder) = path.parent() {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        File::open(folder)?.sync_all()?;
    }
    Ok(true)
}

/// A file's bytes after the header, once the checksum has been found right.
struct Verified {
    body: Vec<u8>,
    nodes: usize,
}

fn read(shared: &Shared, path: &Path, generation: u64) -> Option<Verified> {
    let file = File::open(path).ok()?;
    let about = file.metadata().ok()?;
    let mut bytes = Vec::new();
    if !about.is_file() || file.take(about.len()).read_to_end(&mut bytes).is_err() {
        return None;
    }
    let number = |at: usize| bytes.get(at..at + 8)?.first_chunk().copied().map(u64::from_le_bytes);
    let (rows, nodes, graph) = (number(32)?, number(40)?, number(48)?);
    let [rows, nodes, graph] = [rows, nodes, graph].map(|n| usize::try_from(n).unwrap_or(usize::MAX));
    let expected = header(shared, generation, rows, nodes, graph);
    let size =
        nodes.checked_mul(8)?.checked_add(nodes.div_ceil(8))?.checked_add(graph)?.checked_add(HEADER)?;
    let (head, body) = (bytes.get(..SUM_AT)?, bytes.get(HEADER..)?);
    if head != expected || size != bytes.len() || bytes.get(SUM_AT..HEADER)? != checksum(head, &[body]) {
        return None;
    }
    bytes.drain(..HEADER);
    let _gate = fork::enter();
    (rows == shared.read().table.len()).then_some(Verified { body: bytes, nodes })
}

/// See [`VectorIndex::load_cache`](super::VectorIndex::load_cache).
pub fn load(shared: &Shared, path: &Path, generation: u64) -> Option<()> {
    let claim = shared.claim()?; // with a build under way the file is not needed
    let Verified { body, nodes } = read(shared, path, generation)?;
    let (ids, rest) = body.split_at_checked(nodes * 8)?;
    let (live, bytes) = rest.split_at_checked(nodes.div_ceil(8))?;
    let graph = Graph::load(encode::code_lines(shared.dimensions), shared.options.kernels, bytes).ok()?;
    if graph.len() != nodes {
        return None;
    }
    let _gate = fork::enter();
    let mut state = shared.write();
    let mut links = Links::new(state.table.len());
    for (node, id) in ids.as_chunks::<8>().0.iter().enumerate() {
        let stands = live.get(node / 8).is_some_and(|byte| byte >> (node % 8) & 1 == 1);
        let slot = if stands { Some(state.table.slot(u64::from_le_bytes(*id))?) } else { None };
        if !links.restore(slot) {
            return None;
        }
    }
    let old = shared.install(&mut state, graph, links);
    drop(state);
    drop((old, claim));
    Some(())
}
