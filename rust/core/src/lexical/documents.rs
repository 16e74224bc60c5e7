//! Documents numbered densely, their words, and what the words of a question give to each of them.
//!
//! BM25 (Robertson and Zaragoza 2009; k1 1.2, b 0.75) with each question word widened to related terms. Adding costs
//! the length of the text. Removing marks the document; once a quarter are marked, one pass over everything forgets
//! them, and their numbers are given out again. A search adds up the postings of the question's terms in arrays by
//! document that are kept from one search to the next: no hashing, nothing allocated. Words that many documents have
//! are added up for all documents in order (`dense`).

use std::io;

use super::dense::Dense;
use super::memo::{self, Term};
use super::postings::Postings;
use super::token::words;
use super::vocab::Vocab;
use crate::snapshot::{Reader, Writer};

/// Removed documents that are carried along at least.
const MARKED: usize = 64;

/// One document. `first` and `last` bound its distinct terms in [`Documents::terms`].
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Document {
    /// In words.
    length: u32,
    count: u32,
    first: usize,
    pub(super) live: bool,
}

/// Documents by number, searchable by words.
#[derive(Debug, Default)]
pub(crate) struct Documents {
    pub(super) vocab: Vocab,
    pub(super) postings: Postings,
    /// What follows from the postings for words that many documents have.
    pub(super) dense: Dense,
    pub(super) documents: Vec<Document>,
    /// The length of each document in words, at least 1.
    pub(super) lengths: Vec<f32>,
    /// The distinct terms of every document.
    terms: Vec<u32>,
    /// Words in all live documents.
    pub(super) total: u64,
    pub(super) live: usize,
    /// Removed, but still in the postings.
    pub(super) marked: Vec<u32>,
    /// Numbers that nothing refers to.
    free: Vec<u32>,
    /// The words of the text being added, as terms.
    sequence: Vec<u32>,
}

impl Documents {
    /// Documents of which only some terms are known, to be [appended](Self::append): how many there are, and how many
    /// words they have together. Nothing can be removed from it.
    pub(super) fn partly(live: usize, total: u64) -> Self {
        Self { live, total, ..Self::default() }
    }

    /// Appends documents that have a term: the number of each, how often it has it, and how long it is.
    /// [`Self::appended`] ends it.
    pub(super) fn append(&mut self, term: &str, list: impl Iterator<Item = (u32, u32, u32)>) {
        let Self { vocab, postings, lengths, .. } = self;
        let list = list.map(|(document, count, length)| {
            let at = document as usize;
            if lengths.len() <= at {
                lengths.resize(at + 1, 1.0);
            }
            if let Some(place) = lengths.get_mut(at) {
                *place = length.max(1) as f32;
            }
            (document, count)
        });
        let list: Vec<(u32, u32)> = list.collect();
        if !list.is_empty() {
            let id = vocab.intern(term);
            vocab.hold_many(id, list.len() as u32);
            postings.extend(id, &list);
        }
    }

    /// Ends the appending.
    pub(super) fn appended(&mut self) {
        self.documents.resize(self.lengths.len(), Document { live: true, ..Document::default() });
        self.dense = Dense::of(&self.postings, self.documents.len());
    }

    /// The number of live documents.
    pub(crate) fn len(&self) -> usize {
        self.live
    }

    /// One past the largest number in use.
    pub(crate) fn bound(&self) -> usize {
        self.documents.len()
    }

    /// Whether there is a document of that number.
    pub(crate) fn is_live(&self, document: u32) -> bool {
        self.documents.get(document as usize).is_some_and(|held| held.live)
    }

    /// About how many bytes of memory this takes.
    pub(crate) fn bytes(&self) -> usize {
        let own = self.documents.capacity() * size_of::<Document>() + self.lengths.capacity() * 4;
        let lists = [&self.terms, &self.marked, &self.free, &self.sequence].map(Vec::capacity);
        self.vocab.bytes()
            + self.postings.bytes()
            + self.dense.bytes()
            + own
            + lists.iter().sum::<usize>() * 4
    }

    /// Puts everything into a snapshot.
    pub(crate) fn write(&self, out: &mut Writer<'_>) -> io::Result<()> {
        self.vocab.write(out)?;
        self.postings.write(out)?;
        let own = |held: &Document| if held.live { held.count } else { 0 };
        let fields = self.documents.iter().map(|held| [held.length, own(held), u32::from(held.live)]);
        out.each(fields)?;
        let of = |held: &Document| self.terms.get(held.first..held.first + own(held) as usize);
        let terms = self.documents.iter().flat_map(|held| of(held).unwrap_or_default()).copied();
        out.counted(self.documents.iter().map(|held| own(held) as usize).sum(), terms)?;
        out.list(&self.marked)?;
        out.list(&self.free)
    }

    /// Takes out what [`Self::write`] has put in: the same numbers for the same documents, now and in future.
    pub(crate) fn read(body: &mut Reader) -> Option<Self> {
        let (vocab, postings) = (Vocab::read(body)?, Postings::read(body)?);
        let (fields, terms): (Vec<[u32; 3]>, Vec<u32>) = (body.list()?, body.list()?);
        let (marked, free) = (body.list()?, body.list()?);
        let mut new = Self { vocab, postings, terms, marked, free, ..Self::default() };
        let mut first = 0;
        for [length, count, live] in fields {
            let document = Document { length, count, first, live: live == 1 };
            first += count as usize;
            if document.live {
                new.total += u64::from(length);
                new.live += 1;
            }
            new.documents.push(document);
            new.lengths.push(length.max(1) as f32);
        }
        new.dense = Dense::of(&new.postings, new.documents.len());
        (first == new.terms.len()).then_some(new)
    }

    /// Adds a text and returns its number, which may be that of a document removed before. `each` is told its
    /// distinct terms and how often it has them.
    pub(crate) fn add(&mut self, text: &str, mut each: impl FnMut(&Vocab, u32, u32)) -> u32 {
        let mut sequence = std::mem::take(&mut self.sequence);
        sequence.clear();
        memo::with(|memo| {
            words(text, |word| {
                sequence.push(match memo.term(word) {
                    Term::Known(known) => self.vocab.intern_known(known),
                    Term::Other(text) => self.vocab.intern_other(text),
                });
            });
        });
        let document = self.free.pop().unwrap_or_else(|| {
            self.documents.push(Document::default());
            self.documents.len() as u32 - 1
        });
        let first = self.terms.len();
        let length = sequence.len() as u32;
        sequence.sort_unstable();
        for same in sequence.chunk_by(|a, b| a == b) {
            let Some(term) = same.first().copied() else { continue };
            self.vocab.hold(term);
            let posting = (document, same.len() as u32);
            self.postings.push(term, posting);
            self.dense.note(term, posting, self.postings.get(term), self.documents.len());
            self.terms.push(term);
            each(&self.vocab, term, same.len() as u32);
        }
        self.lengths.resize(self.documents.len(), 1.0);
        if let Some(place) = self.lengths.get_mut(document as usize) {
            *place = length.max(1) as f32;
        }
        if let Some(place) = self.documents.get_mut(document as usize) {
            *place = Document { length, count: (self.terms.len() - first) as u32, first, live: true };
        }
        self.sequence = sequence;
        self.total += u64::from(length);
        self.live += 1;
        document
    }

    /// Removes a document; true if there was one.
    pub(crate) fn remove(&mut self, document: u32) -> bool {
        let Some(old) = self.documents.get_mut(document as usize).filter(|old| old.live) else {
            return false;
        };
        old.live = false;
        let old = *old;
        self.total -= u64::from(old.length);
        self.live -= 1;
        for term in self.terms.get(old.first..old.first + old.count as usize).unwrap_or_default() {
            if self.vocab.release(*term) {
                self.postings.clear(*term);
                self.dense.forget(*term);
            }
        }
        self.marked.push(document);
        if self.marked.len() > MARKED + self.live / 4 {
            self.forget_marked();
        }
        true
    }

    fn forget_marked(&mut self) {
        let Self { documents, postings, .. } = self;
        postings.retain(|document| documents.get(document as usize).is_some_and(|held| held.live));
        self.dense.remake(&self.postings, self.documents.len());
        let Self { documents, .. } = self;
        let mut terms = Vec::with_capacity(self.terms.len());
        for held in documents.iter_mut().filter(|held| held.live) {
            let first = terms.len();
            terms.extend(self.terms.get(held.first..held.first + held.count as usize).unwrap_or_default());
            held.first = first;
        }
        self.terms = terms;
        self.free.append(&mut self.marked);
    }
}
