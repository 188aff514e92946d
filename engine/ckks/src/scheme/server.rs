//! The server: everything it needs to compute on ciphertexts, and no secret.

use std::sync::{Arc, Mutex, PoisonError};

use fhe_ring::Backend;
use fhe_rlwe::{KeyRequests, KeyStore, KeySwitcher, WeightProduct};

use super::{
    ascending::AscendingTables,
    descending::{DescendingTables, Destination},
    encoder::Encoder,
};
use crate::{CkksError, Copies, OperationCounts, Parameters};

/// CKKS over a backend with a set of evaluation keys; implements [`crate::Evaluator`].
///
/// Evaluation keys are all that it takes from a client,
///
/// ```
/// # use std::sync::Arc;
/// # use fhe_ckks::{CkksServer, Parameters};
/// # use fhe_ring::{Cpu, Seed};
/// # use fhe_rlwe::{KeyRequests, client::ClientSecrets};
/// # let parameters = Parameters::named("n11-toy")?;
/// # let backend = Arc::new(Cpu::new(parameters.rlwe().chain().clone()));
/// let secrets = ClientSecrets::generate(parameters.rlwe(), &Seed::from_os()?)?;
/// let keys = secrets.evaluation_keys(backend.as_ref(), &KeyRequests::default())?;
/// let server = CkksServer::new(backend, parameters, keys)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// and a server that is given the secrets in their place does not compile:
///
/// ```compile_fail,E0308
/// # use std::sync::Arc;
/// # use fhe_ckks::{CkksServer, Parameters};
/// # use fhe_ring::{Cpu, Seed};
/// # use fhe_rlwe::{KeyRequests, client::ClientSecrets};
/// # let parameters = Parameters::named("n11-toy")?;
/// # let backend = Arc::new(Cpu::new(parameters.rlwe().chain().clone()));
/// let secrets = ClientSecrets::generate(parameters.rlwe(), &Seed::from_os()?)?;
/// let server = CkksServer::new(backend, parameters, secrets)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct CkksServer<B: Backend> {
    pub(super) switcher: KeySwitcher<B>,
    pub(super) parameters: Parameters,
    pub(super) encoder: Encoder,
    pub(super) ascending: AscendingTables<B>,
    pub(super) descending: DescendingTables<B>,
    counts: Mutex<OperationCounts>,
}

/// Transforms between slots and coefficients that a circuit takes, and the units that their last factors are left encoded for: what a server has encoded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TransformRequests {
    ascents: Vec<Copies>,
    descents: Vec<(Destination, Option<f64>)>,
}

impl<B: Backend> CkksServer<B> {
    /// A server with the keys that a client generated. Encodes the factors of CoeffsToSlots and SlotsToCoeffs.
    ///
    /// # Errors
    /// If a table cannot be encoded.
    pub fn new(backend: Arc<B>, parameters: Parameters, keys: KeyStore<B>) -> Result<Self, CkksError> {
        let switcher = KeySwitcher::new(backend, parameters.rlwe().clone(), keys);
        let encoder = Encoder::new(parameters.set().log_degree)?;
        let ascending = AscendingTables::new(&switcher, &parameters, &encoder)?;
        let descending = DescendingTables::new(&switcher, &parameters, &encoder)?;
        Ok(Self { switcher, parameters, encoder, ascending, descending, counts: Mutex::default() })
    }

    /// A server that only finds out which keys a circuit needs; run the circuit on it, then read [`CkksServer::key_requests`].
    ///
    /// # Errors
    /// As [`CkksServer::new`].
    pub fn planning(backend: Arc<B>, parameters: Parameters) -> Result<Self, CkksError> {
        Self::new(backend, parameters, KeyStore::planning())
    }

    /// The same server with another form of products with weights; [`WeightProduct::Structured`] is the default. Results, keys and
    /// operation counts do not depend on it.
    #[must_use]
    pub fn with_weight_product(self, form: WeightProduct) -> Self {
        Self { switcher: self.switcher.with_weight_product(form), ..self }
    }

    /// The parameters.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The backend.
    pub fn backend(&self) -> &B {
        self.switcher.backend()
    }

    /// Whether this server only finds out which keys a circuit needs.
    pub fn is_planning(&self) -> bool {
        self.switcher.keys().is_planning()
    }

    /// Keys that a planning run asked for.
    pub fn key_requests(&self) -> KeyRequests {
        self.switcher.keys().requests()
    }

    /// Transforms that a planning run took, those of dense slots included.
    pub fn transform_requests(&self) -> TransformRequests {
        TransformRequests { ascents: self.ascending.copies(), descents: self.descending.destinations() }
    }

    /// Encodes the factors of transforms that a circuit will take; otherwise each is encoded when it is first needed, as part of the circuit's work.
    ///
    /// # Errors
    /// If one cannot be encoded.
    pub fn encode_transforms(&self, requests: &TransformRequests) -> Result<(), CkksError> {
        requests.ascents.iter().try_for_each(|&copies| self.ascending.of(copies, self).map(drop))?;
        let mut descents = requests.descents.iter();
        descents.try_for_each(|&(destination, unit)| self.descending.encode(destination, unit, self))
    }

    /// Bytes of the evaluation keys.
    pub fn key_bytes(&self) -> usize {
        self.switcher.keys().bytes(self.parameters.rlwe())
    }

    /// Bytes of the encoded factors of both transforms.
    pub fn table_bytes(&self) -> usize {
        8 * (self.ascending.words() + self.descending.words())
    }

    /// Gadget products executed so far.
    pub fn key_switches(&self) -> u64 {
        self.switcher.switches()
    }

    pub(super) fn count(&self, change: impl FnOnce(&mut OperationCounts)) {
        change(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn operation_counts(&self) -> OperationCounts {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
