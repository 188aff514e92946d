//! Hooks for whoever runs the decoder: phases to time, tensors to look at.

use fhe_circuits::{
    CircuitError, LaneAttention, LaneScores, Layout, QuantisedMatrix, ScoreLayout, SlotAttention, Softmax,
};
use fhe_ckks::{Client, Evaluator};

use super::location::At;
use crate::error::Result;
use crate::float::Location;
use crate::matrix::Matrix;

/// What kind of work the evaluator is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// Products with weights, and products of two encrypted tensors in attention.
    Linear,
    /// SlotsToCoeffs and half bootstrapping.
    Bootstrapping,
    /// Work on slots: correction of the sine, norms, rotary positions, SoftMax, SiLU.
    NonLinear,
}

/// Attends a run. No method may change what is computed.
pub trait Harness<E: Evaluator> {
    /// Called whenever the kind of work changes.
    fn phase(&mut self, phase: Phase) {
        let _ = phase;
    }

    /// Called before work on the tensor of a site begins or goes on.
    fn place(&mut self, location: Location) {
        let _ = location;
    }

    /// Called with every named tensor that passes through coefficients at the lowest modulus, in the order of the
    /// computation.
    fn observe(&mut self, sight: Sight<'_, E>) {
        let _ = sight;
    }
}

/// Looks at nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unattended;

impl<E: Evaluator> Harness<E> for Unattended {}

/// An encrypted tensor of the decoder, named like the one of the float reference.
pub struct Sight<'a, E: Evaluator> {
    location: Location,
    ciphertexts: &'a [E::Coefficients],
    reading: Reading<'a>,
}

/// How the coefficients of a tensor are read.
#[derive(Clone, Copy)]
pub(super) enum Reading<'a> {
    /// Channels in the first of their places.
    Dense(&'a Layout),
    /// Channels of a product with weights, as magnified as its rows are.
    Product(&'a QuantisedMatrix),
    /// Channels in the first of their places, each as this share of its value.
    Shares(&'a Layout, &'a [f64]),
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

impl<'a, E: Evaluator> Sight<'a, E> {
    pub(super) fn new(location: Location, ciphertexts: &'a [E::Coefficients], reading: Reading<'a>) -> Self {
        Self { location, ciphertexts, reading }
    }

    /// Layer and site.
    pub fn location(&self) -> Location {
        self.location
    }

    /// The ciphertexts.
    pub fn ciphertexts(&self) -> &'a [E::Coefficients] {
        self.ciphertexts
    }

    /// The tensor in the shape in which the float reference shows this site, rows x block positions; `None` if the
    /// execution holds no data. Entries that the circuit does not compute are NaN: of [`Score`](crate::Site::Score) in
    /// slots the masked pairs, of [`LogDenominator`](crate::Site::LogDenominator) none.
    ///
    /// # Errors
    /// Those of [`Client::decrypt`].
    pub fn reveal<C: Client<E> + ?Sized>(&self, client: &C) -> Result<Option<Matrix>> {
        let Some(vectors) = decrypt::<E, C>(client, self.ciphertexts).at(self.location)? else { return Ok(None) };
        let tensor = match self.reading {
            Reading::Dense(layout) => matrix(layout, layout.unpack(&vectors)),
            Reading::Product(weights) => scaled(weights.output(), &vectors, weights.magnifications()),
            Reading::Shares(layout, shares) => scaled(layout, &vectors, shares),
            Reading::Sums(layout) => matrix(layout, layout.unpack_sums(&vectors)),
            Reading::Scores(attention, softmax) => Ok(scores(&vectors, attention, softmax)),
            Reading::Denominators(attention, softmax) => Ok(log_denominators(&vectors, attention, softmax)),
            Reading::LaneScores(attention, scale) => lane_scores(&vectors, attention, scale),
            Reading::LaneDenominators(scores, softmax) => Ok(log_denominators(&vectors, scores, softmax)),
        };
        tensor.at(self.location).map(Some)
    }
}

/// A product with weights.
pub(super) fn reveal_product<E: Evaluator, C: Client<E> + ?Sized>(
    client: &C,
    ciphertexts: &[E::Coefficients],
    weights: &QuantisedMatrix,
) -> Result<Option<Matrix>, CircuitError> {
    let read = |vectors: Vec<Vec<f64>>| scaled(weights.output(), &vectors, weights.magnifications());
    decrypt::<E, C>(client, ciphertexts)?.map(read).transpose()
}

/// The tensor in a layout, every channel of which is so many times its value.
fn scaled(layout: &Layout, vectors: &[Vec<f64>], scales: &[f64]) -> Result<Matrix, CircuitError> {
    let mut entries = layout.unpack(vectors)?;
    for (row, scale) in entries.chunks_exact_mut(layout.module().tokens()).zip(scales) {
        row.iter_mut().for_each(|entry| *entry /= scale);
    }
    matrix(layout, Ok(entries))
}

fn decrypt<E: Evaluator, C: Client<E> + ?Sized>(
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

fn log_denominators<L: ScoreLayout>(vectors: &[Vec<f64>], layout: &L, softmax: &Softmax) -> Matrix {
    let module = layout.module();
    let mut tensor = Matrix::zeros(layout.heads(), module.tokens());
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
