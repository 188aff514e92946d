//! Orthogonal maps that spread every coordinate evenly, of any size, in `n log n` operations for the sizes that models have.
//!
//! A map is `(F_1 x F_2 x ...) S` with random signs `S` and a Kronecker product of small orthogonal factors: the Hadamard matrix of
//! order 12 (Paley, "On orthogonal matrices", J. Math. Phys. 1933) once for every factor of three that two factors of two go with, that of
//! Sylvester for the remaining power of two, and an orthonormal cosine transform for what is left of the size. A size without such a rest gets a
//! signed Hadamard matrix, every entry of which is `1 / sqrt(size)`: 576 is `12 x 12 x 4`, 4096 is `2^12`.

use std::f64::consts::PI;

/// The map `x -> R x`, `R R^T = 1`.
#[derive(Clone, Debug, PartialEq)]
pub struct Orthogonal {
    signs: Vec<f64>,
    factors: Vec<Factor>,
}

/// A factor of the Kronecker product: it acts on coordinates that are the product of the earlier orders apart.
#[derive(Clone, Debug, PartialEq)]
enum Factor {
    /// Sylvester's Hadamard matrix of this order, a power of two.
    Butterflies(usize),
    /// Any matrix, row by row, of this order.
    Dense(usize, Vec<f64>),
}

impl Orthogonal {
    /// The map of this size whose signs are drawn from `seed` under `name`.
    pub(super) fn seeded(size: usize, seed: u32, name: &str) -> Self {
        let (mut twos, mut odd) = (size.trailing_zeros(), size >> size.trailing_zeros());
        let mut factors = Vec::new();
        while odd % 3 == 0 && twos >= 2 {
            factors.push(Factor::Dense(12, paley_12()));
            (twos, odd) = (twos - 2, odd / 3);
        }
        if twos > 0 {
            factors.push(Factor::Butterflies(1 << twos));
        }
        if odd > 1 {
            factors.push(Factor::Dense(odd, cosines(odd)));
        }
        Self { signs: signs(size, seed, name), factors }
    }

    /// Number of coordinates.
    pub fn size(&self) -> usize {
        self.signs.len()
    }

    /// `R x` in place of `x`.
    ///
    /// # Panics
    /// If `x` has another number of coordinates.
    pub fn apply(&self, x: &mut [f64]) {
        assert_eq!(x.len(), self.size(), "coordinates of a rotation");
        x.iter_mut().zip(&self.signs).for_each(|(x, sign)| *x *= sign);
        let mut stride = 1;
        for factor in &self.factors {
            stride *= match factor {
                Factor::Butterflies(order) => butterflies(x, stride, *order),
                Factor::Dense(order, matrix) => dense(x, stride, *order, matrix),
            };
        }
    }
}

/// Coordinates `stride` apart by the Hadamard matrix of this order; the order.
fn butterflies(x: &mut [f64], stride: usize, order: usize) -> usize {
    let mut distance = stride;
    while distance < stride * order {
        for block in x.chunks_exact_mut(2 * distance) {
            let (low, high) = block.split_at_mut(distance);
            low.iter_mut().zip(high).for_each(|(a, b)| (*a, *b) = (*a + *b, *a - *b));
        }
        distance *= 2;
    }
    let scale = 1.0 / (order as f64).sqrt();
    x.iter_mut().for_each(|x| *x *= scale);
    order
}

/// Coordinates `stride` apart by a matrix; its order.
fn dense(x: &mut [f64], stride: usize, order: usize, matrix: &[f64]) -> usize {
    let mut column = vec![0.0; order];
    for block in x.chunks_exact_mut(stride * order) {
        for first in 0..stride {
            (0..order).for_each(|i| column[i] = block[first + i * stride]);
            for (i, row) in matrix.chunks_exact(order).enumerate() {
                block[first + i * stride] = row.iter().zip(&column).map(|(a, b)| a * b).sum();
            }
        }
    }
    order
}

/// Paley's Hadamard matrix over the field of 11 elements, in which -1 is no square, divided by `sqrt(12)`:
/// `I + [[0, 1], [-1, Q]]` with the differences' quadratic characters `Q`.
fn paley_12() -> Vec<f64> {
    const FIELD: usize = 11;
    let is_square = |x: usize| (1..FIELD).any(|root| root * root % FIELD == x);
    let character = |x: usize| match x {
        0 => 0.0,
        x if is_square(x) => 1.0,
        _ => -1.0,
    };
    let entry = |i: usize, j: usize| match (i, j) {
        (i, j) if i == j => 1.0,
        (0, _) => 1.0,
        (_, 0) => -1.0,
        (i, j) => character((i + FIELD - j) % FIELD),
    };
    let scale = 1.0 / ((FIELD + 1) as f64).sqrt();
    (0..(FIELD + 1).pow(2)).map(|index| scale * entry(index / (FIELD + 1), index % (FIELD + 1))).collect()
}

/// The orthonormal cosine transform (DCT-II).
fn cosines(order: usize) -> Vec<f64> {
    let entry = |row: usize, column: usize| {
        let scale = if row == 0 { 1.0 } else { 2.0 } / order as f64;
        scale.sqrt() * (PI * ((2 * column + 1) * row) as f64 / (2 * order) as f64).cos()
    };
    (0..order * order).map(|index| entry(index / order, index % order)).collect()
}

/// Signs from BLAKE3 as a stream of bits: the same on every machine.
fn signs(size: usize, seed: u32, name: &str) -> Vec<f64> {
    let mut hasher = blake3::Hasher::new_derive_key("fhe-model: signs of a rotation merged into weights");
    hasher.update(&seed.to_le_bytes()).update(name.as_bytes());
    let mut bytes = vec![0; size.div_ceil(8)];
    hasher.finalize_xof().fill(&mut bytes);
    (0..size).map(|i| if bytes[i / 8] >> (i % 8) & 1 == 1 { -1.0 } else { 1.0 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Column by column.
    fn matrix(map: &Orthogonal) -> Vec<Vec<f64>> {
        let size = map.size();
        let image = |column: usize| {
            let mut x = vec![0.0; size];
            x[column] = 1.0;
            map.apply(&mut x);
            x
        };
        (0..size).map(image).collect()
    }

    #[test]
    fn every_size_has_an_orthogonal_map() {
        for size in [1, 2, 3, 5, 8, 9, 12, 20, 36, 64, 72, 96, 128, 576] {
            let columns = matrix(&Orthogonal::seeded(size, 1, "test"));
            for (i, a) in columns.iter().enumerate() {
                for (j, b) in columns.iter().enumerate() {
                    let product: f64 = a.iter().zip(b).map(|(a, b)| a * b).sum();
                    let expected = if i == j { 1.0 } else { 0.0 };
                    assert!(
                        (product - expected).abs() < 1e-13,
                        "size {size}: columns {i} and {j} have product {product}"
                    );
                }
            }
        }
    }

    #[test]
    fn sizes_of_models_spread_a_coordinate_evenly() {
        for size in [32, 64, 128, 576, 4096] {
            let mut x = vec![0.0; size];
            x[size / 3] = 1.0;
            Orthogonal::seeded(size, 7, "test").apply(&mut x);
            let expected = 1.0 / (size as f64).sqrt();
            assert!(x.iter().all(|x| (x.abs() - expected).abs() < 1e-15), "size {size}");
        }
    }

    #[test]
    fn seeds_and_names_give_other_signs() {
        let signs = |seed, name| Orthogonal::seeded(576, seed, name).signs;
        let minus = signs(1, "a").iter().filter(|&&sign| sign < 0.0).count();
        assert!((228..348).contains(&minus), "{minus} of 576: five standard deviations are 60");
        assert_eq!(signs(1, "a"), signs(1, "a"));
        for (seed, name) in [(2, "a"), (1, "b")] {
            let differing = signs(1, "a").iter().zip(signs(seed, name)).filter(|(a, b)| **a != *b).count();
            assert!((228..348).contains(&differing), "{differing} of 576 differ");
        }
    }
}
