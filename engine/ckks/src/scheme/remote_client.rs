//! A client whose server computes on a backend of another kind.

use std::sync::Arc;

use fhe_ring::{Backend, Seed};
use fhe_rlwe::{KeyRequests, KeyStore};

use super::{CkksClient, CkksServer, CoefficientCiphertext};
use crate::{CkksError, Client, Parameters};

/// The data owner's side where server and client compute on different devices: secrets stay with the client's backend `C`, and what
/// the server's backend `S` receives are keys and ciphertexts alone.
pub struct RemoteClient<C: Backend, S: Backend> {
    client: CkksClient<C>,
    here: Arc<C>,
    there: Arc<S>,
}

impl<C: Backend, S: Backend> RemoteClient<C, S> {
    /// Draws the secrets from `seed`, as [`CkksClient::new`] does; `there` is where the server holds what it receives.
    ///
    /// # Errors
    /// As [`CkksClient::new`].
    pub fn new(here: Arc<C>, there: Arc<S>, parameters: Parameters, seed: &Seed) -> Result<Self, CkksError> {
        Ok(Self { client: CkksClient::new(Arc::clone(&here), parameters, seed)?, here, there })
    }

    /// As [`CkksClient::evaluation_keys`], on the server's backend. One key at a time exists on both.
    ///
    /// # Errors
    /// As [`CkksClient::evaluation_keys`].
    pub fn evaluation_keys(&self, requests: &KeyRequests, done: impl Fn(usize)) -> Result<KeyStore<S>, CkksError> {
        let mut keys = Vec::with_capacity(requests.len());
        self.client.secrets().hand_out_evaluation_keys(self.here.as_ref(), requests, |key| {
            keys.push(key.carried(self.here.as_ref(), self.there.as_ref())?);
            done(keys.len());
            Ok(())
        })?;
        Ok(KeyStore::new(keys))
    }
}

impl<C: Backend, S: Backend> Client<CkksServer<S>> for RemoteClient<C, S> {
    fn encrypt(&self, coefficients: &[f64], unit: f64) -> Result<CoefficientCiphertext<S>, CkksError> {
        let local = self.client.encrypt(coefficients, unit)?;
        Ok(CoefficientCiphertext::new(local.ciphertext().carried(self.here.as_ref(), self.there.as_ref())?, local.unit))
    }

    fn decrypt(&self, ciphertext: &CoefficientCiphertext<S>) -> Result<Option<Vec<f64>>, CkksError> {
        if !S::HOLDS_DATA {
            return Ok(None);
        }
        let local = ciphertext.ciphertext().carried(self.there.as_ref(), self.here.as_ref())?;
        self.client.decrypt(&CoefficientCiphertext::new(local, ciphertext.unit))
    }
}
