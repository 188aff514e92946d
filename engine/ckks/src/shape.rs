//! What a circuit needs to know about the parameter set it runs under.

use crate::{CkksError, Copies, Packing, Spacing};

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
    /// Degree of the ring of lanes, where encrypted matrices are multiplied.
    pub lane_degree: usize,
    /// What products over lanes are divided by, `q_1`.
    pub lane_divisor: f64,
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

    /// The most copies of slots in each half of which a factor of SlotsToCoeffs leaves something to do.
    pub fn most_copies(&self) -> usize {
        (self.degree / 2) >> self.slots_to_coefficients_levels
    }

    /// Refuses copies that are no power of two, or so many that a factor of SlotsToCoeffs would have nothing to do.
    ///
    /// # Errors
    /// [`CkksError::Precondition`] naming the operation.
    pub fn check_copies(&self, operation: &'static str, copies: Copies) -> Result<(), CkksError> {
        let most = self.most_copies();
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

    /// Refuses a spacing that is no power of two, or so wide that a factor of SlotsToCoeffs would have nothing to do.
    ///
    /// # Errors
    /// [`CkksError::Precondition`] naming the operation.
    pub fn check_spacing(&self, operation: &'static str, spacing: Spacing) -> Result<(), CkksError> {
        let most = self.most_copies();
        if spacing.0.is_power_of_two() && spacing.0 <= most {
            return Ok(());
        }
        Err(CkksError::Precondition {
            operation,
            operand: "spacing",
            found: spacing.0.to_string(),
            required: format!("a power of two, at most {most}"),
            remedy: "state a smaller spacing: slots further apart have it, too",
        })
    }

    /// Ciphertexts of lanes that one ciphertext holds.
    pub fn lane_group(&self) -> usize {
        self.degree / self.lane_degree
    }

    /// Rows of a ciphertext of lanes: with `lanes` complex numbers to a row.
    pub fn lane_rows(&self, lanes: usize) -> usize {
        self.lane_degree / (2 * lanes)
    }

    /// Level from which slots become lanes, one above that of SlotsToCoeffs: they end at `q_0 q_1`.
    pub fn slots_to_lanes_level(&self) -> usize {
        self.slots_to_coefficients_levels + 1
    }

    /// The complex slot of a lane of a row of a ciphertext of lanes: `lane + lanes * bit_reverse(row * group + ciphertext)`.
    pub fn slot_of_lane(&self, lanes: usize, ciphertext: usize, row: usize, lane: usize) -> usize {
        let rows = self.lane_rows(lanes) * self.lane_group();
        lane + lanes * Self::reversed(row * self.lane_group() + ciphertext, rows)
    }

    /// Refuses lanes that are no power of two, or so many or few that a transform would have nothing to do.
    ///
    /// # Errors
    /// [`CkksError::Precondition`] naming the operation.
    pub fn check_lanes(&self, operation: &'static str, lanes: usize) -> Result<(), CkksError> {
        let most = (self.lane_degree / 4).min((self.degree / 2) >> self.slots_to_coefficients_levels);
        if lanes.is_power_of_two() && lanes <= most {
            return Ok(());
        }
        Err(CkksError::Precondition {
            operation,
            operand: "lanes",
            found: lanes.to_string(),
            required: format!("a power of two, at most {most}"),
            remedy: "use blocks of more tokens",
        })
    }

    /// `index` with its bits reversed, below a power of two `size`.
    fn reversed(index: usize, size: usize) -> usize {
        if size == 1 { index } else { index.reverse_bits() >> (usize::BITS - size.trailing_zeros()) }
    }
}
