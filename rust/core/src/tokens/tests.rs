//! The walks against each other, and against tiktoken-rs. Python's tests do the same with Python's tiktoken, at length.

use super::Encoding;
use super::memory::Memory;
use super::pieces::{fast, plain};
use super::split::{Cl100k, O200k, Pattern};
use super::vocabulary::{CL100K, O200K, Vocabulary};
use super::window::Windowed;

const ALPHABETS: [&str; 7] = [
    "aeinorstABEST    \n\t'.,-!/0123",
    "''''’ſsStTrReEvVmMlLdD  .9\n",
    "    \n\n\r\t\u{b}\u{85}\u{a0}\u{3000}/!a.1",
    "!!!///===-*(){}[]<>\"'`@_+;:,— \n\ra\u{301}",
    "aAǅʰªİſK日ก\u{301}\u{300}'sT é",
    "приветМИР שלום 的一是 नमस्ते 한국어 1٣½",
    "😀👍🏽👨\u{200d}👩❤\u{fe0f}🇩🇪 a1\0\u{7f}",
];

/// Texts of up to `longest` characters from a fixed sequence of pseudo-random numbers (xorshift).
fn texts(count: usize, longest: usize) -> impl Iterator<Item = String> {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut next = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as usize % below
    };
    (0..count).map(move |i| {
        let mut pool: Vec<char> =
            ALPHABETS.iter().cycle().skip(i).take(1 + i % 2).flat_map(|a| a.chars()).collect();
        pool.truncate(1 + next(pool.len()));
        (0..=next(longest)).filter_map(|_| pool.get(next(pool.len())).copied()).collect()
    })
}

type Pieces = Vec<(usize, usize, usize)>;

fn collect(walk: impl FnOnce(&mut dyn FnMut(usize, usize, usize) -> bool)) -> Pieces {
    let mut pieces = Vec::new();
    walk(&mut |start, end, tokens| {
        pieces.push((start, end, tokens));
        true
    });
    pieces
}

fn all_walks_agree<P: Pattern + Windowed>(vocabulary: &Vocabulary) {
    fn counted(
        vocabulary: &Vocabulary,
        visit: &mut dyn FnMut(usize, usize, usize) -> bool,
    ) -> impl FnMut(&mut Memory, &[u8], usize, usize) -> bool {
        move |memory, rest, start, length| {
            visit(start, start + length, memory.count(vocabulary, rest, length))
        }
    }
    for text in texts(60_000, 200) {
        let bytes = text.as_bytes();
        let mut memory = Memory::new();
        let expected = collect(|visit| plain::<P>(bytes, &mut memory, counted(vocabulary, visit)));
        let ends: Vec<_> = expected.iter().map(|piece| piece.1).collect();
        assert_eq!(ends.last().copied().unwrap_or(0), text.len());
        assert!(ends.iter().all(|&end| text.is_char_boundary(end)), "{text:?}");
        assert_eq!(
            collect(|visit| fast::<P>(bytes, &mut memory, counted(vocabulary, visit))),
            expected,
            "{text:?}"
        );
        #[cfg(target_arch = "x86_64")]
        // SAFETY: every x86-64 processor has sse2.
        let narrow = collect(|visit| unsafe {
            super::pieces::windows::<super::lanes::Sse2, P>(bytes, &mut memory, counted(vocabulary, visit));
        });
        #[cfg(target_arch = "x86_64")]
        assert_eq!(narrow, expected, "{text:?}");
        let before = memory.batch.total();
        plain::<P>(bytes, &mut memory, |memory, rest, _, length| {
            memory.add(vocabulary, rest, length);
            true
        });
        memory.flush(vocabulary);
        let total: usize = expected.iter().map(|piece| piece.2).sum();
        assert_eq!(memory.batch.total() - before, total, "{text:?}");
    }
}

#[test]
fn windows_find_what_the_scanner_finds_in_o200k() {
    all_walks_agree::<O200k>(&O200K);
}

#[test]
fn windows_find_what_the_scanner_finds_in_cl100k() {
    all_walks_agree::<Cl100k>(&CL100K);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn masks_tell_every_byte_at_every_place() {
    use super::lanes::{Avx2, Lanes, Sse2};
    for byte in 0..=255_u8 {
        for place in 0..64 {
            let mut bytes = [b'~'; 64];
            if let Some(at) = bytes.get_mut(place) {
                *at = byte;
            }
            let bit = |is: bool| u64::from(is) << place;
            // SAFETY: every x86-64 processor has sse2.
            let masks = unsafe { Sse2::masks(&bytes) };
            assert_eq!(masks.letter, bit(byte.is_ascii_alphabetic()));
            assert_eq!(masks.bit5 >> place & 1, u64::from(byte >> 5 & 1));
            assert_eq!(masks.digit, bit(byte.is_ascii_digit()));
            assert_eq!(masks.space, bit(byte == b' '));
            assert_eq!(masks.control, bit((9..=13).contains(&byte)));
            assert_eq!(masks.newline, bit(matches!(byte, b'\r' | b'\n')));
            assert_eq!(masks.apostrophe, bit(byte == b'\''));
            assert_eq!(masks.slash, bit(byte == b'/'));
            assert_eq!(masks.high, bit(!byte.is_ascii()));
            if is_x86_feature_detected!("avx2") {
                // SAFETY: avx2 was just detected.
                assert_eq!(unsafe { Avx2::masks(&bytes) }, masks);
            }
        }
    }
}

#[test]
fn counts_equal_those_of_tiktoken_rs() -> crate::error::Result<()> {
    let referees = [
        ("o200k_base", tiktoken_rs::o200k_base_singleton()),
        ("cl100k_base", tiktoken_rs::cl100k_base_singleton()),
        ("p50k_base", tiktoken_rs::p50k_base_singleton()),
        ("r50k_base", tiktoken_rs::r50k_base_singleton()),
        ("o200k_harmony", tiktoken_rs::o200k_harmony_singleton()),
    ];
    for (name, referee) in referees {
        let encoding = Encoding::named(name)?;
        for text in texts(8_000, 100) {
            assert_eq!(encoding.count(&text), referee.encode_ordinary(&text).len(), "{name}: {text:?}");
        }
    }
    Ok(())
}

#[test]
fn an_unknown_encoding_is_an_error_that_names_the_known() {
    let message = Encoding::named("gpt").err().map(|error| error.to_string()).unwrap_or_default();
    assert!(message.contains("\"gpt\"") && message.contains("cl100k_base"), "{message}");
}
