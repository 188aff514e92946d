//! Ciphertexts: both halves of any, or one half and a seed of a fresh one.

use std::io::{Read, Write};

use fhe_ring::{Backend, Domain, Ring, RingKind, Shape};

use super::{
    Kind, SENDER_AT_FAULT,
    message::{Incoming, Outgoing, message_bytes, receive, send},
    refused,
    residues::{check_basis, poly_bytes},
};
use crate::{Ciphertext, Parameters, RlweError, SeededCiphertext};

/// How a ciphertext travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CiphertextForm {
    /// Both halves: any ciphertext.
    BothHalves,
    /// The half `b` and the public seed of `a`: a fresh encryption by the holder of the secret.
    Seeded,
}

/// Form, domain, ring and basis.
const DESCRIPTION_BYTES: u64 = 1 + 1 + 1 + 1 + 8 + 1;
const SEED_BYTES: u64 = 32;

/// Bytes of a ciphertext's message, header and checksum included:
/// `97 + halves * sum over its primes of ceil(N bits / 8)`, and 32 for the seed of the seeded form, which has one half.
///
/// # Errors
/// [`RlweError::Wire`] if there is no such ciphertext under these parameters.
pub fn ciphertext_wire_bytes(shape: Shape, form: CiphertextForm, parameters: &Parameters) -> Result<u64, RlweError> {
    check(shape, form, parameters)?;
    Ok(message_bytes(payload_bytes(shape, form, parameters)))
}

pub(super) fn payload_bytes(shape: Shape, form: CiphertextForm, parameters: &Parameters) -> u64 {
    DESCRIPTION_BYTES + halves_bytes(shape, form, parameters)
}

fn halves_bytes(shape: Shape, form: CiphertextForm, parameters: &Parameters) -> u64 {
    let half = poly_bytes(parameters, shape);
    match form {
        CiphertextForm::BothHalves => 2 * half,
        CiphertextForm::Seeded => half + SEED_BYTES,
    }
}

fn check(shape: Shape, form: CiphertextForm, parameters: &Parameters) -> Result<(), RlweError> {
    let degrees = [parameters.ring(), parameters.small_ring(), parameters.lane_ring()].map(|ring| ring.log_degree);
    if !degrees.contains(&shape.ring.log_degree) {
        let required = format!("2^{}, 2^{} or 2^{}", degrees[0], degrees[1], degrees[2]);
        return refused("ring degree", format!("2^{}", shape.ring.log_degree), required, SENDER_AT_FAULT);
    }
    if form == CiphertextForm::Seeded && shape.domain != Domain::Evaluation {
        let required = "the evaluation domain, in which seeds are expanded";
        return refused("domain", shape.domain.to_string(), required, SENDER_AT_FAULT);
    }
    check_basis(parameters, shape.basis)
}

impl<B: Backend> Ciphertext<B> {
    /// Writes both halves; see [`crate::wire`] for the format.
    ///
    /// # Errors
    /// [`RlweError::Precondition`] for a backend without data or of another chain; [`RlweError::Wire`] if the output
    /// fails.
    pub fn write(&self, backend: &B, parameters: &Parameters, out: &mut impl Write) -> Result<(), RlweError> {
        let (shape, form) = (self.shape(), CiphertextForm::BothHalves);
        check(shape, form, parameters)?;
        send(backend, parameters, out, (Kind::Ciphertext, payload_bytes(shape, form, parameters)), |message| {
            message.ciphertext_description(shape, form)?;
            self.halves().into_iter().try_for_each(|half| message.poly(half))
        })
    }

    /// Reads a ciphertext of either form, expanding the seed if there is one.
    ///
    /// # Errors
    /// [`RlweError::Wire`] naming the field that does not fit; [`RlweError::Precondition`] for a backend without data
    /// or of another chain.
    pub fn read(backend: &B, parameters: &Parameters, input: &mut impl Read) -> Result<Self, RlweError> {
        receive(backend, parameters, input, Kind::Ciphertext, |message| {
            let (shape, form) = message.ciphertext_description()?;
            match form {
                CiphertextForm::BothHalves => Self::new(message.poly(shape)?, message.poly(shape)?),
                CiphertextForm::Seeded => Ok(message.seeded_halves(shape)?.into_ciphertext()),
            }
        })
    }
}

impl<B: Backend> SeededCiphertext<B> {
    /// Writes one half and the seed of the other; [`Ciphertext::read`] reads it.
    ///
    /// # Errors
    /// As [`Ciphertext::write`].
    pub fn write(&self, backend: &B, parameters: &Parameters, out: &mut impl Write) -> Result<(), RlweError> {
        self.write_as(Kind::Ciphertext, backend, parameters, out)
    }

    pub(super) fn write_as(
        &self,
        kind: Kind,
        backend: &B,
        parameters: &Parameters,
        out: &mut impl Write,
    ) -> Result<(), RlweError> {
        let (shape, form) = (self.ciphertext().shape(), CiphertextForm::Seeded);
        check(shape, form, parameters)?;
        send(backend, parameters, out, (kind, payload_bytes(shape, form, parameters)), |message| {
            message.ciphertext_description(shape, form)?;
            message.poly(self.ciphertext().b())?;
            message.public_seed(self.seed())
        })
    }
}

impl<B: Backend, W: Write> Outgoing<'_, B, W> {
    fn ciphertext_description(&mut self, shape: Shape, form: CiphertextForm) -> Result<(), RlweError> {
        let form = match form {
            CiphertextForm::BothHalves => 0,
            CiphertextForm::Seeded => 1,
        };
        let domain = match shape.domain {
            Domain::Coefficient => 0,
            Domain::Evaluation => 1,
        };
        let kind = match shape.ring.kind {
            RingKind::Cyclotomic => 0,
            RingKind::ConjugateInvariant => 1,
        };
        self.bytes(&[form, domain, kind, shape.ring.log_degree as u8])?;
        self.basis(shape.basis)
    }
}

impl<B: Backend, R: Read> Incoming<'_, B, R> {
    pub(super) fn ciphertext_description(&mut self) -> Result<(Shape, CiphertextForm), RlweError> {
        let form = match self.array("form")? {
            [0] => CiphertextForm::BothHalves,
            [1] => CiphertextForm::Seeded,
            [other] => return refused("form", other.to_string(), "0 or 1", SENDER_AT_FAULT),
        };
        let domain = match self.array("domain")? {
            [0] => Domain::Coefficient,
            [1] => Domain::Evaluation,
            [other] => return refused("domain", other.to_string(), "0 or 1", SENDER_AT_FAULT),
        };
        let kind = match self.array("ring kind")? {
            [0] => RingKind::Cyclotomic,
            [1] => RingKind::ConjugateInvariant,
            [other] => return refused("ring kind", other.to_string(), "0 or 1", SENDER_AT_FAULT),
        };
        let [log_degree] = self.array("ring degree")?;
        let ring = Ring { kind, log_degree: log_degree.into() };
        let shape = Shape { ring, basis: self.basis()?, domain };
        check(shape, form, self.parameters)?;
        self.expect_payload_left(halves_bytes(shape, form, self.parameters))?;
        Ok((shape, form))
    }

    pub(super) fn seeded_halves(&mut self, shape: Shape) -> Result<SeededCiphertext<B>, RlweError> {
        let b = self.poly(shape)?;
        SeededCiphertext::expand(self.backend, b, self.public_seed()?)
    }
}
