//! Local storage: one SQLite file (or memory), durable when a write returns, shared by threads and processes.
//!
//! [`Db`] is the room the others build on: it opens, locks, retries and maps errors. [`Store`] keeps items in it.
//! Lock order: the fork gate, then a store's own locks, then SQLite's.

mod busy;
mod checkpoint;
mod commit;
mod db;
mod errors;
mod filter;
mod fork;
mod index;
mod items;
mod keep;
mod large;
mod migrate;
mod mirror;
mod models;
mod names;
mod namespace;
mod open;
mod put;
mod read;
mod search;
mod sessions;
mod snapshots;
mod taking;
mod wanted;

pub use busy::set_look;
pub use commit::Transaction;
pub use db::Db;
pub use filter::Filter;
pub use fork::{after_fork, before_fork};
pub use items::{Embedded, Item, PutRow, Restored, Stamp, Store};
pub use large::{Document, Scores, cosine, documents};
pub use mirror::{Content, Entry, Loaded, Mirror, Question};
pub use models::Pending;
pub use namespace::{MAX_KEY_BYTES, MAX_NAMESPACE_BYTES, MAX_NAMESPACE_PARTS, Namespace, check_key};
pub use open::is_database;
pub use read::Listing;
pub use search::{Query, Scored};
pub use sessions::{Head, Sessions, Tail, Turn};
pub use wanted::Wanted;

pub(crate) use snapshots::make_folder;
