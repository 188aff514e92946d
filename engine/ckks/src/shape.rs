//! What a circuit needs to know about the parameter set it runs under.

use crate::{CkksError, Copies, Packing};

/// Sizes and level budget of a parameter set, as circuits see them.
#[derive(Clone, Debug, PartialEq)]
pub struct CircuitShape {
    /// Ring degree: real coefficients of a ciphertext, and its real slots.
    pub degree: usize,
    /// Degree of the small ring of products with plaintext matrices.
    pub small_degree: usize,
    /// Compute levels that a full half bootstrap leaves (above those of SlotsToCoeffs).
    pub compute_levels: usize,
    /// Levels that SlotsToCoeffs takes.
    pub slots_to_coefficients_levels: usize,
    /// Largest integer coefficient that a half bootstrap accepts, `message_ratio * q_0`: the normalised value 1.
    pub full_scale: f64,
    /// `r`, the largest message of a half bootstrap as a fraction of `q_0`.
    pub message_ratio: f64,
}

impl CircuitShape {
    /// Number of slots of a packing.
    pub fn slots(&self, packing: Packing) -> usize {
        match packing {
            Packing::Real => self.degree,
            Packing::Complex => self.degree / 2,
        }
    }

    /// Level of a slot ciphertext right after a full half bootstrap.
    pub fn top_level(&self) -> usize {
        self.compute_levels + self.slots_to_coefficients_levels
    }

    /// The real slot of a coefficient (an involution): its half stays, the bits below are reversed.
    pub fn slot_of_coefficient(&self, coefficient: usize) -> usize {
        let half = self.degree / 2;
        (coefficient & half) + Self::reversed(coefficient & (half - 1), half)
    }

    /// Refuses copies that are no power of two, or so many that a factor of SlotsToCoeffs would have nothing to do.
    ///
    /// # Errors
    /// [`CkksError::Precondition`] naming the operation.
    pub fn check_copies(&self, operation: &'static str, copies: Copies) -> Result<(), CkksError> {
        let most = (self.degree / 2) >> self.slots_to_coefficients_levels;
        if copies.0.is_power_of_two() && copies.0 <= most {
            return Ok(());
        }
        Err(CkksError::Precondition {
            operation,
            operand: "copies",
            found: copies.0.to_string(),
            required: format!("a power of two, at most {most}"),
            remedy: "repeat the values in fewer slots",
        })
    }

    /// `index` with its bits reversed, below a power of two `size`.
    fn reversed(index: usize, size: usize) -> usize {
        if size == 1 { index } else { index.reverse_bits() >> (usize::BITS - size.trailing_zeros()) }
    }
}
