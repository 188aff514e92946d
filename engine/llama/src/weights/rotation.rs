//! Rotations against outliers, merged into the weights offline (Ashkboos et al., "QuaRot", arXiv 2404.00456, and Liu et al., "SpinQuant",
//! arXiv 2405.16406, whose R1 and R2 these are).
//!
//! * R1 turns the residual stream. The embedding and every writer (output and down projection) write turned vectors; every reader (queries,
//!   keys, values, gate, up, LM head) turns them back, once the gamma of its norm is a factor of its columns. A norm divides
//!   by a length, which no rotation changes.
//! * R2 turns the values of every head, the same for heads that share them, and the output projection turns their weighted sums back.
//!
//! The function of the model is the same in exact arithmetic; channel for channel its residual and its values are other numbers, of which
//! none is much larger than the rest. A model with tied embeddings gets an LM head of its own: it reads through gamma and the embedding
//! does not.

use rayon::prelude::*;

use super::LayerWeights;
use super::orthogonal::Orthogonal;
use crate::config::Config;
use crate::matrix::Matrix;

/// The rotations of one model.
#[derive(Clone, Debug, PartialEq)]
pub struct Rotation {
    seed: u32,
    residual: Orthogonal,
    head: Orthogonal,
}

impl Rotation {
    /// The seed of runs that do not choose one.
    pub const SEED: u32 = 0;

    /// The rotations of a model of this configuration, signs drawn from `seed`.
    pub fn new(config: &Config, seed: u32) -> Self {
        Self {
            seed,
            residual: Orthogonal::seeded(config.hidden_size, seed, "residual"),
            head: Orthogonal::seeded(config.head_dim, seed, "head"),
        }
    }

    /// The seed.
    pub fn seed(&self) -> u32 {
        self.seed
    }

    /// R1, over the channels of the residual.
    pub fn residual(&self) -> &Orthogonal {
        &self.residual
    }

    /// R2, over the channels of a head.
    pub fn head(&self) -> &Orthogonal {
        &self.head
    }

    pub(super) fn layer(&self, weights: LayerWeights) -> LayerWeights {
        let LayerWeights { input_norm, q, k, v, o, post_norm, gate, up, down } = weights;
        let reads = |matrix, gamma: &[f32]| self.reader(matrix, gamma);
        LayerWeights {
            q: reads(q, &input_norm),
            k: reads(k, &input_norm),
            v: map_columns(&reads(v, &input_norm), &self.head),
            o: map_columns(&map_rows(o, &[], &self.head), &self.residual),
            gate: reads(gate, &post_norm),
            up: reads(up, &post_norm),
            down: map_columns(&down, &self.residual),
            input_norm: vec![1.0; input_norm.len()],
            post_norm: vec![1.0; post_norm.len()],
        }
    }

    /// Weights that read the residual through a norm: `W diag(gamma) R1^T`, row by row.
    pub(super) fn reader(&self, matrix: Matrix, gamma: &[f32]) -> Matrix {
        map_rows(matrix, gamma, &self.residual)
    }

    /// The embedding: rows that are residuals.
    pub(super) fn embedding(&self, matrix: Matrix) -> Matrix {
        map_rows(matrix, &[], &self.residual)
    }
}

/// Every run of as many entries of every row as the map has coordinates, turned, after a factor for each column if there are any. Rounded once.
fn map_rows(mut matrix: Matrix, factors: &[f32], map: &Orthogonal) -> Matrix {
    let columns = matrix.cols();
    matrix.data_mut().par_chunks_exact_mut(columns).for_each(|row| {
        let mut wide: Vec<f64> = row.iter().map(|&weight| weight.into()).collect();
        wide.iter_mut().zip(factors).for_each(|(weight, &factor)| *weight *= f64::from(factor));
        wide.chunks_exact_mut(map.size()).for_each(|run| map.apply(run));
        row.iter_mut().zip(wide).for_each(|(to, from)| *to = from as f32);
    });
    matrix
}

/// Every run of as many entries of every column, turned.
fn map_columns(matrix: &Matrix, map: &Orthogonal) -> Matrix {
    transposed(&map_rows(transposed(matrix), &[], map))
}

fn transposed(matrix: &Matrix) -> Matrix {
    let (rows, columns) = matrix.shape();
    let mut turned = Matrix::zeros(columns, rows);
    turned.data_mut().par_chunks_exact_mut(rows).enumerate().for_each(|(column, to)| {
        to.iter_mut().enumerate().for_each(|(row, to)| *to = matrix.data()[row * columns + column]);
    });
    turned
}
