//! Crossings between slots and coefficients.
//!
//! A turn of a circuit descends to coefficients at the lowest modulus and climbs back through a half bootstrap, which
//! returns `sin(2 pi r x) / (2 pi r)` instead of `x`. Where a polynomial follows, the exact inverse of that distortion
//! is composed into it at no cost ([`Distortion`]); elsewhere [`climb_corrected`] spends two levels on its cubic term.

use std::f64::consts::TAU;

use fhe_ckks::bootstrapping::sine::{correct_sine, cubic_correction};
use fhe_ckks::{CircuitShape, Copies, Evaluator, PlainVector};

use crate::error::{Result, refuse};

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

    /// None: for what was corrected explicitly.
    pub const NONE: Self = Self { angle: 0.0 };

    /// The normalised message `x` for the slot value `y = sin(2 pi r x) / (2 pi r)`.
    pub fn undo(&self, y: f64) -> f64 {
        if self.angle == 0.0 {
            return y;
        }
        (self.angle * y).clamp(-1.0, 1.0).asin() / self.angle
    }
}

/// A way from slots to coefficients and back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Passage {
    /// In how many copies the slots stand in each half; where they differ, their average passes.
    pub copies: Copies,
    /// The slot value that fills the range of the half bootstrap: values return divided by it.
    pub range: f64,
    /// Levels that the half bootstrap leaves.
    pub levels: usize,
}

impl Passage {
    /// That of values in [-1, 1] in all slots.
    pub fn dense(levels: usize) -> Self {
        Self { copies: Copies::ONE, range: 1.0, levels }
    }

    /// SlotsToCoeffs.
    ///
    /// # Errors
    /// Those of [`Evaluator::sparse_slots_to_coefficients`].
    pub fn descend<E: Evaluator>(&self, e: &E, slots: &[E::Slots]) -> Result<Vec<E::Coefficients>> {
        let unit = e.shape().full_scale / self.range;
        slots.iter().map(|slots| Ok(e.sparse_slots_to_coefficients(slots, self.copies, unit)?)).collect()
    }

    /// Half bootstrapping; the result is distorted.
    ///
    /// # Errors
    /// Those of [`Evaluator::sparse_half_bootstrap`].
    pub fn climb<E: Evaluator>(&self, e: &E, coefficients: &[E::Coefficients]) -> Result<Vec<E::Slots>> {
        Ok(e.sparse_half_bootstrap(&coefficients.iter().collect::<Vec<_>>(), self.copies, self.levels)?)
    }

    /// Both.
    ///
    /// # Errors
    /// Theirs.
    pub fn cross<E: Evaluator>(&self, e: &E, slots: &[E::Slots]) -> Result<Vec<E::Slots>> {
        self.climb(e, &self.descend(e, slots)?)
    }
}

/// What a half bootstrap lands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Landing {
    /// Compute levels that are left.
    pub levels: usize,
    /// Copies in each half of the slots of the coefficients at their multiples, the only ones that return.
    pub copies: Copies,
}

impl From<usize> for Landing {
    /// Every coefficient in a slot of its own, with so many levels.
    fn from(levels: usize) -> Self {
        Self { levels, copies: Copies::ONE }
    }
}

impl Landing {
    /// The same with room for the explicit correction of the sine.
    #[must_use]
    pub fn above_correction(self) -> Self {
        Self { levels: self.levels + SINE_LEVELS, ..self }
    }
}

/// SlotsToCoeffs of every ciphertext of a tensor. Ends all levels.
///
/// # Errors
/// Those of [`Evaluator::slots_to_coefficients`].
pub fn descend<E: Evaluator>(e: &E, tensor: &[E::Slots], unit: f64) -> Result<Vec<E::Coefficients>> {
    tensor.iter().map(|slots| Ok(e.slots_to_coefficients(slots, unit)?)).collect()
}

/// Half bootstrapping of a whole tensor at once; the result is still distorted.
///
/// # Errors
/// Those of [`Evaluator::sparse_half_bootstrap`].
pub fn climb<E: Evaluator>(e: &E, tensor: &[E::Coefficients], landing: impl Into<Landing>) -> Result<Vec<E::Slots>> {
    let Landing { levels, copies } = landing.into();
    Ok(e.sparse_half_bootstrap(&tensor.iter().collect::<Vec<_>>(), copies, levels)?)
}

/// The explicit correction of the sine; [`SINE_LEVELS`] levels.
///
/// # Errors
/// Those of the evaluator.
pub fn correct<E: Evaluator>(e: &E, distorted: &[E::Slots]) -> Result<Vec<E::Slots>> {
    distorted.iter().map(|slots| Ok(correct_sine(e, slots)?)).collect()
}

/// The correction of the sine and a factor for every slot at once, one plaintext for each ciphertext: the factors cost two products with
/// plaintexts, but none of the [`SINE_LEVELS`] more.
///
/// # Errors
/// If there is another number of plaintexts; those of the evaluator.
pub fn correct_scaled<E: Evaluator>(e: &E, distorted: &[E::Slots], factors: &[PlainVector]) -> Result<Vec<E::Slots>> {
    if distorted.len() != factors.len() {
        let (found, required) = (factors.len(), distorted.len());
        return Err(refuse("correct_scaled", "plaintexts", found, required, "pass one for each ciphertext"));
    }
    let cubic = cubic_correction(e.shape().message_ratio);
    let corrected = distorted.iter().zip(factors).map(|(y, factors)| {
        // s (y + c y^3) = (c s y) y^2 + s y.
        let cube = e.multiply(&e.plain_combination(&[(y, &factors.scaled(cubic))])?, &e.square(y)?)?;
        Ok(e.add(&cube, &e.plain_combination(&[(y, factors)])?)?)
    });
    corrected.collect()
}

/// Half bootstrapping and the correction of the sine, so that the levels of `landing` are left after both.
///
/// # Errors
/// Those of [`Evaluator::sparse_half_bootstrap`].
pub fn climb_corrected<E: Evaluator>(
    e: &E,
    tensor: &[E::Coefficients],
    landing: impl Into<Landing>,
) -> Result<Vec<E::Slots>> {
    correct(e, &climb(e, tensor, landing.into().above_correction())?)
}
