//! Files that hold what could be computed again: either whole, right and of the very thing that is asked for, or not
//! used at all.
//!
//! ```text
//! 0    magic, 8 bytes
//! 8    version of this layout, u32
//! 12   length of what it is about, u32
//! 16   what it is about (the caller's bytes: kind, version, token …)
//! …    the body
//! …    xxh3-128 of all before and of the last number, 16 bytes
//! …    what is read later, if anything, and the xxh3-128 of it, 16 bytes
//! end  its length, u64
//! ```
//!
//! Numbers are in the machine's own order; a file from the other kind of machine is one of another version. The body
//! has no structure of its own: what was put in comes out in the same order.
//!
//! Writing is [`Draft::begin`], [`Draft::fill`], [`Draft::publish`]; reading is [`load`]. Nothing is synced: a file that
//! a power cut has torn is noticed as any other damage is. No reader ever sees a file that is being written, and a
//! draft that is dropped or whose process is killed has changed nothing.

mod draft;
mod load;
#[cfg(test)]
mod tests;

use std::io;

pub(crate) use draft::{Draft, Writer, temporary};
pub(crate) use load::{Reader, about, load};
#[cfg(test)]
pub(crate) use tests::through_a_file;

const MAGIC: &[u8; 8] = b"AISNAP\r\n";
/// Of the frame; what a body consists of has a version of its own in what it is about.
const VERSION: u32 = 2;
const FIXED: usize = 16;
const SUM: usize = 16;
/// The most bytes to tell what a file is about.
const LONGEST: u32 = 4_096;
/// Bytes read or written at once: they stay in the second-level cache while they are hashed.
const PIECE: usize = 128 * 1024;

/// Values that are their bytes.
///
/// # Safety
/// Every pattern of bytes is a valid value, and a value has no padding.
pub(crate) unsafe trait Flat: Copy + Default {}

// SAFETY: plain numbers.
unsafe impl Flat for u8 {}
// SAFETY: plain numbers.
unsafe impl Flat for u32 {}
// SAFETY: plain numbers.
unsafe impl Flat for u64 {}
// SAFETY: plain numbers.
unsafe impl Flat for i64 {}
// SAFETY: plain numbers; a NaN is a value too.
unsafe impl Flat for f32 {}
// SAFETY: an array has no padding between its elements.
unsafe impl<T: Flat, const N: usize> Flat for [T; N] where [T; N]: Default {}

fn as_bytes<T: Flat>(values: &[T]) -> &[u8] {
    // SAFETY: the bytes of a slice of values without padding are initialised, and live as long as it is borrowed.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}

fn as_bytes_mut<T: Flat>(values: &mut [T]) -> &mut [u8] {
    // SAFETY: as above, and any bytes written are valid values.
    unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr().cast(), size_of_val(values)) }
}

/// The bytes before the body.
fn head(about: &[u8]) -> io::Result<Vec<u8>> {
    let length = u32::try_from(about.len()).ok().filter(|length| *length <= LONGEST);
    let length = length.ok_or(io::ErrorKind::InvalidInput)?;
    let mut head = Vec::with_capacity(FIXED + about.len());
    head.extend_from_slice(MAGIC);
    head.extend_from_slice(&VERSION.to_ne_bytes());
    head.extend_from_slice(&length.to_ne_bytes());
    head.extend_from_slice(about);
    Ok(head)
}
