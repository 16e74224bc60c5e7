//! Namespaces: a path of non-empty parts, encoded so that different paths never meet.

use std::sync::Arc;

use crate::error::{Error, Result};

/// The longest namespace, in bytes of UTF-8 over all parts. PostgreSQL's index rows set the bound.
pub const MAX_NAMESPACE_BYTES: usize = 1_024;
/// The most parts of a namespace. Each costs a byte more in those index rows, where a namespace, a key and a tenant,
/// each as long as it may be, must fit together.
pub const MAX_NAMESPACE_PARTS: usize = 256;
/// The longest key, in bytes of UTF-8.
pub const MAX_KEY_BYTES: usize = 1_024;

/// A checked namespace in its encoding: for each part its length in bytes (four bytes, big-endian), then its text.
///
/// The encoding is injective, and a namespace is a prefix of another's encoding exactly when it is an ancestor
/// of it or the same: `("a", "b")` and `("a/b",)` have nothing in common, `("foo",)` is no prefix of `("foobar",)`.
/// Cloning is cheap and shares it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Namespace(Arc<[u8]>);

impl Namespace {
    /// Checks and encodes `parts`.
    ///
    /// # Errors
    /// [`Error::InvalidNamespace`] for none, an empty part or too much text, [`Error::InvalidText`] for NUL.
    pub fn new<'a>(parts: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let mut path = Vec::with_capacity(64);
        let (mut count, mut bytes) = (0usize, 0usize);
        for part in parts {
            if part.is_empty() {
                return Err(Error::InvalidNamespace(format!(
                    "part {count} of the namespace is empty; every part needs at least one character"
                )));
            }
            if part.contains('\0') {
                return Err(Error::InvalidText(format!(
                    "part {count} of the namespace holds a NUL character; remove it"
                )));
            }
            bytes = bytes.saturating_add(part.len());
            if bytes > MAX_NAMESPACE_BYTES {
                return Err(Error::InvalidNamespace(format!(
                    "the namespace is longer than {MAX_NAMESPACE_BYTES} bytes; use shorter parts"
                )));
            }
            if count == MAX_NAMESPACE_PARTS {
                return Err(Error::InvalidNamespace(format!(
                    "the namespace has more than {MAX_NAMESPACE_PARTS} parts; use fewer"
                )));
            }
            path.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            path.extend_from_slice(part.as_bytes());
            count += 1;
        }
        if count == 0 {
            return Err(Error::InvalidNamespace(
                "the namespace is empty; pass a tuple of strings such as (\"user_123\", \"facts\")"
                    .to_owned(),
            ));
        }
        Ok(Self(path.into()))
    }

    /// The encoding.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The encoding, shared.
    pub fn shared(&self) -> &Arc<[u8]> {
        &self.0
    }

    /// The encoding, shared.
    pub fn into_shared(self) -> Arc<[u8]> {
        self.0
    }

    /// The end of the range of encodings that begin with this one, for `path >= self AND path < end`.
    pub fn subtree_end(&self) -> Vec<u8> {
        prefix_end(&self.0)
    }

    /// The parts of an encoding.
    ///
    /// # Errors
    /// [`Error::StorageCorrupt`] when it is none of ours.
    pub fn parts(path: &[u8]) -> Result<Vec<&str>> {
        let damaged = || Error::StorageCorrupt("a namespace in the file is damaged".to_owned());
        let mut parts = Vec::new();
        let mut rest = path;
        while let Some((length, tail)) = rest.split_first_chunk::<4>() {
            let (part, tail) =
                tail.split_at_checked(u32::from_be_bytes(*length) as usize).ok_or_else(damaged)?;
            parts.push(std::str::from_utf8(part).map_err(|_| damaged())?);
            rest = tail;
        }
        if rest.is_empty() { Ok(parts) } else { Err(damaged()) }
    }
}

/// The smallest byte string above every one that begins with `prefix`; empty when there is none.
fn prefix_end(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            break;
        }
    }
    end
}

/// Checks a key, or an id that obeys the same rules; `name` is what the errors call it.
///
/// # Errors
/// [`Error::InvalidInput`] when it is empty or too long, [`Error::InvalidText`] when it holds NUL.
pub fn check_key(key: &str, name: &str) -> Result<()> {
    if key.is_empty() {
        return Err(Error::InvalidInput(format!("the {name} is empty; it needs at least one character")));
    }
    if key.len() > MAX_KEY_BYTES {
        return Err(Error::InvalidInput(format!(
            "the {name} has {} bytes, more than {MAX_KEY_BYTES}; use a shorter one, such as a hash of it",
            key.len()
        )));
    }
    if key.contains('\0') {
        return Err(Error::InvalidText(format!("the {name} {key:?} holds a NUL character; remove it")));
    }
    Ok(())
}
