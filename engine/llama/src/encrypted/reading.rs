//! How the coefficients of a tensor are read.

use fhe_circuits::{
    CircuitError, LaneAttention, LaneScores, Layout, QuantisedMatrix, RowModule, ScoreLayout, SlotAttention, Softmax,
    VectorLayout, VectorProduct, WeightProduct,
};
use fhe_ckks::{Client, Evaluator};

use crate::matrix::Matrix;

/// How the coefficients of a tensor are read.
#[derive(Clone, Copy)]
pub(super) enum Reading<'a> {
    /// Channels in the first of their places.
    Dense(&'a Layout),
    /// Channels of a product with weights, as magnified as its rows are.
    Product(&'a QuantisedMatrix),
    /// Channels in the first of their places, each as this share of its value.
    Shares(&'a Layout, &'a [f64]),
    /// Channels of one token's vector, each so many times its value where they differ.
    Vector(&'a VectorLayout, Option<&'a [f64]>),
    /// Channels as sums over their places.
    Sums(&'a Layout),
    /// Normalised scores.
    Scores(&'a SlotAttention, &'a Softmax),
    /// Normalised denominators.
    Denominators(&'a SlotAttention, &'a Softmax),
    /// Scores as coefficients of lanes, and the true score that 1 stands for.
    LaneScores(&'a LaneAttention, f64),
    /// Normalised denominators of scores over lanes.
    LaneDenominators(&'a LaneScores, &'a Softmax),
}

/// A product with weights whose channels can be read.
pub(super) trait Legible: WeightProduct {
    /// How coefficients of the product are read.
    fn reading(&self) -> Reading<'_>;
}

impl Legible for QuantisedMatrix {
    fn reading(&self) -> Reading<'_> {
        Reading::Product(self)
    }
}

impl Legible for VectorProduct {
    fn reading(&self) -> Reading<'_> {
        Reading::Vector(self.output(), Some(self.quantisation().magnifications()))
    }
}

impl Reading<'_> {
    /// The tensor, channels x block positions, in coefficients of its ciphertexts.
    pub(super) fn tensor(self, vectors: &[Vec<f64>]) -> Result<Matrix, CircuitError> {
        match self {
            Reading::Dense(layout) => matrix(layout, layout.unpack(vectors)),
            Reading::Product(weights) => scaled(weights.output(), vectors, weights.magnifications()),
            Reading::Shares(layout, shares) => scaled(layout, vectors, shares),
            Reading::Vector(layout, scales) => vector(layout, vectors, scales),
            Reading::Sums(layout) => matrix(layout, layout.unpack_sums(vectors)),
            Reading::Scores(attention, softmax) => Ok(scores(vectors, attention, softmax)),
            Reading::Denominators(attention, softmax) => {
                let sizes = (attention.heads().module(), attention.heads().heads());
                Ok(log_denominators(vectors, attention, sizes, softmax))
            }
            Reading::LaneScores(attention, scale) => lane_scores(vectors, attention, scale),
            Reading::LaneDenominators(scores, softmax) => {
                let layout = scores.attention().layout();
                Ok(log_denominators(vectors, scores, (layout.module(), layout.heads()), softmax))
            }
        }
    }
}

/// The tensor in a layout, every channel of which is so many times its value.
fn scaled(layout: &Layout, vectors: &[Vec<f64>], scales: &[f64]) -> Result<Matrix, CircuitError> {
    let mut entries = layout.unpack(vectors)?;
    for (row, scale) in entries.chunks_exact_mut(layout.module().tokens()).zip(scales) {
        row.iter_mut().for_each(|entry| *entry /= scale);
    }
    matrix(layout, Ok(entries))
}

fn vector(layout: &VectorLayout, vectors: &[Vec<f64>], scales: Option<&[f64]>) -> Result<Matrix, CircuitError> {
    let mut entries = layout.unpack(vectors)?;
    entries.iter_mut().zip(scales.unwrap_or_default()).for_each(|(entry, scale)| *entry /= scale);
    let mut tensor = Matrix::zeros(layout.channels(), 1);
    tensor.data_mut().iter_mut().zip(entries).for_each(|(to, from)| *to = from as f32);
    Ok(tensor)
}

/// Coefficients of every ciphertext; `None` if the execution holds no data.
pub(super) fn decrypt<E: Evaluator, C: Client<E> + ?Sized>(
    client: &C,
    ciphertexts: &[E::Coefficients],
) -> Result<Option<Vec<Vec<f64>>>, CircuitError> {
    Ok(ciphertexts.iter().map(|ciphertext| client.decrypt(ciphertext)).collect::<std::result::Result<_, _>>()?)
}

fn matrix(layout: &Layout, entries: Result<Vec<f64>, CircuitError>) -> Result<Matrix, CircuitError> {
    let mut tensor = Matrix::zeros(layout.channels(), layout.module().tokens());
    tensor.data_mut().iter_mut().zip(entries?).for_each(|(to, from)| *to = from as f32);
    Ok(tensor)
}

fn scores(vectors: &[Vec<f64>], attention: &SlotAttention, softmax: &Softmax) -> Matrix {
    let module = attention.heads().module();
    let tokens = module.tokens();
    let mut tensor = Matrix::zeros(attention.heads().heads() * tokens, tokens);
    tensor.data_mut().fill(f32::NAN);
    for (block, coefficients) in attention.score_blocks().iter().zip(vectors) {
        for (slot, pair) in attention.live_pairs(block) {
            let score = softmax.score(pair.head, coefficients[module.coefficient_of_slot(slot)]);
            tensor.row_mut(pair.head * tokens + pair.key)[pair.query] = score as f32;
        }
    }
    tensor
}

fn lane_scores(vectors: &[Vec<f64>], attention: &LaneAttention, scale: f64) -> Result<Matrix, CircuitError> {
    let layout = attention.layout();
    let tokens = layout.module().tokens();
    let mut tensor = Matrix::zeros(layout.heads() * tokens, tokens);
    for (number, coefficients) in vectors.iter().enumerate() {
        let lanes = attention.lanes_of(coefficients)?;
        let (set, ciphertext) = (number / layout.score_ciphertexts(), number % layout.score_ciphertexts());
        for (slot, pair) in layout.pairs(set, ciphertext) {
            tensor.row_mut(pair.head * tokens + pair.key)[pair.query] = (scale * lanes[slot]) as f32;
        }
    }
    Ok(tensor)
}

fn log_denominators<L: ScoreLayout>(
    vectors: &[Vec<f64>],
    layout: &L,
    (module, heads): (RowModule, usize),
    softmax: &Softmax,
) -> Matrix {
    let mut tensor = Matrix::zeros(heads, module.tokens());
    let sets = layout.set_lengths().into_iter().enumerate().flat_map(|(set, length)| vec![set; length]);
    for (ciphertext, set) in sets.enumerate() {
        // The sum stands wherever a live pair does; reading it there is as good as anywhere.
        for (slot, pair) in layout.live_pairs(ciphertext) {
            let normalised = vectors[set][module.coefficient_of_slot(slot)];
            tensor.row_mut(pair.head)[pair.query] = softmax.log_denominator(pair.head, normalised) as f32;
        }
    }
    tensor
}
