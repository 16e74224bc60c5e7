//! Conversations of users, kept in the database of [`crate::store`]: messages, metadata, and vectors of passages.
//!
//! The database is the truth. Each write is one immediate transaction, so a conversation is there whole or not at all,
//! whoever dies when; a search index is made from [`Conversations::changes`] and caught up by it, or taken from the file
//! that [`Conversations::keep`] wrote.

mod keep;
mod read;
mod reembed;
mod write;

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use crate::error::Result;
use crate::store::Db;

/// The vectors of passages by the hash of their text: f32, little-endian. Stored is their direction, in halves
/// ([`crate::vectors`]), so what is read has length 1.
pub type Vectors = HashMap<Vec<u8>, Vec<u8>>;

/// A conversation to be stored in place of the one under the same ids. Times are microseconds since 1970 UTC.
#[derive(Debug, Clone)]
pub struct Write {
    /// Whose.
    pub user_id: String,
    /// Its id among the user's.
    pub session_id: String,
    /// Each as canonical JSON.
    pub messages: Vec<String>,
    /// A dict as canonical JSON.
    pub metadata: String,
    /// When it began.
    pub starts: Option<i64>,
    /// When it ended.
    pub ends: Option<i64>,
    /// A summary of its first `summarized` messages.
    pub summary: Option<String>,
    /// How many messages the summary stands for.
    pub summarized: i64,
    /// Of every passage; empty for the built-in embedder.
    pub vectors: Vectors,
    /// `(created_at, updated_at)` of one that an import brings back.
    pub restored: Option<(i64, i64)>,
}

/// A stored conversation without its messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The row; never used again.
    pub id: i64,
    /// The user's generation at its last change.
    pub seq: i64,
    /// Whose.
    pub user_id: String,
    /// Its id among the user's.
    pub session_id: String,
    /// How many messages.
    pub length: i64,
    /// Canonical JSON.
    pub metadata: String,
    /// When it began.
    pub starts: Option<i64>,
    /// When it ended.
    pub ends: Option<i64>,
    /// A summary of its first `summarized` messages.
    pub summary: Option<String>,
    /// How many messages the summary stands for.
    pub summarized: i64,
    /// When it was first stored.
    pub created_at: i64,
    /// When it last changed.
    pub updated_at: i64,
}

/// A stored conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Everything else.
    pub head: Head,
    /// Each as canonical JSON.
    pub messages: Vec<String>,
    /// Empty where they were not asked for.
    pub vectors: Vectors,
}

/// Where a user's conversations stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The user's row; 0 where nothing is stored for them.
    pub id: i64,
    /// Grows with every change.
    pub generation: i64,
    /// Whose vectors the database holds.
    pub model: Option<String>,
}

/// What an index of one user lacks, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// Where the user stands.
    pub state: State,
    /// The rows of all the user's conversations.
    pub live: Vec<i64>,
    /// Those that the index does not hold as they are now; the first of them where they are many.
    pub loaded: Vec<Stored>,
    /// Whether that is all of them.
    pub whole: bool,
}

/// Some messages of a conversation, all from one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picked {
    /// The conversation as it was then.
    pub head: Head,
    /// Position and canonical JSON of each that is there.
    pub messages: Vec<(i64, String)>,
}

/// How much there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// Users with a conversation.
    pub users: i64,
    /// Conversations.
    pub conversations: i64,
    /// Messages.
    pub messages: i64,
}

/// New vectors of a conversation: its row, its `seq`, and the vectors.
pub type Row = (i64, i64, Vectors);

/// Conversations in a [`Db`].
#[derive(Debug, Clone)]
pub struct Conversations {
    db: Db,
}

impl Conversations {
    /// Conversations in the file at `path`; see [`Db::open`].
    ///
    /// # Errors
    /// As [`Db::open`].
    pub fn open(path: &Path, timeout: Duration) -> Result<Self> {
        Ok(Self { db: Db::open(path, timeout)? })
    }

    /// Conversations in memory.
    ///
    /// # Errors
    /// As [`Db::memory`].
    pub fn memory() -> Result<Self> {
        Ok(Self { db: Db::memory()? })
    }

    /// The database underneath.
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// Removes every trace of what was deleted; see [`Db::purge`].
    ///
    /// # Errors
    /// As [`Db::purge`].
    pub fn purge(&self) -> Result<()> {
        self.db.purge()
    }
}

#[cfg(test)]
mod tests;
