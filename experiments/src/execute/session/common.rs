//! What client and server of a session read alike: the spec, the model, its ranges. Everything here is public.

use std::path::Path;

use fhe_ckks::Parameters;
use fhe_model::calibration::Ranges;
use fhe_model::{Prefix, PromptBlock, Tokenizer, Weights};
use fhe_rlwe::Fingerprint;
use serde_json::json;

use super::{Placement, Terms};
use crate::calibrate;
use crate::error::HarnessError;
use crate::event::ProgressSink;
use crate::execute::calibrated::calibrated_ranges;
use crate::execute::circuit::{Circuit, parameters};
use crate::identity::{DataHashes, canonical_json, short_hash};
use crate::public_prefix;
use crate::spec::{Cell, CellConfig, CircuitKind, GenerationSection, Mode};

/// A model with settings and ranges, from which the circuit of any prompt follows once it is known how long that is.
pub struct Common {
    cell: Cell,
    generation: GenerationSection,
    parameters: Parameters,
    weights: Weights,
    tokenizer: Tokenizer,
    prefix: Prefix,
    ranges: Ranges,
    data: DataHashes,
}

impl Common {
    /// Reads what a cell names beside its prompts, which play no part; ranges are measured now if the model has none.
    ///
    /// # Errors
    /// [`HarnessError::InvalidValue`] for a cell that does not generate under encryption; what is wrong with parameters, model or ranges.
    pub fn read(cell: Cell, root: &Path, progress: &dyn ProgressSink) -> Result<Self, HarnessError> {
        let generation = check(&cell.config)?;
        let parameters = parameters(&cell)?;
        let folder = root.join(&cell.config.model.path);
        let open = |error| HarnessError::execution("open the model", error);
        let stored = Weights::open(&folder).map_err(open)?;
        let weights = calibrate::circuit_weights(&stored, &cell.config.mitigation);
        let tokenizer = Tokenizer::open(&folder.join("tokenizer.json"), weights.config()).map_err(open)?;
        let prefix = public_prefix::tokens(&cell.config.mitigation, &tokenizer, weights.config())?;
        let ranges = calibrated_ranges(&cell, &weights, (&prefix, Some(&tokenizer)), root, progress)?;
        let data = DataHashes::of(&cell, root)?;
        Ok(Self { cell, generation, parameters, weights, tokenizer, prefix, ranges, data })
    }

    /// The settings.
    pub fn config(&self) -> &CellConfig {
        &self.cell.config
    }

    /// How long answers are, and how their tokens are chosen.
    pub fn generation(&self) -> &GenerationSection {
        &self.generation
    }

    /// The parameter set.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The weights that the circuit is made of.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// What every prompt continues.
    pub fn prefix(&self) -> &Prefix {
        &self.prefix
    }

    /// The calibrated ranges, against which a client checks its prompts.
    pub fn ranges(&self) -> &Ranges {
        &self.ranges
    }

    /// Tokens of a block.
    pub fn block_tokens(&self) -> usize {
        self.cell.config.input.block_tokens
    }

    /// The block of one prompt, in tokens.
    ///
    /// # Errors
    /// [`HarnessError::Execution`] for a prompt that does not fit into the block, or that is none.
    pub fn block(&self, prompt: &[u32]) -> Result<PromptBlock, HarnessError> {
        let size = self.block_tokens();
        PromptBlock::after(&self.prefix, &[prompt.to_vec()], size, self.weights.config()).map_err(|error| {
            HarnessError::execution(format!("fit the conversation into input.block_tokens = {size}"), error)
        })
    }

    /// The circuit of a prompt of so many tokens and of an answer of so many at most. Both sides make it without the prompt.
    ///
    /// # Errors
    /// Those of [`Common::block`]; [`HarnessError::Refused`] where the parameters do not carry it, or the block has no room for the answer.
    pub(in crate::execute) fn circuit(&self, tokens: usize, answer: usize) -> Result<Circuit, HarnessError> {
        let mut cell = self.cell.clone();
        cell.config.generation = Some(GenerationSection { tokens: answer, ..self.generation.clone() });
        // Where tokens lie follows from how many there are.
        let block = self.block(&vec![0; tokens])?;
        Circuit::of_block(&cell, self.parameters.clone(), &self.weights, &self.ranges, block)
    }

    /// The terms of a session that runs a circuit.
    pub(in crate::execute) fn terms(&self, circuit: &Circuit) -> Terms {
        let block = &circuit.block;
        let placement = Placement {
            block: block.size(),
            prefix: block.prefix().len(),
            start: block.prompts()[0].start,
            tokens: block.prompts()[0].len,
            answer: circuit.generation.as_ref().map_or(1, |generation| generation.tokens),
        };
        Terms { circuit: self.circuit_hash(circuit, &placement), ..self.terms_of(placement) }
    }

    /// The same before there is a circuit.
    pub(super) fn terms_of(&self, placement: Placement) -> Terms {
        let Fingerprint(fingerprint) = self.parameters.rlwe().fingerprint();
        Terms {
            parameters: self.parameters.set().name.into(),
            fingerprint: fingerprint.iter().map(|byte| format!("{byte:02x}")).collect(),
            model: self.data.model.clone(),
            ranges: self.data.ranges.clone().unwrap_or_default(),
            circuit: String::new(),
            placement,
        }
    }

    /// Of what determines a circuit, and of the polynomials that this program derives from it.
    fn circuit_hash(&self, circuit: &Circuit, placement: &Placement) -> String {
        let CellConfig { softmax, attention, mitigation, engine, .. } = self.config();
        let mut engine = json!(engine);
        if let Some(engine) = engine.as_object_mut() {
            // Who computes, how fast, and with which secrets.
            engine.retain(|key, _| !matches!(key.as_str(), "device" | "threads" | "seed"));
        }
        let steps = circuit.generation.iter().flat_map(|generation| generation.steps.polynomials());
        let degrees: Vec<usize> =
            circuit.model.polynomials().iter().chain(&steps.collect::<Vec<_>>()).map(|p| p.fitted.degree).collect();
        let all = json!({
            "softmax": softmax, "attention": attention, "mitigation": mitigation, "engine": engine, "rounds": self.generation.rounds,
            "model": self.data.model, "ranges": self.data.ranges, "prefix": self.prefix.tokens(),
            "placement": placement, "degrees": degrees,
        });
        short_hash(canonical_json(&all).as_bytes())
    }
}

/// How a cell generates; cells that no session runs are refused.
fn check(config: &CellConfig) -> Result<GenerationSection, HarnessError> {
    let refuse = |key: &str, problem: &str| {
        Err(HarnessError::InvalidValue {
            origin: "the spec of a conversation".into(),
            key: key.into(),
            problem: problem.into(),
        })
    };
    if config.mode != Mode::Encrypted {
        return refuse("mode", "is not `encrypted`, but client and server share nothing that is not; leave it out");
    }
    if config.circuit != CircuitKind::Decoder {
        return refuse("circuit", "is not the whole decoder, which alone gives tokens; leave it out");
    }
    if config.context.is_some() {
        return refuse("context", "is there, but what is typed stands at the beginning; leave it out");
    }
    let problem = "is missing: say how many tokens an answer has at most, as in --tokens 4";
    config.generation.clone().map_or_else(|| refuse("generation.tokens", problem), Ok)
}
