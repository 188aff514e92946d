//! The decoder over a backend without data: which keys it needs, what it executes, and a predicted time.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use fhe_ckks::{
    BootstrapCost, CkksClient, CkksError, CkksServer, Client, CoefficientCiphertext, Copies, Evaluator, LaneProducts,
    Level, OperationCounts, Packing, SlotArithmetic, SlotCiphertext,
};
use fhe_ring::{Basis, Counts, DeviceProfile, Meter, Seed, Shape};
use fhe_rlwe::KeyRequests;
use fhe_rlwe::wire::{CiphertextForm, ciphertext_wire_bytes};

use super::attendant::Attendant;
use super::decoder::Decoder;
use super::prepared::Prepared;
use super::state::Observations;
use crate::error::HarnessError;
use crate::event::{ProgressSink, Quiet};
use crate::record::{CellRecord, Footprint, PredictedSeconds, Prediction};

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> HarnessError {
    HarnessError::execution("meter the circuit", error)
}

/// What layers and head will execute, found out by running them on a meter.
pub(super) struct Plan {
    pub(super) requests: KeyRequests,
    pub(super) operations: OperationCounts,
    kernels: Counts,
    key_switches: u64,
    key_bytes: u64,
    peak_bytes: u64,
}

impl Plan {
    pub(super) fn new(prepared: &Prepared) -> Result<Self, HarnessError> {
        let (server, client) = metered_pair(prepared)?;
        // The server's tables are made once, not by the circuit.
        let tables = server.backend().counts();
        let decoder = Decoder { model: &prepared.model, evaluator: &server, client: &client, progress: &Quiet };
        decoder.run(&mut Attendant::new(&client, Observations::default()))?;
        Ok(Self {
            requests: server.key_requests(),
            operations: server.counts(),
            kernels: server.backend().counts() - tables,
            key_switches: server.key_switches(),
            key_bytes: server.key_bytes() as u64,
            peak_bytes: server.backend().peak_bytes(),
        })
    }

    /// Keys and traffic of the run, in the project's wire format; nothing is sent here, client and server share a process.
    pub(super) fn traffic(&self, prepared: &Prepared) -> Result<Footprint, HarnessError> {
        let rlwe = prepared.parameters.rlwe();
        let lowest = Shape::evaluation(rlwe.ring(), Basis::prefix(1));
        let ciphertext = |form| ciphertext_wire_bytes(lowest, form, rlwe).map_err(failed);
        Ok(Footprint {
            peak_memory_bytes: 0,
            key_bytes: self.key_bytes,
            key_wire_bytes: self.requests.wire_bytes(rlwe).map_err(failed)?,
            client_to_server_bytes: prepared.model.input_ciphertexts() as u64 * ciphertext(CiphertextForm::Seeded)?,
            server_to_client_bytes: prepared.model.output_ciphertexts() as u64
                * ciphertext(CiphertextForm::BothHalves)?,
        })
    }

    /// What an encrypted run is expected to take.
    pub(super) fn prediction(&self) -> Prediction {
        let seconds = |profile: DeviceProfile| PredictedSeconds {
            device: profile.name.into(),
            seconds: profile.predict(&self.kernels),
        };
        Prediction { seconds: DeviceProfile::ALL.map(seconds).into(), server_memory_bytes: self.peak_bytes }
    }
}

/// The metered mode of a cell.
pub(super) fn run(
    prepared: &Prepared,
    progress: &dyn ProgressSink,
    record: &mut CellRecord,
) -> Result<(), HarnessError> {
    let (reference, seconds) = progress.phase("float reference", || prepared.reference());
    reference?;
    record.seconds.comparison = seconds;
    let (plan, seconds) = progress.phase("plan", || Plan::new(prepared));
    let plan = plan?;
    record.seconds.plan = seconds;
    record.counts = operations(plan.operations, plan.key_switches);
    record.kernels = kernels(&plan.kernels);
    record.footprint = plan.traffic(prepared)?;
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
    /// Real slots to so many lanes.
    Lanes(usize),
}

impl BootstrapOperations {
    pub(super) fn new(prepared: &Prepared) -> Result<Self, HarnessError> {
        let (server, client) = metered_pair(prepared)?;
        let shape = prepared.parameters.shape().clone();
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

    fn slots_to_lanes(&self, lanes: usize) -> Result<OperationCounts, CkksError> {
        self.of(Transform::Lanes(lanes))
    }
}

type MeteredPair = (CkksServer<Meter>, CkksClient<Meter>);

/// Server and client on a meter each, so that the client's work is not the server's.
fn metered_pair(prepared: &Prepared) -> Result<MeteredPair, HarnessError> {
    let meter = || Arc::new(Meter::new(prepared.parameters.rlwe().chain().clone()));
    // Secrets without data: the seed stands for nothing.
    let client = CkksClient::new(meter(), prepared.parameters.clone(), &Seed::from_bytes([0; 32]));
    let server = CkksServer::planning(meter(), prepared.parameters.clone());
    Ok((server.map_err(failed)?, client.map_err(failed)?))
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
