//! Payloads of ciphertexts: as many as the circuit has, each a message of the wire format.

use std::io::{Read, Write};

use fhe_ckks::{CoefficientCiphertext, Parameters};
use fhe_ring::Backend;
use fhe_rlwe::wire::CiphertextForm;

use super::SessionError;
use super::frame::Kind;
use super::line::{Contents, Line};

/// What a server says that an answer took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effort {
    /// From the arrival of the ciphertexts to the logits.
    pub seconds: f64,
    /// How many of them.
    pub half_bootstraps: u64,
}

const EFFORT_BYTES: u64 = 8 + 8;

fn bytes_of<B: Backend>(count: usize, form: CiphertextForm, parameters: &Parameters) -> Result<u64, SessionError> {
    let each = CoefficientCiphertext::<B>::wire_bytes(form, parameters);
    Ok(count as u64 * each.map_err(SessionError::engine("size a ciphertext"))?)
}

/// Sends what a client encrypted.
pub(super) fn send_ciphertexts<B: Backend, R: Read, W: Write>(
    line: &mut Line<R, W>,
    kind: Kind,
    (backend, parameters): (&B, &Parameters),
    ciphertexts: &[CoefficientCiphertext<B>],
) -> Result<(), SessionError> {
    let bytes = bytes_of::<B>(ciphertexts.len(), CiphertextForm::Seeded, parameters)?;
    line.send(kind, bytes, |frame| {
        let written = ciphertexts.iter().try_for_each(|ciphertext| ciphertext.write(backend, parameters, frame));
        written.map_err(SessionError::engine("send ciphertexts"))
    })
}

/// Reads so many ciphertexts of one form: no more and no fewer, under these parameters.
pub(super) fn receive_ciphertexts<B: Backend, R: Read>(
    contents: &mut Contents<'_, R>,
    (backend, parameters): (&B, &Parameters),
    count: usize,
    form: CiphertextForm,
) -> Result<Vec<CoefficientCiphertext<B>>, SessionError> {
    contents.expect_bytes(bytes_of::<B>(count, form, parameters)?)?;
    let one = |_| CoefficientCiphertext::read(backend, parameters, contents);
    (0..count).map(one).collect::<Result<_, _>>().map_err(SessionError::engine("read ciphertexts"))
}

/// Sends what a server computed, and what that took.
pub(super) fn send_logits<B: Backend, R: Read, W: Write>(
    line: &mut Line<R, W>,
    (backend, parameters): (&B, &Parameters),
    logits: &[CoefficientCiphertext<B>],
    effort: Effort,
) -> Result<(), SessionError> {
    let bytes = EFFORT_BYTES + bytes_of::<B>(logits.len(), CiphertextForm::BothHalves, parameters)?;
    line.send(Kind::Logits, bytes, |frame| {
        frame.bytes(&effort.seconds.to_le_bytes())?;
        frame.bytes(&effort.half_bootstraps.to_le_bytes())?;
        let written = logits.iter().try_for_each(|ciphertext| ciphertext.write(backend, parameters, frame));
        written.map_err(SessionError::engine("send logits"))
    })
}

/// Reads the logits that a server computed.
pub(super) fn receive_logits<B: Backend, R: Read, W: Write>(
    line: &mut Line<R, W>,
    (backend, parameters): (&B, &Parameters),
    count: usize,
) -> Result<(Vec<CoefficientCiphertext<B>>, Effort), SessionError> {
    line.receive(Kind::Logits, |contents| {
        let mut number = || {
            let mut bytes = [0; 8];
            contents.read_exact(&mut bytes).map_err(SessionError::engine("read what an answer took"))?;
            Ok::<_, SessionError>(bytes)
        };
        let (seconds, half_bootstraps) = (f64::from_le_bytes(number()?), u64::from_le_bytes(number()?));
        let logits = receive_ciphertexts(contents, (backend, parameters), count, CiphertextForm::BothHalves)?;
        Ok((logits, Effort { seconds, half_bootstraps }))
    })
}
