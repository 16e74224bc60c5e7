//! One error type for the whole core; the binding maps each variant to one Python class.

/// What can go wrong in the core.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A caller's argument is outside what the function takes.
    #[error("{0}")]
    InvalidInput(String),
    /// The part of a prompt that must stay does not fit its budget.
    #[error("{0}")]
    ContextLength(String),
}

/// The result of everything in the core that can fail.
pub type Result<T> = std::result::Result<T, Error>;
