//! One error type for the whole core; the binding maps each variant to one Python class.

/// What can go wrong in the core.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A caller's argument is outside what the function takes.
    #[error("{0}")]
    InvalidInput(String),
    /// Text that cannot be stored: a lone surrogate, or NUL in a key or namespace.
    #[error("{0}")]
    InvalidText(String),
    /// A value that JSON cannot hold exactly; the message names the path inside it.
    #[error("{0}")]
    InvalidValue(String),
    /// An empty namespace, or one with an empty part.
    #[error("{0}")]
    InvalidNamespace(String),
    /// A filter with an unknown operator or an operand it cannot take.
    #[error("{0}")]
    InvalidFilter(String),
    /// An option or a path is wrong.
    #[error("{0}")]
    Configuration(String),
    /// The part of a prompt that must stay does not fit its budget.
    #[error("{0}")]
    ContextLength(String),
    /// The database or its file failed.
    #[error("{0}")]
    Storage(String),
    /// Reading or writing the file failed in the operating system. [`crate::store::Db`] turns it into
    /// [`Error::StorageFull`] where the reason was a lack of space.
    #[error("{0}")]
    StorageIo(String),
    /// A write failed in the operating system; [`crate::store::Db`] finds out whether for lack of space.
    #[error("{0}")]
    StorageWrite(String),
    /// No space is left; what was acknowledged before is safe.
    #[error("{0}")]
    StorageFull(String),
    /// The file is damaged, belongs to another program, or was written by a newer version.
    #[error("{0}")]
    StorageCorrupt(String),
    /// A lock was held by somebody else for longer than allowed.
    #[error("{0}")]
    StorageTimeout(String),
    /// What [`crate::store::set_look`] has set ended the operation, which had not begun.
    #[error("interrupted while waiting for a lock")]
    Interrupted,
    /// Used after `close`.
    #[error("{0}")]
    StorageClosed(String),
    /// Somebody else changed the same thing first.
    #[error("{0}")]
    Conflict(String),
    /// The store holds vectors of another model or size.
    #[error("{0}")]
    EmbeddingMismatch(String),
    /// An embedding that is no usable vector.
    #[error("{0}")]
    Embedding(String),
}

/// The result of everything in the core that can fail.
pub type Result<T> = std::result::Result<T, Error>;
