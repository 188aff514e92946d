//! The client: secrets, tokens, logits. What it sends are evaluation keys and fresh ciphertexts.

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Instant;

use fhe_ckks::{CkksClient, CkksServer, CoefficientCiphertext};
use fhe_model::encrypted::DecodingModel;
use fhe_model::{Error, FloatModel, PromptBlock};
use fhe_ring::{Cpu, Seed};
use fhe_rlwe::{KeyRequests, RlweError};

use super::frame::{Kind, SessionId};
use super::ledger::Ledger;
use super::line::Line;
use super::messages::{Effort, receive_logits, send_ciphertexts};
use super::{Common, SessionError, Terms};
use crate::error::HarnessError;
use crate::event::ProgressSink;
use crate::execute::circuit::Circuit;
use crate::execute::plan::Plan;

/// What the ciphertexts of a client on a CPU belong to; there is no server in this process.
type Remote = CkksServer<Cpu>;

/// Logits, and what the server says they took.
#[derive(Clone, Debug)]
pub struct Answer {
    /// One a word of the vocabulary. They stay with the client: approximate decryptions are not to be shared.
    pub logits: Vec<f32>,
    /// By the server's own account.
    pub effort: Effort,
}

/// What an opened session will take, known before anything is sent.
#[derive(Clone, Copy, Debug)]
pub struct Luggage {
    /// Evaluation keys of the prompt, and of steps.
    pub keys: [usize; 2],
    /// Their bytes on the wire.
    pub key_bytes: [u64; 2],
}

/// One session of a client: one prompt and the tokens behind it, under secrets that nothing else is encrypted with.
pub struct Client<'a, R, W> {
    line: &'a mut Line<R, W>,
    terms: Terms,
    circuit: Circuit,
    block: PromptBlock,
    plan: Plan,
    backend: Arc<Cpu>,
    secrets: CkksClient<Cpu>,
}

impl<'a, R: Read, W: Write> Client<'a, R, W> {
    /// Agrees with a server on the circuit of a prompt and an answer of so many tokens at most. Secrets are drawn from `seed`: one of the
    /// operating system's, unless a run must be reproducible, and one of its own for every session.
    ///
    /// # Errors
    /// [`HarnessError::Execution`] for a prompt longer than the context; [`HarnessError::Prompt`] for one that leaves the calibrated
    /// ranges; [`HarnessError::Refused`]; [`HarnessError::Session`].
    pub fn open(
        common: &Common,
        line: &'a mut Line<R, W>,
        prompt: &[u32],
        answer: usize,
        seed: &Seed,
    ) -> Result<Self, HarnessError> {
        let block = common.block(prompt)?;
        let circuit = common.circuit(prompt.len(), answer)?;
        in_ranges(common, &circuit, &block)?;
        let plan = Plan::new(&circuit)?;
        let terms = common.terms(&circuit);
        let backend = Arc::new(Cpu::new(common.parameters().rlwe().chain().clone()));
        let secrets = CkksClient::new(Arc::clone(&backend), common.parameters().clone(), seed);
        let secrets = secrets.map_err(|error| HarnessError::execution("draw the secrets of a session", error))?;
        let mut client = Self { line, terms, circuit, block, plan, backend, secrets };
        client.agree().map_err(HarnessError::Session)?;
        Ok(client)
    }

    fn agree(&mut self) -> Result<(), SessionError> {
        let opened = self.line.open(SessionId::draw()?, &self.terms);
        self.heard(opened)?;
        let theirs: Terms = self.line.receive(Kind::Welcome, |contents| contents.words())?;
        theirs.check(&self.terms)
    }

    /// What both sides agreed on.
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// What will be sent before the prompt, and before the first step.
    ///
    /// # Errors
    /// If keys that were planned cannot be.
    pub fn luggage(&self) -> Result<Luggage, SessionError> {
        let none = KeyRequests::default();
        let sets = [&self.plan.requests, self.plan.steps.as_ref().map_or(&none, |steps| &steps.requests)];
        let [prompt, steps] = sets.map(|set| set.wire_bytes(self.circuit.parameters.rlwe()));
        let sized = |bytes: Result<u64, RlweError>| bytes.map_err(SessionError::engine("size the keys"));
        Ok(Luggage { keys: sets.map(KeyRequests::len), key_bytes: [sized(prompt)?, sized(steps)?] })
    }

    /// Sends the keys of the prompt's circuit, one in memory at a time.
    ///
    /// # Errors
    /// [`SessionError::Left`]; the server's refusal.
    pub fn send_prompt_keys(&mut self, progress: &dyn ProgressSink) -> Result<(), SessionError> {
        let sent = send_keys(self.line, Kind::PromptKeys, &self.secrets, &self.circuit, &self.plan.requests, progress);
        self.heard(sent)
    }

    /// Sends the encrypted prompt and waits for the logits of what follows it.
    ///
    /// # Errors
    /// [`SessionError::Left`]; the server's refusal; frames that are not what is due.
    pub fn prompt(&mut self) -> Result<Answer, SessionError> {
        let model = &self.circuit.model;
        let embedded = model.embed_block::<Remote, _>(&self.secrets, &self.block);
        let embedded = embedded.map_err(SessionError::engine("encrypt the prompt"))?;
        let (encrypted, effort) = self.ask(Kind::Prompt, &embedded, self.circuit.model.output_ciphertexts())?;
        let logits = self.circuit.model.logits::<Remote, _>(&self.secrets, &encrypted);
        let logits = logits.map_err(SessionError::engine("decrypt the logits of the prompt"))?;
        let span = self.block.prompts()[0];
        let last = span.start + span.len - 1;
        Ok(Answer { logits: logits.map_or_else(Vec::new, |logits| logits.column(last)), effort })
    }

    /// Sends the keys of steps; the server gives up those of the prompt.
    ///
    /// # Errors
    /// As [`Client::send_prompt_keys`].
    pub fn send_step_keys(&mut self, progress: &dyn ProgressSink) -> Result<(), SessionError> {
        let Some(steps) = &self.plan.steps else {
            let remedy = "open a session for an answer of more than one token";
            return Err(SessionError::frame("keys of steps", "planned for none", "steps to take", remedy));
        };
        let sent = send_keys(self.line, Kind::StepKeys, &self.secrets, &self.circuit, &steps.requests, progress);
        self.heard(sent)
    }

    /// Sends an encrypted token and waits for the logits of what follows it.
    ///
    /// # Errors
    /// As [`Client::prompt`].
    pub fn step(&mut self, token: u32) -> Result<Answer, SessionError> {
        let embedded = self.steps()?.embed::<Remote, _>(&self.secrets, token);
        let embedded = embedded.map_err(SessionError::engine("encrypt a token"))?;
        let (encrypted, effort) = self.ask(Kind::Token, &embedded, self.steps()?.output_ciphertexts())?;
        let logits = self.steps()?.logits::<Remote, _>(&self.secrets, &encrypted);
        let logits = logits.map_err(SessionError::engine("decrypt the logits of a step"))?;
        Ok(Answer { logits: logits.unwrap_or_default(), effort })
    }

    fn steps(&self) -> Result<&DecodingModel, SessionError> {
        let generation = self.circuit.generation.as_ref().ok_or_else(|| {
            let remedy = "open a session whose settings generate";
            SessionError::frame("a step", "not planned", "steps to take", remedy)
        })?;
        Ok(&generation.steps)
    }

    /// Sends ciphertexts and waits for so many of logits.
    fn ask(
        &mut self,
        kind: Kind,
        sent: &[CoefficientCiphertext<Cpu>],
        logits: usize,
    ) -> Result<(Vec<CoefficientCiphertext<Cpu>>, Effort), SessionError> {
        let sent = send_ciphertexts(self.line, kind, (self.backend.as_ref(), &self.circuit.parameters), sent);
        self.heard(sent)?;
        receive_logits(self.line, (self.backend.as_ref(), &self.circuit.parameters), logits)
    }

    /// What is wrong with tokens that were fed back behind the prompt, if they leave the ranges that the circuit carries: only a client can see
    /// it, and only afterwards.
    ///
    /// # Errors
    /// Those of the float model.
    pub fn left_ranges(
        &self,
        common: &Common,
        prompt: &[u32],
        fed: &[u32],
    ) -> Result<Option<fhe_model::Error>, HarnessError> {
        let whole = common.block(&[prompt, fed].concat())?;
        match in_ranges(common, &self.circuit, &whole) {
            Err(HarnessError::Prompt { source, .. }) => Ok(Some(*source)),
            other => other.map(|()| None),
        }
    }

    /// Ends the session: what the server says that it received in it, which must be what was sent.
    ///
    /// # Errors
    /// As [`Client::prompt`]; [`SessionError::Frame`] where its account is another.
    pub fn close(mut self) -> Result<Ledger, SessionError> {
        let closed = self.line.send(Kind::Close, 0, |_| Ok(()));
        self.heard(closed)?;
        let account: Ledger = self.line.receive(Kind::Account, |contents| contents.words())?;
        if account == *self.line.departures() {
            return Ok(account);
        }
        let (found, required) = (account.bytes(), format!("{}, kind by kind as sent", self.line.departures().bytes()));
        Err(SessionError::frame("the server's account of bytes", found, required, "do not trust this connection"))
    }

    /// Where a server stops taking what it is sent, it may have said why.
    fn heard(&mut self, sent: Result<(), SessionError>) -> Result<(), SessionError> {
        match sent {
            Err(left @ SessionError::Left { .. }) => match self.line.receive_any(|_, _| Ok(())) {
                Err(refused @ SessionError::Refused { .. }) => Err(refused),
                _ => Err(left),
            },
            sent => sent,
        }
    }
}

/// Runs the float model over a block: what leaves the ranges must not be encrypted, since a server cannot see it.
fn in_ranges(common: &Common, circuit: &Circuit, block: &PromptBlock) -> Result<(), HarnessError> {
    let place = || "the conversation".to_owned();
    match circuit.ranges.preflight(&FloatModel::new(common.weights()), block) {
        Ok(_) => Ok(()),
        Err(error @ (Error::OutOfRange(_) | Error::FirstToken { .. })) => {
            Err(HarnessError::Prompt { place: place(), source: Box::new(error) })
        }
        Err(error) => Err(HarnessError::execution("run the float model on the conversation", error)),
    }
}

/// Generates keys straight onto the line.
fn send_keys<R: Read, W: Write>(
    line: &mut Line<R, W>,
    kind: Kind,
    secrets: &CkksClient<Cpu>,
    circuit: &Circuit,
    requests: &KeyRequests,
    progress: &dyn ProgressSink,
) -> Result<(), SessionError> {
    let bytes = requests.wire_bytes(circuit.parameters.rlwe()).map_err(SessionError::engine("size the keys"))?;
    let clock = Instant::now();
    let (phase, _) = progress.phase(kind.name(), || {
        line.send(kind, bytes, |frame| {
            let done = |done| progress.step(kind.name(), done as u64, requests.len() as u64, clock);
            let written = secrets.write_evaluation_keys(requests, frame, done);
            written.map_err(SessionError::engine("generate the evaluation keys"))
        })
    });
    phase
}
