//! The distinct terms of an index, numbered: flat arrays by number, one string for all texts.

use std::hash::RandomState;
use std::io;
use std::sync::LazyLock;

use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::alike::Alike;
use super::stop::is_empty_word;
use crate::embed::table;
use crate::snapshot::{Reader, Writer};

/// Not in the word table.
const NO_ROW: u32 = u32::MAX;

/// Seeded, so that texts cannot be chosen to collide.
pub(super) fn hash(text: &str) -> u64 {
    use std::hash::BuildHasher;
    static SEED: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(0_u64));
    xxh3_64_with_seed(text.as_bytes(), *SEED)
}

/// See [`crate::make_all`].
pub(super) fn make_all() {
    hash("");
}

/// Rows are few and nobody's choice: a multiplication spreads them well enough.
fn row_hash(row: u32) -> u64 {
    u64::from(row).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// One term.
#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    start: usize,
    length: u32,
    /// Its row in the word table.
    row: u32,
    uses: u32,
    /// A word that a question's words are never widened to.
    dull: bool,
    /// A word without meaning of its own.
    function: bool,
}

/// What is known of a term of the word table, whatever index it is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    row: u32,
    dull: bool,
    function: bool,
}

impl Known {
    pub const NONE: Self = Self { row: NO_ROW, dull: false, function: false };

    /// `text` is the term at `row`.
    pub fn of(row: u32, text: &str) -> Self {
        let (dull, function) = is_empty_word(text, hash(text));
        Self { row, dull, function }
    }
}

/// Terms ↔ numbers. A number is reused once nobody uses its term.
#[derive(Debug, Default)]
pub(crate) struct Vocab {
    texts: String,
    entries: Vec<Entry>,
    /// Those of the word table, by their row, which says it all.
    by_row: HashTable<u32>,
    /// The others, by their text.
    ids: HashTable<u32>,
    /// And by their beginning.
    alike: Alike,
    free: Vec<u32>,
    /// Bytes of `texts` whose term is gone.
    waste: usize,
}

impl Vocab {
    /// The number of `text`, made if needed; counts one use.
    pub(crate) fn acquire(&mut self, text: &str) -> u32 {
        let id = self.intern(text);
        self.hold(id);
        id
    }

    /// Counts one use of a number that [`Self::intern`] has just returned.
    pub(crate) fn hold(&mut self, id: u32) {
        self.hold_many(id, 1);
    }

    /// Counts so many uses of it.
    pub(super) fn hold_many(&mut self, id: u32, uses: u32) {
        if let Some(entry) = self.entries.get_mut(id as usize) {
            entry.uses += uses;
        }
    }

    /// The number of `text`, made if needed; to be [held](Self::hold).
    pub(crate) fn intern(&mut self, text: &str) -> u32 {
        match table().row(text) {
            Some(row) => self.at_row(row).unwrap_or_else(|| self.intern_known(Known::of(row, text))),
            None => self.intern_other(text),
        }
    }

    /// [`Self::intern`] for a term of the word table.
    pub(super) fn intern_known(&mut self, known: Known) -> u32 {
        let Known { row, dull, function } = known;
        if let Some(id) = self.at_row(row) {
            return id;
        }
        let id = self
            .add(table().text(row).unwrap_or_default(), Entry { row, dull, function, ..Entry::default() });
        let entries = &self.entries;
        self.by_row.insert_unique(row_hash(row), id, |id| row_hash(row_of(entries, *id)));
        id
    }

    /// [`Self::intern`] for any other.
    pub(super) fn intern_other(&mut self, text: &str) -> u32 {
        let hashed = hash(text);
        if let Some(id) = self.ids.find(hashed, |id| self.text(*id) == text) {
            return *id;
        }
        let (dull, function) = is_empty_word(text, hashed);
        let id = self.add(text, Entry { row: NO_ROW, dull, function, ..Entry::default() });
        self.alike.put(id, text);
        let (texts, entries) = (&self.texts, &self.entries);
        self.ids.insert_unique(hashed, id, |id| hash(text_of(texts, entries, *id)));
        id
    }

    fn add(&mut self, text: &str, mut entry: Entry) -> u32 {
        (entry.start, entry.length) = (self.texts.len(), text.len() as u32);
        self.texts.push_str(text);
        let Some(id) = self.free.pop() else {
            self.entries.push(entry);
            return self.entries.len() as u32 - 1;
        };
        if let Some(place) = self.entries.get_mut(id as usize) {
            *place = entry;
        }
        id
    }

    /// Takes one use back; returns true when the term is gone.
    pub(crate) fn release(&mut self, id: u32) -> bool {
        let Some(entry) = self.entries.get_mut(id as usize) else { return false };
        entry.uses = entry.uses.saturating_sub(1);
        if entry.uses > 0 {
            return false;
        }
        let old = *entry;
        if old.row == NO_ROW {
            if let Ok(found) = self.ids.find_entry(hash(self.text(id)), |other| *other == id) {
                found.remove();
            }
            self.alike.remove(id, text_of(&self.texts, &self.entries, id));
        } else if let Ok(found) = self.by_row.find_entry(row_hash(old.row), |other| *other == id) {
            found.remove();
        }
        if let Some(entry) = self.entries.get_mut(id as usize) {
            *entry = Entry { row: NO_ROW, ..Entry::default() };
        }
        self.free.push(id);
        self.waste += old.length as usize;
        if self.waste > 4_096 && self.waste * 2 > self.texts.len() {
            self.close_gaps();
        }
        true
    }

    fn close_gaps(&mut self) {
        let mut texts = String::with_capacity(self.texts.len() - self.waste);
        for entry in &mut self.entries {
            let start = texts.len();
            texts.push_str(
                self.texts.get(entry.start..entry.start + entry.length as usize).unwrap_or_default(),
            );
            entry.start = start;
        }
        (self.texts, self.waste) = (texts, 0);
    }

    /// Puts the terms in use into a snapshot, with their numbers and nothing of those that are gone.
    pub(crate) fn write(&self, out: &mut Writer<'_>) -> io::Result<()> {
        let fields = |entry: &Entry| {
            [entry.length, entry.row, entry.uses, u32::from(entry.dull) | u32::from(entry.function) << 1]
        };
        out.each(self.entries.iter().map(fields))?;
        let mut texts = String::with_capacity(self.texts.len() - self.waste);
        (0..self.entries.len() as u32).for_each(|id| texts.push_str(self.text(id)));
        out.text(&texts)?;
        out.list(&self.free)
    }

    /// Takes out what [`Self::write`] has put in.
    pub(crate) fn read(body: &mut Reader) -> Option<Self> {
        let fields: Vec<[u32; 4]> = body.list()?;
        let (texts, free) = (body.text()?, body.list()?);
        let mut new = Self { texts, free, ..Self::default() };
        new.entries = Vec::with_capacity(fields.len());
        let mut start = 0;
        for [length, row, uses, flags] in fields {
            new.texts.get(start..start + length as usize)?;
            let (dull, function) = (flags & 1 == 1, flags & 2 == 2);
            new.entries.push(Entry { start, length, row, uses, dull, function });
            start += length as usize;
        }
        let (texts, entries) = (&new.texts, &new.entries);
        let known = entries.iter().filter(|entry| entry.row != NO_ROW).count();
        new.by_row.reserve(known, |id| row_hash(row_of(entries, *id)));
        new.ids.reserve(entries.len() - known, |id| hash(text_of(texts, entries, *id)));
        for (id, entry) in (0_u32..).zip(entries).filter(|(_, entry)| entry.uses > 0) {
            if entry.row == NO_ROW {
                let text = text_of(texts, entries, id);
                new.ids.insert_unique(hash(text), id, |id| hash(text_of(texts, entries, *id)));
                new.alike.put(id, text);
            } else {
                new.by_row.insert_unique(row_hash(entry.row), id, |id| row_hash(row_of(entries, *id)));
            }
        }
        Some(new)
    }

    /// The number of `text`.
    pub(crate) fn id(&self, text: &str) -> Option<u32> {
        match table().row(text) {
            Some(row) => self.at_row(row),
            None => self.ids.find(hash(text), |id| self.text(*id) == text).copied(),
        }
    }

    /// The number of the term at a row of the word table.
    pub(crate) fn at_row(&self, row: u32) -> Option<u32> {
        self.by_row.find(row_hash(row), |id| row_of(&self.entries, *id) == row).copied()
    }

    pub(crate) fn text(&self, id: u32) -> &str {
        text_of(&self.texts, &self.entries, id)
    }

    /// How often [`Self::acquire`] has given the number out without [`Self::release`].
    pub(crate) fn uses(&self, id: u32) -> u32 {
        self.entries.get(id as usize).map_or(0, |entry| entry.uses)
    }

    /// Its row in the word table.
    pub(crate) fn row(&self, id: u32) -> Option<u32> {
        self.entries.get(id as usize).map(|entry| entry.row).filter(|row| *row != NO_ROW)
    }

    /// Whether a question's words are never widened to it.
    pub(crate) fn is_dull(&self, id: u32) -> bool {
        self.entries.get(id as usize).is_some_and(|entry| entry.dull)
    }

    /// Whether it has no meaning of its own, as "the".
    pub(crate) fn is_function(&self, id: u32) -> bool {
        self.entries.get(id as usize).is_some_and(|entry| entry.function)
    }

    /// About how many bytes of memory this takes.
    pub(crate) fn bytes(&self) -> usize {
        // Beside an entry: a list of the index, and, as if none were in the word table, its neighbours among those alike
        // and a number in each of two tables at their usual load.
        self.texts.len() + self.entries.len() * (size_of::<Entry>() + 8 + 24 + 24)
    }

    /// One past the largest number in use.
    pub(crate) fn bound(&self) -> usize {
        self.entries.len()
    }

    /// The terms that begin with the same four bytes as `text`; none where it is shorter. Without those of the word
    /// table.
    pub(crate) fn alike(&self, text: &str) -> impl Iterator<Item = u32> {
        self.alike.of(text)
    }

    /// Those of the word table.
    pub(crate) fn alike_known(&self, text: &str) -> impl Iterator<Item = u32> {
        table().alike(text).filter_map(|row| self.at_row(row))
    }

    /// How often each number is used, from 0 on.
    pub(crate) fn all_uses(&self) -> impl Iterator<Item = u32> {
        self.entries.iter().map(|entry| entry.uses)
    }

    /// The terms in use.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> {
        (0_u32..).zip(&self.entries).filter(|(_, entry)| entry.uses > 0).map(|(id, _)| id)
    }
}

fn row_of(entries: &[Entry], id: u32) -> u32 {
    entries.get(id as usize).map_or(NO_ROW, |entry| entry.row)
}

fn text_of<'a>(texts: &'a str, entries: &[Entry], id: u32) -> &'a str {
    entries
        .get(id as usize)
        .and_then(|entry| texts.get(entry.start..entry.start + entry.length as usize))
        .unwrap_or_default()
}
