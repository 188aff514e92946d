//! Hooks for whoever runs the decoder: phases to time, tensors to look at.

use fhe_ckks::{Client, Evaluator};

use super::location::At;
use super::reading::{Reading, decrypt};
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
        self.reading.tensor(&vectors).at(self.location).map(Some)
    }
}
