//! Lists of (document, count) by term, all in one array, but for those of one: most terms have one posting, which takes
//! no more room than where a list begins.
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
    /// Of one, the posting. Of more, where it begins in the heap, in two halves.
    place: Posting,
    len: u32,
}

impl List {
    fn of_one(posting: Posting) -> Self {
        Self { place: posting, len: 1 }
    }

    fn at(start: usize, len: usize) -> Self {
        let start = start as u64;
        Self { place: ((start >> 32) as u32, start as u32), len: len as u32 }
    }

    fn start(self) -> usize {
        (u64::from(self.place.0) << 32 | u64::from(self.place.1)) as usize
    }

    /// What it takes of the heap.
    fn room(self) -> usize {
        if self.len < 2 { 0 } else { (self.len as usize).next_power_of_two() }
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
        self.lists.get(term as usize).map_or(&[], |list| self.list(list))
    }

    fn list<'a>(&'a self, list: &'a List) -> &'a [Posting] {
        match list.len {
            0 => &[],
            1 => std::slice::from_ref(&list.place),
            len => self.heap.get(list.start()..list.start() + len as usize).unwrap_or_default(),
        }
    }

    /// The list of each term.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &[Posting])> {
        (0..self.lists.len() as u32).map(|term| (term, self.get(term)))
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        let free: usize = self.free.iter().map(Vec::capacity).sum();
        self.heap.capacity() * size_of::<Posting>() + self.lists.capacity() * size_of::<List>() + free * 8
    }

    /// Appends to the list of a term.
    pub fn push(&mut self, term: u32, posting: Posting) {
        self.extend(term, &[posting]);
    }

    /// Appends many to the list of a term, which moves once at most.
    pub fn extend(&mut self, term: u32, postings: &[Posting]) {
        if self.lists.len() <= term as usize {
            self.lists.resize(term as usize + 1, List::default());
        }
        let Some(old) = self.lists.get(term as usize).copied() else { return };
        let len = old.len as usize;
        let list = match (postings, len) {
            ([], _) => return,
            ([one], 0) => List::of_one(*one),
            _ => {
                let mut list = List::at(old.start(), len + postings.len());
                if list.room() > old.room() {
                    let start = self.take(list.room());
                    list = List::at(start, len + postings.len());
                    match (old.len, self.heap.get_mut(start)) {
                        (1, Some(place)) => *place = old.place,
                        _ => self.heap.copy_within(old.start()..old.start() + old.room().min(len), start),
                    }
                    self.give(old);
                }
                let places = self.heap.get_mut(list.start() + len..list.start() + len + postings.len());
                places.unwrap_or_default().copy_from_slice(postings);
                list
            }
        };
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
        let mut next = Self { lists: Vec::with_capacity(self.lists.len()), ..Self::default() };
        let mut kept = Vec::new();
        for list in &self.lists {
            kept.clear();
            kept.extend(self.list(list).iter().filter(|(document, _)| keep(*document)));
            next.append(&kept);
        }
        *self = next;
    }

    /// Appends a list for the next term, behind all others.
    fn append(&mut self, postings: &[Posting]) {
        let list = match postings {
            [] => List::default(),
            [one] => List::of_one(*one),
            _ => {
                let list = List::at(self.heap.len(), postings.len());
                self.heap.extend_from_slice(postings);
                self.heap.resize(list.start() + list.room(), (0, 0));
                list
            }
        };
        self.lists.push(list);
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
        let mut list = Vec::new();
        for len in lengths {
            let (own, others) = rest.split_at_checked(len as usize)?;
            list.clear();
            list.extend(own.iter().map(|[document, count]| (*document, *count)));
            new.append(&list);
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
        if list.room() > 0 {
            let class = list.room().trailing_zeros() as usize;
            if self.free.len() <= class {
                self.free.resize_with(class + 1, Vec::new);
            }
            if let Some(free) = self.free.get_mut(class) {
                free.push(list.start());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::snapshot::through_a_file;

    #[test]
    fn any_history_leaves_the_lists_that_were_added() {
        let mut state = 11_u64;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        let (mut postings, mut held) = (Postings::default(), BTreeMap::<u32, Vec<Posting>>::new());
        for step in 0..20_000_u32 {
            let term = random(60) as u32;
            match random(40) {
                0 => {
                    postings.clear(term);
                    held.remove(&term);
                }
                1 => {
                    let many: Vec<Posting> = (0..random(7) as u32).map(|at| (step + at, at)).collect();
                    postings.extend(term, &many);
                    held.entry(term).or_default().extend(&many);
                }
                2 if step % 37 == 0 => {
                    let keep = |document: u32| document % 3 != step % 3;
                    postings.retain(keep);
                    held.values_mut().for_each(|list| list.retain(|(document, _)| keep(*document)));
                }
                3 if step % 37 == 0 => {
                    let (read, _) = through_a_file(|out| postings.write(out), Postings::read);
                    postings = read.unwrap_or_default();
                }
                _ => {
                    postings.push(term, (step, term));
                    held.entry(term).or_default().push((step, term));
                }
            }
            if step % 50 == 0 {
                for term in 0..62 {
                    assert_eq!(postings.get(term), held.get(&term).map_or(&[][..], Vec::as_slice), "{step}");
                }
            }
        }
    }
}
