//! What a bootstrap costs inside.

use crate::{OperationCounts, Packing};

/// Operations inside the transforms between slots and coefficients, known from a parameter set's plan alone.
pub trait BootstrapCost: Send + Sync {
    /// Everything that one half bootstrap executes when it leaves so many compute levels, itself included.
    fn half_bootstrap(&self, levels: usize) -> OperationCounts;
    /// Everything that one SlotsToCoeffs of this packing executes, itself included.
    fn slots_to_coefficients(&self, packing: Packing) -> OperationCounts;
}

/// Counts the transforms themselves and nothing inside.
impl BootstrapCost for () {
    fn half_bootstrap(&self, levels: usize) -> OperationCounts {
        OperationCounts { half_bootstraps: 1, levels_restored: levels as u64, ..OperationCounts::default() }
    }

    fn slots_to_coefficients(&self, _: Packing) -> OperationCounts {
        OperationCounts { slots_to_coefficients: 1, ..OperationCounts::default() }
    }
}
