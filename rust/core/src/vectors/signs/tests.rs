//! Tests of the module above.

#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

use super::super::kernel::Kernels;
use super::*;

fn noise(state: &mut u64) -> f32 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
}

fn unit(values: Vec<f32>) -> Vec<f32> {
    let length = values.iter().map(|x| x * x).sum::<f32>().sqrt();
    values.into_iter().map(|x| x / length).collect()
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Vectors as they come: noise, around one centre, with few large values, with one value.
fn kinds(size: usize, seed: &mut u64) -> Vec<Vec<f32>> {
    let centre: Vec<f32> = (0..size).map(|_| noise(seed)).collect();
    let mut made = Vec::new();
    for n in 0..120 {
        let mut row: Vec<f32> = match n % 4 {
            0 => (0..size).map(|_| noise(seed)).collect(),
            1 => centre.iter().map(|x| x + 0.5 * noise(seed)).collect(),
            2 => (0..size).map(|i| if i % 37 == n % 37 { 9.0 } else { 0.3 } * noise(seed)).collect(),
            _ => vec![0.0; size],
        };
        if n % 4 == 3 {
            row[n * 7 % size] = 1.0;
        }
        made.push(unit(row));
    }
    made
}

#[test]
fn a_rotation_keeps_products() {
    let mut seed = 5;
    for size in [128usize, 200, 384, 1_536] {
        let rotation = Rotation::new(size);
        let rows = kinds(size, &mut seed);
        let (mut a, mut b, mut spare) = (Vec::new(), Vec::new(), Vec::new());
        for pair in rows.windows(2) {
            rotation.turn(&pair[0], &mut a, &mut spare);
            rotation.turn(&pair[1], &mut b, &mut spare);
            assert!((dot(&a, &b) - dot(&pair[0], &pair[1])).abs() < 1e-4);
        }
    }
}

#[test]
fn of_many_dimensions_not_all_have_signs_and_the_spread_is_as_known() {
    for (size, kept) in [(128usize, 128), (200, 256), (384, 384), (768, 552), (1_536, 720), (3_072, 816)] {
        let rotation = Rotation::new(size);
        assert_eq!(rotation.lines() * 8, kept, "{size}");
        let mut seed = 11;
        let rows = kinds(size, &mut seed);
        let (mut bytes, mut turned, mut spare) = (Vec::new(), Vec::new(), Vec::new());
        let (mut squares, mut sum, mut count) = (0.0, 0.0, 0.0);
        for row in &rows {
            rotation.turn(row, &mut turned, &mut spare);
            let factor = rotation.encode(&turned, &mut bytes);
            let signs = turned.clone();
            for other in &rows {
                let cosine = dot(row, other);
                rotation.turn(other, &mut turned, &mut spare);
                let found = turned.iter().zip(&signs).take(kept);
                let found: f32 = found.map(|(value, sign)| value * sign.signum()).sum();
                // What is left when both point the same way is of another kind.
                if cosine < 0.9 {
                    let off = (found * factor - cosine) / (1.0 - cosine * cosine).sqrt();
                    squares += off * off;
                    sum += off;
                    count += 1.0;
                }
            }
        }
        let (spread, mean) = ((squares / count).sqrt(), sum / count);
        let known = ((rotation.usual().powi(2) - 1.0) / size as f32).sqrt();
        assert!((0.8..1.15).contains(&(spread / known)), "{size}: {spread} of {known}");
        assert!(mean.abs() < 0.1 * known, "{size}: {mean} of {known}");
        assert!(size < 384 || known < 0.041, "{size}: {known}");
    }
}

#[test]
fn no_score_lies_above_what_is_believed() {
    let mut seed = 9;
    for size in [128usize, 200, 384, 768, 1_536] {
        let rotation = Rotation::new(size);
        let rows = kinds(size, &mut seed);
        let mut signs = Signs::new(rotation.lines());
        let (mut bytes, mut turned, mut spare) = (Vec::new(), Vec::new(), Vec::new());
        for (slot, row) in rows.iter().enumerate() {
            rotation.turn(row, &mut turned, &mut spare);
            let factor = rotation.encode(&turned, &mut bytes);
            signs.put(slot, &bytes, factor);
        }
        let mut look = Look::default();
        let padded = rows.len().next_multiple_of(LANES);
        let base: Vec<f32> = (0..padded).map(|n| n as f32 / 1_000.0).collect();
        for query in &rows {
            rotation.turn(query, &mut turned, &mut spare);
            let mut first: Option<Vec<f32>> = None;
            for (tables, kernel) in Kernels::available().into_iter().map(|set| set.signs) {
                // SAFETY: the tables come from `available`.
                unsafe { look.ask(&rotation, &turned, 0.5, tables) };
                let (mut most, mut tops) = (vec![0.0; padded], vec![0.0; padded / PART]);
                let mut at = 0;
                for (blocks, factors) in signs.runs(3) {
                    let part = at..at + factors.len();
                    at = part.end;
                    // SAFETY: the kernel comes from `available`.
                    unsafe {
                        kernel(
                            &look,
                            blocks,
                            (factors, &base[part.clone()]),
                            (&mut most[part.clone()], &mut tops[part.start / PART..]),
                        );
                    }
                }
                assert_eq!(at, padded);
                for (slot, row) in rows.iter().enumerate() {
                    let score = base[slot] + 0.5 * dot(row, query);
                    assert!(score <= most[slot] + 1e-5, "{size} {slot}: {score} {}", most[slot]);
                }
                for (most, top) in most.chunks(PART).zip(&tops) {
                    assert_eq!(most.iter().copied().fold(0.0, f32::max).to_bits(), top.to_bits());
                }
                let bits = |v: &[f32]| v[..rows.len()].iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                if let Some(first) = &first {
                    assert_eq!(bits(first), bits(&most), "kernels differ");
                }
                first = Some(most);
            }
        }
    }
}

#[test]
fn rows_come_and_go() {
    let mut signs = Signs::new(4);
    let mut held: Vec<u32> = Vec::new();
    let mut state = 3;
    for step in 0..4_000u32 {
        let more = if step % 2 == 0 { 9_000 } else { held.len() + 1 };
        let at = (noise(&mut state).abs() * more as f32) as usize;
        if step % 7 == 5 && at < held.len() {
            signs.swap_remove(at);
            held.swap_remove(at);
        } else {
            let at = at.min(held.len());
            signs.put(at, &(step * 7).to_le_bytes(), step as f32);
            if at == held.len() { held.push(step) } else { held[at] = step }
        }
        if step % 97 == 0 {
            for (slot, step) in held.iter().enumerate() {
                assert_eq!(signs.bytes(slot), (step * 7).to_le_bytes());
            }
            let factors: Vec<f32> = signs.runs(2).flat_map(|(_, factors)| factors.to_vec()).collect();
            assert_eq!(factors.len(), held.len().next_multiple_of(LANES));
            assert!(held.iter().zip(&factors).all(|(step, factor)| *step as f32 == *factor));
            assert!(factors.iter().skip(held.len()).all(|factor| *factor == 0.0));
        }
    }
    assert!(held.len() > 200);
    held.iter().for_each(|_| signs.swap_remove(0));
    assert_eq!((signs.len, signs.factors.len()), (0, 0));
}
