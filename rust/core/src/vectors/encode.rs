//! From a caller's floats to stored rows and queries: checks, normalising, rounding.

use super::half;
use super::rows::Line;
use crate::error::{Error, Result};
use crate::wide::wide;

/// The most dimensions a vector may have. At this size an i8 product still fits an i32:
/// 65,536 · 255 · 127 < 2³¹.
pub const MAX_DIMENSIONS: usize = 65_536;

/// How rows are stored and scanned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Precision {
    /// Half precision, 2 bytes a dimension: the default.
    #[default]
    F16,
    /// One byte a dimension with a scale per row for the scan, and halves to score its best again:
    /// 3 bytes a dimension, about twice as fast once rows outgrow the cache.
    I8,
    /// Single precision, 4 bytes a dimension.
    F32,
}

/// Refuses a vector of the wrong size or with a value that is not finite.
///
/// `position` is its index in a batch; `None` means a query.
pub fn check(vector: &[f32], dimensions: usize, position: Option<usize>) -> Result<()> {
    let name = || position.map_or_else(|| "query vector".to_owned(), |i| format!("vector {i}"));
    if vector.len() != dimensions {
        return Err(Error::InvalidInput(format!(
            "{} has {} dimensions, this index has {dimensions}; \
             embed with the model that filled the index, or build a new one",
            name(),
            vector.len()
        )));
    }
    // One pass that vectorises: a product with zero is NaN exactly for NaN and infinities.
    let (parts, rest) = vector.as_chunks::<16>();
    let mut lanes = [0.0f32; 16];
    for part in parts {
        for (lane, x) in lanes.iter_mut().zip(part) {
            *lane += x * 0.0;
        }
    }
    if lanes.iter().chain(rest).map(|x| x * 0.0).sum::<f32>() == 0.0 {
        return Ok(());
    }
    match vector.iter().enumerate().find(|(_, x)| !x.is_finite()) {
        None => Ok(()),
        Some((at, value)) => Err(Error::InvalidInput(format!(
            "{} holds {value} at dimension {at}; every value must be a finite number",
            name()
        ))),
    }
}

/// The vector scaled to length 1; a zero vector stays zero and so scores 0 against everything.
///
/// The length is taken in f32, or in f64 where its square is too large or small for that.
pub fn unit(vector: &[f32], out: &mut Vec<f32>) {
    let mut lanes = [0.0f32; 16];
    let (parts, rest) = vector.as_chunks::<16>();
    for part in parts {
        for (lane, x) in lanes.iter_mut().zip(part) {
            *lane += x * x;
        }
    }
    let square: f32 = lanes.iter().sum::<f32>() + rest.iter().map(|x| x * x).sum::<f32>();
    out.clear();
    if (1e-20..1e20).contains(&square) {
        let scale = 1.0 / square.sqrt();
        out.extend(vector.iter().map(|x| x * scale));
        return;
    }
    let square: f64 = vector.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
    if square > 0.0 {
        let scale = 1.0 / square.sqrt();
        out.extend(vector.iter().map(|x| (f64::from(*x) * scale) as f32));
    } else {
        out.resize(vector.len(), 0.0);
    }
}

/// Lines of a row of halves.
pub fn half_lines(dimensions: usize) -> usize {
    dimensions.div_ceil(32)
}

/// Lines of a row of floats.
pub fn float_lines(dimensions: usize) -> usize {
    dimensions.div_ceil(16)
}

/// Lines of a row of codes.
pub fn code_lines(dimensions: usize) -> usize {
    dimensions.div_ceil(64)
}

#[inline(always)]
fn padded<T: Copy + Default, const N: usize>(chunk: &[f32], convert: impl Fn(f32) -> T) -> [T; N] {
    let mut block = [T::default(); N];
    for (to, from) in block.iter_mut().zip(chunk) {
        *to = convert(*from);
    }
    block
}

/// Rounds to halves.
pub fn halves(unit: &[f32], out: &mut Vec<Line>) {
    out.clear();
    out.resize(half_lines(unit.len()), Line::default());
    fill_halves(unit, out);
}

wide! {
    fn fill_halves(unit: &[f32], out: &mut [Line]) {
        for (line, values) in out.iter_mut().zip(unit.chunks(32)) {
            *line = Line::from_halves(&padded(values, half::from_f32));
        }
    }
}

/// Keeps single precision; `pairs` rounds the lines up to an even number, as a query for rows of
/// halves needs.
pub fn floats(unit: &[f32], pairs: bool, out: &mut Vec<Line>) {
    out.clear();
    out.extend(unit.chunks(16).map(|c| Line::from_floats(&padded(c, |x| x))));
    if pairs && out.len() % 2 == 1 {
        out.push(Line([0; 64]));
    }
}

/// A number from -127 to 127 rounded, ties to even, as a signed byte. Added to 1.5 · 2²³ its last bits are the whole
/// number; that takes one instruction for many at once, where rounding may be a call for each.
pub fn code(value: f32) -> u8 {
    (value + 12_582_912.0).to_bits() as u8
}

/// Rounds to codes from -127 to 127 times the returned scale, stored with `bias` flipped in.
fn codes(unit: &[f32], bias: u8, out: &mut Vec<Line>) -> f32 {
    let mut lanes = [0.0f32; 16];
    let (parts, rest) = unit.as_chunks::<16>();
    for part in parts {
        for (lane, x) in lanes.iter_mut().zip(part) {
            *lane = if x.abs() > *lane { x.abs() } else { *lane };
        }
    }
    let largest = lanes.iter().chain(rest).fold(0.0f32, |m, x| m.max(x.abs()));
    let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
    out.clear();
    out.extend(unit.chunks(64).map(|c| {
        let mut line = [bias; 64];
        for (to, x) in line.iter_mut().zip(c) {
            *to = code(x * inverse) ^ bias;
        }
        Line(line)
    }));
    largest / 127.0
}

/// A row of codes, shifted by 128 into a u8, and its scale.
pub fn row_codes(unit: &[f32], out: &mut Vec<Line>) -> f32 {
    codes(unit, 0x80, out)
}

/// A query as signed codes, with the sum of its codes and its scale.
pub fn query_codes(unit: &[f32], out: &mut Vec<Line>) -> (f32, i32) {
    let scale = codes(unit, 0, out);
    (scale, out.iter().flat_map(|l| l.0).map(|b| i32::from(b as i8)).sum())
}

/// The values of a row of halves or floats.
pub fn decode(row: &[Line], precision: Precision, dimensions: usize, out: &mut Vec<f32>) {
    out.clear();
    if precision == Precision::F32 {
        let values = row.iter().flat_map(|line| line.0.as_chunks::<4>().0);
        out.extend(values.take(dimensions).map(|bytes| f32::from_ne_bytes(*bytes)));
    } else {
        let values = row.iter().flat_map(|line| line.0.as_chunks::<2>().0);
        out.extend(values.take(dimensions).map(|bytes| half::to_f32(u16::from_ne_bytes(*bytes))));
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn refusals_name_the_vector_and_the_dimension() {
        let message = |v: &[f32], i| check(v, 3, i).unwrap_err().to_string();
        assert!(message(&[1.0, 2.0], Some(4)).starts_with("vector 4 has 2 dimensions, this index has 3"));
        assert!(message(&[1.0, f32::NAN, 1.0], Some(7)).starts_with("vector 7 holds NaN at dimension 1"));
        assert!(
            message(&[1.0, 0.0, -f32::INFINITY], None).starts_with("query vector holds -inf at dimension 2")
        );
        assert!(check(&[f32::MAX, f32::MIN, 1e-45], 3, None).is_ok());
        assert!(check(&[], 3, None).is_err());
    }

    #[test]
    fn extreme_lengths_are_normalised() {
        let mut out = Vec::new();
        for scale in [1e-45f32, 1e-38, 1.0, 3e38] {
            unit(&[scale, 0.0, -scale], &mut out);
            assert!(
                (out[0] - 0.5f32.sqrt()).abs() < 1e-6 && (out[2] + 0.5f32.sqrt()).abs() < 1e-6,
                "{scale}"
            );
        }
        unit(&[0.0, -0.0], &mut out);
        assert_eq!(out, [0.0, 0.0]);
    }

    #[test]
    fn a_code_is_the_rounded_number() {
        for step in -127_000..=127_000 {
            let value = step as f32 / 1_000.0;
            assert_eq!(code(value) as i8, value.round_ties_even() as i8, "{value}");
        }
        assert_eq!(code(127.000_01), 127);
    }

    #[test]
    fn codes_keep_their_range() {
        let mut out = Vec::new();
        let scale = row_codes(&[1.0, -1.0, 0.5, 0.0], &mut out);
        assert_eq!(&out[0].0[..5], &[255, 1, 192, 128, 128]);
        assert!((scale - 1.0 / 127.0).abs() < 1e-9);
        assert_eq!(query_codes(&[0.0; 4], &mut out), (0.0, 0));
    }
}
