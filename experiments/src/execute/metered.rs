//! The metered mode: a plan as a record, and what bootstraps execute inside.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use fhe_ckks::{
    BootstrapCost, CkksError, CkksServer, Client, CoefficientCiphertext, Copies, Evaluator, LaneProducts, Level,
    OperationCounts, Packing, SlotArithmetic, SlotCiphertext, Spacing,
};
use fhe_ring::{Counts, Meter};

use super::circuit::Circuit;
use super::plan::{Plan, failed, metered_pair};
use crate::error::HarnessError;
use crate::event::ProgressSink;
use crate::record::CellRecord;

/// The metered mode of a cell.
pub(super) fn run(circuit: &Circuit, progress: &dyn ProgressSink, record: &mut CellRecord) -> Result<(), HarnessError> {
    let (plan, seconds) = progress.phase("plan", || Plan::new(circuit));
    let plan = plan?;
    record.seconds.plan = seconds;
    let (counts, work, key_switches) = plan.total();
    record.counts = operations(counts, key_switches);
    record.kernels = kernels(&work);
    record.footprint = plan.traffic(circuit)?;
    record.predicted = Some(plan.prediction());
    Ok(())
}

/// What bootstraps execute inside, measured on a meter when first asked for: what `Clear` counts for them.
pub(super) struct BootstrapOperations {
    server: CkksServer<Meter>,
    coefficients: CoefficientCiphertext<Meter>,
    real: SlotCiphertext<Meter>,
    /// Real slots at the level of factors over lanes.
    factor: SlotCiphertext<Meter>,
    complex: SlotCiphertext<Meter>,
    known: Mutex<HashMap<Transform, OperationCounts>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Transform {
    /// A half bootstrap by the copies of its slots and the compute levels that it leaves.
    Ascent(Copies, usize),
    /// SlotsToCoeffs.
    Descent(Packing, Copies),
    /// SlotsToCoeffs of real slots that lie apart.
    SpacedDescent(Spacing),
    /// Real slots to so many lanes.
    Lanes(usize),
}

impl BootstrapOperations {
    pub(super) fn new(circuit: &Circuit) -> Result<Self, HarnessError> {
        let (server, client) = metered_pair(&circuit.parameters)?;
        let shape = circuit.parameters.shape().clone();
        let zeros = vec![0.0; shape.degree];
        let coefficients = client.encrypt(&zeros, 1.0).map_err(failed)?;
        let start = shape.slots_to_coefficients_levels;
        let [real, factor] =
            [start, shape.slots_to_lanes_level()].map(|level| client.encrypt_slots(&zeros, Level(level)));
        let (real, factor) = (real.map_err(failed)?, factor.map_err(failed)?);
        let complex = client.encrypt_slots(&zeros, Level(start + 1)).and_then(|slots| server.to_complex(&slots));
        Ok(Self { server, coefficients, real, factor, complex: complex.map_err(failed)?, known: Mutex::default() })
    }

    fn of(&self, transform: Transform) -> Result<OperationCounts, CkksError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(counts) = known.get(&transform) {
            return Ok(*counts);
        }
        let before = self.server.counts();
        match transform {
            Transform::Ascent(copies, levels) => {
                self.server.sparse_half_bootstrap(&[&self.coefficients], copies, levels)?;
            }
            Transform::Descent(packing, copies) => {
                let slots = match packing {
                    Packing::Real => &self.real,
                    Packing::Complex => &self.complex,
                };
                self.server.sparse_slots_to_coefficients(slots, copies, self.server.shape().full_scale)?;
            }
            Transform::SpacedDescent(spacing) => {
                self.server.spaced_slots_to_coefficients(&self.real, spacing, self.server.shape().full_scale)?;
            }
            Transform::Lanes(lanes) => {
                self.server.slots_to_lanes(&[&self.factor], lanes, self.server.shape().full_scale)?;
            }
        }
        let counts = self.server.counts() - before;
        known.insert(transform, counts);
        Ok(counts)
    }
}

impl BootstrapCost for BootstrapOperations {
    fn half_bootstrap(&self, copies: Copies, levels: usize) -> Result<OperationCounts, CkksError> {
        self.of(Transform::Ascent(copies, levels))
    }

    fn slots_to_coefficients(&self, packing: Packing, copies: Copies) -> Result<OperationCounts, CkksError> {
        self.of(Transform::Descent(packing, copies))
    }

    fn spaced_slots_to_coefficients(&self, spacing: Spacing) -> Result<OperationCounts, CkksError> {
        self.of(Transform::SpacedDescent(spacing))
    }

    fn slots_to_lanes(&self, lanes: usize) -> Result<OperationCounts, CkksError> {
        self.of(Transform::Lanes(lanes))
    }
}

/// Homomorphic operations by the names that records use.
pub(super) fn operations(counts: OperationCounts, key_switches: u64) -> BTreeMap<String, u64> {
    let entries = counts.entries().map(|(name, value)| (name.to_owned(), value));
    entries.chain([("key_switches".to_owned(), key_switches)]).collect()
}

/// Kernels by the names that records use.
pub(super) fn kernels(counts: &Counts) -> BTreeMap<String, u64> {
    counts.entries().map(|(name, value)| (name.to_owned(), value)).collect()
}
