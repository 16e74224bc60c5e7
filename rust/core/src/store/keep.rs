//! Which indexes are kept in files, and when: a large one once it was read from the database, again when a fifth of
//! it has changed, and when its graph is there. So what is written is a constant share of what was read.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLock};
use std::thread;

use rusqlite::Connection;

use super::index::{GRAPH_FROM, NamespaceIndex, State, options};
use super::items::Store;
use super::snapshots::purges;
use crate::error::Result;
use crate::lexical::Documents;
use crate::snapshot::{Reader, Writer};
use crate::vectors::{IdHash, VectorIndex, graph_version};

/// Items from which reading a file is worth it: reading so many from the database takes some 50 ms.
const WORTH: usize = 4_096;
/// An index is saved again when one item in so many has changed.
const SHARE: usize = 5;
/// How often the background tries to get a word in with those who write: for some seconds.
const TRIES: usize = 100;

/// Of the body, of how texts are taken apart, and of how vectors are made and encoded.
const VERSION: u32 = 3;

impl NamespaceIndex {
    /// Whether it shows nothing yet.
    pub fn is_blank(&self) -> bool {
        self.ns_id == 0
    }

    /// Whether the file on the disk, if there is one, lacks so much that a new one is worth it.
    pub fn is_due(&self) -> bool {
        let len = self.len();
        len >= WORTH && (self.unsaved.load(Ordering::Relaxed) >= len / SHARE || self.has_new_graph())
    }

    /// Whether it was just read from the database, or as good as.
    pub fn is_new(&self) -> bool {
        self.len() >= WORTH && self.latest >= self.len() / SHARE
    }

    /// From now on only what changes later counts, whether saving succeeds or not.
    fn noted(&self) {
        self.unsaved.store(0, Ordering::Relaxed);
        self.graph_noted.store(self.has_graph(), Ordering::Relaxed);
    }

    /// Whether searches of all its vectors use a graph.
    fn has_graph(&self) -> bool {
        self.len() >= GRAPH_FROM / 2 && self.vectors.as_ref().is_some_and(VectorIndex::has_graph)
    }

    fn has_new_graph(&self) -> bool {
        !self.graph_noted.load(Ordering::Relaxed) && self.has_graph()
    }

    fn write(&self, out: &mut Writer<'_>) -> io::Result<()> {
        out.values(&[self.ns_id, self.generation, self.newest])?;
        out.list(&self.ids)?;
        self.texts.write(out)?;
        match &self.vectors {
            Some(vectors) => {
                out.number(1)?;
                vectors.write(out)
            }
            None => out.number(0),
        }
    }

    fn read(body: &mut Reader, purged: i64) -> Option<Self> {
        let mut head = [0; 3];
        body.values(&mut head)?;
        let [ns_id, generation, newest] = head;
        let (ids, texts): (Vec<u64>, _) = (body.list()?, Documents::read(body)?);
        let (vectors, graph) = if body.number()? == 1 {
            VectorIndex::read(options(), body).map(|(v, g)| (Some(v), g))?
        } else {
            (None, false)
        };
        let mut by_id = HashMap::with_capacity_and_hasher(texts.len(), IdHash::default());
        let live = (0_u32..).zip(&ids).filter(|(number, _)| texts.is_live(*number));
        by_id.extend(live.map(|(number, id)| (*id, number)));
        if ids.len() != texts.bound() || by_id.len() != texts.len() || !body.is_done() {
            return None;
        }
        let new = Self { ns_id, generation, newest, purged, ids, by_id, texts, vectors, ..Self::default() };
        new.graph_noted.store(graph, Ordering::Relaxed);
        Some(new)
    }
}

impl Store {
    /// What the body of a file depends on, beside the namespace.
    fn version(&self) -> String {
        let (own, usearch) = (env!("CARGO_PKG_VERSION"), graph_version());
        format!("{VERSION}, {own}, usearch {usearch}, {}", self.model)
    }

    /// The index of a namespace from its file, as far as that goes; it is to be caught up then.
    pub(super) fn kept_index(&self, conn: &Connection, state: &State) -> Result<Option<NamespaceIndex>> {
        let purged = purges(conn)?;
        let read = |body: &mut Reader| NamespaceIndex::read(body, purged);
        let index = self.db().load_index(conn, state.ns_id, &self.version(), read)?;
        Ok(index.filter(|index| index.is_before(state)))
    }

    /// Saves an index that is due: now where that is little beside what its caller has just done, otherwise, and
    /// where others write just now, in the background.
    pub(super) fn keep(&self, shared: &Arc<RwLock<NamespaceIndex>>, now: bool) {
        if self.db().path().is_none() || now && self.save(shared, 1) {
            return;
        }
        let mut saver = self.indexes.saver();
        if saver.as_ref().is_none_or(thread::JoinHandle::is_finished) {
            let (store, shared) = (self.clone(), Arc::clone(shared));
            let thread = thread::Builder::new().name("ai-infra-snapshot".to_owned());
            *saver = thread
                .spawn(move || {
                    store.save(&shared, TRIES);
                })
                .ok();
        }
    }

    /// False when only others, who write, were in the way.
    fn save(&self, shared: &RwLock<NamespaceIndex>, tries: usize) -> bool {
        let read = || shared.read().unwrap_or_else(PoisonError::into_inner);
        let (ns_id, purged) = {
            let index = read();
            index.noted();
            (index.ns_id, index.purged)
        };
        // No lock is held while the database is asked or written to.
        let body = |out: &mut Writer<'_>| {
            let index = read();
            if (index.ns_id, index.purged) == (ns_id, purged) {
                index.write(out)
            } else {
                Err(io::ErrorKind::Interrupted.into())
            }
        };
        // What cannot be saved is read from the database the next time.
        !matches!(self.db().save_index(ns_id, purged, &self.version(), tries, body), Ok(None))
    }

    /// Saves what is worth it and closes the database; operations that run now finish first. Closing twice is fine.
    pub fn close(&self) {
        let saver = self.indexes.saver().take();
        if let Some(saver) = saver {
            let _ = saver.join(); // it does not panic
        }
        if self.db().path().is_some() {
            for shared in self.indexes.all() {
                if shared.try_read().is_ok_and(|index| index.is_due()) {
                    self.save(&shared, 1);
                }
            }
        }
        self.db().close();
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use crate::lexical::Documents;
    use crate::snapshot::{Reader, through_a_file};

    const TEXTS: &[&str] = &[
        "Anna's violin lessons moved to Tuesday, 14:30; don't be late!",
        "Die Straße nach Zürich ist gesperrt. Книги лежат на столе.",
        "我喜欢黑色的猫 東京tower 한국어 हिन्दी में",
        "configuration of auth_tokens v2.10 running ran runs runner",
    ];

    #[test]
    fn words_come_back_with_their_numbers() {
        let mut texts = Documents::default();
        for n in 0..2_000 {
            texts.add(&format!("{} x{} y{}", TEXTS.get(n % 4).unwrap(), n, n % 90), |_, _, _| {});
        }
        (0..2_000).filter(|n| n % 7 == 0).for_each(|n| assert!(texts.remove(n)));
        let read = |body: &mut Reader| Documents::read(body).filter(|_| body.is_done());
        let mut again = through_a_file(|out| texts.write(out), read).0.unwrap();
        assert_eq!(again.len(), texts.len());
        for round in 0..300 {
            let text = format!("{} z{round}", TEXTS.get(round % 4).unwrap());
            assert_eq!(again.add(&text, |_, _, _| {}), texts.add(&text, |_, _, _| {}));
            let gone = (round * 31 % 2_000) as u32;
            assert_eq!(again.remove(gone), texts.remove(gone));
            for question in ["violin lesson x5", "книга y17", "猫 z20"] {
                let all = |texts: &Documents| {
                    let mut found: Vec<_> = texts.gains(question, |gains| gains.found().collect());
                    found.sort_unstable_by_key(|(document, ..)| *document);
                    found
                };
                assert_eq!(all(&again), all(&texts));
            }
        }
        // What is gone has left no text.
        let words = |texts: &Documents| through_a_file(|out| texts.write(out), |_| Some(())).1;
        assert_eq!(words(&again), words(&texts));
    }

    /// Files of before would be read as if nothing had happened.
    #[test]
    fn other_words_need_another_version() {
        let mut texts = Documents::default();
        TEXTS.iter().for_each(|text| drop(texts.add(text, |_, _, _| {}).to_string()));
        let (_, hash) = through_a_file(|out| texts.write(out), |_| Some(()));
        assert_eq!(
            hash, 10_905_544_221_508_292_903,
            "texts are taken apart differently: raise VERSION, then note the new hash"
        );
    }
}
