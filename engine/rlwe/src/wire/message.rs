//! Messages as streams: bytes pass through the checksum on their way out and on their way in.

use std::io::{ErrorKind, Read, Write};

use fhe_ring::{Backend, Seed};

use super::{
    SENDER_AT_FAULT, TRANSFER_AGAIN,
    header::{HEADER_BYTES, Kind},
    refused,
};
use crate::{Parameters, RlweError};

const CHECKSUM_BYTES: u64 = 32;

/// Bytes of a whole message with so many bytes of payload.
pub(super) const fn message_bytes(payload_bytes: u64) -> u64 {
    HEADER_BYTES + payload_bytes + CHECKSUM_BYTES
}

/// A message being written.
pub(super) struct Outgoing<'a, B: Backend, W: Write> {
    pub(super) backend: &'a B,
    pub(super) parameters: &'a Parameters,
    out: &'a mut W,
    checksum: blake3::Hasher,
}

/// A message being read.
pub(super) struct Incoming<'a, B: Backend, R: Read> {
    pub(super) backend: &'a B,
    pub(super) parameters: &'a Parameters,
    input: &'a mut R,
    checksum: blake3::Hasher,
    left: u64,
}

/// Writes a message whose payload, of exactly `payload_bytes`, `payload` writes.
pub(super) fn send<B: Backend, W: Write>(
    backend: &B,
    parameters: &Parameters,
    out: &mut W,
    (kind, payload_bytes): (Kind, u64),
    payload: impl FnOnce(&mut Outgoing<'_, B, W>) -> Result<(), RlweError>,
) -> Result<(), RlweError> {
    check_backend("write", backend, parameters)?;
    let mut outgoing = Outgoing { backend, parameters, out, checksum: blake3::Hasher::new() };
    outgoing.header(kind, payload_bytes)?;
    payload(&mut outgoing)?;
    debug_assert_eq!(outgoing.checksum.count(), HEADER_BYTES + payload_bytes);
    let checksum = outgoing.checksum.finalize();
    outgoing.bytes(checksum.as_bytes())
}

/// Reads a message of the given kind; `payload` reads its payload, all of it. Nothing past the message is read.
pub(super) fn receive<B: Backend, R: Read, T>(
    backend: &B,
    parameters: &Parameters,
    input: &mut R,
    kind: Kind,
    payload: impl FnOnce(&mut Incoming<'_, B, R>) -> Result<T, RlweError>,
) -> Result<T, RlweError> {
    check_backend("read", backend, parameters)?;
    let mut incoming = Incoming { backend, parameters, input, checksum: blake3::Hasher::new(), left: HEADER_BYTES };
    incoming.left = incoming.header(kind)?;
    let contents = payload(&mut incoming)?;
    incoming.expect_payload_left(0)?;
    let required = incoming.checksum.finalize();
    incoming.left = CHECKSUM_BYTES;
    let found = blake3::Hash::from_bytes(incoming.array("checksum")?);
    if found != required {
        let short = |hash: blake3::Hash| hash.to_hex()[..8].to_owned();
        return refused("checksum", short(found), short(required), TRANSFER_AGAIN);
    }
    Ok(contents)
}

/// Refuses bytes after the last message.
///
/// # Errors
/// [`RlweError::Wire`] if anything follows, or if the input cannot be read.
pub fn expect_end(input: &mut impl Read) -> Result<(), RlweError> {
    match input.take(1).read_to_end(&mut Vec::new()) {
        Ok(0) => Ok(()),
        Ok(_) => refused("input", "more bytes after the message", "its end", "remove what follows, or read it first"),
        Err(error) => refused("input", format!("\"{error}\""), "its end", TRANSFER_AGAIN),
    }
}

/// There are residues to write or room to read them into, and they belong to the parameters' primes.
fn check_backend<B: Backend>(operation: &'static str, backend: &B, parameters: &Parameters) -> Result<(), RlweError> {
    let (found, required, remedy) = if !B::HOLDS_DATA {
        ("without data", "one that holds data", "meter messages with the functions that only count bytes")
    } else if backend.primes() != parameters.chain() {
        ("over another prime chain", "over the chain of the parameters", "make it for these parameters")
    } else {
        return Ok(());
    };
    Err(RlweError::Precondition {
        operation,
        operand: "the backend",
        found: found.to_owned(),
        required: required.to_owned(),
        remedy,
    })
}

impl<B: Backend, W: Write> Outgoing<'_, B, W> {
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<(), RlweError> {
        self.checksum.update(bytes);
        self.out.write_all(bytes).or_else(|error| {
            let required = format!("to take {} more bytes", bytes.len());
            refused("output", format!("\"{error}\""), required, "free some space or choose another destination")
        })
    }

    /// A seed that the other side may know.
    pub(super) fn public_seed(&mut self, seed: &Seed) -> Result<(), RlweError> {
        self.bytes(seed.as_bytes())
    }
}

impl<B: Backend, R: Read> Incoming<'_, B, R> {
    /// Bytes of this part of the message that are still to come.
    pub(super) fn left(&self) -> u64 {
        self.left
    }

    /// Fills `bytes`, which hold (part of) the named field.
    pub(super) fn fill(&mut self, field: &'static str, bytes: &mut [u8]) -> Result<(), RlweError> {
        let Some(left) = self.left.checked_sub(bytes.len() as u64) else {
            let required = format!("at least {} more for the {field}", bytes.len());
            return refused("payload length", format!("{} bytes", self.left), required, SENDER_AT_FAULT);
        };
        self.left = left;
        self.input.read_exact(bytes).or_else(|error| {
            let found = match error.kind() {
                ErrorKind::UnexpectedEof => "truncated".to_owned(),
                _ => format!("unreadable (\"{error}\")"),
            };
            refused(field, found, format!("{} bytes", bytes.len()), TRANSFER_AGAIN)
        })?;
        self.checksum.update(bytes);
        Ok(())
    }

    pub(super) fn array<const COUNT: usize>(&mut self, field: &'static str) -> Result<[u8; COUNT], RlweError> {
        let mut bytes = [0; COUNT];
        self.fill(field, &mut bytes)?;
        Ok(bytes)
    }

    pub(super) fn public_seed(&mut self) -> Result<Seed, RlweError> {
        Ok(Seed::from_bytes(self.array("public seed")?))
    }
}
