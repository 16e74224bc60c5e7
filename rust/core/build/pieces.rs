//! The hash tables of whole pre-tokens: tokens of at most 7 bytes, and of 8 to 15.

use crate::Output;

/// Must equal `hash` in `src/tokens/table.rs`.
fn hash(low: u64, high: u64) -> u64 {
    let mixed =
        (low ^ high.rotate_left(23).wrapping_mul(0xA24B_AED4_963E_E407)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed ^ (mixed >> 32)
}

/// The 16 bytes of a token of at most 15, its length in the last one.
fn key(token: &[u8], size: usize) -> u128 {
    let mut bytes = [0_u8; 16];
    bytes[..token.len()].copy_from_slice(token);
    bytes[size - 1] = token.len() as u8;
    u128::from_le_bytes(bytes)
}

/// Writes `NAME.short` (8-byte slots) and `NAME.middle` (16-byte slots, low word first).
///
/// Tokens go in by rank, so that frequent ones sit in the first slot that is probed.
pub fn write(out: &Output, name: &str, tokens: &[Vec<u8>]) {
    let of = |range: std::ops::RangeInclusive<usize>, size: usize| -> Vec<u128> {
        tokens.iter().filter(|t| range.contains(&t.len())).map(|t| key(t, size)).collect()
    };
    let short = fill(&of(1..=7, 8));
    out.u64s(&format!("{name}.short"), &short.iter().map(|&slot| slot as u64).collect::<Vec<_>>());
    let middle = fill(&of(8..=15, 16));
    out.u64s(
        &format!("{name}.middle"),
        &middle.iter().flat_map(|&slot| [slot as u64, (slot >> 64) as u64]).collect::<Vec<_>>(),
    );
}

/// Linear probing in a table at most 5/8 full; an empty slot is 0, which is no key, since a length is never 0.
fn fill(keys: &[u128]) -> Vec<u128> {
    let size = (keys.len() * 8 / 5).next_power_of_two();
    let mut table = vec![0; size];
    let shift = 64 - size.trailing_zeros();
    for &key in keys {
        let mut slot = (hash(key as u64, (key >> 64) as u64) >> shift) as usize;
        while table[slot] != 0 {
            slot = (slot + 1) & (size - 1);
        }
        table[slot] = key;
    }
    table
}
