//! The walk over a text: from pre-token to pre-token.

use super::lanes::Lanes;
use super::memory::Memory;
use super::split::Pattern;
use super::table::load;
use super::window::Windowed;

/// Calls `take(memory, rest, start, length)` for each pre-token of `text`, until it returns false. `rest` starts with
/// the pre-token; near the end of the text zeros may follow it there.
///
/// The reference: one character at a time, on any processor.
pub fn plain<P: Pattern>(
    text: &[u8],
    memory: &mut Memory,
    mut take: impl FnMut(&mut Memory, &[u8], usize, usize) -> bool,
) {
    let mut start = 0;
    while start < text.len() {
        let end = P::end(text, start);
        if !take(memory, text.get(start..).unwrap_or_default(), start, end - start) {
            return;
        }
        start = end;
    }
}

/// The same as [`plain`], 64 bytes at a time where the text is ASCII.
#[cfg(target_arch = "x86_64")]
pub fn fast<P: Pattern + Windowed>(
    text: &[u8],
    memory: &mut Memory,
    take: impl FnMut(&mut Memory, &[u8], usize, usize) -> bool,
) {
    use super::lanes::{Avx2, Sse2};

    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
    fn with_avx2<P: Pattern + Windowed>(
        text: &[u8],
        memory: &mut Memory,
        take: impl FnMut(&mut Memory, &[u8], usize, usize) -> bool,
    ) {
        // SAFETY: this function is only called where avx2 is there.
        unsafe { windows::<Avx2, P>(text, memory, take) }
    }

    if is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("lzcnt")
    {
        // SAFETY: the features were just detected; bmi1 and popcnt come with every processor that has these.
        unsafe { with_avx2::<P>(text, memory, take) }
    } else {
        // SAFETY: every x86-64 processor has sse2.
        unsafe { windows::<Sse2, P>(text, memory, take) }
    }
}

/// The same as [`plain`].
#[cfg(not(target_arch = "x86_64"))]
pub fn fast<P: Pattern + Windowed>(
    text: &[u8],
    memory: &mut Memory,
    take: impl FnMut(&mut Memory, &[u8], usize, usize) -> bool,
) {
    plain::<P>(text, memory, take);
}

/// Bytes that can be read from any start of a pre-token in a window, which is at most 63.
const WINDOW: usize = 64 + 16;

/// The same as [`plain`], in windows that `L` classifies.
///
/// # Safety
/// The processor must have the features of `L`.
#[inline(always)]
pub unsafe fn windows<L: Lanes, P: Pattern + Windowed>(
    text: &[u8],
    memory: &mut Memory,
    mut take: impl FnMut(&mut Memory, &[u8], usize, usize) -> bool,
) {
    let mut at = 0;
    while at < text.len() {
        let rest = text.get(at..).unwrap_or_default();
        // Where the next bytes are not ASCII a window would not get far.
        let mut slow_until = at;
        if load(rest) & 0x8080_8080_8080_8080 == 0 {
            let mut copy = [0; WINDOW];
            let window = match rest.first_chunk::<WINDOW>() {
                Some(window) => window,
                None => {
                    if let Some(start) = copy.get_mut(..rest.len()) {
                        start.copy_from_slice(rest);
                    }
                    &copy
                }
            };
            let Some(bytes) = window.first_chunk::<64>() else {
                return;
            };
            let length = rest.len().min(64) as u32;
            // SAFETY: the caller vouches for the features.
            let masks = unsafe { L::masks(bytes) };
            let found = P::boundaries(window, &masks, length, length < 64);
            let mut ends = found.ends;
            let mut start = 0;
            while ends != 0 {
                let end = ends.trailing_zeros() as usize;
                ends &= ends - 1;
                if !take(memory, window.get(start..).unwrap_or_default(), at + start, end - start) {
                    return;
                }
                start = end;
            }
            slow_until = if found.trouble < length || start == 0 { at + found.trouble as usize } else { at };
            at += start;
        }
        // Step over what the window could not judge.
        loop {
            if at > slow_until || at >= text.len() {
                break;
            }
            let end = P::end(text, at);
            if !take(memory, text.get(at..).unwrap_or_default(), at, end - at) {
                return;
            }
            at = end;
        }
    }
}
