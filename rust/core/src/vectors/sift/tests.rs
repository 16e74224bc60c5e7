//! Tests of the module above.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::super::{Fusion, Options, Precision, VectorIndex};
use super::*;

const SIZE: usize = 384;

struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    fn below(&mut self, most: usize) -> usize {
        ((self.next() + 1.0) / 2.0 * most as f32) as usize
    }

    /// Noise alone, or around a centre; `few` centres are the hard case, where all rows are level.
    fn vector(&mut self, centres: &[Vec<f32>]) -> Vec<f32> {
        let at = self.below(centres.len() + 1);
        let centre = centres.get(at).cloned().unwrap_or_else(|| vec![0.0; SIZE]);
        centre.into_iter().map(|value| value + 0.7 * self.next()).collect()
    }
}

fn index(precision: Precision) -> VectorIndex {
    VectorIndex::new(SIZE, Options { precision, ..Options::default() }).unwrap()
}

/// As embedders make them whose vectors all lie in a narrow cone.
fn in_a_cone(mut vector: Vec<f32>) -> Vec<f32> {
    vector.iter_mut().zip(0..).for_each(|(value, at)| *value += if at % 3 == 0 { 1.8 } else { -0.3 });
    vector
}

/// A table of halves knows neither codes nor signs: it scans the very rows that decide here.
#[test]
fn what_is_found_is_what_the_rows_give() {
    for (few, cone) in [(0, false), (1, false), (30, false), (30, true)] {
        let mut noise = Noise(few as u64 + 3);
        let centres: Vec<Vec<f32>> = (0..few)
            .map(|_| (0..SIZE).map(|_| noise.next()).collect())
            .map(|centre| if cone { in_a_cone(centre) } else { centre })
            .collect();
        let (sifted, plain) = (index(Precision::I8), index(Precision::F16));
        for step in 0..6_000 {
            // Changes and removals, so that slots and ids part ways half way through.
            let id = if step < 3_000 { step } else { noise.below(4_000) as u64 };
            if step > 3_500 && step % 3 == 0 {
                assert_eq!(sifted.remove(id), plain.remove(id));
            } else {
                let vector = noise.vector(&centres);
                sifted.replace(id, &vector).unwrap();
                plain.replace(id, &vector).unwrap();
            }
            if step % 211 != 210 {
                continue;
            }
            let query = noise.vector(&centres);
            let mut base = vec![0.0; 4_000];
            let raised: Vec<u32> = (0..noise.below(500)).map(|_| noise.below(4_000) as u32).collect();
            for id in &raised {
                *base.get_mut(*id as usize).unwrap() = noise.next().abs() * 0.5;
            }
            for base in [&[][..], &base] {
                for k in [1, 12, 60] {
                    let mix = Mix { weight: 0.5, base };
                    let name = |id: u64| id ^ 5;
                    let fusion = Fusion { k, mix, ahead: None, raised: None, name, exact: true };
                    let found = sifted.fuse(&query, &fusion).unwrap();
                    assert_eq!(found, plain.fuse(&query, &fusion).unwrap(), "{few} {step} {k}");
                }
            }
        }
    }
}

/// Of a table whose signs lie in more than one piece, and that is looked at by two threads.
#[test]
fn a_look_ahead_changes_nothing() {
    const ROWS: usize = 60_000;
    for cone in [false, true] {
        let place = |vector| if cone { in_a_cone(vector) } else { vector };
        let mut noise = Noise(21);
        let centres: Vec<Vec<f32>> = (0..40).map(|_| (0..SIZE).map(|_| noise.next()).collect()).collect();
        let (sifted, plain) = (index(Precision::I8), index(Precision::F16));
        let ids: Vec<u64> = (0..ROWS as u64).collect();
        for ids in ids.chunks(2_000) {
            let vectors: Vec<f32> = ids.iter().flat_map(|_| place(noise.vector(&centres))).collect();
            sifted.add_many(ids, &vectors).unwrap();
            plain.add_many(ids, &vectors).unwrap();
        }
        assert!(sifted.shared.read().table.signs.as_ref().unwrap().1.blocks.block(1).is_some());
        let mut looked = 0;
        for step in 0..12 {
            let query = place(noise.vector(&centres));
            let mut base = vec![0.0; ROWS];
            (0..3_000).for_each(|_| *base.get_mut(noise.below(ROWS)).unwrap() = noise.next().abs() * 0.5);
            let mut ahead = Ahead::default();
            let mut ran = 0;
            sifted.look_ahead(&query, 0.5, &mut ahead, &mut || ran += 1);
            assert_eq!(ran, 1);
            looked += usize::from(!ahead.most.is_empty());
            if step % 4 == 3 {
                // It is not of these rows any more.
                let (id, vector) = (noise.below(ROWS) as u64, query.clone());
                sifted.replace(id, &vector).unwrap();
                plain.replace(id, &vector).unwrap();
            }
            for base in [&[][..], &base] {
                let mix = Mix { weight: 0.5, base };
                let name = |id: u64| id;
                let fusion = |ahead| Fusion { k: 12, mix, ahead, raised: None, name, exact: true };
                let exact = plain.fuse(&query, &fusion(None)).unwrap();
                assert_eq!(sifted.fuse(&query, &fusion(None)).unwrap(), exact, "{cone} {step}");
                assert_eq!(sifted.fuse(&query, &fusion(Some(&ahead))).unwrap(), exact, "{cone} {step}");
            }
        }
        // Another test may search at the same moment.
        assert!(looked > 0);
    }
}

#[test]
fn a_look_leaves_few_and_all_of_the_best() {
    for cone in [false, true] {
        leaves_few_and_all_of_the_best(|vector| if cone { in_a_cone(vector) } else { vector });
    }
}

fn leaves_few_and_all_of_the_best(place: impl Fn(Vec<f32>) -> Vec<f32>) {
    let mut noise = Noise(8);
    let centres: Vec<Vec<f32>> = (0..40).map(|_| (0..SIZE).map(|_| noise.next()).collect()).collect();
    let rows = index(Precision::I8);
    for id in 0..4_000 {
        rows.add(id, &place(noise.vector(&centres))).unwrap();
    }
    let mix = Mix { weight: 1.0, base: &[] };
    for centre in &centres {
        // Around a centre; noise alone is level with most of the rows.
        let query = place(centre.iter().map(|value| value + 0.7 * noise.next()).collect());
        let name = |id: u64| id;
        let best =
            rows.fuse(&query, &Fusion { k: 10, mix, ahead: None, raised: None, name, exact: true }).unwrap();
        let bar = best.last().unwrap().1;
        let state = rows.shared.read();
        let left =
            state.table.ask(&query, |query| state.table.sift(query.coded(), 10, &mix, None, |_| Some(bar)));
        let left = left.unwrap();
        assert!(left.len() < 200 && left.is_sorted());
        assert!(best.iter().all(|(id, _)| left.contains(&(*id as u32))));
    }
}
