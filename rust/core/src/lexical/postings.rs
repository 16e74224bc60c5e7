//! Lists of (document, count) by term, all in one array.
//!
//! A list has room for a power of two. One that is full moves to room of twice the size and leaves its own to the
//! next list that needs as much, so a list lies in one piece, adding costs a constant on average, and less than
//! half of the array is empty room. A list's order is that of adding.

use std::io;

use crate::snapshot::{Reader, Writer};

/// A document and how often it has the term.
pub(super) type Posting = (u32, u32);

#[derive(Debug, Clone, Copy, Default)]
struct List {
    start: usize,
    len: u32,
}

impl List {
    fn room(self) -> usize {
        if self.len == 0 { 0 } else { (self.len as usize).next_power_of_two() }
    }
}

/// The lists of all terms, by number.
#[derive(Debug, Default)]
pub(super) struct Postings {
    heap: Vec<Posting>,
    lists: Vec<List>,
    /// Where room of 1, 2, 4 … postings is free.
    free: Vec<Vec<usize>>,
}

impl Postings {
    /// The list of a term.
    pub fn get(&self, term: u32) -> &[Posting] {
        let list = self.lists.get(term as usize).copied().unwrap_or_default();
        self.heap.get(list.start..list.start + list.len as usize).unwrap_or_default()
    }

    /// The list of each term.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &[Posting])> {
        (0..self.lists.len() as u32).map(|term| (term, self.get(term)))
    }

    /// Appends to the list of a term.
    pub fn push(&mut self, term: u32, posting: Posting) {
        if self.lists.len() <= term as usize {
            self.lists.resize(term as usize + 1, List::default());
        }
        let old = self.lists.get(term as usize).copied().unwrap_or_default();
        let mut list = old;
        if old.len as usize == old.room() {
            list.start = self.take(old.room().max(1) * if old.len == 0 { 1 } else { 2 });
            self.heap.copy_within(old.start..old.start + old.len as usize, list.start);
            self.give(old);
        }
        if let Some(place) = self.heap.get_mut(list.start + old.len as usize) {
            *place = posting;
        }
        list.len += 1;
        if let Some(place) = self.lists.get_mut(term as usize) {
            *place = list;
        }
    }

    /// Appends many to the list of a term, which moves once at most.
    pub fn extend(&mut self, term: u32, postings: &[Posting]) {
        if self.lists.len() <= term as usize {
            self.lists.resize(term as usize + 1, List::default());
        }
        let Some(old) = self.lists.get(term as usize).copied().filter(|_| !postings.is_empty()) else {
            return;
        };
        let end = old.len as usize + postings.len();
        let mut list = List { start: old.start, len: end as u32 };
        if list.room() > old.room() {
            list.start = self.take(list.room());
            self.heap.copy_within(old.start..old.start + old.len as usize, list.start);
            self.give(old);
        }
        let places = self.heap.get_mut(list.start + old.len as usize..list.start + end);
        places.unwrap_or_default().copy_from_slice(postings);
        if let Some(place) = self.lists.get_mut(term as usize) {
            *place = list;
        }
    }

    /// Empties the list of a term.
    pub fn clear(&mut self, term: u32) {
        if let Some(list) = self.lists.get_mut(term as usize) {
            let old = std::mem::take(list);
            self.give(old);
        }
    }

    /// Leaves out the documents for which `keep` is false. Costs every posting.
    pub fn retain(&mut self, keep: impl Fn(u32) -> bool) {
        let mut next = Self { lists: vec![List::default(); self.lists.len()], ..Self::default() };
        for (list, slot) in self.lists.iter().zip(&mut next.lists) {
            let old = self.heap.get(list.start..list.start + list.len as usize).unwrap_or_default();
            let start = next.heap.len();
            next.heap.extend(old.iter().filter(|(document, _)| keep(*document)));
            *slot = List { start, len: (next.heap.len() - start) as u32 };
            next.heap.resize(start + slot.room(), (0, 0));
        }
        *self = next;
    }

    /// Puts the lists into a snapshot, without the room between them.
    pub fn write(&self, out: &mut Writer<'_>) -> io::Result<()> {
        out.each(self.lists.iter().map(|list| list.len))?;
        let postings = self.iter().flat_map(|(_, list)| list).map(|(document, count)| [*document, *count]);
        out.counted(self.lists.iter().map(|list| list.len as usize).sum(), postings)
    }

    /// Takes out what [`Self::write`] has put in.
    pub fn read(body: &mut Reader) -> Option<Self> {
        let (lengths, postings): (Vec<u32>, Vec<[u32; 2]>) = (body.list()?, body.list()?);
        let mut new = Self { lists: Vec::with_capacity(lengths.len()), ..Self::default() };
        new.heap.reserve(postings.len() + postings.len() / 2);
        let mut rest = postings.as_slice();
        for len in lengths {
            let (own, others) = rest.split_at_checked(len as usize)?;
            let list = List { start: new.heap.len(), len };
            new.heap.extend(own.iter().map(|[document, count]| (*document, *count)));
            new.heap.resize(list.start + list.room(), (0, 0));
            new.lists.push(list);
            rest = others;
        }
        rest.is_empty().then_some(new)
    }

    fn take(&mut self, room: usize) -> usize {
        let class = room.trailing_zeros() as usize;
        self.free.get_mut(class).and_then(Vec::pop).unwrap_or_else(|| {
            let start = self.heap.len();
            self.heap.resize(start + room, (0, 0));
            start
        })
    }

    fn give(&mut self, list: List) {
        if list.len > 0 {
            let class = list.room().trailing_zeros() as usize;
            if self.free.len() <= class {
                self.free.resize_with(class + 1, Vec::new);
            }
            if let Some(free) = self.free.get_mut(class) {
                free.push(list.start);
            }
        }
    }
}
