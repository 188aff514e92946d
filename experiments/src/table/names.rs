//! What operations and kernels are called in tables, and the units of their counts.

use crate::format;

/// Homomorphic operations: name in records, title, whether a short summary can do without it.
pub(super) const OPERATIONS: [(&str, &str, bool); 14] = [
    ("half_bootstraps", "half bootstraps", false),
    ("levels_restored", "compute levels given back", true),
    ("slots_to_coefficients", "slots to coefficients", false),
    ("rotations", "rotations", false),
    ("conjugations", "conjugations", true),
    ("packing_conversions", "conversions between real and complex slots", true),
    ("products", "products", false),
    ("plaintext_products", "plaintext products", true),
    ("constant_products", "constant products", true),
    ("rescalings", "rescalings", false),
    ("row_splits", "ciphertexts split into module rows", true),
    ("row_packings", "ciphertexts packed from module rows", true),
    ("matrix_weights", "weights in matrix products", true),
    ("key_switches", "key switches", false),
];

/// Kernels: name in records, title, unit.
pub(super) const KERNELS: [(&str, &str, Unit); 21] = [
    ("forward_transforms", "forward transforms (limbs)", Unit::Times),
    ("inverse_transforms", "inverse transforms (limbs)", Unit::Times),
    ("butterflies", "butterflies of the transforms", Unit::Plain),
    ("base_conversion_macs", "base conversions", Unit::Macs),
    ("decompositions", "gadget decompositions", Unit::Times),
    ("gadget_products", "gadget products", Unit::Times),
    ("gadget_macs", "gadget products, arithmetic", Unit::Macs),
    ("mod_downs", "divisions by the special primes", Unit::Times),
    ("rescales", "divisions by a ciphertext prime", Unit::Times),
    ("raises", "raises to a larger modulus", Unit::Times),
    ("automorphisms", "automorphisms", Unit::Times),
    ("automorphism_limbs", "automorphisms (limbs)", Unit::Times),
    ("product_macs", "point-wise products", Unit::Macs),
    ("integer_product_macs", "integer matrix products", Unit::Macs),
    ("structured_product_macs", "structured matrix products", Unit::Macs),
    ("elementwise_words", "element-wise passes", Unit::Words),
    ("copied_words", "copies", Unit::Words),
    ("key_bytes", "keys read", Unit::Bytes),
    ("plaintext_bytes", "plaintexts read", Unit::Bytes),
    ("polynomial_bytes", "polynomials read and written", Unit::Bytes),
    ("uploaded_bytes", "plaintexts encoded and uploaded", Unit::Bytes),
];

/// How a count is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// A number of calls, to the last digit.
    Times,
    /// A large number without a unit.
    Plain,
    /// Multiply-adds of words.
    Macs,
    /// 64-bit words.
    Words,
    /// Bytes.
    Bytes,
}

impl Unit {
    /// A count in this unit: `1,234`, `104 G`, `44.9 G MACs`, `170 GB`.
    pub(super) fn show(self, value: u64) -> String {
        match self {
            Self::Times => format::count(value),
            Self::Plain => format::scaled(value, ""),
            Self::Macs => format::scaled(value, " MACs"),
            Self::Words => format::scaled(value, " words"),
            Self::Bytes => format::scaled(value, "B"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_count_has_a_title() {
        let operations = fhe_ckks::OperationCounts::default();
        for (name, _) in operations.entries().chain([("key_switches", 0)]) {
            assert!(OPERATIONS.iter().any(|(known, ..)| *known == name), "operation `{name}` has no title");
        }
        for (name, _) in fhe_ring::Counts::default().entries() {
            assert!(KERNELS.iter().any(|(known, ..)| *known == name), "kernel `{name}` has no title");
        }
    }
}
