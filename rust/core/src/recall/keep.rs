//! An index as a file holds it: everything but the table of terms to sessions, which follows from the sessions.
//!
//! A file has been found to be as it was written before anything is read out of it, but not who wrote it: what search
//! relies on is checked again.

use std::io;

use super::dates::Date;
use super::session::{Entry, Passage, Session};
use super::{ConversationIndex, Embedding};
use crate::lexical::Vocab;
use crate::snapshot::{Reader, Writer};

/// Of this layout, and of everything that decides which terms and vectors a text has.
pub(crate) const VERSION: u32 = 1;

const NOBODY: u32 = u32::MAX;

impl ConversationIndex {
    /// Puts the index into a file. Linear in its size.
    pub(crate) fn save(&self, out: &mut Writer<'_>) -> io::Result<()> {
        let (kind, dimensions) = match self.embedding {
            Embedding::None => (0, 0),
            Embedding::Local => (1, 0),
            Embedding::External(dimensions) => (2, dimensions as u64),
        };
        out.values(&[kind, dimensions, self.order.len() as u64])?;
        self.vocab.save(out)?;
        for (key, slot) in &self.order {
            if let Some(Some(session)) = self.slots.get(*slot as usize) {
                out.text(key)?;
                session.save(out)?;
            }
        }
        Ok(())
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
        let count = from.size()?;
        let mut new = Self::new(self.size, self.overlap, embedding).ok()?;
        new.weights = self.weights;
        new.related = self.related;
        new.vocab = Vocab::load(from)?;
        new.lists = new.vocab.all_uses().map(|uses| Vec::with_capacity(uses as usize)).collect();
        for _ in 0..count {
            let key = from.text()?;
            let session = Session::load(from, new.embedding)?;
            new.insert(key, session)?;
        }
        // As often as the terms say that they are used, or what they hold would never go.
        let exact = new.vocab.all_uses().zip(&new.lists).all(|(uses, list)| uses as usize == list.len());
        if !exact || !from.is_done() {
            return None;
        }
        *self = new;
        Some(())
    }

    fn insert(&mut self, key: String, session: Session) -> Option<()> {
        let slot = u32::try_from(self.slots.len()).ok()?;
        for (term, first, last) in &session.terms {
            self.lists.get_mut(*term as usize)?.push((slot, *first, *last));
        }
        self.bytes += session.bytes();
        self.slots.push(Some(session));
        // A key that comes twice would leave a session that nothing removes.
        self.order.insert(key, slot).is_none().then_some(())
    }
}

impl Session {
    fn save(&self, out: &mut Writer<'_>) -> io::Result<()> {
        out.number(self.date.map_or(0, pack))?;
        out.each(self.messages.iter().map(|m| {
            let flags = u32::from(m.by_user) | u32::from(m.has_time) << 1 | u32::from(m.has_number) << 2;
            [flags, m.speaker.unwrap_or(NOBODY), m.chars, m.first, m.last]
        }))?;
        out.each(self.passages.iter().map(|p| [p.start, p.end, p.first, p.last]))?;
        out.each(self.chunks.iter().map(|(a, z)| [*a, *z]))?;
        out.number(self.speakers.len() as u64)?;
        for name in &self.speakers {
            out.text(&name.join(" "))?;
        }
        out.list(&self.sequence)?;
        out.each(self.terms.iter().map(|(term, first, last)| [*term, *first, *last]))?;
        out.each(self.postings.iter().map(|(passage, count)| [*passage, *count]))?;
        out.list(&self.vectors)?;
        out.list(&self.scales)
    }

    fn load(from: &mut Reader, embedding: Embedding) -> Option<Self> {
        let date = unpack(from.number()?)?;
        let messages = from.list::<[u32; 5]>()?.into_iter().map(|[flags, speaker, chars, first, last]| Entry {
            by_user: flags & 1 != 0,
            speaker: (speaker != NOBODY).then_some(speaker),
            has_time: flags & 2 != 0,
            has_number: flags & 4 != 0,
            chars,
            first,
            last,
        });
        let messages = messages.collect();
        let passages = from.list::<[u32; 4]>()?;
        let passages = passages.into_iter().map(|[start, end, first, last]| Passage { start, end, first, last });
        let passages = passages.collect();
        let chunks = from.list::<[u32; 2]>()?.into_iter().map(|[a, z]| (a, z)).collect();
        let speakers = (0..from.size()?).map(|_| Some(from.text()?.split(' ').map(str::to_owned).collect()));
        let session = Self {
            date,
            messages,
            passages,
            chunks,
            speakers: speakers.collect::<Option<_>>()?,
            sequence: from.list()?,
            terms: from.list::<[u32; 3]>()?.into_iter().map(|[term, a, z]| (term, a, z)).collect(),
            postings: from.list::<[u32; 2]>()?.into_iter().map(|[passage, count]| (passage, count)).collect(),
            vectors: from.list()?,
            scales: from.list()?,
        };
        session.fits_together(embedding).then_some(session)
    }

    /// What search relies on: spans of one array lie in the next.
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
            && self.terms.iter().all(|(_, a, z)| within(*a, *z, self.postings.len()))
            && self.terms.is_sorted_by(|a, b| a.0 < b.0)
            && self.postings.iter().all(|(passage, _)| (*passage as usize) < self.passages.len())
            && self.vectors.len() == self.scales.len() * rows
            && (self.scales.is_empty() || self.scales.len() == self.passages.len())
    }
}

fn pack(date: Date) -> u64 {
    let [year, month, day] =
        [date.year.map(u64::from), date.month.map(u64::from), date.day.map(u64::from)].map(|part| part.unwrap_or(0));
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
