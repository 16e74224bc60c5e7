//! The arithmetic of ranking: BM25's parts, z-scores, fusion of two rankings, and the choice of chunks by coverage.

/// BM25's term saturation.
pub const K1: f32 = 1.2;
/// BM25's length normalization.
pub const B: f32 = 0.75;

/// Inverse frequency of what `df` of `n` units hold; never negative.
#[must_use]
pub fn idf(n: f32, df: f32) -> f32 {
    (1.0 + (n - df + 0.5).max(0.0) / (df + 0.5)).ln()
}

/// BM25's saturated count of a term in a text whose length is `length` times the mean.
#[must_use]
pub fn saturate(tf: f32, length: f32) -> f32 {
    tf * (K1 + 1.0) / (tf + K1 * (1.0 - B + B * length))
}

/// Replaces values by their z-scores; all zero when they do not differ.
pub fn standardize(values: &mut [f32]) {
    let n = values.len() as f64;
    if n == 0.0 {
        return;
    }
    let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
    let variance = values.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / n;
    let deviation = variance.sqrt();
    for v in values {
        let z = if deviation > 1e-9 { (f64::from(*v) - mean) / deviation } else { 0.0 };
        *v = z as f32;
    }
}

/// Turns fused scores into shares of one: a softmax at `temperature`. NaN counts as the lowest.
pub fn shares(values: &mut [f32], temperature: f32) {
    let top = values.iter().copied().filter(|v| !v.is_nan()).fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0_f64;
    for v in values.iter_mut() {
        *v = if v.is_nan() { 0.0 } else { ((*v - top) / temperature).exp() };
        sum += f64::from(*v);
    }
    if sum > 0.0 {
        for v in values {
            *v = (f64::from(*v) / sum) as f32;
        }
    }
}

/// Chooses up to `limit` spans `(start, end)` of `shares`, best first: each time the span that holds the largest share
/// not held by those before it; equal ones by position. Returns (span, share it adds). O(limit × (values + spans)).
#[must_use]
pub fn cover(shares: &[f32], spans: &[(u32, u32)], limit: usize) -> Vec<(usize, f32)> {
    let mut left: Vec<f32> = shares.to_vec();
    let mut sums = vec![0.0_f64; left.len() + 1];
    let mut taken = vec![false; spans.len()];
    let mut out = Vec::new();
    while out.len() < limit.min(spans.len()) {
        let mut sum = 0.0;
        for (s, v) in sums.iter_mut().skip(1).zip(&left) {
            sum += f64::from(*v);
            *s = sum;
        }
        let at = |i: u32| sums.get(i as usize).copied().unwrap_or(sum);
        let mut best: Option<(usize, f64)> = None;
        for (i, ((a, z), taken)) in spans.iter().zip(&taken).enumerate() {
            let gain = at(*z) - at(*a);
            if !taken && best.is_none_or(|(_, g)| gain > g + 1e-12) {
                best = Some((i, gain));
            }
        }
        let Some((i, gain)) = best else { break };
        if let (Some(t), Some((a, z))) = (taken.get_mut(i), spans.get(i)) {
            *t = true;
            if let Some(held) = left.get_mut(*a as usize..*z as usize) {
                held.fill(0.0);
            }
        }
        out.push((i, gain.max(0.0) as f32));
    }
    out
}

/// Fuses two scores of the same items (for instance words and similarity): the sum of their z-scores, the second
/// weighted. Where one of them does not tell items apart, the other decides alone.
#[must_use]
pub fn fuse(words: &[f32], similarity: &[f32], weight: f32) -> Vec<f32> {
    let (mut a, mut b) = (words.to_vec(), similarity.to_vec());
    standardize(&mut a);
    standardize(&mut b);
    a.iter().zip(&b).map(|(x, y)| x + weight * y).collect()
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "a test fails by panicking")]
mod tests {
    use super::{cover, fuse, shares, standardize};

    #[test]
    fn z_scores_have_mean_zero_and_unit_deviation() {
        let mut v = vec![1.0, 2.0, 3.0, 10.0];
        standardize(&mut v);
        let mean: f32 = v.iter().sum::<f32>() / 4.0;
        let var: f32 = v.iter().map(|x| x * x).sum::<f32>() / 4.0;
        assert!(mean.abs() < 1e-6 && (var - 1.0).abs() < 1e-5);
        let mut same = vec![3.0; 5];
        standardize(&mut same);
        assert_eq!(same, [0.0; 5]);
    }

    #[test]
    fn coverage_prefers_what_is_not_yet_held() {
        let mut v = vec![5.0, 4.9, 0.0, 0.0, 4.0, 0.0];
        shares(&mut v, 1.0);
        assert!((v.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        let chosen = cover(&v, &[(0, 2), (1, 3), (4, 6)], 3);
        assert_eq!(chosen.iter().map(|c| c.0).collect::<Vec<_>>(), [0, 2, 1]);
        assert!(chosen[0].1 >= chosen[1].1 && chosen[1].1 >= chosen[2].1);
    }

    #[test]
    fn fusion_survives_a_flat_side() {
        assert_eq!(fuse(&[1.0, 2.0], &[0.0, 0.0], 0.5), [-1.0, 1.0]);
        assert!(fuse(&[], &[], 1.0).is_empty());
    }
}
