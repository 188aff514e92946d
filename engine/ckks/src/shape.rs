//! What a circuit needs to know about the parameter set it runs under.

/// Sizes and level budget of a parameter set, as circuits see them.
#[derive(Clone, Debug, PartialEq)]
pub struct CircuitShape {
    /// Complex slots, half the ring degree.
    pub slots: usize,
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
    /// Real coefficients of a ciphertext.
    pub fn degree(&self) -> usize {
        2 * self.slots
    }

    /// Level of a slot ciphertext right after a full half bootstrap.
    pub fn top_level(&self) -> usize {
        self.compute_levels + self.slots_to_coefficients_levels
    }

    /// Slot (or coefficient) index with its bits reversed over the number of slots.
    pub fn bit_reverse(&self, index: usize) -> usize {
        index.reverse_bits() >> (usize::BITS - self.slots.trailing_zeros())
    }
}
