//! Codes and signs, only where there are rows enough.
//!
//! Both make scans of many rows shorter, and both take longer to make than a few rows take to be scanned: most namespaces
//! are small, and asked for the first time more often than not. So a table keeps the exact rows alone until it has
//! [`FEW`] of them, and then makes the rest from these, once.

use super::encode::{self, Precision};
use super::rows::Rows;
use super::signs::Signs;
use super::table::{Encoded, Table};

/// Rows below which a scan of the exact ones is as short as any.
const FEW: usize = 512;

impl Table {
    /// Whether a table like this one has codes with so many rows. It never goes back.
    pub(super) fn wants_codes(&self, rows: usize) -> bool {
        self.precision == Precision::I8 && (self.codes.is_some() || rows >= FEW)
    }

    /// Makes codes and signs of all rows.
    pub(super) fn make_codes(&mut self) {
        if self.codes.is_some() {
            return;
        }
        let (mut codes, mut scales) = (Rows::new(encode::code_lines(self.dimensions)), Vec::new());
        let rotation = self.rotation.clone();
        let mut signs = rotation.as_ref().map(|rotation| Signs::new(rotation.lines()));
        let (mut row, mut unit) = (Encoded::default(), Vec::new());
        for slot in 0..self.len() {
            let exact = self.exact.get(slot).unwrap_or_default();
            encode::decode(exact, self.precision, self.dimensions, &mut unit);
            Self::encode_codes(rotation.as_deref(), &unit, &mut row);
            codes.push(&row.codes);
            scales.push(row.scale);
            if let Some(signs) = &mut signs {
                signs.put(slot, &row.signs, row.factor);
            }
        }
        self.codes = Some((codes, scales));
        self.signs = rotation.zip(signs);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::super::{Options, Precision, Search, VectorIndex};
    use super::FEW;

    const SIZE: usize = 192;

    fn vector(id: u64) -> Vec<f32> {
        let mut state = id.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        };
        std::iter::repeat_with(next).take(SIZE).collect()
    }

    fn index(precision: Precision) -> VectorIndex {
        VectorIndex::new(SIZE, Options { precision, ..Options::default() }).unwrap()
    }

    fn has_codes(index: &VectorIndex) -> bool {
        index.shared.read().table.codes.is_some()
    }

    /// One by one, in batches that end below, at and beyond the bound, and all at once: the same rows are found.
    #[test]
    fn codes_come_with_the_rows_and_change_no_result() {
        let plain = index(Precision::F16);
        let all: Vec<u64> = (0..2 * FEW as u64).collect();
        let vectors = |ids: &[u64]| ids.iter().flat_map(|id| vector(*id)).collect::<Vec<f32>>();
        plain.add_many(&all, &vectors(&all)).unwrap();
        for step in [1, 100, FEW - 1, FEW, FEW + 1, 2 * FEW] {
            let coded = index(Precision::I8);
            for ids in all.chunks(step) {
                coded.add_many(ids, &vectors(ids)).unwrap();
                assert_eq!(has_codes(&coded), coded.len() >= FEW, "{step}");
            }
            for asked in 0..20 {
                let query = vector(u64::MAX - asked);
                let found = |index: &VectorIndex| index.search(&query, Search::best(10)).unwrap();
                assert_eq!(found(&coded), found(&plain), "{step}");
            }
            // They stay, and are those of the rows, when most of these have gone or changed.
            all.iter().skip(20).for_each(|id| assert!(coded.remove(*id)));
            coded.replace(3, &vector(1_000_000)).unwrap();
            assert!(has_codes(&coded));
            let found = coded.search(&vector(1_000_000), Search::best(1)).unwrap();
            assert_eq!(found.first().unwrap().0, 3);
        }
    }
}
