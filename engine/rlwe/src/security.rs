//! The security table that every key is checked against.
//!
//! Source: Bossuat et al., *Security Guidelines for Implementing Homomorphic Encryption* (2024), table for uniform ternary
//! secrets, error standard deviation 3.19, 128 bits against classical attacks. The bound on the sparse ephemeral secret
//! follows the sparse-secret encapsulation of Bossuat, Troncoso-Pastoriza and Hubaux (2022): weight 32 at degree `2^16`
//! and a modulus of at most 115 bits.

/// Security level that the table certifies.
pub const SECURITY_BITS: u32 = 128;

/// Where the bounds come from, for records and tables.
pub const SECURITY_SOURCE: &str =
    "2024 Security Guidelines (ternary, classical); sparse ephemeral secret: encapsulation at <= 115 bits";

/// Error standard deviation that the table assumes.
pub const SIGMA: f64 = 3.19;

/// Weight of the ephemeral secret that [`Distribution::Sparse`] is certified for.
pub const EPHEMERAL_WEIGHT: usize = 32;

/// How a secret is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Distribution {
    /// Uniform in {-1, 0, 1}.
    Ternary,
    /// Exactly so many coefficients of absolute value 1.
    Sparse(usize),
}

impl Distribution {
    /// Name for messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ternary => "ternary secret",
            Self::Sparse(_) => "sparse secret",
        }
    }
}

/// Largest `log2` of a modulus, special primes included, at which a key under such a secret has 128 bits; 0 if none.
pub fn max_log2_modulus(log_degree: u32, secret: Distribution) -> f64 {
    match (secret, log_degree) {
        (Distribution::Ternary, 12) => 106.0,
        (Distribution::Ternary, 13) => 214.0,
        (Distribution::Ternary, 14) => 430.0,
        (Distribution::Ternary, 15) => 868.0,
        (Distribution::Ternary, 16) => 1747.0,
        (Distribution::Sparse(weight), 16) if weight >= EPHEMERAL_WEIGHT => 115.0,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_grows_with_degree_and_refuses_what_it_does_not_know() {
        let bounds: Vec<f64> = (12..=16).map(|d| max_log2_modulus(d, Distribution::Ternary)).collect();
        assert!(bounds.windows(2).all(|w| w[1] > 2.0 * w[0]));
        assert_eq!(max_log2_modulus(11, Distribution::Ternary), 0.0);
        assert_eq!(max_log2_modulus(15, Distribution::Sparse(32)), 0.0);
        assert_eq!(max_log2_modulus(16, Distribution::Sparse(31)), 0.0);
        assert_eq!(max_log2_modulus(16, Distribution::Sparse(32)), 115.0);
    }
}
