//! What layers and head will execute, and the steps behind them, found out by running them on a backend without data.

mod steps;

use std::collections::BTreeMap;
use std::sync::Arc;

use fhe_ckks::{CkksClient, CkksServer, CoefficientCiphertext, OperationCounts, Parameters, SlotArithmetic};
use fhe_model::Location;
use fhe_model::encrypted::{Harness, WeightBytes};
use fhe_ring::{Basis, Counts, DeviceProfile, Meter, Seed, Shape};
use fhe_rlwe::KeyRequests;
use fhe_rlwe::wire::{CiphertextForm, ciphertext_wire_bytes};

use super::circuit::Circuit;
use crate::error::HarnessError;
use crate::record::{Footprint, PredictedSeconds, Prediction};
use steps::StepsPlan;

pub(super) fn failed(error: impl std::error::Error + Send + Sync + 'static) -> HarnessError {
    HarnessError::execution("meter the circuit", error)
}

type Server = CkksServer<Meter>;
type Client = CkksClient<Meter>;

/// Counts, keys and memory of a run: of its prompts, and of the steps behind them, if there are any.
pub(super) struct Plan {
    pub(super) requests: KeyRequests,
    pub(super) operations: OperationCounts,
    kernels: Counts,
    key_switches: u64,
    key_bytes: u64,
    /// Most bytes of keys, tables and ciphertexts at once.
    pub(super) server_bytes: u64,
    /// The same with the weights at work beside them.
    peak_bytes: u64,
    half_bootstraps_by_layer: Vec<u64>,
    /// Of the layer with the most.
    half_bootstraps_by_site: BTreeMap<String, u64>,
    /// Their keys are others than those of the prompts, and come when these are gone: both at once are more than a machine may hold.
    pub(super) steps: Option<StepsPlan>,
}

impl Plan {
    /// Walks through the circuit twice: the first time keys come into being when they are asked for, the second time they are there from
    /// the beginning, as they are in a run. Weights are converted in neither.
    pub(super) fn new(circuit: &Circuit) -> Result<Self, HarnessError> {
        let (server, client) = metered_pair(&circuit.parameters)?;
        // The server's tables are made once, not by the circuit.
        let tables = server.backend().counts();
        let mut census = Census::new(&server);
        let mut layers = Vec::new();
        walk(circuit, &server, &client, &mut census, |part, census| {
            if let Part::Layer(_) = part {
                layers.push(census.take());
            }
            Ok(())
        })?;
        let half_bootstraps_by_layer: Vec<u64> = layers.iter().map(|sites| sites.values().sum()).collect();
        let largest = layers.into_iter().max_by_key(|sites| sites.values().sum::<u64>());
        let plan = Self {
            requests: server.key_requests(),
            operations: server.counts(),
            kernels: server.backend().counts() - tables,
            key_switches: server.key_switches(),
            key_bytes: server.key_bytes() as u64,
            server_bytes: 0,
            peak_bytes: 0,
            half_bootstraps_by_layer,
            half_bootstraps_by_site: largest.unwrap_or_default(),
            steps: None,
        };
        let [server_bytes, peak_bytes] = memory(circuit, &server, &client)?;
        drop((server, client));
        let steps = circuit.generation.as_ref().map(|generation| StepsPlan::new(generation, &circuit.parameters));
        Ok(Self { server_bytes, peak_bytes, steps: steps.transpose()?, ..plan })
    }

    /// Everything that is executed.
    pub(super) fn total(&self) -> (OperationCounts, Counts, u64) {
        let prompt = (self.operations, self.kernels, self.key_switches);
        self.steps.iter().fold(prompt, |(operations, kernels, switches), steps| {
            (operations + steps.operations, kernels + steps.kernels, switches + steps.key_switches)
        })
    }

    /// Keys and traffic of the run, in the project's wire format; nothing is sent here, client and server share a process. Of the keys of prompts
    /// and steps both are sent, and the larger ones are what is held.
    pub(super) fn traffic(&self, circuit: &Circuit) -> Result<Footprint, HarnessError> {
        let rlwe = circuit.parameters.rlwe();
        let lowest = Shape::evaluation(rlwe.ring(), Basis::prefix(1));
        let ciphertext = |form| ciphertext_wire_bytes(lowest, form, rlwe).map_err(failed);
        let sets = [Some(&self.requests), self.steps.as_ref().map(|steps| &steps.requests)];
        let key_wire_bytes = sets.into_iter().flatten().map(|requests| requests.wire_bytes(rlwe).map_err(failed));
        let [mut sent, mut returned] = [circuit.model.input_ciphertexts(), circuit.model.output_ciphertexts()];
        if let Some(generation) = &circuit.generation {
            sent += (generation.tokens - 1) * generation.steps.input_ciphertexts();
            returned += (generation.tokens - 1) * generation.steps.output_ciphertexts();
        }
        Ok(Footprint {
            peak_memory_bytes: 0,
            key_bytes: self.key_bytes.max(self.steps.as_ref().map_or(0, |steps| steps.key_bytes)),
            key_wire_bytes: key_wire_bytes.sum::<Result<_, _>>()?,
            client_to_server_bytes: sent as u64 * ciphertext(CiphertextForm::Seeded)?,
            device_memory_bytes: 0,
            server_to_client_bytes: returned as u64 * ciphertext(CiphertextForm::BothHalves)?,
        })
    }

    /// What an encrypted run is expected to take.
    pub(super) fn prediction(&self) -> Prediction {
        let (_, kernels, _) = self.total();
        let of_steps = |bytes: fn(&StepsPlan) -> u64| self.steps.as_ref().map_or(0, bytes);
        Prediction {
            seconds: seconds(&kernels),
            step: self.steps.as_ref().map(StepsPlan::prediction),
            server_memory_bytes: self.server_bytes.max(of_steps(|steps| steps.server_bytes)),
            peak_memory_bytes: self.peak_bytes.max(of_steps(|steps| steps.peak_bytes)),
            moved_bytes: kernels.moved_bytes(),
            half_bootstraps_by_layer: self.half_bootstraps_by_layer.clone(),
            half_bootstraps_by_site: self.half_bootstraps_by_site.clone(),
        }
    }
}

/// What kernels are expected to take on every device.
fn seconds(kernels: &Counts) -> Vec<PredictedSeconds> {
    let of =
        |profile: DeviceProfile| PredictedSeconds { device: profile.name.into(), seconds: profile.predict(kernels) };
    DeviceProfile::ALL.map(of).into()
}

/// Most bytes alive at once on a server that has all its keys: without weights, and with those of the part under way. Before a part runs its
/// weights are converted, which takes them as 32-bit floats beside their integers.
fn memory(circuit: &Circuit, server: &Server, client: &Client) -> Result<[u64; 2], HarnessError> {
    let (model, backend) = (&circuit.model, server.backend());
    let mut peaks = [0; 2];
    let mut before = backend.live_bytes();
    backend.restart_peak();
    walk(circuit, server, client, &mut Census::new(server), |part, _| {
        let WeightBytes { floats, integers } = match part {
            Part::Layer(layer) => model.layer_weight_bytes(layer).map_err(failed)?,
            Part::Head => model.head_weight_bytes(),
        };
        let peak = backend.peak_bytes();
        peaks[0] = peaks[0].max(peak);
        peaks[1] = peaks[1].max(peak + integers).max(before + floats + integers);
        before = backend.live_bytes();
        backend.restart_peak();
        Ok(())
    })?;
    Ok(peaks)
}

/// What runs with its own weights in memory.
#[derive(Clone, Copy)]
enum Part {
    Layer(usize),
    Head,
}

/// Layers and head, with a call after each.
fn walk<'a>(
    circuit: &Circuit,
    server: &'a Server,
    client: &Client,
    census: &mut Census<'a>,
    mut after: impl FnMut(Part, &mut Census<'a>) -> Result<(), HarnessError>,
) -> Result<(), HarnessError> {
    let model = &circuit.model;
    let mut residual: Vec<CoefficientCiphertext<Meter>> = model.embed::<Server, _>(client).map_err(failed)?;
    // They stay until the prompt is done.
    let mut caches = Vec::new();
    for layer in 0..model.layers() {
        let output = model.layer_and_cache(server, layer, &residual, census).map_err(failed)?;
        residual = output.residual;
        caches.extend(output.cache);
        after(Part::Layer(layer), census)?;
    }
    let logits = model.head(server, &residual, census).map_err(failed)?;
    after(Part::Head, census)?;
    model.logits::<Server, _>(client, &logits).map_err(failed)?;
    Ok(())
}

/// Attributes half bootstraps to the sites that they are executed at.
struct Census<'a> {
    server: &'a Server,
    counted: u64,
    place: Option<Location>,
    sites: BTreeMap<String, u64>,
}

impl<'a> Census<'a> {
    fn new(server: &'a Server) -> Self {
        Self { server, counted: server.counts().half_bootstraps, place: None, sites: BTreeMap::new() }
    }

    /// What was executed since the last call belongs to the place before.
    fn account(&mut self) {
        let total = self.server.counts().half_bootstraps;
        let new = total - self.counted;
        self.counted = total;
        if let Some(place) = self.place.filter(|_| new > 0) {
            *self.sites.entry(place.site.to_string()).or_default() += new;
        }
    }

    /// The sites since the last call.
    fn take(&mut self) -> BTreeMap<String, u64> {
        self.account();
        std::mem::take(&mut self.sites)
    }
}

impl Harness<Server> for Census<'_> {
    fn place(&mut self, location: Location) {
        self.account();
        self.place = Some(location);
    }
}

type MeteredPair = (Server, Client);

/// Server and client on a meter each, so that the client's work is not the server's.
pub(super) fn metered_pair(parameters: &Parameters) -> Result<MeteredPair, HarnessError> {
    let meter = || Arc::new(Meter::new(parameters.rlwe().chain().clone()));
    // Secrets without data: the seed stands for nothing.
    let client = CkksClient::new(meter(), parameters.clone(), &Seed::from_bytes([0; 32]));
    let server = CkksServer::planning(meter(), parameters.clone());
    Ok((server.map_err(failed)?, client.map_err(failed)?))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use fhe_model::calibration::Ranges;
    use fhe_model::encrypted::{AttentionProducts, CircuitOptions, EncryptedModel, Unattended};
    use fhe_model::{LargestWeights, ModelShape, ModelSource, PromptBlock, Weights};
    use fhe_ring::{Counting, Cpu};

    use super::*;
    use crate::params;

    /// The committed trained model: its weights, and the largest of them.
    fn tiny() -> (Weights, ModelShape) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/tiny-llama");
        let weights = Weights::open(&folder).unwrap();
        let config = weights.config().clone();
        let layers = (0..config.num_hidden_layers).map(|layer| LargestWeights::of(&weights.layer(layer).unwrap()));
        let (head, gamma) = (weights.lm_head(), weights.final_norm());
        let scaled = head.data().iter().enumerate().map(|(index, weight)| (weight * gamma[index % gamma.len()]).abs());
        let shape = ModelShape::new(config.clone(), layers.collect(), scaled.fold(0.0, f32::max).into()).unwrap();
        (weights, shape)
    }

    fn circuit(source: impl Into<ModelSource>, parameters: &str, products: AttentionProducts) -> Circuit {
        let (weights, _) = tiny();
        let stored = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/tiny-llama/ranges.toml");
        let ranges = Ranges::load(&stored, &weights).unwrap().covering_masked_scores().model();
        let parameters = params::named(parameters).unwrap();
        let block = PromptBlock::new(&[vec![5; 8]], 8, weights.config()).unwrap();
        let options = CircuitOptions { products, ..CircuitOptions::default() };
        let model = EncryptedModel::prepare(source, &ranges, &block, parameters.shape(), options).unwrap();
        Circuit { parameters, block, ranges, model, generation: None, assumed: None }
    }

    /// Sizes, ranges and the largest weights are all that a plan needs: with every weight it comes out the same.
    #[test]
    fn a_shape_is_planned_like_its_weights() {
        let (weights, shape) = tiny();
        for (products, parameters) in [(AttentionProducts::Slots, "n11-toy"), (AttentionProducts::Lanes, "n13-toy")] {
            let [of_weights, of_shape] = [ModelSource::from(&weights), ModelSource::from(&shape)]
                .map(|source| Plan::new(&circuit(source, parameters, products)).unwrap());
            assert_eq!(of_shape.operations, of_weights.operations);
            assert_eq!(of_shape.kernels, of_weights.kernels);
            assert_eq!(of_shape.requests, of_weights.requests);
            assert_eq!(of_shape.key_switches, of_weights.key_switches);
            assert_eq!(of_shape.prediction(), of_weights.prediction());
            assert!(of_shape.operations.half_bootstraps > 0 && of_shape.key_bytes > 0);
        }
    }

    /// Half bootstraps of every layer and its sites, and those of the head, are all there are.
    #[test]
    fn half_bootstraps_belong_to_layers_and_sites() {
        let (_, shape) = tiny();
        let circuit = circuit(&shape, "n11-toy", AttentionProducts::Slots);
        let plan = Plan::new(&circuit).unwrap();
        let head = circuit.model.input_ciphertexts() as u64;
        assert_eq!(plan.half_bootstraps_by_layer.iter().sum::<u64>() + head, plan.operations.half_bootstraps);
        let of_sites: u64 = plan.half_bootstraps_by_site.values().sum();
        assert_eq!(plan.half_bootstraps_by_layer.iter().max(), Some(&of_sites));
        let sites: Vec<&str> = plan.half_bootstraps_by_site.keys().map(String::as_str).collect();
        let expected = ["attention mean square", "ffn mean square", "gate", "log denominator", "query", "score", "up"];
        assert_eq!(sites, expected);
    }

    /// The ledger of the meter beside that of a run: the bytes that a server holds with all its keys.
    #[test]
    fn memory_is_what_a_run_allocates() {
        let (weights, _) = tiny();
        let circuit = circuit(&weights, "n11-toy", AttentionProducts::Slots);
        let plan = Plan::new(&circuit).unwrap();

        let backend = || Arc::new(Counting::new(Cpu::new(circuit.parameters.rlwe().chain().clone())));
        let client = CkksClient::new(backend(), circuit.parameters.clone(), &Seed::from_bytes([7; 32])).unwrap();
        let keys = client.evaluation_keys(&plan.requests, |_| ()).unwrap();
        let server = CkksServer::new(backend(), circuit.parameters.clone(), keys).unwrap();
        let residual = circuit.model.embed::<CkksServer<Counting<Cpu>>, _>(&client).unwrap();
        server.backend().restart_peak();
        circuit.model.run(&server, residual, &mut Unattended).unwrap();
        // Keys were allocated by the client, in whose ledger they stand.
        let found = server.backend().peak_bytes() + server.key_bytes() as u64;
        assert_eq!((server.key_bytes() as u64, found), (plan.key_bytes, plan.server_bytes));
        assert!(plan.peak_bytes > plan.server_bytes);
    }
}
