//! The steps behind a prompt, on a server of their own.

use fhe_circuits::CacheLayout;
use fhe_ckks::{Level, OperationCounts, Parameters, SlotArithmetic, TransformRequests};
use fhe_model::encrypted::{Unattended, WeightBytes};
use fhe_ring::Counts;
use fhe_rlwe::KeyRequests;

use super::{Client, Server, failed, metered_pair, seconds};
use crate::error::HarnessError;
use crate::execute::generation::Generation;
use crate::record::StepPrediction;

/// Counts, keys and memory of all steps, and of the last, whose cache is the longest.
pub(in crate::execute) struct StepsPlan {
    pub(in crate::execute) requests: KeyRequests,
    /// Encoded before the first step: one that goes on after an interruption counts them no more than one that was not interrupted.
    pub(in crate::execute) transforms: TransformRequests,
    pub(super) operations: OperationCounts,
    pub(super) kernels: Counts,
    pub(super) key_switches: u64,
    pub(super) key_bytes: u64,
    /// Most bytes of keys, tables and ciphertexts at once.
    pub(in crate::execute) server_bytes: u64,
    /// The same with the weights at work beside them.
    pub(super) peak_bytes: u64,
    last: (OperationCounts, Counts, u64),
}

impl StepsPlan {
    /// Steps twice, as [`super::Plan::new`] does, behind caches of nothing; the second time the factors of all transforms are there, too.
    pub(super) fn new(generation: &Generation, parameters: &Parameters) -> Result<Self, HarnessError> {
        let (server, client) = metered_pair(parameters)?;
        walk(generation, &server, &client, || ())?;
        let (requests, transforms, key_bytes) =
            (server.key_requests(), server.transform_requests(), server.key_bytes() as u64);
        let now = || (server.counts(), server.backend().counts(), server.key_switches());
        let (start, mut before, mut last) = (now(), now(), None);
        server.backend().restart_peak();
        walk(generation, &server, &client, || {
            let after = now();
            last = Some((after.0 - before.0, after.1 - before.1, after.2 - before.2));
            before = after;
        })?;
        let (operations, kernels, key_switches) = now();
        let server_bytes = server.backend().peak_bytes();
        let weights = (0..generation.steps.layers()).map(|layer| generation.steps.layer_weight_bytes(layer));
        let weights = weights.collect::<Result<Vec<_>, _>>().map_err(failed)?;
        let largest = weights.into_iter().chain([generation.steps.head_weight_bytes()]);
        let largest = largest.map(|WeightBytes { floats, integers }| floats + integers).max().unwrap_or(0);
        Ok(Self {
            requests,
            transforms,
            operations: operations - start.0,
            kernels: kernels - start.1,
            key_switches: key_switches - start.2,
            key_bytes,
            server_bytes,
            peak_bytes: server_bytes + largest.max(generation.kept_bytes()),
            last: last.unwrap_or_default(),
        })
    }

    pub(super) fn prediction(&self) -> StepPrediction {
        let (operations, kernels, key_switches) = &self.last;
        StepPrediction {
            half_bootstraps: operations.half_bootstraps,
            key_switches: *key_switches,
            moved_bytes: kernels.moved_bytes(),
            seconds: seconds(kernels),
        }
    }
}

/// Every step, with a call after each.
fn walk(
    generation: &Generation,
    server: &Server,
    client: &Client,
    mut after: impl FnMut(),
) -> Result<(), HarnessError> {
    let (steps, shape) = (&generation.steps, server.shape());
    let level = Level(shape.slots_to_coefficients_levels + CacheLayout::KEPT_LEVELS);
    let kept = client.encrypt_slots(&vec![0.0; shape.degree], level).map_err(failed)?;
    let (layout, length) = (steps.cache_layout(), steps.prompt_length());
    let public = steps.public_tokens();
    let ciphertexts = || vec![kept.clone(); layout.encrypted_pages(public, length)];
    let cache = |_| layout.cache_behind(ciphertexts(), ciphertexts(), public, length).map_err(failed);
    let caches = (0..steps.layers()).map(cache);
    let mut caches = caches.collect::<Result<Vec<_>, _>>()?;
    for _ in 1..generation.tokens {
        let token = steps.embed::<Server, _>(client, 0).map_err(failed)?;
        let logits = steps.step(server, &mut caches, token, &mut Unattended).map_err(failed)?;
        steps.logits::<Server, _>(client, &logits).map_err(failed)?;
        after();
    }
    Ok(())
}
