//! Vectors as databases keep them: the direction, which is all that a cosine needs, in half the bytes.
//!
//! Unit length (zero stays zero), 16-bit floats, little-endian. The indexes hold the same halves, so nothing is lost
//! that a search would have seen.

use super::encode::{check, unit};
use super::half;
use crate::error::{Error, Result};

/// A vector whose squared length is this close to 1 is taken as it is, so that what was packed once is packed to the
/// same bytes again: rounding to halves moves the square by less.
const NEARLY: f32 = 2e-3;

/// The stored form of a vector that comes as f32, little-endian. `None` where it is empty, no whole number of floats,
/// or not finite.
pub(crate) fn pack(floats: &[u8]) -> Option<Vec<u8>> {
    let mut desk = Desk::default();
    let direction = desk.direction(floats)?;
    let mut packed = vec![0; 2 * direction.len()];
    half::pack(direction, packed.as_chunks_mut().0);
    Some(packed)
}

/// Room for what is made of one vector after the other.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    vector: Vec<f32>,
    scaled: Vec<f32>,
}

impl Desk {
    /// The numbers of a vector that a database holds and that has so many: as [`pack`] makes it, or as floats, which
    /// versions before this one have stored in PostgreSQL.
    pub(crate) fn read(&mut self, stored: &[u8], dimensions: usize) -> Result<&[f32]> {
        let damaged = || Error::StorageCorrupt("a vector in the database is damaged".to_owned());
        if dimensions > 0 && stored.len() == 2 * dimensions {
            unpack_into(stored, &mut self.vector);
            // Halves that are not finite unpack to large numbers; rounding moves the square far less than this.
            let square: f32 = self.vector.iter().map(|x| x * x).sum();
            let is_direction = square == 0.0 || (square - 1.0).abs() < 0.02;
            return if is_direction { Ok(&self.vector) } else { Err(damaged()) };
        }
        let direction = if stored.len() == 4 * dimensions { self.direction(stored) } else { None };
        let direction = direction.ok_or_else(damaged)?;
        half::round(direction);
        Ok(direction)
    }

    fn direction(&mut self, floats: &[u8]) -> Option<&mut [f32]> {
        let Self { vector, scaled } = self;
        let (numbers, rest) = floats.as_chunks::<4>();
        vector.clear();
        vector.extend(numbers.iter().map(|four| f32::from_le_bytes(*four)));
        if vector.is_empty() || !rest.is_empty() || check(vector, vector.len(), None).is_err() {
            return None;
        }
        let (parts, rest) = vector.as_chunks::<16>();
        let mut lanes = [0.0f32; 16];
        for part in parts {
            for (lane, x) in lanes.iter_mut().zip(part) {
                *lane += x * x;
            }
        }
        let square = lanes.iter().sum::<f32>() + rest.iter().map(|x| x * x).sum::<f32>();
        if (square - 1.0).abs() < NEARLY {
            return Some(vector);
        }
        unit(vector, scaled);
        Some(scaled)
    }
}

/// The stored form of a vector that comes as f32, little-endian: its direction, as 16-bit floats.
///
/// # Errors
/// [`Error::Embedding`] where it is empty, no whole number of floats, or not finite.
pub fn halves(floats: &[u8]) -> Result<Vec<u8>> {
    pack(floats).ok_or_else(|| {
        Error::Embedding("an embedding is missing, empty or not finite; nothing was written".to_owned())
    })
}

/// The numbers of a vector of so many as PostgreSQL holds it: [`halves`], or the floats of earlier versions.
///
/// # Errors
/// [`Error::StorageCorrupt`] where it is neither.
pub fn numbers(stored: &[u8], dimensions: usize) -> Result<Vec<f32>> {
    Ok(Desk::default().read(stored, dimensions)?.to_vec())
}

/// The numbers of a stored vector.
pub(crate) fn unpack(packed: &[u8]) -> Vec<f32> {
    let mut vector = Vec::new();
    unpack_into(packed, &mut vector);
    vector
}

/// Puts the numbers of a stored vector in the place of what `out` holds.
pub(crate) fn unpack_into(packed: &[u8], out: &mut Vec<f32>) {
    let (halves, _) = packed.as_chunks();
    out.resize(halves.len(), 0.0);
    half::unpack(halves, out);
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn bytes(vector: &[f32]) -> Vec<u8> {
        vector.iter().flat_map(|x| x.to_le_bytes()).collect()
    }

    fn vector(size: usize, seed: u32) -> Vec<f32> {
        (0..size as u32).map(|i| ((seed + i).wrapping_mul(2_654_435_761) >> 8) as f32 - 8e6).collect()
    }

    #[test]
    fn the_direction_is_kept_and_packing_again_changes_nothing() {
        for size in [1, 2, 3, 17, 384, 1536, 4096] {
            for seed in 0..50 {
                let given = vector(size, seed);
                let packed = pack(&bytes(&given)).unwrap();
                assert_eq!(packed.len(), 2 * size);
                let read = unpack(&packed);
                let dot = |a: &[f32], b: &[f32]| -> f64 {
                    a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
                };
                let cosine = dot(&given, &read) / (dot(&given, &given) * dot(&read, &read)).sqrt();
                assert!(cosine > 1.0 - 1e-6, "{size} {seed} {cosine}");
                assert_eq!(pack(&bytes(&read)).unwrap(), packed, "{size} {seed}");
                assert_eq!(Desk::default().read(&bytes(&given), size).unwrap(), read, "{size} {seed}");
            }
        }
    }

    #[test]
    fn the_largest_and_the_smallest_have_a_direction_and_zero_has_none() {
        let half = std::f32::consts::FRAC_1_SQRT_2;
        for scale in [f32::MAX, 1.0, f32::MIN_POSITIVE, 1e-40] {
            let read = unpack(&pack(&bytes(&[scale, -scale])).unwrap());
            assert!((read[0] - half).abs() < 1e-3 && (read[1] + half).abs() < 1e-3, "{scale} {read:?}");
        }
        assert_eq!(unpack(&pack(&bytes(&[0.0; 5])).unwrap()), [0.0; 5]);
    }

    #[test]
    fn what_is_no_vector_is_none() {
        for bad in [&[][..], &[0.0, f32::NAN], &[f32::INFINITY], &[0.0, 1.0, f32::NEG_INFINITY]] {
            assert_eq!(pack(&bytes(bad)), None);
        }
        assert_eq!(pack(&[0, 0, 0, 0, 0]), None);
    }
}
