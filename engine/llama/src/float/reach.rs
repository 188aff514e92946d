//! How far a projection reaches beyond what its weights explain: values over the largest weight of their row.
//!
//! With a scale for every row of integer weights, the value of a channel comes out magnified by the largest weight of all over the largest of
//! its row. One number for each token tells how large magnified values get, whatever the largest weight of all is.

use rayon::prelude::*;

use crate::matrix::Matrix;
use crate::weights::LayerWeights;

/// The largest weight of every row, gamma included, of the projections that read the residual.
pub(super) struct RowPeaks {
    pub(super) q: Vec<f32>,
    pub(super) k: Vec<f32>,
    pub(super) v: Vec<f32>,
    pub(super) gate: Vec<f32>,
    pub(super) up: Vec<f32>,
}

impl RowPeaks {
    pub(super) fn of(weights: &LayerWeights) -> Self {
        let (before, after) = (&weights.input_norm, &weights.post_norm);
        Self {
            q: peaks(&weights.q, before),
            k: peaks(&weights.k, before),
            v: peaks(&weights.v, before),
            gate: peaks(&weights.gate, after),
            up: peaks(&weights.up, after),
        }
    }
}

fn peaks(matrix: &Matrix, gamma: &[f32]) -> Vec<f32> {
    let rows = matrix.data().par_chunks_exact(matrix.cols());
    let peak =
        |row: &[f32]| row.iter().zip(gamma).fold(0.0, |peak: f32, (weight, gamma)| peak.max((weight * gamma).abs()));
    rows.map(peak).collect()
}

/// The largest `|value| / peak` of every token, one row; rows without weights have no values.
pub(super) fn reach(tensor: &Matrix, peaks: &[f32]) -> Matrix {
    let mut reach = Matrix::zeros(1, tensor.cols());
    for (row, &peak) in peaks.iter().enumerate().filter(|(_, peak)| **peak > 0.0) {
        let tokens = reach.data_mut().iter_mut().zip(tensor.row(row));
        tokens.for_each(|(reach, value)| *reach = reach.max(value.abs() / peak));
    }
    reach
}
