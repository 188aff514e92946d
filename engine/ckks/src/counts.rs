//! Counts of homomorphic operations.

use std::ops::{Add, Sub};

macro_rules! operation_counts {
    ($($(#[$doc:meta])* $field:ident),* $(,)?) => {
        /// How often each homomorphic operation was executed, those inside bootstrapping included.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct OperationCounts {
            $($(#[$doc])* pub $field: u64,)*
        }

        impl OperationCounts {
            /// Names and values in a fixed order.
            pub fn entries(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($field), self.$field)),*].into_iter()
            }
        }

        impl Add for OperationCounts {
            type Output = Self;
            fn add(self, other: Self) -> Self {
                Self { $($field: self.$field + other.$field),* }
            }
        }

        impl Sub for OperationCounts {
            type Output = Self;
            fn sub(self, other: Self) -> Self {
                Self { $($field: self.$field - other.$field),* }
            }
        }
    };
}

operation_counts! {
    /// Half bootstraps.
    half_bootstraps,
    /// Compute levels that half bootstraps gave back, summed.
    levels_restored,
    /// SlotsToCoeffs transforms.
    slots_to_coefficients,
    /// Slot rotations (one key switch each; the identity is not counted).
    rotations,
    /// Complex conjugations.
    conjugations,
    /// Conversions between real and complex slots.
    packing_conversions,
    /// Ciphertext-ciphertext products, squares included.
    products,
    /// Products with a plaintext vector.
    plaintext_products,
    /// Products with a constant.
    constant_products,
    /// Rescalings by one prime.
    rescalings,
    /// Ciphertexts split into module rows.
    row_splits,
    /// Ciphertexts packed from module rows.
    row_packings,
    /// Ciphertexts of vectors split into small ones.
    vector_splits,
    /// Ciphertexts joined from products with vectors.
    vector_joins,
    /// Weights multiplied in integer matrix products and products with vectors.
    matrix_weights,
    /// Partial SlotsToCoeffs transforms that end in lanes.
    slots_to_lanes,
    /// Ciphertexts of lanes separated into even and odd rows.
    lane_parity_splits,
    /// Matrices of ciphertexts of lanes that were transposed.
    lane_transposes,
    /// Products of two such matrices.
    lane_products,
    /// Ciphertexts put together from ciphertexts of lanes.
    lane_joins,
}
