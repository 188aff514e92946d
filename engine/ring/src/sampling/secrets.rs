//! Small secrets and errors.

use rand::{CryptoRng, Rng};
use zeroize::Zeroize;

use crate::RingError;

/// `n` independent uniform values of {-1, 0, 1}.
pub fn ternary(rng: &mut impl CryptoRng, n: usize) -> Vec<i8> {
    let mut values = Vec::with_capacity(n);
    while values.len() < n {
        let mut word = rng.next_u64();
        for _ in 0..32.min(n - values.len()) {
            let pair = (word & 3) as i8;
            word >>= 2;
            if pair < 3 {
                values.push(pair - 1);
            }
        }
        word.zeroize();
    }
    values
}

/// `n` values of which exactly `weight` are nonzero, uniform among those: random positions, random signs.
pub fn sparse_ternary(rng: &mut impl CryptoRng, n: usize, weight: usize) -> Result<Vec<i8>, RingError> {
    if weight > n {
        return Err(RingError::OutOfRange {
            operation: "sparse_ternary",
            operand: "the Hamming weight",
            found: weight.to_string(),
            required: format!("at most the length {n}"),
            remedy: "choose a smaller weight",
        });
    }
    let mut values = vec![0; n];
    let mut placed = 0;
    while placed < weight {
        let position = rng.random_range(0..n);
        if values[position] == 0 {
            values[position] = if rng.random() { 1 } else { -1 };
            placed += 1;
        }
    }
    Ok(values)
}

/// Largest standard deviation that [`gaussian`] tabulates.
pub const MAX_STANDARD_DEVIATION: f64 = 64.0;

/// `n` independent values of the discrete Gaussian: `k` with probability proportional to `exp(-k^2 / 2 sigma^2)`.
///
/// A cumulative table of 63-bit probabilities, read whole for every sample, so that the time is independent of the
/// values. The table ends where it cannot resolve the tail, at about nine standard deviations.
pub fn gaussian(rng: &mut impl CryptoRng, n: usize, sigma: f64) -> Result<Vec<i32>, RingError> {
    if !(sigma > 0.0 && sigma <= MAX_STANDARD_DEVIATION) {
        return Err(RingError::OutOfRange {
            operation: "gaussian",
            operand: "the standard deviation",
            found: sigma.to_string(),
            required: format!("a number above 0 and at most {MAX_STANDARD_DEVIATION}"),
            remedy: "errors of encryptions have a standard deviation near 3.2",
        });
    }
    let table = tail_probabilities(sigma);
    let mut values = vec![0; n];
    for value in &mut values {
        let word = rng.next_u64();
        let (uniform, negative) = (word >> 1, (word & 1) as i32);
        let magnitude: i32 = table.iter().map(|&tail| i32::from(uniform < tail)).sum();
        *value = (magnitude ^ -negative) + negative;
    }
    Ok(values)
}

/// Entry `k` is the probability that the magnitude exceeds `k`, in units of `2^-63`. Zero has one sign, other magnitudes
/// two.
fn tail_probabilities(sigma: f64) -> Vec<u64> {
    let weight = |k: i32| (-f64::from(k).powi(2) / (2.0 * sigma * sigma)).exp() * if k == 0 { 1.0 } else { 2.0 };
    let most = (9.5 * sigma).ceil() as i32;
    // Summed from the tail, where the small terms are.
    let mut tails: Vec<f64> = Vec::new();
    let mut sum = 0.0;
    for k in (0..=most).rev() {
        tails.push(sum);
        sum += weight(k);
    }
    let unit = 2f64.powi(63) / sum;
    tails.iter().rev().map(|tail| (tail * unit) as u64).take_while(|&tail| tail > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Seed;

    #[test]
    fn ternary_values_are_balanced() {
        let n = 90_000;
        let values = ternary(&mut Seed::from_bytes([2; 32]).rng(), n);
        assert_eq!(values.len(), n);
        for value in -1..=1 {
            // Binomial with probability 1/3: standard deviation 141.
            let count = values.iter().filter(|&&v| v == value).count() as f64;
            assert!((count - 30_000.0).abs() < 6.0 * 141.5, "{value}: {count}");
        }
        // Neighbours are independent: nine pairs, 10000 each of 90000, standard deviation 94.
        let repeated = values.chunks(2).filter(|pair| pair[0] == pair[1]).count() as f64;
        assert!((repeated - 15_000.0).abs() < 6.0 * 100.0, "{repeated}");
    }

    #[test]
    fn sparse_ternary_has_its_weight() {
        let mut rng = Seed::from_bytes([3; 32]).rng();
        let (mut plus, mut first_half) = (0, 0);
        for _ in 0..500 {
            let values = sparse_ternary(&mut rng, 4096, 32).unwrap();
            assert_eq!(values.iter().filter(|&&v| v != 0).count(), 32);
            plus += values.iter().filter(|&&v| v == 1).count();
            first_half += values[..2048].iter().filter(|&&v| v != 0).count();
        }
        // 16000 signs and positions: standard deviation 63.
        assert!(plus.abs_diff(8000) < 380 && first_half.abs_diff(8000) < 380, "{plus} {first_half}");
        assert_eq!(sparse_ternary(&mut rng, 4, 4).unwrap().iter().filter(|&&v| v != 0).count(), 4);
        assert!(matches!(sparse_ternary(&mut rng, 4, 5), Err(RingError::OutOfRange { .. })));
    }

    #[test]
    fn gaussian_follows_its_density() {
        for sigma in [0.5, 3.19, 20.0] {
            let n = 200_000;
            let values = gaussian(&mut Seed::from_bytes([4; 32]).rng(), n, sigma).unwrap();
            let total: f64 = (-400..=400).map(|k| (-f64::from(k * k) / (2.0 * sigma * sigma)).exp()).sum();
            for k in -3..=3 {
                let probability = (-f64::from(k * k) / (2.0 * sigma * sigma)).exp() / total;
                let deviation = (n as f64 * probability * (1.0 - probability)).sqrt();
                let count = values.iter().filter(|&&v| v == k).count() as f64;
                assert!((count - n as f64 * probability).abs() < 6.0 * deviation + 1.0, "{sigma} {k}: {count}");
            }
            let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n as f64;
            assert!(mean.abs() < 6.0 * sigma / (n as f64).sqrt(), "{mean}");
            let variance = values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / n as f64;
            if sigma > 1.0 {
                // The variance of a sample of n has the relative standard deviation sqrt(2 / n).
                assert!((variance / (sigma * sigma) - 1.0).abs() < 6.0 * (2.0 / n as f64).sqrt(), "{variance}");
            }
            assert!(values.iter().all(|&v| f64::from(v.abs()) <= 9.5 * sigma + 1.0));
        }
    }

    #[test]
    fn rejects_deviations_that_are_no_table() {
        let mut rng = Seed::from_bytes([5; 32]).rng();
        for sigma in [0.0, -1.0, f64::NAN, f64::INFINITY, 65.0] {
            assert!(matches!(gaussian(&mut rng, 1, sigma), Err(RingError::OutOfRange { .. })), "{sigma}");
        }
    }
}
