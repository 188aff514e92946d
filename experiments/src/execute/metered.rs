//! The decoder over a backend without data: which keys it needs, what it costs, and a predicted time.

use std::collections::BTreeMap;
use std::sync::Arc;

use fhe_ckks::{CkksClient, CkksServer, Client, Evaluator, Level, OperationCounts};
use fhe_ring::{Counts, DeviceProfile, Meter, Seed};
use fhe_rlwe::KeyRequests;

use super::attendant::{Attendant, Observations};
use super::decoder;
use super::prepared::Prepared;
use crate::error::HarnessError;
use crate::event::ProgressSink;
use crate::record::CellRecord;

/// What metering found out.
pub(super) struct Plan {
    pub(super) requests: KeyRequests,
    operations: OperationCounts,
    kernels: Counts,
    key_bytes: usize,
    key_switches: u64,
    peak_bytes: u64,
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> HarnessError {
    HarnessError::execution("meter the circuit", error)
}

/// Runs the circuit on a meter.
pub(super) fn plan(prepared: &Prepared) -> Result<Plan, HarnessError> {
    let (server, client) = metered_pair(prepared)?;
    let mut attendant = Attendant::new(&client, Vec::new(), Observations::default());
    decoder::run(&prepared.model, &server, &mut attendant, &client, None, None, &Quiet)?;
    Ok(Plan {
        requests: server.key_requests(),
        operations: server.counts(),
        kernels: server.backend().counts(),
        key_bytes: server.key_bytes(),
        key_switches: server.key_switches(),
        peak_bytes: server.backend().peak_bytes(),
    })
}

/// What one bootstrap executes inside, measured on a meter: what `Clear` counts for it.
pub(super) fn bootstrap_operations(
    prepared: &Prepared,
) -> Result<impl Fn(Option<usize>) -> OperationCounts + Send + Sync + 'static, HarnessError> {
    let (server, client) = metered_pair(prepared)?;
    let shape = prepared.parameters.shape().clone();
    let input = client.encrypt(&vec![0.0; shape.degree()], 1.0).map_err(failed)?;
    let mut ascents = Vec::with_capacity(shape.compute_levels + 1);
    for levels in 0..=shape.compute_levels {
        let before = server.counts();
        server.half_bootstrap(&[&input], levels).map_err(failed)?;
        ascents.push(server.counts() - before);
    }
    let start = Level(shape.slots_to_coefficients_levels);
    let slots = client.encrypt_slots(&vec![0.0; shape.slots], start).map_err(failed)?;
    let before = server.counts();
    server.slots_to_coefficients(&slots, None, 1.0).map_err(failed)?;
    let descent = server.counts() - before;
    Ok(move |levels: Option<usize>| levels.map_or(descent, |levels| ascents[levels]))
}

type MeteredPair = (CkksServer<Meter>, CkksClient<Meter>);

fn metered_pair(prepared: &Prepared) -> Result<MeteredPair, HarnessError> {
    let meter = Arc::new(Meter::new(prepared.parameters.rlwe().chain().clone()));
    // Secrets without data: the seed stands for nothing.
    let client = CkksClient::new(Arc::clone(&meter), prepared.parameters.clone(), &Seed::from_bytes([0; 32]));
    let server = CkksServer::planning(meter, prepared.parameters.clone());
    Ok((server.map_err(failed)?, client.map_err(failed)?))
}

/// The metered mode of a cell.
pub(super) fn run(
    prepared: &Prepared,
    progress: &dyn ProgressSink,
    record: &mut CellRecord,
) -> Result<(), HarnessError> {
    prepared.reference()?;
    let (plan, seconds) = progress.phase("plan", || plan(prepared));
    let plan = plan?;
    record.seconds.plan = seconds;
    record.counts.extend(named(plan.operations, &plan.kernels, plan.key_switches));
    record.footprint.key_bytes = plan.key_bytes as u64;
    record.footprint.peak_memory_bytes = plan.peak_bytes;
    for profile in DeviceProfile::ALL {
        let predicted = plan.kernels.clone();
        progress.message(format!("predicted on {}: {:.0} s", profile.name, profile.predict(&predicted)));
    }
    Ok(())
}

/// Operation and kernel counts by the names that records use.
pub(super) fn named(operations: OperationCounts, kernels: &Counts, key_switches: u64) -> BTreeMap<String, u64> {
    let operations = operations.entries().map(|(name, value)| (name.to_owned(), value));
    let kernels = kernels.entries().map(|(name, value)| (format!("kernel {name}"), value));
    operations.chain(kernels).chain([("key_switches".to_owned(), key_switches)]).collect()
}

/// Passes nothing on: the steps of a plan are not the steps of the run.
pub(super) struct Quiet;

impl ProgressSink for Quiet {
    fn emit(&self, _event: crate::event::Event) {}
}
