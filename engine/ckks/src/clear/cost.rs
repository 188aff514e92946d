//! What a bootstrap costs inside.

use std::sync::Arc;

use crate::{CkksError, Copies, OperationCounts, Packing, Spacing};

/// Operations inside the transforms between slots and coefficients, known from a parameter set's plan alone.
pub trait BootstrapCost: Send + Sync {
    /// Everything that one half bootstrap of slots in so many copies executes when it leaves so many compute levels, itself
    /// included.
    ///
    /// # Errors
    /// If it cannot be planned.
    fn half_bootstrap(&self, copies: Copies, levels: usize) -> Result<OperationCounts, CkksError>;
    /// Everything that one SlotsToCoeffs of this packing executes, itself included.
    ///
    /// # Errors
    /// If it cannot be planned.
    fn slots_to_coefficients(&self, packing: Packing, copies: Copies) -> Result<OperationCounts, CkksError>;
    /// The same of real slots that are zero but at multiples of a spacing.
    ///
    /// # Errors
    /// If it cannot be planned.
    fn spaced_slots_to_coefficients(&self, spacing: Spacing) -> Result<OperationCounts, CkksError>;
    /// Everything that real slots take to become so many lanes, that step itself included.
    ///
    /// # Errors
    /// If it cannot be planned.
    fn slots_to_lanes(&self, lanes: usize) -> Result<OperationCounts, CkksError>;
}

/// One plan for several evaluators.
impl<Cost: BootstrapCost + ?Sized> BootstrapCost for Arc<Cost> {
    fn half_bootstrap(&self, copies: Copies, levels: usize) -> Result<OperationCounts, CkksError> {
        (**self).half_bootstrap(copies, levels)
    }

    fn slots_to_coefficients(&self, packing: Packing, copies: Copies) -> Result<OperationCounts, CkksError> {
        (**self).slots_to_coefficients(packing, copies)
    }

    fn spaced_slots_to_coefficients(&self, spacing: Spacing) -> Result<OperationCounts, CkksError> {
        (**self).spaced_slots_to_coefficients(spacing)
    }

    fn slots_to_lanes(&self, lanes: usize) -> Result<OperationCounts, CkksError> {
        (**self).slots_to_lanes(lanes)
    }
}

/// Counts the transforms themselves and nothing inside.
impl BootstrapCost for () {
    fn half_bootstrap(&self, _: Copies, levels: usize) -> Result<OperationCounts, CkksError> {
        Ok(OperationCounts { half_bootstraps: 1, levels_restored: levels as u64, ..OperationCounts::default() })
    }

    fn slots_to_coefficients(&self, _: Packing, _: Copies) -> Result<OperationCounts, CkksError> {
        Ok(OperationCounts { slots_to_coefficients: 1, ..OperationCounts::default() })
    }

    fn spaced_slots_to_coefficients(&self, _: Spacing) -> Result<OperationCounts, CkksError> {
        self.slots_to_coefficients(Packing::Real, Copies::ONE)
    }

    fn slots_to_lanes(&self, _: usize) -> Result<OperationCounts, CkksError> {
        Ok(OperationCounts { slots_to_lanes: 1, ..OperationCounts::default() })
    }
}
