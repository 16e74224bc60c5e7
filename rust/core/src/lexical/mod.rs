//! The words engine: folding, tokenizing and stemming of any language's text, and word search with related words.

mod alike;
mod dense;
mod documents;
mod fold;
mod gains;
mod index;
mod lists;
mod memo;
mod postings;
mod query;
mod stem;
mod stop;
mod token;
mod vocab;

pub use index::{TextHit, TextIndex};
pub use lists::{Appended, GONE, List, Wanted, needed, wanted};
pub use stem::stem;
pub(crate) use stem::stem_into;
pub use token::{term, terms};

pub(crate) use documents::Documents;
pub(crate) use gains::Gains;
pub(crate) use lists::gains;
pub(crate) use query::Query;
pub(crate) use stop::is_function_word;
pub(crate) use token::words;
pub(crate) use vocab::Vocab;

/// See [`crate::make_all`].
pub(crate) fn make_all() {
    stop::make_all();
    vocab::make_all();
}
