//! Crossings between slots and coefficients.
//!
//! A turn of a circuit descends to coefficients at the lowest modulus and climbs back through a half bootstrap, which
//! returns `sin(2 pi r x) / (2 pi r)` instead of `x`. Where a polynomial follows, the exact inverse of that distortion
//! is composed into it at no cost ([`Distortion`]); elsewhere [`climb_corrected`] spends two levels on its cubic term.

use std::f64::consts::TAU;

use fhe_ckks::bootstrapping::sine::correct_sine;
use fhe_ckks::{CircuitShape, Evaluator, Level};

use crate::error::Result;

/// The tokens of the first and of the second half of a block.
pub type Halves<S> = [S; 2];

/// Levels of the explicit correction of the sine.
pub const SINE_LEVELS: usize = 2;

/// The distortion of a half bootstrap, to be undone inside a polynomial.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Distortion {
    angle: f64,
}

impl Distortion {
    /// That of a parameter set.
    pub fn of(shape: &CircuitShape) -> Self {
        Self { angle: TAU * shape.message_ratio }
    }

    /// The normalised message `x` for the slot value `y = sin(2 pi r x) / (2 pi r)`.
    pub fn undo(&self, y: f64) -> f64 {
        (self.angle * y).clamp(-1.0, 1.0).asin() / self.angle
    }
}

/// SlotsToCoeffs of real slot ciphertexts, two to a coefficient ciphertext in the order given. Ends all levels.
///
/// # Errors
/// Those of [`Evaluator::slots_to_coefficients`].
pub fn descend<'a, E: Evaluator>(
    e: &E,
    slots: impl IntoIterator<Item = &'a E::Slots>,
    unit: f64,
) -> Result<Vec<E::Coefficients>>
where
    E::Slots: 'a,
{
    let floor = Level(e.shape().slots_to_coefficients_levels);
    // What stands too low is refused by SlotsToCoeffs, which names what it needs.
    let lower = |x: &E::Slots| if e.level(x) > floor { e.lower(x, floor) } else { Ok(x.clone()) };
    let mut slots = slots.into_iter();
    let mut coefficients = Vec::new();
    while let Some(real) = slots.next() {
        let imaginary = slots.next().map(lower).transpose()?;
        coefficients.push(e.slots_to_coefficients(&lower(real)?, imaginary.as_ref(), unit)?);
    }
    Ok(coefficients)
}

/// Half bootstrapping to `levels` compute levels; the result is still distorted.
///
/// # Errors
/// Those of [`Evaluator::half_bootstrap`].
pub fn climb<E: Evaluator>(e: &E, tensor: &[E::Coefficients], levels: usize) -> Result<Vec<Halves<E::Slots>>> {
    Ok(e.half_bootstrap(&tensor.iter().collect::<Vec<_>>(), levels)?)
}

/// The explicit correction of the sine; [`SINE_LEVELS`] levels.
///
/// # Errors
/// Those of the evaluator.
pub fn correct<E: Evaluator>(e: &E, distorted: &[Halves<E::Slots>]) -> Result<Vec<Halves<E::Slots>>> {
    let correct = |[first, second]: &Halves<E::Slots>| Ok([correct_sine(e, first)?, correct_sine(e, second)?]);
    distorted.iter().map(correct).collect()
}

/// Half bootstrapping and the correction of the sine, so that `levels` compute levels are left after both.
///
/// # Errors
/// Those of [`Evaluator::half_bootstrap`].
pub fn climb_corrected<E: Evaluator>(
    e: &E,
    tensor: &[E::Coefficients],
    levels: usize,
) -> Result<Vec<Halves<E::Slots>>> {
    correct(e, &climb(e, tensor, levels + SINE_LEVELS)?)
}
