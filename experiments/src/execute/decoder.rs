//! The decoder from embedding to logits over any evaluator, layer by layer.

use fhe_circuits::KeyValueCache;
use fhe_ckks::{Client, Evaluator, LaneProducts};
use fhe_model::Matrix;
use fhe_model::encrypted::{EncryptedModel, LayerOutput};

use super::attendant::Attendant;
use super::pace;
use super::state::{Observations, State};
use crate::error::HarnessError;
use crate::event::ProgressSink;

/// What a decoder leaves: the logits, if the execution holds data, and keys and values of its layers, if they are kept.
pub(super) struct Decoded<E: Evaluator> {
    pub(super) logits: Option<Matrix>,
    pub(super) caches: Vec<KeyValueCache<E::Slots>>,
}

/// A model, who computes it and who owns the data.
pub(super) struct Decoder<'a, E, C> {
    pub(super) model: &'a EncryptedModel,
    pub(super) evaluator: &'a E,
    pub(super) client: &'a C,
    pub(super) progress: &'a dyn ProgressSink,
}

impl<E: LaneProducts, C: Client<E>> Decoder<'_, E, C> {
    /// Runs what is missing and decrypts the logits, from a state where there is one. `after_layer` is given the layers done, what the last one left and
    /// what was observed, and may stop the run.
    ///
    /// # Errors
    /// Those of the engine, naming layer and site; those of `after_layer`.
    pub(super) fn resume(
        &self,
        attendant: &mut Attendant<'_, C>,
        state: Option<State<E>>,
        mut after_layer: impl FnMut(usize, &LayerOutput<E>, &Observations) -> Result<(), HarnessError>,
    ) -> Result<Decoded<E>, HarnessError> {
        let Self { model, evaluator, client, progress } = self;
        let failed = |error| HarnessError::execution("run the decoder", error);
        let (first, mut residual, mut caches) = match state {
            Some(state) => (state.layers, state.residual, state.caches),
            None => {
                let (embedded, seconds) = progress.phase("encrypt", || model.embed::<E, C>(client));
                attendant.observations.seconds.encrypt += seconds;
                attendant.observations.seconds.client += seconds;
                (0, embedded.map_err(failed)?, Vec::new())
            }
        };
        let (logits, _) = progress.phase(pace::PHASE, || {
            for layer in first..model.layers() {
                let output = model.layer_and_cache(*evaluator, layer, &residual, attendant).map_err(failed)?;
                attendant.check()?;
                after_layer(layer + 1, &output, &attendant.observations)?;
                residual = output.residual;
                caches.extend(output.cache);
            }
            let logits = model.head(*evaluator, &residual, attendant).map_err(failed)?;
            attendant.check()?;
            Ok::<_, HarnessError>(logits)
        });
        let logits = logits?;
        let (decrypted, seconds) = progress.phase("decrypt", || model.logits::<E, C>(client, &logits));
        attendant.observations.seconds.decrypt += seconds;
        attendant.observations.seconds.client += seconds;
        Ok(Decoded { logits: decrypted.map_err(failed)?, caches })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use fhe_ckks::{CkksError, Clear, ClearCoefficients, NoiseModel};

    use super::*;
    use crate::event::Quiet;
    use crate::execute::inputs::Inputs;
    use crate::execute::prepared::Prepared;
    use crate::execute::reference::Tensors;
    use crate::spec::Suite;

    const SPEC: &str = r#"
        name = "toy"
        question = "Does a run stop where it should?"
        mode = "clear"
        model.path = "experiments/models/tiny-llama"
        input.prompts = ["It was"]
        input.block_tokens = 8
        softmax.variant = "exp-inverse"
        engine = { parameters = "n11-toy", insecure = true }
    "#;

    fn prepared() -> (Prepared, Clear) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let cell = Suite::parse(SPEC, "toy.toml", &[], root).unwrap().cells.remove(0);
        let prepared = Prepared::new(&cell, Inputs::read(&cell, root, &Quiet).unwrap()).unwrap();
        let clear = Clear::new(prepared.circuit.parameters.shape().clone(), (), NoiseModel::default(), 0).unwrap();
        (prepared, clear)
    }

    /// Encrypts, but cannot decrypt.
    struct Blind<'a>(&'a Clear);

    impl Client<Clear> for Blind<'_> {
        fn encrypt(&self, coefficients: &[f64], unit: f64) -> Result<ClearCoefficients, CkksError> {
            self.0.encrypt(coefficients, unit)
        }

        fn decrypt(&self, _: &ClearCoefficients) -> Result<Option<Vec<f64>>, CkksError> {
            Err(CkksError::Precondition {
                operation: "decrypt",
                operand: "secret",
                found: "lost".into(),
                required: "there".into(),
                remedy: "look for it",
            })
        }
    }

    /// A harness cannot stop a run, but what failed in it must.
    #[test]
    fn a_tensor_that_cannot_be_looked_at_stops_the_run() {
        let (prepared, clear) = prepared();
        let client = Blind(&clear);
        let decoder = Decoder { model: &prepared.circuit.model, evaluator: &clear, client: &client, progress: &Quiet };
        let mut kept = Tensors::empty(&prepared.circuit.block);
        let mut layers = 0;
        let stopped = decoder.resume(&mut Attendant::new(&client, Observations::default()).keeping(&mut kept), None, {
            |done, _, _| {
                layers = done;
                Ok(())
            }
        });
        let message = stopped.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(message.starts_with("cannot decrypt an intermediate tensor: layer 0, "), "{message}");
        assert_eq!(layers, 0, "a layer that was not looked at is not done");
    }

    /// A full disk after a layer ends the run there.
    #[test]
    fn what_fails_after_a_layer_stops_the_run() {
        let (prepared, clear) = prepared();
        let decoder = Decoder { model: &prepared.circuit.model, evaluator: &clear, client: &clear, progress: &Quiet };
        let stopped = decoder.resume(&mut Attendant::new(&clear, Observations::default()), None, |layers, _, _| {
            assert_eq!(layers, 1);
            Err(HarnessError::DiskFull { path: "residual".into() })
        });
        assert!(matches!(stopped, Err(HarnessError::DiskFull { .. })));
    }
}
