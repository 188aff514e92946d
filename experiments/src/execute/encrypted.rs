//! The encrypted run: plan, keys, layers, logits, and what they are compared with.

use std::sync::Arc;
use std::time::Instant;

use fhe_ckks::{CkksClient, CkksServer, Evaluator};
use fhe_ring::{Counting, Cpu, Seed};

use super::attendant::{Attendant, Observations};
use super::decoder::Checkpoints;
use super::prepared::Prepared;
use super::reference::agreement;
use super::{decoder, in_clear, metered};
use crate::checkpoint::RunFolder;
use crate::error::HarnessError;
use crate::event::ProgressSink;
use crate::record::{CLEAR_CIRCUIT, CellRecord, FLOAT};

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> HarnessError {
    HarnessError::execution("set up the encrypted run", error)
}

/// Runs the cell on the CPU, resuming from the run folder where there is something to resume from.
pub(super) fn run(
    prepared: &Prepared,
    folder: &RunFolder,
    progress: &dyn ProgressSink,
    record: &mut CellRecord,
) -> Result<(), HarnessError> {
    let reference = prepared.reference()?;
    let (plan, seconds) = progress.phase("plan", || {
        let clear = in_clear::tensors(prepared, &metered::Quiet)?;
        Ok::<_, HarnessError>((metered::plan(prepared)?, clear))
    });
    let (plan, (clear_tensors, clear_logits)) = plan?;
    record.seconds.plan = seconds;

    let backend = Arc::new(Counting::new(Cpu::new(prepared.parameters.rlwe().chain().clone())));
    let seed = Seed::from_bytes(folder.seed()?);
    let client = CkksClient::new(Arc::clone(&backend), prepared.parameters.clone(), &seed).map_err(failed)?;
    let (keys, key_seconds) = progress.phase("keys", || {
        let clock = Instant::now();
        client.evaluation_keys(&plan.requests, |done| {
            progress.step("keys", done as u64, plan.requests.len() as u64, clock);
        })
    });
    let keys = keys.map_err(failed)?;
    record.seconds.keys = key_seconds;
    let (server, table_seconds) =
        progress.phase("encode tables", || CkksServer::new(Arc::clone(&backend), prepared.parameters.clone(), keys));
    let server = server.map_err(failed)?;
    record.seconds.set_up += table_seconds;

    let saved = decoder::resume(&server, prepared.model.layers(), folder)?;
    if saved.is_some() {
        progress.message("resuming after the last finished layer".into());
    }
    let observations = saved.as_ref().map_or_else(Observations::default, |state| state.observations.clone());
    let references = vec![(FLOAT, reference.tensors()), (CLEAR_CIRCUIT, &clear_tensors)];
    let mut attendant = Attendant::new(&client, references, observations);
    let (operations, kernels, switches) = (server.counts(), backend.counts(), server.key_switches());
    let census = || {
        let kernels = backend.counts() - kernels;
        metered::named(server.counts() - operations, &kernels, server.key_switches() - switches)
    };
    let checkpoints = Checkpoints { folder, census: &census };
    let logits = decoder::run(&prepared.model, &server, &mut attendant, &client, saved, Some(checkpoints), progress)?
        .ok_or(HarnessError::NoData)?;

    let Observations { seconds, layer_errors, counts } = attendant.observations;
    let (set_up, plan_seconds) = (record.seconds.set_up, record.seconds.plan);
    record.seconds = seconds;
    record.seconds.set_up = set_up;
    record.seconds.plan = plan_seconds;
    record.seconds.keys = key_seconds;
    record.seconds.client += key_seconds;
    record.layer_errors = layer_errors;
    record.counts.extend(decoder::add_counts(counts, census()));
    record.footprint.key_bytes = server.key_bytes() as u64;
    traffic(prepared, record);
    record.failure_probability_log2 =
        Some(prepared.parameters.failure_log2(record.counts.get("half_bootstraps").copied().unwrap_or_default()));
    record.agreement.push(agreement(FLOAT, &prepared.block, &reference.logits, &logits)?);
    record.agreement.push(agreement(CLEAR_CIRCUIT, &prepared.block, &clear_logits, &logits)?);
    record.prompts = prepared.outcomes(&reference.logits, &logits)?;
    Ok(())
}

/// Bytes that travel: fresh and final ciphertexts at the lowest prime (the keys are counted apart).
fn traffic(prepared: &Prepared, record: &mut CellRecord) {
    let ciphertext = 16 * prepared.parameters.shape().degree() as u64;
    record.footprint.client_to_server_bytes = prepared.model.input_ciphertexts() as u64 * ciphertext;
    record.footprint.server_to_client_bytes = prepared.model.output_ciphertexts() as u64 * ciphertext;
}
