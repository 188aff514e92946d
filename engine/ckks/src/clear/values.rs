//! The three representations in plain numbers.

use num_complex::Complex64;

use crate::{Level, Packing};

/// Slots with their packing and level; real ones have no imaginary part.
#[derive(Clone, Debug, PartialEq)]
pub struct ClearSlots {
    pub(super) values: Vec<Complex64>,
    pub(super) packing: Packing,
    pub(super) level: Level,
}

impl ClearSlots {
    /// The number in each slot.
    pub fn values(&self) -> &[Complex64] {
        &self.values
    }

    pub(super) fn map(&self, level: Level, f: impl Fn(Complex64) -> Complex64) -> Self {
        self.with(self.values.iter().map(|&value| f(value)).collect(), level)
    }

    pub(super) fn zip(&self, other: &Self, level: Level, f: impl Fn(Complex64, Complex64) -> Complex64) -> Self {
        self.with(self.values.iter().zip(&other.values).map(|(&a, &b)| f(a, b)).collect(), level)
    }

    /// Other values of the same packing.
    pub(super) fn with(&self, values: Vec<Complex64>, level: Level) -> Self {
        Self { values, packing: self.packing, level }
    }
}

/// Integer coefficients at the lowest modulus.
#[derive(Clone, Debug, PartialEq)]
pub struct ClearCoefficients {
    pub(super) integers: Vec<f64>,
    pub(super) unit: f64,
}

impl ClearCoefficients {
    /// The integer in each coefficient, as exact as `f64` holds it.
    pub fn integers(&self) -> &[f64] {
        &self.integers
    }
}

/// Rows of lanes: integers in the order of coefficients.
#[derive(Clone, Debug, PartialEq)]
pub struct ClearLanes {
    pub(super) integers: Vec<f64>,
    pub(super) unit: f64,
    /// Whether a product divided by `q_1` already.
    pub(super) divided: bool,
}

impl ClearLanes {
    /// The integer in each coefficient, as exact as `f64` holds it.
    pub fn integers(&self) -> &[f64] {
        &self.integers
    }
}

/// Module rows: a dense matrix of integers, rows x tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct ClearRows {
    pub(super) entries: Vec<f64>,
    pub(super) tokens: usize,
    pub(super) unit: f64,
}

impl ClearRows {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.entries.len() / self.tokens
    }
}

/// A split vector: the integer coefficients of its small ciphertexts, a part after the other.
#[derive(Clone, Debug, PartialEq)]
pub struct ClearVector {
    pub(super) parts: Vec<Vec<f64>>,
    pub(super) block: usize,
    pub(super) unit: f64,
}
