//! The engine of `ai-infra-memory`: everything that is hot, and nothing that knows of Python.
//!
//! Dependencies point one way: `error` is used by all; the other modules do no I/O.

pub mod error;
pub mod fit;
pub mod tokens;
pub mod vectors;
