//! What may be stored, decided once for every backend, before anything is written.

mod parse;
mod write;

pub use parse::{Json, parse, text_of};
pub use write::{Limits, Writer};
