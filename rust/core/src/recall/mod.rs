//! Search over one user's conversations: which moment answers the question.
//!
//! Every message is indexed (long ones in passages), and scored by the sum of z-scores of several views of it: its own
//! words, those of its neighbourhood and of its session, its vector, who said it, when. The scores become shares of one,
//! and chunks are chosen so that each adds the largest share not yet covered. `docs/recall.md` tells why.

mod context;
mod cues;
mod dates;
pub(crate) mod keep;
mod layout;
mod piece;
mod search;
mod session;
mod similar;
mod words;

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::lexical::Vocab;
use session::Session;

/// See [`crate::make_all`].
pub(crate) fn make_all() {
    cues::make_all();
}

/// Messages longer than this many bytes are indexed in passages of at most this size.
pub const PASSAGE: usize = 900;

/// A message to index.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// Its text.
    pub text: &'a str,
    /// True when the user said it (not the assistant or a tool).
    pub user: bool,
    /// The name of who said it, where the conversation has names.
    pub speaker: Option<&'a str>,
    /// It must stay in one chunk with the message before it.
    pub joined: bool,
}

/// Where vectors come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Embedding {
    /// No vectors: words only.
    None,
    /// The built-in embedder.
    Local,
    /// The caller gives rows of this many components, one a passage.
    External(usize),
}

/// Part of a message: characters `[start, end)` of message `message` of the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Index of the message in its session.
    pub message: u32,
    /// First character.
    pub start: u32,
    /// One past the last character.
    pub end: u32,
}

/// A word of the question that a result holds.
#[derive(Debug, Clone, PartialEq)]
pub struct WordMatch {
    /// The word as asked, folded.
    pub asked: String,
    /// The term found in its place: the word's own stem, or a related one.
    pub found: String,
    /// The word's share of the question by weight, times how well it is matched: 0 to 1.
    pub share: f32,
}

/// Names of the parts of [`Hit::parts`], in order.
pub const PARTS: [&str; 12] = [
    "words",
    "around",
    "session",
    "neighbours",
    "similarity",
    "chunk similarity",
    "speaker",
    "time",
    "amount",
    "user",
    "date",
    "phrase",
];

/// What each part counts in the sum. Fitted once on development conversations of two kinds (see `docs/recall.md`).
pub const WEIGHTS: [f32; 12] = [0.36, 0.42, 0.27, 0.14, 0.32, 0.18, 3.2, 2.4, 1.1, 2.8, 4.1, 0.65];

/// A result: a chunk, in rank order.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    /// The session's key.
    pub session: String,
    /// Index of the chunk in its session, and its messages `[start, end)`.
    pub chunk: u32,
    /// First message.
    pub start: u32,
    /// One past the last message.
    pub end: u32,
    /// 0 to 1, falling with rank: how much of the question the best result answers, times this one's strength beside it.
    pub score: f32,
    /// What to read: whole messages, or passages of long ones, that brought the chunk here and that no result before it
    /// shows already; beyond the first reading budget also strong messages of the same session outside the chunk. In the
    /// order of the conversation.
    pub context: Vec<Span>,
    /// The message that brought it.
    pub best: u32,
    /// Words of the question in the chunk.
    pub words: Vec<WordMatch>,
    /// Cosine of the question and the nearest passage of the best message, where there are vectors.
    pub similarity: Option<f32>,
    /// What each view added to the best message's score, in the order of [`PARTS`].
    pub parts: [f32; PARTS.len()],
}

/// What to search for.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The question.
    pub question: &'a str,
    /// Its vector, for [`Embedding::External`]; words only without it.
    pub vector: Option<&'a [f32]>,
    /// Only these sessions.
    pub sessions: Option<&'a [&'a str]>,
    /// At most this many results.
    pub limit: usize,
    /// Characters of the strongest messages that the contexts of the first results should hold together.
    pub context: usize,
}

/// One user's conversations. Writing needs `&mut`; any number may search at a time.
///
/// What a search returns depends only on the sessions held, not on the order of writes. The texts themselves are not
/// kept.
#[derive(Debug)]
pub struct ConversationIndex {
    size: usize,
    overlap: usize,
    embedding: Embedding,
    weights: [f32; PARTS.len()],
    related: bool,
    vocab: Vocab,
    slots: Vec<Option<Session>>,
    free: Vec<u32>,
    order: BTreeMap<String, u32>,
    /// Term → (slot, first, last) into that session's postings.
    lists: Vec<Vec<(u32, u32, u32)>>,
    /// Bytes of the sessions, with their part of `lists`.
    bytes: usize,
    /// Bytes of the sessions that came out of a file together, and those of them that are gone: they stay until all go.
    together: usize,
    gone: usize,
}

impl ConversationIndex {
    /// An empty index with chunks of `size` messages that share `overlap`.
    ///
    /// # Errors
    /// `size` is 0, or `overlap` is not smaller.
    pub fn new(size: usize, overlap: usize, embedding: Embedding) -> Result<Self> {
        crate::chunk::chunks(&[], size, overlap)?;
        if embedding == Embedding::External(0) {
            return Err(Error::InvalidInput("an embedding needs at least 1 dimension, got 0".into()));
        }
        Ok(Self {
            size,
            overlap,
            embedding,
            weights: WEIGHTS,
            related: true,
            vocab: Vocab::default(),
            slots: Vec::new(),
            free: Vec::new(),
            order: BTreeMap::new(),
            lists: Vec::new(),
            bytes: 0,
            together: 0,
            gone: 0,
        })
    }

    /// Replaces the weights of [`PARTS`] and says whether words are widened to related ones: for measuring what each
    /// part does.
    pub fn set_weights(&mut self, weights: [f32; PARTS.len()], related: bool) {
        self.weights = weights;
        self.related = related;
    }

    /// Adds a session under `key`, in place of the one that was there. Linear in its text.
    ///
    /// `date` is the session's date as its metadata has it (ISO 8601, or a month's name with day and year); an unreadable
    /// one counts as none. `vectors`, for [`Embedding::External`], holds one row for each passage in order (see
    /// [`passages`]); without it the session is found by words.
    ///
    /// # Errors
    /// `vectors` has another size than passages × dimensions, or a component that is not finite. Nothing is changed then.
    pub fn put(
        &mut self,
        key: &str,
        date: Option<&str>,
        messages: &[Message<'_>],
        vectors: Option<&[f32]>,
    ) -> Result<()> {
        if let Some(v) = vectors {
            self.check_vectors(messages, v)?;
        }
        // Before the old one goes: a size that cannot be met was refused in `new`.
        let shape = (self.size, self.overlap);
        let session = Session::new(date, messages, vectors, shape, self.embedding, &mut self.vocab)?;
        self.remove(key);
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.slots.push(None);
                u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
            }
        };
        if self.lists.len() < self.vocab.bound() {
            self.lists.resize_with(self.vocab.bound(), Vec::new);
        }
        for [term, first, last] in session.terms.iter() {
            if let Some(list) = self.lists.get_mut(*term as usize) {
                list.push((slot, *first, *last));
            }
        }
        self.bytes += session.bytes();
        if let Some(place) = self.slots.get_mut(slot as usize) {
            *place = Some(session);
        }
        self.order.insert(key.to_owned(), slot);
        Ok(())
    }

    fn check_vectors(&self, messages: &[Message<'_>], vectors: &[f32]) -> Result<()> {
        let Embedding::External(dim) = self.embedding else {
            return Err(Error::InvalidInput(
                "vectors were given, but this index makes its own or has none".into(),
            ));
        };
        let rows: usize = messages.iter().map(|m| crate::chunk::passages(m.text, PASSAGE).len()).sum();
        if vectors.len() != rows * dim {
            return Err(Error::InvalidInput(format!(
                "{} vector components for {rows} passages of {dim} dimensions: {} are needed",
                vectors.len(),
                rows * dim
            )));
        }
        if vectors.iter().any(|v| !v.is_finite()) {
            return Err(Error::InvalidInput("a vector has a component that is not a finite number".into()));
        }
        Ok(())
    }

    /// Removes a session; true if it was there.
    pub fn remove(&mut self, key: &str) -> bool {
        let Some(slot) = self.order.remove(key) else { return false };
        let Some(session) = self.slots.get_mut(slot as usize).and_then(Option::take) else { return false };
        for [term, _, _] in session.terms.iter() {
            if let Some(list) = self.lists.get_mut(*term as usize) {
                list.retain(|(s, _, _)| *s != slot);
            }
            self.vocab.release(*term);
        }
        self.bytes -= session.bytes();
        self.free.push(slot);
        if session.is_shared() {
            self.gone += session.bytes();
            self.part();
        }
        true
    }

    /// The keys of the sessions, sorted.
    pub fn sessions(&self) -> impl Iterator<Item = &str> {
        self.order.keys().map(String::as_str)
    }

    /// The chunks of a session: messages `[start, end)`.
    #[must_use]
    pub fn chunks(&self, key: &str) -> Option<&[(u32, u32)]> {
        let slot = self.order.get(key)?;
        self.slots.get(*slot as usize)?.as_ref().map(|s| &*s.chunks)
    }

    /// Components of a vector from outside; 0 without such.
    #[must_use]
    pub fn dimensions(&self) -> usize {
        if let Embedding::External(dimensions) = self.embedding { dimensions } else { 0 }
    }

    /// Messages in a chunk, and how many of them it shares with the one before.
    #[must_use]
    pub fn shape(&self) -> (usize, usize) {
        (self.size, self.overlap)
    }

    /// About how many bytes of memory this takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes + self.gone + self.vocab.bytes()
    }

    /// Where more than half of what came together is gone, each session that is left takes its own along.
    fn part(&mut self) {
        if self.gone * 2 > self.together {
            self.slots.iter_mut().flatten().for_each(Session::part);
            (self.together, self.gone) = (0, 0);
        }
    }

    /// The number of messages held.
    #[must_use]
    pub fn messages(&self) -> usize {
        self.slots.iter().flatten().map(|s| s.messages.len()).sum()
    }
}

/// The passages of messages, in the order in which vectors are given: characters of each text.
#[must_use]
pub fn passages(texts: &[&str]) -> Vec<Span> {
    let mut out = Vec::new();
    for (message, text) in (0_u32..).zip(texts) {
        let mut start = 0;
        for (a, z) in crate::chunk::passages(text, PASSAGE) {
            let end = start + text.get(a..z).unwrap_or_default().chars().count() as u32;
            out.push(Span { message, start, end });
            start = end;
        }
    }
    out
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
mod tests;
