//! The matrices that the circuit multiplies with: their numbers, one layer at a time, or what is assumed of them.

use std::iter::Sum;

use fhe_circuits::{CircuitError, Layout, QuantisedMatrix, VectorLayout, VectorProduct, WeightProduct, WeightScales};

use crate::error::Result;
use crate::matrix::Matrix;
use crate::weights::{LayerWeights, ModelSource, Weights};

/// A weight matrix, gamma of the norm before it folded into its columns.
#[derive(Clone, Debug)]
pub(super) enum Tensor {
    Numbers(Matrix),
    /// Unknown weights; none is larger than this.
    AtMost(f64),
}

/// Bytes that the weights of a part of the model take while it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WeightBytes {
    /// As 32-bit floats, while they are converted.
    pub floats: u64,
    /// As integers, while the part runs; padding included.
    pub integers: u64,
}

impl WeightBytes {
    /// Of one matrix.
    pub(super) fn of(matrix: &impl WeightProduct) -> Self {
        let [outputs, inputs] = matrix.sizes();
        let integers = matrix.integers() * size_of::<i16>();
        Self { floats: (outputs * inputs * size_of::<f32>()) as u64, integers: integers as u64 }
    }
}

impl Sum for WeightBytes {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::default(), |sum, part| Self {
            floats: sum.floats + part.floats,
            integers: sum.integers + part.integers,
        })
    }
}

/// The matrices of one decoder layer.
#[derive(Clone, Debug)]
pub(super) struct LayerTensors {
    pub(super) q: Tensor,
    pub(super) k: Tensor,
    pub(super) v: Tensor,
    pub(super) o: Tensor,
    pub(super) gate: Tensor,
    pub(super) up: Tensor,
    pub(super) down: Tensor,
}

impl Tensor {
    /// Everything about the integers but themselves.
    pub(super) fn planned(
        &self,
        output: &Layout,
        input: &Layout,
        bits: u32,
        scales: WeightScales,
    ) -> Result<QuantisedMatrix, CircuitError> {
        match self {
            Self::Numbers(matrix) => QuantisedMatrix::planned(matrix.data(), output, input, bits, scales),
            Self::AtMost(largest) => QuantisedMatrix::assumed(*largest, output, input, bits),
        }
    }

    /// The same for products with the vector of one token.
    pub(super) fn planned_for_vectors(
        &self,
        output: &VectorLayout,
        input: &VectorLayout,
        bits: u32,
        scales: WeightScales,
    ) -> Result<VectorProduct, CircuitError> {
        match self {
            Self::Numbers(matrix) => VectorProduct::planned(matrix.data(), output, input, bits, scales),
            Self::AtMost(largest) => VectorProduct::assumed(*largest, output, input, bits),
        }
    }

    /// The rows of several matrices one after another.
    pub(super) fn stacked<const PARTS: usize>(parts: [&Self; PARTS]) -> Self {
        let largest = |part: &Self| if let Self::AtMost(largest) = part { *largest } else { 0.0 };
        let numbers =
            parts.iter().filter_map(|part| if let Self::Numbers(matrix) = part { Some(matrix) } else { None });
        let numbers: Vec<&Matrix> = numbers.collect();
        if numbers.len() < PARTS {
            return Self::AtMost(parts.iter().map(|part| largest(part)).fold(0.0, f64::max));
        }
        let mut stacked = Matrix::zeros(numbers.iter().map(|part| part.rows()).sum(), numbers[0].cols());
        let all = numbers.iter().flat_map(|part| part.data());
        stacked.data_mut().iter_mut().zip(all).for_each(|(to, from)| *to = *from);
        Self::Numbers(stacked)
    }

    /// The integers of a planned matrix; none for unknown weights.
    pub(super) fn fill<M: WeightProduct>(&self, planned: &M) -> Result<M, CircuitError> {
        match self {
            Self::Numbers(matrix) => planned.filled(matrix.data()),
            Self::AtMost(_) => Ok(planned.clone()),
        }
    }

    /// Divides every one of so many columns by its largest weight's share of the largest of all, and returns the shares; a column of zeros, or
    /// of unknown weights, counts as full.
    pub(super) fn share_columns(&mut self, columns: usize) -> Vec<f64> {
        let Self::Numbers(weights) = self else { return vec![1.0; columns] };
        let mut peaks = vec![0.0_f32; columns];
        for row in weights.data().chunks_exact(columns) {
            peaks.iter_mut().zip(row).for_each(|(peak, weight)| *peak = peak.max(weight.abs()));
        }
        let largest = peaks.iter().fold(0.0, |largest: f32, &peak| largest.max(peak));
        let share = |&peak: &f32| if peak > 0.0 { f64::from(peak) / f64::from(largest) } else { 1.0 };
        let shares: Vec<f64> = peaks.iter().map(share).collect();
        for row in weights.data_mut().chunks_exact_mut(columns) {
            row.iter_mut().zip(&shares).for_each(|(weight, share)| *weight = (f64::from(*weight) / share) as f32);
        }
        shares
    }

    /// The LM head.
    pub(super) fn head(source: &ModelSource) -> Self {
        match source {
            ModelSource::Weights(weights) => Self::head_of(weights),
            ModelSource::Shape(shape) => Self::AtMost(shape.head()),
        }
    }

    /// The LM head of weights.
    pub(super) fn head_of(weights: &Weights) -> Self {
        Self::Numbers(with_gamma(weights.lm_head(), &weights.final_norm()))
    }
}

impl LayerTensors {
    /// The matrices of a layer.
    ///
    /// # Errors
    /// [`Error::LayerOutOfRange`](crate::Error::LayerOutOfRange).
    pub(super) fn layer(source: &ModelSource, layer: usize) -> Result<Self> {
        match source {
            ModelSource::Weights(weights) => Ok(weights.layer(layer)?.into()),
            ModelSource::Shape(shape) => {
                let largest = shape.layer(layer)?;
                Ok(Self {
                    q: Tensor::AtMost(largest.q),
                    k: Tensor::AtMost(largest.k),
                    v: Tensor::AtMost(largest.v),
                    o: Tensor::AtMost(largest.o),
                    gate: Tensor::AtMost(largest.gate),
                    up: Tensor::AtMost(largest.up),
                    down: Tensor::AtMost(largest.down),
                })
            }
        }
    }
}

impl From<LayerWeights> for LayerTensors {
    fn from(weights: LayerWeights) -> Self {
        let LayerWeights { input_norm, q, k, v, o, post_norm, gate, up, down } = weights;
        Self {
            q: Tensor::Numbers(with_gamma(q, &input_norm)),
            k: Tensor::Numbers(with_gamma(k, &input_norm)),
            v: Tensor::Numbers(with_gamma(v, &input_norm)),
            o: Tensor::Numbers(o),
            gate: Tensor::Numbers(with_gamma(gate, &post_norm)),
            up: Tensor::Numbers(with_gamma(up, &post_norm)),
            down: Tensor::Numbers(down),
        }
    }
}

/// Weights with the gamma of the norm before them folded into their columns.
fn with_gamma(mut weights: Matrix, gamma: &[f32]) -> Matrix {
    let columns = weights.cols();
    for row in weights.data_mut().chunks_exact_mut(columns) {
        row.iter_mut().zip(gamma).for_each(|(weight, gamma)| *weight *= gamma);
    }
    weights
}
