//! The word table: one small integer vector for each English stem, made by `tools/build_word_table.py`.
//!
//! The bytes are used as they lie in the binary; only the rows are numbered by their stems, at the first look-up.

use std::sync::LazyLock;

use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

static BYTES: &[u8] = include_bytes!("../../assets/words.bin");
/// Where the neighbours of each row begin, and the neighbours: `build/near.rs` writes them.
static NEAR_FIRST: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/near.first"));
static NEAR_ROWS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/near.rows"));

/// Views into the table's parts.
pub(crate) struct Table {
    rows: usize,
    dim: usize,
    offsets: &'static [u8],
    inverse: &'static [u8],
    weights: &'static [u8],
    keys: &'static [u8],
    vectors: &'static [u8],
}

static TABLE: LazyLock<Table> = LazyLock::new(|| Table::parse(BYTES).unwrap_or(Table::EMPTY));

/// The table of this build.
pub(crate) fn table() -> &'static Table {
    &TABLE
}

fn word_at(bytes: &[u8], i: usize) -> Option<u32> {
    let b = bytes.get(i * 4..i * 4 + 4)?;
    Some(u32::from_le_bytes(b.try_into().ok()?))
}

impl Table {
    const EMPTY: Self =
        Self { rows: 0, dim: 0, offsets: &[], inverse: &[], weights: &[], keys: &[], vectors: &[] };

    fn parse(bytes: &'static [u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(b"AIWT\x01\0\0\0")?;
        let rows = word_at(rest, 0)? as usize;
        let dim = word_at(rest, 1)? as usize;
        let key_bytes = word_at(rest, 2)? as usize;
        let (offsets, rest) = rest.get(12..)?.split_at_checked((rows + 1) * 4)?;
        let (inverse, rest) = rest.split_at_checked(rows * 4)?;
        let (weights, rest) = rest.split_at_checked(rows)?;
        let (keys, vectors) = rest.split_at_checked(key_bytes)?;
        (vectors.len() == rows * dim).then_some(Self { rows, dim, offsets, inverse, weights, keys, vectors })
    }

    /// Components of a vector.
    pub(crate) fn dim(&self) -> usize {
        self.dim
    }

    fn key(&self, row: usize) -> Option<&'static [u8]> {
        let start = word_at(self.offsets, row)? as usize;
        let end = word_at(self.offsets, row + 1)? as usize;
        self.keys.get(start..end)
    }

    /// The row of a stem. O(1), once the rows have been numbered by it.
    pub(crate) fn row(&self, stem: &str) -> Option<u32> {
        static BY_STEM: LazyLock<HashTable<u32>> = LazyLock::new(|| {
            let table = table();
            let hash = |row: &u32| xxh3_64(table.key(*row as usize).unwrap_or_default());
            let mut rows = HashTable::with_capacity(table.rows);
            for row in (0_u32..).take(table.rows) {
                rows.insert_unique(hash(&row), row, hash);
            }
            rows
        });
        BY_STEM
            .find(xxh3_64(stem.as_bytes()), |row| self.key(*row as usize) == Some(stem.as_bytes()))
            .copied()
    }

    /// The rows whose stems begin with the same four bytes as `text`; none where it is shorter.
    pub(crate) fn alike(&self, text: &str) -> impl Iterator<Item = u32> {
        let head = text.as_bytes().get(..4);
        let (mut first, mut behind) = (0, if head.is_some() { self.rows } else { 0 });
        while first < behind {
            let middle = first.midpoint(behind);
            // The stems are sorted by their bytes.
            if self.key(middle) < head {
                first = middle + 1;
            } else {
                behind = middle;
            }
        }
        let begins = move |row: &usize| {
            head.is_some_and(|head| self.key(*row).is_some_and(|key| key.starts_with(head)))
        };
        (first..self.rows).take_while(begins).map(|row| row as u32)
    }

    /// The stem of a row.
    pub(crate) fn text(&self, row: u32) -> Option<&'static str> {
        self.key(row as usize).and_then(|key| std::str::from_utf8(key).ok())
    }

    /// Every other row whose cosine with `row` is above 0.44, and perhaps a few just below.
    #[expect(clippy::unused_self, reason = "the neighbours belong to the table")]
    pub(crate) fn near(&self, row: u32) -> impl Iterator<Item = u32> {
        let first = word_at(NEAR_FIRST, row as usize).unwrap_or(0) as usize;
        let last = word_at(NEAR_FIRST, row as usize + 1).unwrap_or(0) as usize;
        let rows = NEAR_ROWS.as_chunks::<2>().0.get(first..last).unwrap_or_default();
        rows.iter().map(|two| u32::from(u16::from_le_bytes(*two)))
    }

    /// The integer vector of a row.
    pub(crate) fn vector(&self, row: u32) -> &'static [u8] {
        let start = row as usize * self.dim;
        self.vectors.get(start..start + self.dim).unwrap_or_default()
    }

    /// 1 / length of the integer vector.
    pub(crate) fn inverse(&self, row: u32) -> f32 {
        word_at(self.inverse, row as usize).map_or(0.0, f32::from_bits)
    }

    /// What the word weighs in a mean, 0 to 1: frequent words little.
    pub(crate) fn weight(&self, row: u32) -> f32 {
        self.weights.get(row as usize).map_or(0.0, |w| f32::from(*w) / 255.0)
    }

    /// The cosine of two rows.
    pub(crate) fn cosine(&self, a: u32, b: u32) -> f32 {
        super::dot::bytes(self.vector(a), self.vector(b)) as f32 * self.inverse(a) * self.inverse(b)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::table;

    #[test]
    fn the_shipped_table_is_whole() {
        let t = table();
        assert!(t.rows > 30_000 && t.dim == 160);
        for row in 1..t.rows {
            assert!(t.key(row - 1) < t.key(row), "keys are sorted");
        }
        let row = t.row("guitar").unwrap();
        assert!((t.cosine(row, row) - 1.0).abs() < 1e-5);
        assert!(t.row("").is_none() && t.row("qzxv").is_none());
    }

    #[test]
    fn the_neighbours_are_those_of_a_comparison_with_all() {
        let t = table();
        for word in ["instrument", "violin", "guitar"] {
            let row = t.row(word).unwrap();
            let near: Vec<u32> = t.near(row).filter(|other| t.cosine(row, *other) > 0.44).collect();
            let all: Vec<u32> =
                (0..t.rows as u32).filter(|other| *other != row && t.cosine(row, *other) > 0.44).collect();
            assert_eq!(near, all, "{word}");
        }
    }

    #[test]
    fn rows_that_begin_alike_are_those_of_a_comparison_with_all() {
        let t = table();
        let last = t.text(t.rows as u32 - 1).unwrap();
        for text in [
            "instrument",
            "inst",
            "ins",
            "",
            "zzzzz",
            "0000",
            "книга",
            "auth",
            "counter",
            "\u{7f}\u{7f}\u{7f}\u{7f}",
            last,
        ] {
            let begins = |row: &u32| {
                let head = text.as_bytes().get(..4);
                head.is_some_and(|head| t.text(*row).unwrap().as_bytes().starts_with(head))
            };
            let all: Vec<u32> = (0..t.rows as u32).filter(begins).collect();
            assert_eq!(t.alike(text).collect::<Vec<u32>>(), all, "{text}");
        }
        assert!(t.alike("instrument").count() > 1);
    }

    #[test]
    fn related_words_are_near() {
        let t = table();
        let cos = |a: &str, b: &str| t.cosine(t.row(a).unwrap(), t.row(b).unwrap());
        assert!(cos("instrument", "violin") > 0.45);
        assert!(cos("instrument", "violin") > cos("instrument", "deadlin") + 0.3);
    }
}
