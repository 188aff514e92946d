//! Public keys: seeded encryptions of zero.

use std::io::{Read, Write};

use fhe_ring::{Backend, Basis, Shape};

use super::{
    Kind, SENDER_AT_FAULT,
    ciphertext::{CiphertextForm, ciphertext_wire_bytes},
    message::receive,
    refused,
};
use crate::{Parameters, RlweError, SecretId, client::PublicKey};

impl<B: Backend> PublicKey<B> {
    /// Bytes of a public key's message at the given primes, as of a seeded ciphertext.
    ///
    /// # Errors
    /// [`RlweError::Wire`] if the primes are not all of the chain.
    pub fn wire_bytes(basis: Basis, parameters: &Parameters) -> Result<u64, RlweError> {
        ciphertext_wire_bytes(Shape::evaluation(parameters.ring(), basis), CiphertextForm::Seeded, parameters)
    }

    /// Writes the key; see [`crate::wire`] for the format.
    ///
    /// # Errors
    /// As [`crate::Ciphertext::write`].
    pub fn write(&self, backend: &B, parameters: &Parameters, out: &mut impl Write) -> Result<(), RlweError> {
        self.zero.write_as(Kind::PublicKey, backend, parameters, out)
    }

    /// Reads a key and expands its uniform half.
    ///
    /// # Errors
    /// As [`crate::Ciphertext::read`], and [`RlweError::Insecure`] for a key below 128 bits, unless the set was
    /// declared insecure.
    pub fn read(backend: &B, parameters: &Parameters, input: &mut impl Read) -> Result<Self, RlweError> {
        receive(backend, parameters, input, Kind::PublicKey, |message| {
            let (shape, form) = message.ciphertext_description()?;
            if form != CiphertextForm::Seeded {
                return refused("form", "both halves", "seeded, as public keys are", SENDER_AT_FAULT);
            }
            if shape.ring != parameters.ring() {
                return refused("ring", shape.ring.to_string(), parameters.ring().to_string(), SENDER_AT_FAULT);
            }
            parameters.check_modulus("public key", SecretId::Dense, shape.basis)?;
            Ok(Self { zero: message.seeded_halves(shape)? })
        })
    }
}
