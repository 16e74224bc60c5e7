//! The generated tables of each vocabulary. `build.rs` and `build/` write them and document their layout.

/// One vocabulary; every field is a table in the binary.
pub struct Vocabulary {
    /// Which of the four it is.
    pub number: usize,
    /// Tokens of at most 7 bytes: an open-addressing table of 8-byte slots.
    pub short: &'static [u64],
    /// Tokens of 8 to 15 bytes: 16-byte slots.
    pub middle: &'static [[u64; 2]],
    /// Which two tokens merge into which.
    pub pairs: &'static [u32],
    /// Which pairs may merge at all.
    pub filter: &'static [u64],
    /// The last merge of each token, `[t, t]` for a single byte.
    pub splits: &'static [[u32; 2]],
    /// The token of each two single bytes, `left << 8 | right`; `u32::MAX` if they do not merge.
    pub bigrams: &'static [u32],
    /// The length of each token, and above 8 bits its longest proper prefix that is a token, all ones if there is none.
    pub heads: &'static [u32],
    /// All tokens that merging can make, as a double-array trie.
    pub trie: &'static [u32],
    /// The token that ends at each unit of the trie.
    pub ends: &'static [u32],
    /// The length of each token in bytes.
    pub lengths: &'static [u8],
    /// All tokens, one after another, in rank order.
    pub bytes: &'static [u8],
}

/// Bytes with the alignment of the widest table entry.
#[repr(C, align(64))]
struct Aligned<T: ?Sized>(T);

/// A generated file as a slice of `$type`.
macro_rules! table {
    ($name:expr, $type:ty) => {{
        static FILE: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/", $name)));
        // SAFETY: the bytes live as long as the program, are aligned to 64, any bit pattern is a valid integer,
        // and the length is rounded down to whole entries.
        unsafe { std::slice::from_raw_parts(FILE.0.as_ptr().cast::<$type>(), FILE.0.len() / size_of::<$type>()) }
    }};
}

macro_rules! vocabulary {
    ($number:literal, $name:literal) => {
        Vocabulary {
            number: $number,
            short: table!(concat!($name, ".short"), u64),
            middle: table!(concat!($name, ".middle"), [u64; 2]),
            pairs: table!(concat!($name, ".pairs"), u32),
            filter: table!(concat!($name, ".filter"), u64),
            splits: table!(concat!($name, ".splits"), [u32; 2]),
            bigrams: table!(concat!($name, ".bigrams"), u32),
            heads: table!(concat!($name, ".heads"), u32),
            trie: table!(concat!($name, ".trie"), u32),
            ends: table!(concat!($name, ".ends"), u32),
            lengths: table!(concat!($name, ".lengths"), u8),
            bytes: table!(concat!($name, ".bytes"), u8),
        }
    };
}

/// The ordinary tokens of `o200k_base` and `o200k_harmony`.
pub static O200K: Vocabulary = vocabulary!(0, "o200k");
/// The ordinary tokens of `cl100k_base`.
pub static CL100K: Vocabulary = vocabulary!(1, "cl100k");
/// The ordinary tokens of `p50k_base`.
pub static P50K: Vocabulary = vocabulary!(2, "p50k");
/// The ordinary tokens of `r50k_base`.
pub static R50K: Vocabulary = vocabulary!(3, "r50k");

impl Vocabulary {
    /// All tokens in rank order.
    pub fn tokens(&self) -> impl Iterator<Item = &'static [u8]> + use<> {
        let mut rest = self.bytes;
        self.lengths.iter().map_while(move |&length| {
            let (token, tail) = rest.split_at_checked(usize::from(length))?;
            rest = tail;
            Some(token)
        })
    }
}
