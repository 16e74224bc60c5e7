//! One conversation, taken apart for search.

use std::collections::HashMap;

use super::cues::{is_number, is_time};
use super::dates::{Date, parse_date};
use super::piece::Piece;
use super::{Embedding, Message, PASSAGE};
use crate::chunk::{chunks, passages};
use crate::embed;
use crate::error::Result;
use crate::lexical::{Vocab, term, words};

/// What search needs to know of a message.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Said by the user, in a conversation without names.
    pub(super) by_user: bool,
    /// Index into [`Session::speakers`].
    pub(super) speaker: Option<u32>,
    pub(super) has_time: bool,
    pub(super) has_number: bool,
    /// Characters of the text.
    pub(super) chars: u32,
    /// Its passages `[first, last)`.
    pub(super) first: u32,
    pub(super) last: u32,
}

/// A message or a part of a long one.
#[derive(Debug, Clone)]
pub(super) struct Passage {
    /// Characters `[start, end)` of the message.
    pub(super) start: u32,
    pub(super) end: u32,
    /// Its terms: `[first, last)` of [`Session::sequence`].
    pub(super) first: u32,
    pub(super) last: u32,
}

/// A conversation in the index.
#[derive(Debug, Default)]
pub(super) struct Session {
    pub(super) date: Option<Date>,
    pub(super) messages: Piece<Entry>,
    pub(super) passages: Piece<Passage>,
    pub(super) chunks: Piece<(u32, u32)>,
    /// Names of those who speak, folded, one word or more.
    pub(super) speakers: Vec<Vec<String>>,
    /// Terms of all passages in order.
    pub(super) sequence: Piece<u32>,
    /// Term → its postings `[first, last)`.
    pub(super) terms: Piece<[u32; 3]>,
    /// (passage, count) of each term.
    pub(super) postings: Piece<[u32; 2]>,
    /// Unit vectors of the passages, in signed bytes, and what one step is worth.
    pub(super) vectors: Piece<u8>,
    pub(super) scales: Piece<f32>,
}

/// A conversation being taken apart.
#[derive(Debug, Default)]
struct Parts {
    messages: Vec<Entry>,
    passages: Vec<Passage>,
    speakers: Vec<Vec<String>>,
    sequence: Vec<u32>,
    terms: Vec<[u32; 3]>,
    postings: Vec<[u32; 2]>,
    vectors: Vec<u8>,
    scales: Vec<f32>,
}

/// The name before a leading colon: `Anna: hello`. Returns (name, bytes up to the text).
fn prefix(text: &str) -> Option<(&str, usize)> {
    let head: usize =
        text.char_indices().take(32).find(|(_, c)| matches!(c, ':' | '：' | '\n')).map(|(i, _)| i)?;
    let (name, rest) = text.split_at_checked(head)?;
    let colon = rest.chars().next().filter(|c| *c != '\n')?;
    let after = rest.get(colon.len_utf8()..)?;
    let name = name.trim();
    let fine = name.chars().next().is_some_and(char::is_alphabetic)
        && name.split_whitespace().count() <= 3
        && name
            .chars()
            .all(|c| c.is_alphanumeric() || c.is_whitespace() || matches!(c, '.' | '-' | '\'' | '’'))
        && (colon == '：' || after.starts_with(char::is_whitespace));
    fine.then_some((name, head + colon.len_utf8()))
}

/// Names written into the texts count when most messages of the session begin with a name that comes back.
fn written_names<'a>(messages: &[Message<'a>]) -> Vec<Option<(&'a str, usize)>> {
    let found: Vec<_> = messages.iter().map(|m| prefix(m.text)).collect();
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for (name, _) in found.iter().flatten() {
        *counts.entry(name).or_default() += 1;
    }
    let again = |name: &str| counts.get(name).is_some_and(|n| *n > 1);
    let total: usize = found.iter().flatten().filter(|(n, _)| again(n)).count();
    if total * 2 > messages.len() {
        found.into_iter().map(|f| f.filter(|(n, _)| again(n))).collect()
    } else {
        vec![None; messages.len()]
    }
}

fn folded(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    words(text, |w| out.push(w.to_owned()));
    out
}

/// Names of roles, not of people.
const ROLES: &[&str] = &["user", "assistant", "human", "ai", "system", "bot", "tool", "chatgpt", "claude"];

impl Session {
    /// Takes a conversation apart. `vectors` has a row of `embedding`'s size for each passage, in order.
    pub(super) fn new(
        date: Option<&str>,
        messages: &[Message<'_>],
        vectors: Option<&[f32]>,
        (size, overlap): (usize, usize),
        embedding: Embedding,
        vocab: &mut Vocab,
    ) -> Result<Self> {
        let joined: Vec<bool> = messages.iter().map(|m| m.joined).collect();
        let chunks = chunks(&joined, size, overlap)?;
        let mut out = Parts::default();
        let mut counts: HashMap<u32, Vec<(u32, u32)>> = HashMap::new();
        let mut ids: HashMap<String, u32> = HashMap::new();
        for (message, written) in messages.iter().zip(written_names(messages)) {
            let name = message.speaker.or(written.map(|w| w.0)).map(folded);
            let name = name
                .filter(|n| !n.is_empty() && !matches!(n.as_slice(), [one] if ROLES.contains(&one.as_str())));
            let skip = if message.speaker.is_none() { written.map_or(0, |w| w.1) } else { 0 };
            out.add(message, name, skip, vocab, &mut ids, &mut counts);
        }
        out.store_postings(counts);
        match embedding {
            Embedding::None => {}
            Embedding::Local => out.embed(messages),
            Embedding::External(dim) => {
                for row in vectors.unwrap_or_default().chunks_exact(dim.max(1)) {
                    out.add_vector(&mut row.to_vec());
                }
            }
        }
        Ok(Self {
            date: date.and_then(|d| parse_date(&folded(d))),
            messages: Piece::Own(out.messages),
            passages: Piece::Own(out.passages),
            chunks: Piece::Own(chunks),
            speakers: out.speakers,
            sequence: Piece::Own(out.sequence),
            terms: Piece::Own(out.terms),
            postings: Piece::Own(out.postings),
            vectors: Piece::Own(out.vectors),
            scales: Piece::Own(out.scales),
        })
    }

    /// Bytes of memory, with what an index keeps of a session beside it: a key, and an entry for each term.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(self)
            + 250
            + size_of_val(&*self.messages)
            + size_of_val(&*self.passages)
            + size_of_val(&*self.chunks)
            + size_of_val(&*self.sequence)
            + 2 * size_of_val(&*self.terms)
            + size_of_val(&*self.postings)
            + self.vectors.len()
            + size_of_val(&*self.scales)
    }

    /// Whether its lists are parts of those of others.
    pub(super) fn is_shared(&self) -> bool {
        matches!(self.messages, Piece::Shared(..))
    }

    /// Lets go of what it shares with others.
    pub(super) fn part(&mut self) {
        self.messages.part();
        self.passages.part();
        self.chunks.part();
        self.sequence.part();
        self.terms.part();
        self.postings.part();
        self.vectors.part();
        self.scales.part();
    }
}

impl Parts {
    fn add(
        &mut self,
        message: &Message<'_>,
        name: Option<Vec<String>>,
        skip: usize,
        vocab: &mut Vocab,
        ids: &mut HashMap<String, u32>,
        counts: &mut HashMap<u32, Vec<(u32, u32)>>,
    ) {
        let (mut has_time, mut has_number) = (false, false);
        let first = self.passages.len() as u32;
        let mut chars = 0_u32;
        for (start, end) in passages(message.text, PASSAGE) {
            let text = message.text.get(start..end).unwrap_or_default();
            let length = text.chars().count() as u32;
            let index = self.passages.len() as u32;
            let sequence = self.sequence.len() as u32;
            words(message.text.get(start.max(skip).min(end)..end).unwrap_or_default(), |w| {
                has_time |= is_time(w);
                has_number |= is_number(w);
                let stem = term(w);
                let id = match ids.get(&stem) {
                    Some(id) => *id,
                    None => {
                        let id = vocab.acquire(&stem);
                        ids.insert(stem, id);
                        id
                    }
                };
                self.sequence.push(id);
                let list = counts.entry(id).or_default();
                match list.last_mut() {
                    Some((p, n)) if *p == index => *n += 1,
                    _ => list.push((index, 1)),
                }
            });
            let last = self.sequence.len() as u32;
            self.passages.push(Passage { start: chars, end: chars + length, first: sequence, last });
            chars += length;
        }
        let by_user = message.user && name.is_none();
        let speaker = name.map(|n| {
            let at = self.speakers.iter().position(|s| *s == n).unwrap_or_else(|| {
                self.speakers.push(n);
                self.speakers.len() - 1
            });
            at as u32
        });
        let last = self.passages.len() as u32;
        self.messages.push(Entry { by_user, speaker, has_time, has_number, chars, first, last });
    }

    fn store_postings(&mut self, counts: HashMap<u32, Vec<(u32, u32)>>) {
        let mut lists: Vec<_> = counts.into_iter().collect();
        lists.sort_unstable_by_key(|(id, _)| *id);
        for (id, list) in lists {
            let first = self.postings.len() as u32;
            self.postings.extend(list.into_iter().map(|(passage, count)| [passage, count]));
            self.terms.push([id, first, self.postings.len() as u32]);
        }
    }

    fn embed(&mut self, messages: &[Message<'_>]) {
        let mut row = vec![0.0; embed::dimensions()];
        for message in messages {
            for (start, end) in passages(message.text, PASSAGE) {
                row.fill(0.0);
                embed::embed_into(message.text.get(start..end).unwrap_or_default(), &mut row);
                self.add_vector(&mut row);
            }
        }
    }

    fn add_vector(&mut self, row: &mut [f32]) {
        embed::normalize(row);
        let scale = quantize(row, &mut self.vectors);
        self.scales.push(scale);
    }
}

/// Appends a vector in signed bytes; returns what one step is worth.
pub(super) fn quantize(row: &[f32], out: &mut Vec<u8>) -> f32 {
    let most = row.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
    let step = if most > 0.0 { 127.0 / most } else { 0.0 };
    out.extend(row.iter().map(|v| (v * step).round() as i8 as u8));
    if step > 0.0 { 1.0 / step } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::prefix;

    #[test]
    fn written_names_are_found() {
        assert_eq!(prefix("Anna: hi"), Some(("Anna", 5)));
        assert_eq!(prefix("Dr. Mary-Ann Lee: hi"), Some(("Dr. Mary-Ann Lee", 17)));
        assert_eq!(prefix("http://x.y"), None);
        assert_eq!(prefix("12:30"), None);
        assert_eq!(prefix("so what I mean is this: no"), None);
    }
}
