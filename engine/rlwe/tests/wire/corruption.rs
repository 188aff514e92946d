//! Random damage: always an error, never a panic, never a silent success.

use std::sync::OnceLock;

use fhe_ring::{Basis, Cpu};
use fhe_rlwe::{
    Ciphertext, Gadget, KeyId, KeyRequests, KeyShape, KeyStore, RlweError, SwitchingKey, client::PublicKey,
};
use proptest::prelude::*;

use crate::{
    BOUND, DEGREE, HEADER,
    common::{Instance, message},
    groups, instance, rotation, seeded, written,
};

type ReadBack = fn(&Instance, &[u8]) -> Result<(), RlweError>;
type Messages = (Instance, Vec<(Vec<u8>, ReadBack)>);

/// A whole message of every kind, with how to read it.
fn messages() -> &'static Messages {
    static MESSAGES: OnceLock<Messages> = OnceLock::new();
    MESSAGES.get_or_init(|| {
        let instance = instance(61);
        let (backend, parameters) = (instance.backend.as_ref(), &instance.parameters);
        let fresh = seeded(&instance, &message(DEGREE, BOUND, 1), Basis::prefix(1), 0);
        let public = instance.client.public_key(backend, Basis::of([1])).expect("key");
        let key = KeyId::Packing { tokens: 8, block: 1 };
        let shape = KeyShape { ciphertext: Basis::prefix(1), special: 1, gadget: Gadget::Whole };
        let mut requests = KeyRequests::default();
        requests.add(key, shape);
        requests.add(rotation(parameters, 1), groups(Basis::prefix(1)));
        let key = instance.client.switching_key(backend, &key, &shape).expect("key");
        let ciphertext: ReadBack =
            |instance, mut bytes| Ciphertext::read(backend_of(instance), &instance.parameters, &mut bytes).map(drop);
        let messages: Vec<(Vec<u8>, ReadBack)> = vec![
            (written(|out| fresh.ciphertext().write(backend, parameters, out)), ciphertext),
            (written(|out| fresh.write(backend, parameters, out)), ciphertext),
            (written(|out| public.write(backend, parameters, out)), |instance, mut bytes| {
                PublicKey::read(backend_of(instance), &instance.parameters, &mut bytes).map(drop)
            }),
            (written(|out| key.write(backend, parameters, out)), |instance, mut bytes| {
                SwitchingKey::read(backend_of(instance), &instance.parameters, &mut bytes).map(drop)
            }),
            (
                written(|out| instance.client.write_evaluation_keys(backend, &requests, out, |_| ())),
                |instance, mut bytes| KeyStore::read(backend_of(instance), &instance.parameters, &mut bytes).map(drop),
            ),
        ];
        (instance, messages)
    })
}

fn backend_of(instance: &Instance) -> &Cpu {
    instance.backend.as_ref()
}

#[test]
fn every_bit_of_the_descriptions_counts() {
    let (instance, messages) = messages();
    for (bytes, read) in messages {
        read(instance, bytes).expect("whole");
        let tail = bytes.len() - 64..bytes.len();
        for position in (0..HEADER + 4 + 2 * 27).chain(tail) {
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[position] ^= 1 << bit;
                assert!(read(instance, &damaged).is_err(), "byte {position}, bit {bit}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_changed_byte_is_refused(
        which in any::<prop::sample::Index>(),
        position in any::<prop::sample::Index>(),
        change in 1u8..,
    ) {
        let (instance, messages) = messages();
        let (bytes, read) = which.get(messages);
        let mut damaged = bytes.clone();
        damaged[position.index(bytes.len())] ^= change;
        prop_assert!(read(instance, &damaged).is_err());
    }

    #[test]
    fn any_lost_or_repeated_stretch_is_refused(
        which in any::<prop::sample::Index>(),
        ends in any::<[prop::sample::Index; 2]>(),
        repeated in any::<bool>(),
    ) {
        let (instance, messages) = messages();
        let (bytes, read) = which.get(messages);
        let [x, y] = ends.map(|end| end.index(bytes.len()));
        let (start, end) = (x.min(y), x.max(y) + 1);
        let resumed = if repeated { start } else { end };
        let mut damaged = bytes[..if repeated { end } else { start }].to_vec();
        damaged.extend_from_slice(&bytes[resumed..]);
        // Bytes repeated after the end would be another message's.
        prop_assume!(damaged.get(..bytes.len()) != Some(bytes.as_slice()));
        prop_assert!(read(instance, &damaged).is_err());
    }

    /// Someone who forges the checksum may choose residues and seeds, but gets no further.
    #[test]
    fn forged_checksums_never_panic(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((0usize..140, any::<u8>()), 1..5),
    ) {
        let (instance, messages) = messages();
        let (bytes, read) = which.get(messages);
        let mut forged = bytes[..bytes.len() - 32].to_vec();
        for (position, value) in changes {
            forged[position] = value;
        }
        let checksum = blake3::hash(&forged);
        forged.extend_from_slice(checksum.as_bytes());
        let _ = read(instance, &forged);
    }

    #[test]
    fn noise_is_refused(which in any::<prop::sample::Index>(), noise in prop::collection::vec(any::<u8>(), 0..300)) {
        let (instance, messages) = messages();
        let (bytes, read) = which.get(messages);
        prop_assert!(read(instance, &noise).is_err());
        let continued = [&bytes[..HEADER], &noise].concat();
        prop_assert!(read(instance, &continued).is_err());
    }
}
