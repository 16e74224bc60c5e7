//! An index as a file holds it: everything but the table of terms to sessions, which follows from the sessions.
//!
//! A file has been found to be as it was written before anything is read out of it, but not who wrote it: what search
//! relies on is checked again.

use std::io;

use super::dates::Date;
use super::piece::Pieces;
use super::session::{Entry, Passage, Session};
use super::{ConversationIndex, Embedding};
use crate::lexical::Vocab;
use crate::snapshot::{Flat, Reader, Writer};

/// Of this layout, and of everything that decides which terms and vectors a text has.
pub(crate) const VERSION: u32 = 4;

const NOBODY: u32 = u32::MAX;

impl ConversationIndex {
    /// Puts the index into a file. Linear in its size.
    pub(crate) fn save(&self, out: &mut Writer<'_>) -> io::Result<()> {
        let (kind, dimensions) = match self.embedding {
            Embedding::None => (0, 0),
            Embedding::Local => (1, 0),
            Embedding::External(dimensions) => (2, dimensions as u64),
        };
        let sessions: Vec<(&String, &Session)> = self
            .order
            .iter()
            .filter_map(|(key, slot)| Some((key, self.slots.get(*slot as usize)?.as_ref()?)))
            .collect();
        out.values(&[kind, dimensions])?;
        self.vocab.write(out)?;
        out.each(sessions.iter().map(|(key, session)| session.counts(key)))?;
        out.each(sessions.iter().map(|(_, session)| session.date.map_or(0, pack)))?;
        let names: Vec<String> =
            sessions.iter().flat_map(|(_, s)| s.speakers.iter().map(|name| name.join(" "))).collect();
        out.text(&names.join("\n"))?;
        out.text(&sessions.iter().map(|(key, _)| key.as_str()).collect::<String>())?;
        every(out, &sessions, |s| s.messages.iter().map(flat_entry))?;
        every(out, &sessions, |s| s.passages.iter().map(flat_passage))?;
        every(out, &sessions, |s| s.chunks.iter().map(|(a, z)| [*a, *z]))?;
        plain(out, &sessions, |s| &s.sequence)?;
        plain(out, &sessions, |s| &s.terms)?;
        plain(out, &sessions, |s| &s.postings)?;
        plain(out, &sessions, |s| &s.vectors)?;
        plain(out, &sessions, |s| &s.scales)
    }

    /// Takes an index out of a file, in place of this one, which says what its chunks are and whose its vectors.
    /// `None` where there is none for it; this one is as it was then.
    pub(crate) fn load(&mut self, from: &mut Reader) -> Option<()> {
        let embedding = match (from.number()?, from.size()?) {
            (0, 0) => Embedding::None,
            (1, 0) => Embedding::Local,
            (2, dimensions) if dimensions > 0 => Embedding::External(dimensions),
            _ => return None,
        };
        if (embedding == Embedding::Local) != (self.embedding == Embedding::Local) {
            return None;
        }
        let mut new = Self::new(self.size, self.overlap, embedding).ok()?;
        new.weights = self.weights;
        new.related = self.related;
        new.vocab = Vocab::read(from)?;
        let counts: Vec<[u32; 10]> = from.list()?;
        let dates: Vec<u64> = from.list()?;
        let names = from.text()?;
        let keys = from.text()?;
        let mut all = All {
            names: names.split('\n'),
            messages: Pieces::new(from.list()?.into_iter().map(entry).collect()),
            passages: Pieces::new(from.list()?.into_iter().map(passage).collect()),
            chunks: Pieces::new(from.list()?.into_iter().map(|[a, z]: [u32; 2]| (a, z)).collect()),
            sequence: Pieces::new(from.list()?),
            terms: Pieces::new(from.list()?),
            postings: Pieces::new(from.list()?),
            vectors: Pieces::new(from.list()?),
            scales: Pieces::new(from.list()?),
        };
        if new.vocab.all_uses().map(u64::from).sum::<u64>() != all.terms.len() as u64 {
            return None;
        }
        new.lists = new.vocab.all_uses().map(|uses| Vec::with_capacity(uses as usize)).collect();
        let mut rest = keys.as_str();
        let mut order = Vec::with_capacity(counts.len());
        for (slot, (counts, date)) in (0_u32..).zip(counts.iter().zip(&dates)) {
            let session = all.next(counts, *date, new.embedding)?;
            for [term, first, last] in session.terms.iter() {
                new.lists.get_mut(*term as usize)?.push((slot, *first, *last));
            }
            new.bytes += session.bytes();
            new.slots.push(Some(session));
            let key;
            (key, rest) = rest.split_at_checked(counts[0] as usize)?;
            order.push((key.to_owned(), slot));
        }
        new.together = new.bytes;
        new.order = order.into_iter().collect();
        // A term must be held as often as it says that it is used, or it would go too early or never; and of two sessions
        // under one key, nothing would remove the first.
        let exact = new.vocab.all_uses().zip(&new.lists).all(|(uses, list)| uses as usize == list.len())
            && new.order.len() == new.slots.len()
            && dates.len() == counts.len();
        if !(exact && rest.is_empty() && all.is_done() && from.is_done()) {
            return None;
        }
        *self = new;
        Some(())
    }
}

/// One list of all sessions, with its length.
fn every<'a, T: Flat, I: ExactSizeIterator<Item = T>>(
    out: &mut Writer<'_>,
    sessions: &[(&'a String, &'a Session)],
    list: impl Fn(&'a Session) -> I,
) -> io::Result<()> {
    out.number(sessions.iter().map(|(_, session)| list(session).len() as u64).sum())?;
    let mut piece = Vec::with_capacity(1_024);
    for value in sessions.iter().flat_map(|(_, session)| list(session)) {
        piece.push(value);
        if piece.len() == piece.capacity() {
            out.values(&piece)?;
            piece.clear();
        }
    }
    out.values(&piece)
}

/// [`every`] for values that are written as they lie in memory.
fn plain<'a, T: Flat + 'a>(
    out: &mut Writer<'_>,
    sessions: &[(&'a String, &'a Session)],
    list: impl Fn(&'a Session) -> &'a [T],
) -> io::Result<()> {
    out.number(sessions.iter().map(|(_, session)| list(session).len() as u64).sum())?;
    sessions.iter().try_for_each(|(_, session)| out.values(list(session)))
}

fn flat_entry(m: &Entry) -> [u32; 5] {
    let flags = u32::from(m.by_user) | u32::from(m.has_time) << 1 | u32::from(m.has_number) << 2;
    [flags, m.speaker.unwrap_or(NOBODY), m.chars, m.first, m.last]
}

fn entry([flags, speaker, chars, first, last]: [u32; 5]) -> Entry {
    Entry {
        by_user: flags & 1 != 0,
        speaker: (speaker != NOBODY).then_some(speaker),
        has_time: flags & 2 != 0,
        has_number: flags & 4 != 0,
        chars,
        first,
        last,
    }
}

fn flat_passage(p: &Passage) -> [u32; 4] {
    [p.start, p.end, p.first, p.last]
}

fn passage([start, end, first, last]: [u32; 4]) -> Passage {
    Passage { start, end, first, last }
}

/// What all sessions of a file hold, to be handed out session by session.
struct All<'a> {
    names: std::str::Split<'a, char>,
    messages: Pieces<Entry>,
    passages: Pieces<Passage>,
    chunks: Pieces<(u32, u32)>,
    sequence: Pieces<u32>,
    terms: Pieces<[u32; 3]>,
    postings: Pieces<[u32; 2]>,
    vectors: Pieces<u8>,
    scales: Pieces<f32>,
}

impl All<'_> {
    fn next(&mut self, counts: &[u32; 10], date: u64, embedding: Embedding) -> Option<Session> {
        let [_, names, messages, passages, chunks, sequence, terms, postings, vectors, scales] = *counts;
        let name = |_| Some(self.names.next()?.split(' ').map(str::to_owned).collect());
        let session = Session {
            date: unpack(date)?,
            speakers: (0..names).map(name).collect::<Option<_>>()?,
            messages: self.messages.next(messages)?,
            passages: self.passages.next(passages)?,
            chunks: self.chunks.next(chunks)?,
            sequence: self.sequence.next(sequence)?,
            terms: self.terms.next(terms)?,
            postings: self.postings.next(postings)?,
            vectors: self.vectors.next(vectors)?,
            scales: self.scales.next(scales)?,
        };
        session.fits_together(embedding).then_some(session)
    }

    fn is_done(&self) -> bool {
        self.messages.is_done()
            && self.passages.is_done()
            && self.chunks.is_done()
            && self.sequence.is_done()
            && self.terms.is_done()
            && self.postings.is_done()
            && self.vectors.is_done()
            && self.scales.is_done()
    }
}

impl Session {
    /// Lengths: of its key, and of its lists in the order of [`All`].
    fn counts(&self, key: &str) -> [u32; 10] {
        [
            key.len(),
            self.speakers.len(),
            self.messages.len(),
            self.passages.len(),
            self.chunks.len(),
            self.sequence.len(),
            self.terms.len(),
            self.postings.len(),
            self.vectors.len(),
            self.scales.len(),
        ]
        .map(|length| length as u32)
    }

    /// What search relies on: spans of one list lie in the next.
    fn fits_together(&self, embedding: Embedding) -> bool {
        let within = |first: u32, last: u32, length: usize| first <= last && last as usize <= length;
        let rows = match embedding {
            Embedding::None => 0,
            Embedding::Local => crate::embed::dimensions(),
            Embedding::External(dimensions) => dimensions,
        };
        // Messages lie one after another over all passages, and a chunk holds at least one.
        let mut end = 0;
        let follows = |m: &Entry| std::mem::replace(&mut end, m.last) == m.first && m.first < m.last;
        self.messages.iter().all(follows)
            && end as usize == self.passages.len()
            && self.passages.iter().all(|p| within(p.first, p.last, self.sequence.len()))
            && self.chunks.iter().all(|(a, z)| a < z && within(*a, *z, self.messages.len()))
            && self.terms.iter().all(|[_, a, z]| within(*a, *z, self.postings.len()))
            && self.terms.is_sorted_by(|a, b| a[0] < b[0])
            && self.postings.iter().all(|[passage, _]| (*passage as usize) < self.passages.len())
            && self.vectors.len() == self.scales.len() * rows
            && (self.scales.is_empty() || self.scales.len() == self.passages.len())
    }
}

fn pack(date: Date) -> u64 {
    let [year, month, day] = [date.year.map(u64::from), date.month.map(u64::from), date.day.map(u64::from)]
        .map(|part| part.unwrap_or(0));
    1 << 32 | year << 16 | month << 8 | day
}

fn unpack(packed: u64) -> Option<Option<Date>> {
    if packed == 0 {
        return Some(None);
    }
    let part = |at: u32| (packed >> at) & 0xff;
    let year = u16::try_from((packed >> 16) & 0xffff).ok().filter(|year| *year > 0);
    let [month, day] = [part(8), part(0)].map(|part| u8::try_from(part).ok().filter(|part| *part > 0));
    (packed >> 32 == 1).then_some(Some(Date { year, month, day }))
}
