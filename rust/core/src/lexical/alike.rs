//! Terms by their first four bytes: what shares a beginning shares them.

use hashbrown::HashTable;

/// No term.
const NONE: u32 = u32::MAX;

/// The first four bytes of a text of at least four.
fn head(text: &str) -> Option<u32> {
    text.as_bytes().first_chunk::<4>().map(|bytes| u32::from_le_bytes(*bytes))
}

/// Four bytes are too few to make many of them collide.
fn hash(head: u32) -> u64 {
    u64::from(head).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// The neighbours of a term among those with its head.
#[derive(Debug, Clone, Copy)]
struct Links {
    head: u32,
    before: u32,
    after: u32,
}

const FREE: Links = Links { head: 0, before: NONE, after: NONE };

/// The numbers of terms, each in a list of those with the same head: however many share one, to come and to go takes
/// one step.
#[derive(Debug, Default)]
pub(super) struct Alike {
    /// The first of each list.
    first: HashTable<u32>,
    /// By number.
    links: Vec<Links>,
}

impl Alike {
    /// Takes in a number that is not there.
    pub(super) fn put(&mut self, id: u32, text: &str) {
        let Some(head) = head(text) else { return };
        if self.links.len() <= id as usize {
            self.links.resize(id as usize + 1, FREE);
        }
        let links = &self.links;
        let first = self.first.find_mut(hash(head), |id| of(links, *id).head == head);
        let after = first.map_or(NONE, |first| std::mem::replace(first, id));
        self.set(id, Links { head, before: NONE, after });
        if after == NONE {
            let links = &self.links;
            self.first.insert_unique(hash(head), id, |id| hash(of(links, *id).head));
        } else {
            self.set(after, Links { before: id, ..of(&self.links, after) });
        }
    }

    /// Takes a number out.
    pub(super) fn remove(&mut self, id: u32, text: &str) {
        let Some(head) = head(text) else { return };
        let Links { before, after, .. } = of(&self.links, id);
        self.set(before, Links { after, ..of(&self.links, before) });
        self.set(after, Links { before, ..of(&self.links, after) });
        self.set(id, FREE);
        if before == NONE
            && let Ok(mut first) = self.first.find_entry(hash(head), |first| *first == id)
        {
            if after == NONE {
                first.remove();
            } else {
                *first.get_mut() = after;
            }
        }
    }

    /// The numbers of the texts that begin with the same four bytes as `text`; none where it is shorter.
    pub(super) fn of(&self, text: &str) -> impl Iterator<Item = u32> {
        let first = head(text)
            .and_then(|head| self.first.find(hash(head), |id| of(&self.links, *id).head == head).copied());
        std::iter::successors(first, |id| Some(of(&self.links, *id).after).filter(|id| *id != NONE))
    }

    fn set(&mut self, id: u32, links: Links) {
        if let Some(place) = self.links.get_mut(id as usize) {
            *place = links;
        }
    }
}

fn of(links: &[Links], id: u32) -> Links {
    links.get(id as usize).copied().unwrap_or(FREE)
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "a test fails by panicking")]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn the_lists_are_those_of_a_comparison_with_all() {
        let texts: Vec<String> = (0..400)
            .map(|n| format!("{}{n}", ["auth", "authen", "conf", "книга", "ab", "猫"][n % 6]))
            .collect();
        let (mut alike, mut held) = (Alike::default(), BTreeMap::new());
        let mut state = 5_u64;
        for _ in 0..3_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let id = (state >> 33) as u32 % 200;
            if let Some(text) = held.remove(&id) {
                alike.remove(id, text);
            } else if let Some(text) = texts.get((state >> 40) as usize % texts.len()) {
                alike.put(id, text);
                held.insert(id, text);
            }
            for asked in ["authx", "conf", "книж", "ab1", "abc", "猫7"] {
                let mut found: Vec<u32> = alike.of(asked).collect();
                found.sort_unstable();
                let same = |text: &str| {
                    text.len() >= 4 && asked.len() >= 4 && text.as_bytes()[..4] == asked.as_bytes()[..4]
                };
                let every: Vec<u32> = held.iter().filter(|(_, text)| same(text)).map(|(id, _)| *id).collect();
                assert_eq!(found, every, "{asked}");
            }
        }
        held.into_iter().for_each(|(id, text)| alike.remove(id, text));
        assert!(alike.first.is_empty());
    }
}
