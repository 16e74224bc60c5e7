//! What an index shares with its background thread, and that thread.
//!
//! Locks are taken in the order `state`, `graph`. A search holds both for reading. The worker adds
//! to a graph that nobody sees yet without any lock, and to the one in service in small batches.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};
use std::time::{Duration, Instant};

use super::encode;
use super::fork;
use super::graph::{Graph, GraphError};
use super::links::Links;
use super::options::Options;
use super::signs::Rotation;
use super::table::{Encoded, Table};

/// Rows without a node that start the worker: a scan of so many costs less than a graph search.
const TAIL: usize = 1_024;
/// Nodes made between two looks at the state; a fork and a dropped index wait for as many.
const BUILD_STEP: usize = 32;
/// Nodes made while searches wait.
const CATCH_UP_STEP: usize = 4;

/// The rows and which of them a graph knows.
#[derive(Debug)]
pub struct State {
    pub(super) table: Table,
    /// For the graph in service.
    pub(super) serving: Option<Links>,
    /// For the one that the worker builds to take its place.
    pub(super) building: Option<Links>,
}

impl State {
    fn links(&mut self) -> impl Iterator<Item = &mut Links> {
        [&mut self.serving, &mut self.building].into_iter().flatten()
    }

    /// Stores a row.
    pub fn put(&mut self, id: u64, row: &Encoded) {
        let slot = self.table.put(id, row);
        self.links().for_each(|links| links.put(slot));
    }

    /// Removes a row.
    pub fn remove(&mut self, id: u64) -> bool {
        let Some((hole, last)) = self.table.remove(id) else {
            return false;
        };
        self.links().for_each(|links| links.remove(hole, last));
        true
    }
}

/// What the background has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    Nothing,
    /// Build a graph from all rows.
    Build,
    /// Add the tail to the graph in service.
    CatchUp,
    /// There are too few rows for a graph now.
    Discard,
}

/// An index, for its owner and its worker.
#[derive(Debug)]
pub struct Shared {
    pub(super) dimensions: usize,
    pub(super) options: Options,
    /// That of the table.
    pub(super) rotation: Option<Arc<Rotation>>,
    pub(super) state: RwLock<State>,
    graph: RwLock<Option<Graph>>,
    /// The process whose thread works for this index; 0 for none. (A forked child has no threads.)
    worker: AtomicU32,
    /// usearch could not allocate: there will be no graph, the scan answers.
    failed: AtomicBool,
}

/// A claim to be the only worker, given up when dropped.
#[derive(Debug)]
pub struct Claim<'a>(&'a AtomicU32);

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.0.store(0, Ordering::Release);
    }
}

impl Shared {
    /// An empty index.
    pub fn new(dimensions: usize, options: Options) -> Self {
        let table = Table::new(dimensions, options.precision, options.kernels);
        Self {
            dimensions,
            options,
            rotation: table.rotation(),
            state: RwLock::new(State { table, serving: None, building: None }),
            graph: RwLock::new(None),
            worker: AtomicU32::new(0),
            failed: AtomicBool::new(false),
        }
    }

    // Nothing panics while it holds a lock, so poison (which only a panic leaves) is ignored.

    /// The state, shared.
    pub fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, alone.
    pub fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The graph in service, shared.
    pub fn graph(&self) -> RwLockReadGuard<'_, Option<Graph>> {
        self.graph.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn graph_mut(&self) -> RwLockWriteGuard<'_, Option<Graph>> {
        self.graph.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn task(&self, state: &State) -> Task {
        let rows = state.table.len();
        if self.failed.load(Ordering::Relaxed) {
            return Task::Nothing;
        }
        match &state.serving {
            None if rows >= self.options.graph_from => Task::Build,
            None => Task::Nothing,
            Some(_) if rows < self.options.graph_from / 2 => Task::Discard,
            Some(links) if links.dead() * 5 >= links.nodes().max(1) => Task::Build,
            Some(links) if links.tail_len() >= TAIL => Task::CatchUp,
            Some(_) => Task::Nothing,
        }
    }

    /// Becomes the only worker, if there is none in this process.
    pub fn claim(&self) -> Option<Claim<'_>> {
        let me = std::process::id();
        let claim = |now| (now != me).then_some(me);
        self.worker.fetch_update(Ordering::AcqRel, Ordering::Acquire, claim).ok().map(|_| Claim(&self.worker))
    }

    /// Starts the background thread if there is something to do and none runs.
    pub fn tend(this: &Arc<Self>) {
        {
            let _gate = fork::enter();
            if this.task(&this.read()) == Task::Nothing {
                return;
            }
        }
        let Some(claim) = this.claim() else { return };
        let shared = Arc::downgrade(this);
        let thread = std::thread::Builder::new().name("ai-infra-vectors".to_owned());
        if thread.spawn(move || work(&shared, None)).is_ok() {
            std::mem::forget(claim); // the thread gives it up
        }
    }

    /// Puts the graph that `made` gives into service, in the background. `links` are its nodes for the rows as they are
    /// now; changes are noted there from here on. If there is none after all, or no thread, one is built.
    pub fn adopt(this: &Arc<Self>, links: Links, made: impl FnOnce() -> Option<Graph> + Send + 'static) {
        let Some(claim) = this.claim() else { return };
        {
            let _gate = fork::enter();
            this.write().building = Some(links);
        }
        let shared = Arc::downgrade(this);
        let thread = std::thread::Builder::new().name("ai-infra-vectors".to_owned());
        let body = move || {
            let graph = made();
            work(&shared, graph);
        };
        if thread.spawn(body).is_ok() {
            std::mem::forget(claim); // the thread gives it up
        }
    }

    /// Waits until nothing is left to do.
    pub fn settle(&self, timeout: Duration) -> bool {
        let start = Instant::now();
        loop {
            {
                let _gate = fork::enter();
                let idle = self.worker.load(Ordering::Acquire) != std::process::id();
                if idle && self.task(&self.read()) == Task::Nothing {
                    return true;
                }
            }
            if start.elapsed() >= timeout {
                return false;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Puts a graph into service.
    pub fn install(&self, state: &mut State, graph: Graph, links: Links) -> Option<Graph> {
        state.serving = Some(links);
        state.building = None;
        self.graph_mut().replace(graph)
    }

    /// One step of the background's work; `private` is the graph being built. False when done.
    fn step(&self, private: &mut Option<Graph>) -> Result<bool, GraphError> {
        let _gate = fork::enter();
        if private.is_some() {
            return self.build_step(private).map(|()| true);
        }
        let task = self.task(&self.read());
        match task {
            Task::Nothing => return Ok(false),
            Task::Build => {
                let mut state = self.write();
                let rows = state.table.len();
                state.building = Some(Links::new(rows));
                drop(state);
                let lines = encode::code_lines(self.dimensions);
                *private = Some(Graph::new(lines, self.options.kernels, rows + rows / 4 + 1_024)?);
            }
            Task::CatchUp => {
                let (slots, nodes) = self.pick(CATCH_UP_STEP, false);
                if let Some(graph) = self.graph_mut().as_mut() {
                    nodes.iter().try_for_each(|node| graph.push(node))?;
                }
                if let Some(links) = &mut self.write().serving {
                    slots.into_iter().for_each(|slot| links.link(slot));
                }
            }
            Task::Discard => {
                let mut state = self.write();
                state.serving = None;
                let old = self.graph_mut().take();
                drop((state, old));
            }
        }
        Ok(true)
    }

    fn build_step(&self, private: &mut Option<Graph>) -> Result<(), GraphError> {
        let (slots, nodes) = self.pick(BUILD_STEP, true);
        if let Some(graph) = private {
            nodes.iter().try_for_each(|node| graph.push(node))?;
        }
        let mut state = self.write();
        let Some(links) = &mut state.building else {
            *private = None; // a cache was loaded meanwhile
            return Ok(());
        };
        slots.into_iter().for_each(|slot| links.link(slot));
        if links.tail_len() == 0
            && let (Some(graph), Some(links)) = (private.take(), state.building.take())
        {
            let old = self.install(&mut state, graph, links);
            drop(state);
            drop(old); // frees many blocks: not under the lock
        }
        Ok(())
    }

    /// Takes slots from a tail, with the nodes to make of them.
    fn pick(&self, most: usize, building: bool) -> (Vec<u32>, Vec<Vec<u8>>) {
        let mut state = self.write();
        let State { table, serving, building: next } = &mut *state;
        let links = if building { next } else { serving };
        let slots = links.as_mut().map_or_else(Vec::new, |links| links.pick(most));
        let nodes = slots.iter().map(|slot| {
            let mut node = Vec::new();
            table.node(*slot, &mut node);
            node
        });
        (slots.clone(), nodes.collect())
    }

    /// After a failure in usearch: exact from now on.
    fn give_up(&self) {
        let _gate = fork::enter();
        self.failed.store(true, Ordering::Relaxed);
        let mut state = self.write();
        (state.serving, state.building) = (None, None);
        let old = self.graph_mut().take();
        drop((state, old));
    }
}

/// The thread: works as long as the index lives and has something to do.
fn work(index: &Weak<Shared>, mut private: Option<Graph>) {
    while let Some(shared) = index.upgrade() {
        match shared.step(&mut private) {
            Ok(true) => {}
            Ok(false) => {
                drop(Claim(&shared.worker));
                // Something may have come up between the last look and giving up the claim.
                Shared::tend(&shared);
                return;
            }
            Err(GraphError) => {
                shared.give_up();
                drop(Claim(&shared.worker));
                return;
            }
        }
    }
}
