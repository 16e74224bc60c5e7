//! The words of many documents as lists in another database: what to write there, what to ask for, and what the
//! answers give a question. The arithmetic is that of [`Documents`], which is made of the lists that a question needs.
//!
//! A list is that of a term and of [`BLOCK`] documents with consecutive numbers: eight bytes for each, appended as
//! documents come. Removed documents are noted in lists of their own, under [`GONE`].

use std::collections::{BTreeMap, HashSet};

use super::documents::Documents;
use super::gains::Gains;
use super::query::{self, Query};
use super::stem::stem_into;
use super::token::words;
use super::vocab::Vocab;
use crate::embed::table;

/// Documents of one list.
const BLOCK: u32 = 4_096;
/// The term of the lists of removed documents; no word has it.
pub const GONE: &str = "";

/// A list: its term, which documents it is of, and its bytes.
pub type List = (String, u32, Vec<u8>);

/// Lists to be appended to those that are there.
#[derive(Debug, Default)]
pub struct Appended {
    lists: BTreeMap<(String, u32), Vec<u8>>,
}

impl Appended {
    /// Adds the words of a text and returns how many it has. `each` is told its distinct terms and how often it has them.
    pub fn add(&mut self, document: u32, text: &str, mut each: impl FnMut(&str, u32)) -> u32 {
        let (mut counts, mut length, mut stem) = (BTreeMap::<String, u32>::new(), 0_u32, String::new());
        words(text, |word| {
            stem_into(word, &mut stem);
            length += 1;
            match counts.get_mut(stem.as_str()) {
                Some(count) => *count += 1,
                None => drop(counts.insert(stem.clone(), 1)),
            }
        });
        for (term, count) in counts {
            each(&term, count);
            self.push(term, document, count, length);
        }
        length
    }

    /// Notes that a document was removed.
    pub fn remove(&mut self, document: u32) {
        self.push(GONE.to_owned(), document, 0, 0);
    }

    fn push(&mut self, term: String, document: u32, count: u32, length: u32) {
        let list = self.lists.entry((term, document / BLOCK)).or_default();
        list.extend_from_slice(&u16::try_from(document % BLOCK).unwrap_or_default().to_le_bytes());
        list.extend_from_slice(&u16::try_from(count).unwrap_or(u16::MAX).to_le_bytes());
        list.extend_from_slice(&length.to_le_bytes());
    }

    /// The lists, by term.
    #[must_use]
    pub fn into_lists(self) -> Vec<List> {
        self.lists.into_iter().map(|((term, block), list)| (term, block, list)).collect()
    }
}

/// The documents of a list, numbered as if it were that of the block `block`, with how often each has the term, and how
/// long it is.
fn read(block: u32, list: &[u8]) -> impl Iterator<Item = (u32, u32, u32)> + '_ {
    list.as_chunks::<8>().0.iter().map(move |[a, b, c, d, length @ ..]| {
        let document = block.saturating_mul(BLOCK) + u32::from(u16::from_le_bytes([*a, *b]));
        (document, u32::from(u16::from_le_bytes([*c, *d])), u32::from_le_bytes(*length))
    })
}

/// The terms among which those that matter to a question are: some by name, and all with these beginnings or parts.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// These.
    pub terms: Vec<String>,
    /// All that begin so.
    pub beginnings: Vec<String>,
    /// All that hold this.
    pub parts: Vec<String>,
}

/// What to look up for a question.
#[must_use]
pub fn wanted(question: &str) -> Wanted {
    let query = Query::new(question, &Vocab::default(), false);
    let mut wanted = Wanted::default();
    for term in query.terms.iter().map(|asked| query.term(asked)) {
        if query.terms.len() <= query::MOST_WIDENED {
            let near = table().row(term).into_iter().flat_map(|row| table().near(row));
            wanted.terms.extend(near.filter_map(|row| table().text(row)).map(str::to_owned));
            if query::is_single(term) {
                wanted.parts.push(term.to_owned());
            } else if term.chars().count() >= 4 {
                wanted.beginnings.push(term.chars().take(4).collect());
            }
        }
        wanted.terms.push(term.to_owned());
    }
    for list in [&mut wanted.terms, &mut wanted.beginnings, &mut wanted.parts] {
        list.sort_unstable();
        list.dedup();
    }
    wanted
}

/// Of the terms that there are, those whose lists a question needs.
#[must_use]
pub fn needed(question: &str, there: &[String]) -> Vec<String> {
    let mut vocab = Vocab::default();
    for term in there {
        vocab.acquire(term);
    }
    let query = Query::new(question, &vocab, true);
    let ids: HashSet<u32> =
        query.terms.iter().flat_map(|asked| asked.matches.iter().map(|(id, _)| *id)).collect();
    let mut terms: Vec<String> = ids.into_iter().map(|id| vocab.text(id).to_owned()).collect();
    terms.sort_unstable();
    terms
}

/// Gives `body` what the words of a question give to each document, and what the number of one is: here only documents
/// of blocks with lists are counted. `lists` are those that it [needs](needed) and those of removed documents; `documents` are there, with
/// `words` words together.
pub(crate) fn gains<T>(
    question: &str,
    lists: &[List],
    (documents, words): (usize, u64),
    body: impl FnOnce(Gains<'_>, &dyn Fn(u32) -> u32) -> T,
) -> T {
    let mut blocks: Vec<u32> =
        lists.iter().filter(|(term, ..)| term != GONE).map(|(_, block, _)| *block).collect();
    blocks.sort_unstable();
    blocks.dedup();
    let here = |block: &u32| blocks.binary_search(block).ok().and_then(|at| u32::try_from(at).ok());
    let number = |document: u32| {
        let block = blocks.get((document / BLOCK) as usize).copied().unwrap_or_default();
        block.saturating_mul(BLOCK).saturating_add(document % BLOCK)
    };
    let mut gone = Vec::new();
    for (_, block, list) in lists.iter().filter(|(term, ..)| term == GONE) {
        let Some(block) = here(block) else { continue };
        for (document, ..) in read(block, list) {
            let at = document as usize;
            gone.resize(gone.len().max(at + 1), false);
            if let Some(place) = gone.get_mut(at) {
                *place = true;
            }
        }
    }
    let there = |document: u32| !gone.get(document as usize).copied().unwrap_or(false);
    let mut held = Documents::partly(documents, words);
    for (term, block, list) in lists.iter().filter(|(term, ..)| term != GONE) {
        let Some(block) = here(block) else { continue };
        held.append(term, read(block, list).filter(|(document, ..)| there(*document)));
    }
    held.appended();
    held.gains(question, |gains| body(gains, &number))
}

#[cfg(test)]
mod tests {
    use super::{Appended, gains, needed, wanted};
    use crate::lexical::TextIndex;

    #[test]
    fn lists_give_what_an_index_gives() {
        let texts: Vec<String> = (0..9_000_u32)
            .map(|n| {
                format!(
                    "violin {} lesson{} guitar x{} {}",
                    n % 7,
                    n % 90,
                    n % 1_300,
                    "config ".repeat(n as usize % 3)
                )
            })
            .collect();
        let (mut index, mut appended, mut total) = (TextIndex::new(), Appended::default(), 0_u64);
        for (number, text) in (0_u32..).zip(&texts) {
            let length = appended.add(number, text, |_, _| {});
            if number % 11 == 3 {
                appended.remove(number);
            } else {
                index.add(u64::from(number), text);
                total += u64::from(length);
            }
        }
        let all = appended.into_lists();
        for question in ["instruments", "lesson7 x1200", "configuration of 5", "nothing alike", "the"] {
            let asked = wanted(question);
            let mut there: Vec<String> = all.iter().map(|list| list.0.clone()).collect();
            there.dedup();
            there.retain(|term| {
                asked.terms.contains(term)
                    || asked.beginnings.iter().any(|beginning| term.starts_with(beginning))
            });
            let needed = needed(question, &there);
            let lists: Vec<_> =
                all.iter().filter(|l| l.0.is_empty() || needed.contains(&l.0)).cloned().collect();
            let mut found = gains(question, &lists, (index.len(), total), |gains, number| {
                let of = |(at, score, coverage)| (u64::from(number(at)), score, coverage);
                gains.found().map(of).collect::<Vec<_>>()
            });
            found.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            let plain = index.search(question, usize::MAX, None);
            assert_eq!(found.len(), plain.len(), "{question}");
            for (found, hit) in found.iter().zip(&plain) {
                assert_eq!(*found, (hit.key, hit.score, hit.coverage));
            }
        }
    }
}
