//! The engine of `ai-infra-memory`: everything that is hot, and nothing that knows of Python.
//!
//! Dependencies point one way: `error` is used by all; `snapshot` and `store` do I/O, `vectors` and
//! `conversations` through them; the others do none.

mod aside;
pub mod chunk;
pub mod conversations;
pub mod embed;
pub mod error;
pub mod fit;
pub mod lexical;
pub mod rank;
pub mod recall;
mod snapshot;
pub mod store;
pub mod tokens;
pub mod validate;
pub mod vectors;
mod wide;

/// Makes what is otherwise made at its first use. To be called before a fork: if another thread were in the middle of it
/// then, the child, which does not have that thread, would wait for it for ever.
fn make_all() {
    lexical::make_all();
    embed::make_all();
    recall::make_all();
    vectors::make_all();
}
