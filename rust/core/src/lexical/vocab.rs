//! The distinct terms of an index, numbered.

use std::collections::HashMap;

use super::stop::is_question_word;
use crate::embed::table;

/// One term.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) text: Box<str>,
    /// Its row in the word table.
    pub(crate) row: Option<u32>,
    /// A word that a question's words are never widened to.
    pub(crate) dull: bool,
    uses: u32,
}

/// Terms ↔ numbers. A number is reused once nobody uses its term.
#[derive(Debug, Default)]
pub(crate) struct Vocab {
    ids: HashMap<Box<str>, u32>,
    entries: Vec<Entry>,
    free: Vec<u32>,
}

impl Vocab {
    /// The number of `text`, made if needed; counts one use.
    pub(crate) fn acquire(&mut self, text: &str) -> u32 {
        if let Some(&id) = self.ids.get(text) {
            if let Some(e) = self.entries.get_mut(id as usize) {
                e.uses += 1;
            }
            return id;
        }
        let entry =
            Entry { text: text.into(), row: table().row(text), dull: is_question_word(text), uses: 1 };
        let id = match self.free.pop() {
            Some(id) => {
                if let Some(e) = self.entries.get_mut(id as usize) {
                    *e = entry;
                }
                id
            }
            None => {
                self.entries.push(entry);
                u32::try_from(self.entries.len() - 1).unwrap_or(u32::MAX)
            }
        };
        self.ids.insert(text.into(), id);
        id
    }

    /// Takes one use back; returns true when the term is gone.
    pub(crate) fn release(&mut self, id: u32) -> bool {
        let Some(e) = self.entries.get_mut(id as usize) else { return false };
        e.uses = e.uses.saturating_sub(1);
        if e.uses > 0 {
            return false;
        }
        self.ids.remove(&e.text);
        e.text = "".into();
        e.row = None;
        self.free.push(id);
        true
    }

    pub(crate) fn id(&self, text: &str) -> Option<u32> {
        self.ids.get(text).copied()
    }

    pub(crate) fn text(&self, id: u32) -> &str {
        self.entries.get(id as usize).map_or("", |e| &e.text)
    }

    /// One past the largest number in use.
    pub(crate) fn bound(&self) -> usize {
        self.entries.len()
    }

    /// The terms in use with their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Entry)> {
        (0_u32..).zip(&self.entries).filter(|(_, e)| e.uses > 0)
    }
}
