//! Key sets: a directory of names and shapes, then the rows of all keys.

use std::{
    borrow::Borrow,
    io::{Read, Write},
};

use fhe_ring::Backend;

use super::{
    Kind, SENDER_AT_FAULT,
    message::{Incoming, message_bytes, receive, send},
    refused,
    switching_key::{DESCRIPTION_BYTES, check, rows_bytes},
};
use crate::{KeyId, KeyRequests, KeyShape, KeyStore, Parameters, RlweError, SwitchingKey, client::ClientSecrets};

const COUNT_BYTES: u64 = 4;

impl KeyRequests {
    /// Bytes of the message that carries the requested keys, header and checksum included:
    /// `88 + sum over keys of (27 + rows * (32 + sum over its primes of ceil(N bits / 8)))`.
    ///
    /// # Errors
    /// [`RlweError::Wire`] if a key cannot exist under these parameters, [`RlweError::Insecure`] if it must not.
    pub fn wire_bytes(&self, parameters: &Parameters) -> Result<u64, RlweError> {
        Ok(message_bytes(payload_bytes(self, parameters)?))
    }
}

fn payload_bytes(directory: &KeyRequests, parameters: &Parameters) -> Result<u64, RlweError> {
    directory.iter().try_fold(COUNT_BYTES, |sum, (id, shape)| {
        check(id, shape, parameters)?;
        Ok(sum + DESCRIPTION_BYTES + rows_bytes(id, shape, parameters))
    })
}

/// Most keys that there are names for: Galois elements of all rings, those of lanes twice, raises and conversions by Galois element,
/// strides of each token count, and one each of the others; each with any number of special primes.
fn most_keys(parameters: &Parameters) -> usize {
    let [main, small, lanes] =
        [parameters.ring(), parameters.small_ring(), parameters.lane_ring()].map(|ring| ring.degree());
    let names = 8 * main + 3 * small + 2 * lanes + 10;
    names * parameters.special_count()
}

/// Writes the keys of a directory as `next_key` provides them, one at a time.
fn write_keys<B: Backend, K: Borrow<SwitchingKey<B>>>(
    (backend, parameters): (&B, &Parameters),
    out: &mut impl Write,
    directory: &KeyRequests,
    mut next_key: impl FnMut(&KeyId, &KeyShape) -> Result<K, RlweError>,
) -> Result<(), RlweError> {
    send(backend, parameters, out, (Kind::KeySet, payload_bytes(directory, parameters)?), |message| {
        // Every name is listed once and `most_keys` is far below 2^32.
        message.bytes(&(directory.len() as u32).to_le_bytes())?;
        directory.iter().try_for_each(|(id, shape)| message.key_description(id, shape))?;
        directory.iter().try_for_each(|(id, shape)| message.key_rows(next_key(id, shape)?.borrow()))
    })
}

impl<B: Backend> KeyStore<B> {
    /// Writes all keys by their seeds; see [`crate::wire`] for the format.
    ///
    /// # Errors
    /// [`RlweError::Precondition`] for a backend without data or of another chain; [`RlweError::Wire`] for the empty
    /// keys of a plan, or if the output fails.
    pub fn write(&self, backend: &B, parameters: &Parameters, out: &mut impl Write) -> Result<(), RlweError> {
        let held = self.held();
        let mut directory = KeyRequests::default();
        held.iter().for_each(|key| directory.add(key.id, key.shape));
        let mut keys = held.iter();
        write_keys((backend, parameters), out, &directory, |id, _| {
            // Both are in the order of names, so there is one key for each.
            keys.next().map(AsRef::as_ref).ok_or_else(|| RlweError::MissingKey {
                key: id.to_string(),
                found: "absent".into(),
                required: "held".into(),
            })
        })
    }

    /// Reads a key set and expands the uniform halves of its keys.
    ///
    /// # Errors
    /// [`RlweError::Wire`] naming the field that does not fit; [`RlweError::Insecure`] for a key below 128 bits,
    /// unless the set was declared insecure; [`RlweError::Precondition`] for a backend without data or of another
    /// chain.
    pub fn read(backend: &B, parameters: &Parameters, input: &mut impl Read) -> Result<Self, RlweError> {
        receive(backend, parameters, input, Kind::KeySet, |message| {
            let directory = message.directory()?;
            let keys = directory.iter().map(|(id, shape)| message.key_rows(*id, *shape));
            Ok(Self::new(keys.collect::<Result<Vec<_>, _>>()?))
        })
    }
}

impl ClientSecrets {
    /// Generates the requested keys straight onto the wire: the message of [`KeyStore::write`], with one key in
    /// memory at a time. Reports how many are done.
    ///
    /// # Errors
    /// [`RlweError::Insecure`] for a key below 128 bits, unless the set was declared insecure; otherwise as
    /// [`KeyStore::write`].
    pub fn write_evaluation_keys<B: Backend>(
        &self,
        backend: &B,
        requests: &KeyRequests,
        out: &mut impl Write,
        done: impl Fn(usize),
    ) -> Result<(), RlweError> {
        let mut written = 0;
        write_keys((backend, self.parameters()), out, requests, |id, shape| {
            let key = self.switching_key(backend, id, shape)?;
            written += 1;
            done(written);
            Ok(key)
        })
    }
}

impl<B: Backend, R: Read> Incoming<'_, B, R> {
    fn directory(&mut self) -> Result<KeyRequests, RlweError> {
        let count = u32::from_le_bytes(self.array("number of keys")?);
        let most = most_keys(self.parameters);
        if count as usize > most {
            return refused("number of keys", count.to_string(), format!("at most {most}"), SENDER_AT_FAULT);
        }
        let mut directory = KeyRequests::default();
        let mut previous: Option<(KeyId, usize)> = None;
        let mut rows = 0;
        for _ in 0..count {
            let (id, shape) = self.key_description()?;
            let name = (id, shape.special);
            if let Some((previous, _)) = previous.filter(|previous| *previous >= name) {
                let found = format!("{id} after {previous}");
                return refused("directory", found, "every key once, names ascending", SENDER_AT_FAULT);
            }
            previous = Some(name);
            rows += rows_bytes(&id, &shape, self.parameters);
            directory.add(id, shape);
        }
        self.expect_payload_left(rows)?;
        Ok(directory)
    }
}
