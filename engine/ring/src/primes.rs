//! The search for primes with roots of unity.

use crate::Modulus;

/// Whether `n` is prime (Miller-Rabin, deterministic for 64 bits: the first twelve primes are witnesses enough;
/// Sorenson and Webster, Math. Comp. 2017).
pub fn is_prime(n: u64) -> bool {
    const WITNESSES: [u64; 12] = [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37];
    if n < 2 {
        return false;
    }
    if let Some(&divisor) = WITNESSES.iter().find(|&&prime| n.is_multiple_of(prime)) {
        return n == divisor;
    }
    let mul = |a: u64, b: u64| (a as u128 * b as u128 % n as u128) as u64;
    let pow = |mut base: u64, mut exponent: u64| {
        let mut power = 1;
        while exponent > 0 {
            if exponent & 1 == 1 {
                power = mul(power, base);
            }
            base = mul(base, base);
            exponent >>= 1;
        }
        power
    };
    let twos = (n - 1).trailing_zeros();
    WITNESSES.iter().all(|&witness| {
        let mut x = pow(witness, (n - 1) >> twos);
        if x == 1 || x == n - 1 {
            return true;
        }
        for _ in 1..twos {
            x = mul(x, x);
            if x == n - 1 {
                return true;
            }
        }
        false
    })
}

/// The odd prime below `2^50`, congruent to 1 modulo `congruence` and not in `used`, that is nearest to `target`; the
/// smaller of two that are equally near. `None` if there is none.
pub fn nearest_prime(target: f64, congruence: u64, used: &[u64]) -> Option<u64> {
    let bound = 1u64 << Modulus::MAX_BITS;
    let usable =
        |candidate: &u64| *candidate < bound && *candidate > 2 && !used.contains(candidate) && is_prime(*candidate);
    // A non-finite or negative target saturates to an end of the range.
    let start = (target.clamp(0.0, bound as f64) as u64 / congruence) * congruence + 1;
    let mut below = (0..).map_while(|k| start.checked_sub(k * congruence)).filter(usable);
    let mut above = (1..).map(|k| start + k * congruence).take_while(|&candidate| candidate < bound).filter(usable);
    // Both searches start next to the target, so each one's first hit is its nearest.
    let distance = |candidate: u64| (candidate as f64 - target).abs();
    match (below.next(), above.next()) {
        (Some(low), Some(high)) => Some(if distance(low) <= distance(high) { low } else { high }),
        (low, high) => low.or(high),
    }
}

/// The odd primes below `bound` (itself at most `2^50`) congruent to 1 modulo `congruence`, in descending order.
pub fn primes_below(bound: u64, congruence: u64) -> impl Iterator<Item = u64> {
    let bound = bound.min(1 << Modulus::MAX_BITS);
    let multiples = if bound < 2 { 0 } else { (bound - 2) / congruence };
    (1..=multiples).rev().map(move |k| k * congruence + 1).filter(|&candidate| candidate > 2 && is_prime(candidate))
}

/// A primitive root of unity of the given order, a power of two; `None` if the order does not divide `p - 1`.
///
/// The root is a power of the least quadratic non-residue, so roots of different orders are powers of each other: the
/// root of order `m` is the square of that of order `2m`.
pub fn primitive_root(modulus: &Modulus, order: u64) -> Option<u64> {
    let p = modulus.value();
    if !order.is_power_of_two() || !(p - 1).is_multiple_of(order) {
        return None;
    }
    let non_residue = (2..p).find(|&candidate| modulus.pow(candidate, (p - 1) / 2) == p - 1)?;
    Some(modulus.pow(non_residue, (p - 1) / order))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn primality_agrees_with_trial_division() {
        let divides = |n: u64| (2..n).take_while(|d| d * d <= n).any(|d| n.is_multiple_of(d));
        for n in 0..5000 {
            assert_eq!(is_prime(n), n >= 2 && !divides(n), "{n}");
        }
        // Carmichael numbers, strong pseudoprimes to the bases 2, 3, 5 and 7, and the largest 64-bit prime.
        for n in [561, 41041, 825_265, 3_215_031_751, 3_825_123_056_546_413_051] {
            assert!(!is_prime(n), "{n}");
        }
        assert!(is_prime(18_446_744_073_709_551_557));
    }

    #[test]
    fn nearest_primes_are_nearest() {
        let congruence = 1 << 8;
        let all: Vec<u64> = primes_below(1 << 20, congruence).collect();
        assert!(all.is_sorted_by(|a, b| a > b) && all.iter().all(|p| p % congruence == 1));
        let mut used = Vec::new();
        for target in [257.0, 60_000.5, 400_000.0, 400_000.0, 400_000.0, 0.0] {
            let found = nearest_prime(target, congruence, &used).unwrap();
            let best =
                all.iter().filter(|p| !used.contains(*p)).map(|&p| (p as f64 - target).abs()).fold(f64::MAX, f64::min);
            assert_eq!((found as f64 - target).abs(), best);
            used.push(found);
        }
        let top = nearest_prime(2f64.powi(50), 1 << 18, &[]).unwrap();
        assert!(top < 1 << 50 && top > (1 << 50) - (1 << 25));
    }

    #[test]
    fn roots_have_their_order_and_are_powers_of_each_other() {
        let modulus = Modulus::new(primes_below(1 << 50, 1 << 18).next().unwrap()).unwrap();
        let mut above = None;
        for log_order in (0..=18).rev() {
            let root = primitive_root(&modulus, 1 << log_order).unwrap();
            if log_order > 0 {
                assert_eq!(modulus.pow(root, 1 << (log_order - 1)), modulus.value() - 1);
            }
            if let Some(above) = above {
                assert_eq!(root, modulus.mul(above, above));
            }
            above = Some(root);
        }
        assert_eq!(primitive_root(&modulus, 1 << 49), None);
        assert_eq!(primitive_root(&modulus, 3), None);
    }
}
