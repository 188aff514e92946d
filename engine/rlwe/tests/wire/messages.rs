//! A whole message of every kind, how to read it, and how to tamper with it.

use fhe_ring::{Basis, Cpu};
use fhe_rlwe::{Ciphertext, KeyRequests, KeyStore, RlweError, SwitchingKey, client::PublicKey};

use crate::{
    BOUND, DEGREE,
    common::{Instance, message},
    groups, instance, rotation, seeded, written,
};

/// A message whose bytes were changed on purpose, with a checksum that says otherwise.
pub(crate) fn resealed(bytes: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = bytes[..bytes.len() - 32].to_vec();
    change(&mut bytes);
    let checksum = blake3::hash(&bytes);
    bytes.extend(checksum.as_bytes());
    bytes
}

pub(crate) fn refusal<T>(result: Result<T, RlweError>) -> (&'static str, String) {
    match result.err().expect("refused") {
        error @ RlweError::Wire { what, .. } => (what, error.to_string()),
        other => panic!("not about the wire format: {other}"),
    }
}

pub(crate) struct Messages {
    pub(crate) instance: Instance,
    pub(crate) ciphertext: Vec<u8>,
    pub(crate) seeded: Vec<u8>,
    pub(crate) public: Vec<u8>,
    pub(crate) key: Vec<u8>,
    pub(crate) set: Vec<u8>,
}

impl Messages {
    pub(crate) fn new(seed: u8) -> Self {
        let instance = instance(seed);
        let (backend, parameters) = (instance.backend.as_ref(), &instance.parameters);
        let fresh = seeded(&instance, &message(DEGREE, BOUND, 1), Basis::prefix(2), 0);
        let public = instance.client.public_key(backend, Basis::prefix(2)).expect("key");
        let id = rotation(parameters, 1);
        let key = instance.client.switching_key(backend, &id, &groups(Basis::prefix(2))).expect("key");
        let mut requests = KeyRequests::default();
        requests.add(id, groups(Basis::prefix(2)));
        requests.add(rotation(parameters, 2), groups(Basis::prefix(1)));
        Self {
            ciphertext: written(|out| fresh.ciphertext().write(backend, parameters, out)),
            seeded: written(|out| fresh.write(backend, parameters, out)),
            public: written(|out| public.write(backend, parameters, out)),
            key: written(|out| key.write(backend, parameters, out)),
            set: written(|out| instance.client.write_evaluation_keys(backend, &requests, out, |_| ())),
            instance,
        }
    }

    pub(crate) fn read_ciphertext(&self, mut bytes: &[u8]) -> Result<Ciphertext<Cpu>, RlweError> {
        Ciphertext::read(self.instance.backend.as_ref(), &self.instance.parameters, &mut bytes)
    }

    pub(crate) fn read_public(&self, mut bytes: &[u8]) -> Result<PublicKey<Cpu>, RlweError> {
        PublicKey::read(self.instance.backend.as_ref(), &self.instance.parameters, &mut bytes)
    }

    pub(crate) fn read_key(&self, mut bytes: &[u8]) -> Result<SwitchingKey<Cpu>, RlweError> {
        SwitchingKey::read(self.instance.backend.as_ref(), &self.instance.parameters, &mut bytes)
    }

    pub(crate) fn read_set(&self, mut bytes: &[u8]) -> Result<KeyStore<Cpu>, RlweError> {
        KeyStore::read(self.instance.backend.as_ref(), &self.instance.parameters, &mut bytes)
    }
}
