//! What every message begins with.

use std::io::{Read, Write};

use fhe_ring::Backend;

use super::{
    SENDER_AT_FAULT,
    message::{Incoming, Outgoing},
    refused,
};
use crate::{Fingerprint, RlweError};

/// Version of the format that is written, and the only one that is read.
pub const FORMAT_VERSION: u16 = 2;

const MAGIC: [u8; 8] = *b"fhe-rlwe";

/// Bytes before the payload.
pub(super) const HEADER_BYTES: u64 = 8 + 2 + 2 + 32 + 8;

/// What a message holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A ciphertext of either form.
    Ciphertext,
    /// A public encryption key.
    PublicKey,
    /// One switching key.
    SwitchingKey,
    /// All switching keys of a circuit.
    KeySet,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Ciphertext, Self::PublicKey, Self::SwitchingKey, Self::KeySet];

    /// Its number on the wire.
    pub const fn number(self) -> u16 {
        match self {
            Self::Ciphertext => 1,
            Self::PublicKey => 2,
            Self::SwitchingKey => 3,
            Self::KeySet => 4,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Ciphertext => "ciphertext",
            Self::PublicKey => "public key",
            Self::SwitchingKey => "switching key",
            Self::KeySet => "key set",
        }
    }
}

impl<B: Backend, W: Write> Outgoing<'_, B, W> {
    pub(super) fn header(&mut self, kind: Kind, payload_bytes: u64) -> Result<(), RlweError> {
        self.bytes(&MAGIC)?;
        self.bytes(&FORMAT_VERSION.to_le_bytes())?;
        self.bytes(&kind.number().to_le_bytes())?;
        let Fingerprint(fingerprint) = self.parameters.fingerprint();
        self.bytes(&fingerprint)?;
        self.bytes(&payload_bytes.to_le_bytes())
    }
}

impl<B: Backend, R: Read> Incoming<'_, B, R> {
    /// Reads a header of the given kind; the length of its payload. Each field is judged before the next one is read,
    /// since a foreign file or another version need not have the others at all.
    pub(super) fn header(&mut self, kind: Kind) -> Result<u64, RlweError> {
        let magic = self.array::<8>("magic")?;
        if magic != MAGIC {
            let (found, required) = (format!("\"{}\"", magic.escape_ascii()), "\"fhe-rlwe\"");
            return refused("magic", found, required, "name a file or connection that carries keys or ciphertexts");
        }
        let version = u16::from_le_bytes(self.array("format version")?);
        if version != FORMAT_VERSION {
            let remedy = "use the same release on both sides, or generate and send again";
            return refused("format version", version.to_string(), FORMAT_VERSION.to_string(), remedy);
        }
        let number = u16::from_le_bytes(self.array("kind")?);
        if number != kind.number() {
            let known = Kind::ALL.into_iter().find(|known| known.number() == number);
            let found = format!("{number} ({})", known.map_or("unknown", Kind::name));
            let required = format!("{} ({})", kind.number(), kind.name());
            return refused("kind", found, required, "read it as what it is, or send what was asked for");
        }
        let (found, required) = (Fingerprint(self.array("parameter fingerprint")?), self.parameters.fingerprint());
        if found != required {
            let required = format!("{} ({})", required.short(), self.parameters.spec().name);
            let remedy = "use one parameter set on both sides";
            return refused("parameter fingerprint", found.short(), required, remedy);
        }
        Ok(u64::from_le_bytes(self.array("payload length")?))
    }

    /// Refuses a payload whose length is not what its contents come to.
    pub(super) fn expect_payload_left(&self, required: u64) -> Result<(), RlweError> {
        if self.left() == required {
            return Ok(());
        }
        let (found, required) = (format!("{} bytes past its description", self.left()), required.to_string());
        refused("payload length", found, required, SENDER_AT_FAULT)
    }
}
