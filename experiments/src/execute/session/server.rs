//! The server: weights, evaluation keys, ciphertexts, a cache. Nothing of a client's secrets has a place in it.

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Instant;

use fhe_circuits::KeyValueCache;
use fhe_ckks::{CkksServer, CoefficientCiphertext, Parameters, SlotArithmetic, SlotCiphertext};
use fhe_model::encrypted::{DecodingModel, Unattended};
use fhe_ring::{Backend, Counting};
use fhe_rlwe::KeyStore;
use fhe_rlwe::wire::CiphertextForm;

use super::cache::{Caches, Origin};
use super::frame::Kind;
use super::line::{Contents, Line, unexpected};
use super::messages::{Effort, receive_ciphertexts, send_logits};
use super::{Common, SessionError};
use crate::execute::circuit::Circuit;
use crate::execute::generation::Generation;
use crate::execute::parties::Compute;

type Evaluator<B> = CkksServer<Counting<B>>;
type Ciphertexts<B> = Vec<CoefficientCiphertext<Counting<B>>>;
type LayerCache<B> = KeyValueCache<SlotCiphertext<Counting<B>>>;
type CachesOf<B> = Caches<SlotCiphertext<Counting<B>>>;

/// Serves sessions on a backend.
///
/// It is made from what is public. A client's secrets, or the seed that they are drawn from, do not fit anywhere:
///
/// ```compile_fail,E0308
/// # use experiments::execute::session::{Common, Server};
/// # use fhe_ring::{Counting, Cpu};
/// # use fhe_rlwe::client::ClientSecrets;
/// fn serves(common: &Common, secrets: ClientSecrets) -> Server<'_, Cpu> {
///     Server::new(common, secrets)
/// }
/// ```
///
/// ```
/// # use experiments::execute::session::{Common, Server};
/// # use fhe_ring::{Counting, Cpu};
/// # use std::sync::Arc;
/// fn serves(common: &Common, backend: Arc<Counting<Cpu>>) -> Server<'_, Cpu> {
///     Server::new(common, backend)
/// }
/// ```
pub struct Server<'a, B: Backend> {
    common: &'a Common,
    backend: Arc<Counting<B>>,
}

impl<'a, B: Backend> Server<'a, B> {
    /// A server of one model. Its backend outlives keys: a cache stays when those of the prompt make room for those of steps.
    pub fn new(common: &'a Common, backend: Arc<Counting<B>>) -> Self {
        Self { common, backend }
    }
}

impl<B: Compute> Server<'_, B> {
    /// Serves one session after the other until the client has none left. What it refuses it says once, over the line, and stops.
    ///
    /// # Errors
    /// Why it stopped.
    pub(super) fn serve<R: Read, W: Write>(&self, line: &mut Line<R, W>) -> Result<(), SessionError> {
        loop {
            match self.session(line) {
                Ok(true) => (),
                Ok(false) => return Ok(()),
                Err(error) => {
                    line.refuse(&error);
                    return Err(error);
                }
            }
        }
    }

    /// One session, if there is another.
    fn session<R: Read, W: Write>(&self, line: &mut Line<R, W>) -> Result<bool, SessionError> {
        let Some(asked) = line.accept()? else { return Ok(false) };
        self.common.terms_of(asked.placement).check_model(&asked)?;
        let circuit = self.common.circuit(asked.placement.tokens, asked.placement.answer);
        let circuit = circuit.map_err(SessionError::engine("prepare the circuit"))?;
        let terms = self.common.terms(&circuit);
        terms.check(&asked)?;
        line.send_words(Kind::Welcome, &terms)?;
        let origin = Origin::new(line.session(), terms);
        let mut caches = Caches::new(origin.clone(), self.prompt(line, &circuit)?);
        let keys = line.receive_any(|kind, contents| match kind {
            Kind::StepKeys => self.keys(contents).map(Some),
            Kind::Close => Ok(None),
            other => Err(unexpected(other, "keys of steps, or close")),
        })?;
        if let (Some(keys), Some(generation)) = (keys, &circuit.generation) {
            let steps = Steps::new(generation, self.evaluator(keys)?, origin)?;
            self.steps(line, &steps, &mut caches)?;
        }
        let account = line.arrivals().clone();
        line.send_words(Kind::Account, &account)?;
        Ok(true)
    }

    /// Keys and ciphertexts of a prompt in, logits out; what stays are keys and values of its layers.
    fn prompt<R: Read, W: Write>(
        &self,
        line: &mut Line<R, W>,
        circuit: &Circuit,
    ) -> Result<Vec<LayerCache<B>>, SessionError> {
        let failed = SessionError::engine::<fhe_model::Error>;
        let model = &circuit.model;
        let keys = line.receive(Kind::PromptKeys, |contents| self.keys(contents))?;
        let evaluator = self.evaluator(keys)?;
        let mut residual = self.ciphertexts(line, Kind::Prompt, model.input_ciphertexts())?;
        let clock = Clock::start(&evaluator);
        let mut caches = Vec::new();
        for layer in 0..model.layers() {
            let output = model.layer_and_cache(&evaluator, layer, &residual, &mut Unattended);
            let output = output.map_err(failed("run a layer of the prompt"))?;
            residual = output.residual;
            caches.extend(output.cache);
        }
        let logits =
            model.head(&evaluator, &residual, &mut Unattended).map_err(failed("run the head of the prompt"))?;
        send_logits(line, self.place(), &logits, clock.stop()?)?;
        Ok(caches)
    }

    /// Token after token, until the client closes the session.
    fn steps<R: Read, W: Write>(
        &self,
        line: &mut Line<R, W>,
        steps: &Steps<'_, B>,
        caches: &mut CachesOf<B>,
    ) -> Result<(), SessionError> {
        loop {
            let count = steps.model().input_ciphertexts();
            let token = line.receive_any(|kind, contents| match kind {
                Kind::Token => receive_ciphertexts(contents, self.place(), count, CiphertextForm::Seeded).map(Some),
                Kind::Close => Ok(None),
                other => Err(unexpected(other, "an encrypted token, or close")),
            })?;
            let Some(token) = token else { return Ok(()) };
            let clock = Clock::start(&steps.evaluator);
            let logits = steps.step(caches, token)?;
            send_logits(line, self.place(), &logits, clock.stop()?)?;
        }
    }

    /// What a ciphertext is read for.
    fn place(&self) -> (&Counting<B>, &Parameters) {
        (self.backend.as_ref(), self.common.parameters())
    }

    fn evaluator(&self, keys: KeyStore<Counting<B>>) -> Result<Evaluator<B>, SessionError> {
        let server = CkksServer::new(Arc::clone(&self.backend), self.common.parameters().clone(), keys);
        server.map_err(SessionError::engine("encode the tables of the transforms"))
    }

    fn keys<R: Read>(&self, contents: &mut Contents<'_, R>) -> Result<KeyStore<Counting<B>>, SessionError> {
        let keys = KeyStore::read(self.backend.as_ref(), self.common.parameters().rlwe(), contents);
        keys.map_err(SessionError::engine("read evaluation keys"))
    }

    fn ciphertexts<R: Read, W: Write>(
        &self,
        line: &mut Line<R, W>,
        kind: Kind,
        count: usize,
    ) -> Result<Ciphertexts<B>, SessionError> {
        line.receive(kind, |contents| receive_ciphertexts(contents, self.place(), count, CiphertextForm::Seeded))
    }
}

/// What takes steps behind one prompt.
struct Steps<'a, B: Backend> {
    generation: &'a Generation,
    /// The model with the integers of its weights, if they are small.
    kept: Option<DecodingModel>,
    evaluator: Evaluator<B>,
    origin: Origin,
}

impl<'a, B: Backend> Steps<'a, B> {
    fn new(generation: &'a Generation, evaluator: Evaluator<B>, origin: Origin) -> Result<Self, SessionError> {
        let kept = generation.with_weights(&evaluator).map_err(SessionError::engine("convert the weights of steps"))?;
        Ok(Self { generation, kept, evaluator, origin })
    }

    fn model(&self) -> &DecodingModel {
        self.kept.as_ref().unwrap_or(&self.generation.steps)
    }

    fn step(&self, caches: &mut CachesOf<B>, token: Ciphertexts<B>) -> Result<Ciphertexts<B>, SessionError> {
        let layers = caches.of(&self.origin)?;
        let logits = self.model().step(&self.evaluator, layers, token, &mut Unattended);
        logits.map_err(SessionError::engine("take a step"))
    }
}

/// What a request takes.
struct Clock<'a, B: Backend> {
    evaluator: &'a Evaluator<B>,
    start: Instant,
    half_bootstraps: u64,
}

impl<'a, B: Compute> Clock<'a, B> {
    fn start(evaluator: &'a Evaluator<B>) -> Self {
        Self { evaluator, start: Instant::now(), half_bootstraps: evaluator.counts().half_bootstraps }
    }

    /// Waits for the device first, which may be behind what it was asked for.
    fn stop(self) -> Result<Effort, SessionError> {
        self.evaluator.backend().inner().settle().map_err(SessionError::engine("wait for the device"))?;
        let half_bootstraps = self.evaluator.counts().half_bootstraps - self.half_bootstraps;
        Ok(Effort { seconds: self.start.elapsed().as_secs_f64(), half_bootstraps })
    }
}
