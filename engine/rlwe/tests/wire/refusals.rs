//! Each thing that can be wrong, by the field that is named.

use std::io::{self, Read, Write};

use fhe_ring::{Basis, Counting, Cpu, Meter, Poly, Shape};
use fhe_rlwe::{
    Ciphertext, Gadget, KeyId, KeyRequests, KeyShape, KeyStore, RlweError, SwitchingKey,
    client::PublicKey,
    wire::{CiphertextForm, ciphertext_wire_bytes, expect_end},
};

use crate::{
    BOUND, DEGREE, HEADER, LENGTH,
    common::{Instance, message},
    groups, instance, parameters, rotation, seeded, written,
};

/// A message whose bytes were changed on purpose, with a checksum that says otherwise.
fn resealed(bytes: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = bytes[..bytes.len() - 32].to_vec();
    change(&mut bytes);
    let checksum = blake3::hash(&bytes);
    bytes.extend(checksum.as_bytes());
    bytes
}

fn refusal<T>(result: Result<T, RlweError>) -> (&'static str, String) {
    match result.err().expect("refused") {
        error @ RlweError::Wire { what, .. } => (what, error.to_string()),
        other => panic!("not about the wire format: {other}"),
    }
}

struct Messages {
    instance: Instance,
    ciphertext: Vec<u8>,
    seeded: Vec<u8>,
    public: Vec<u8>,
    key: Vec<u8>,
    set: Vec<u8>,
}

impl Messages {
    fn new(seed: u8) -> Self {
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

    fn read_ciphertext(&self, mut bytes: &[u8]) -> Result<Ciphertext<Cpu>, RlweError> {
        Ciphertext::read(self.instance.backend.as_ref(), &self.instance.parameters, &mut bytes)
    }

    fn read_public(&self, mut bytes: &[u8]) -> Result<PublicKey<Cpu>, RlweError> {
        PublicKey::read(self.instance.backend.as_ref(), &self.instance.parameters, &mut bytes)
    }

    fn read_key(&self, mut bytes: &[u8]) -> Result<SwitchingKey<Cpu>, RlweError> {
        SwitchingKey::read(self.instance.backend.as_ref(), &self.instance.parameters, &mut bytes)
    }

    fn read_set(&self, mut bytes: &[u8]) -> Result<KeyStore<Cpu>, RlweError> {
        KeyStore::read(self.instance.backend.as_ref(), &self.instance.parameters, &mut bytes)
    }
}

#[test]
fn rejects_wrong_headers() {
    let messages = Messages::new(41);
    let (what, text) = refusal(messages.read_ciphertext(b"{\"weights\": [1, 2]}"));
    assert!(what == "magic" && text.contains("fhe-rlwe") && text.contains("weight"), "{text}");
    let newer = resealed(&messages.key, |bytes| bytes[8] = 2);
    let (what, text) = refusal(messages.read_key(&newer));
    assert!(what == "format version" && text.contains("is 2, required 1"), "{text}");
    let (what, text) = refusal(messages.read_key(&messages.set));
    assert!(what == "kind" && text.contains("4 (key set)") && text.contains("3 (switching key)"), "{text}");
    assert_eq!(refusal(messages.read_set(&messages.key)).0, "kind");
    assert_eq!(refusal(messages.read_public(&messages.seeded)).0, "kind");
    let (what, text) = refusal(messages.read_ciphertext(&resealed(&messages.ciphertext, |bytes| bytes[10] = 77)));
    assert!(what == "kind" && text.contains("77 (unknown)"), "{text}");
}

#[test]
fn rejects_other_parameters() {
    let messages = Messages::new(42);
    let other = parameters(true, 2);
    let backend = messages.instance.backend.as_ref();
    let (what, text) = refusal(KeyStore::read(backend, &other, &mut messages.set.as_slice()));
    let names = [messages.instance.parameters.fingerprint().short(), other.fingerprint().short()];
    assert!(what == "parameter fingerprint" && names.iter().all(|name| text.contains(name)), "{text}");
}

#[test]
fn rejects_truncated_messages() {
    let messages = Messages::new(43);
    let most = messages.seeded.len();
    for length in (0..most).filter(|length| *length < 200 || *length + 200 > most || length % 97 == 0) {
        let (what, text) = refusal(messages.read_ciphertext(&messages.seeded[..length]));
        assert!(text.contains("truncated") && text.contains("transfer"), "{length}: {what}: {text}");
    }
    for bytes in [&messages.key, &messages.set] {
        let short = &bytes[..bytes.len() - 1];
        assert_eq!(refusal(messages.read_key(&messages.key[..messages.key.len() - 1])).0, "checksum");
        assert!(messages.read_set(short).is_err() && messages.read_key(short).is_err());
    }
}

#[test]
fn rejects_trailing_bytes() {
    let messages = Messages::new(44);
    let (backend, parameters) = (messages.instance.backend.as_ref(), &messages.instance.parameters);
    let mut bytes = messages.key.clone();
    bytes.push(0);
    let mut input = bytes.as_slice();
    SwitchingKey::read(backend, parameters, &mut input).expect("the message itself is whole");
    let (what, text) = refusal(expect_end(&mut input));
    assert!(what == "input" && text.contains("more bytes"), "{text}");
    // Inside the payload there is no room for them either.
    let longer = resealed(&messages.key, |bytes| {
        let length = (bytes.len() - HEADER + 1) as u64;
        bytes[LENGTH..HEADER].copy_from_slice(&length.to_le_bytes());
        bytes.push(0);
    });
    assert_eq!(refusal(messages.read_key(&longer)).0, "payload length");
}

#[test]
fn rejects_damage() {
    let messages = Messages::new(45);
    let flip = |bytes: &[u8], position: usize| {
        let mut bytes = bytes.to_vec();
        bytes[position] ^= 1;
        bytes
    };
    let last = messages.key.len() - 1;
    assert_eq!(refusal(messages.read_key(&flip(&messages.key, last))).0, "checksum");
    // The seed is 32 arbitrary bytes: only the checksum can tell.
    assert_eq!(refusal(messages.read_key(&flip(&messages.key, last - 32))).0, "checksum");
    assert_eq!(refusal(messages.read_ciphertext(&flip(&messages.seeded, HEADER + 13))).0, "checksum");
}

#[test]
fn rejects_residues_that_are_not_below_their_prime() {
    let messages = Messages::new(46);
    let prime = messages.instance.parameters.chain().ciphertext_primes()[0].value();
    for (residue, accepted) in [(prime - 1, true), (prime, false), ((1 << 50) - 1, false)] {
        let forged = resealed(&messages.ciphertext, |bytes| {
            // The first residue: the lowest 50 bits.
            let field = &mut bytes[HEADER + 13..][..8];
            let word = u64::from_le_bytes(field.try_into().expect("eight bytes"));
            field.copy_from_slice(&(word >> 50 << 50 | residue).to_le_bytes());
        });
        let result = messages.read_ciphertext(&forged);
        assert_eq!(result.is_ok(), accepted, "{residue}");
        if !accepted {
            let (what, text) = refusal(result);
            assert!(what == "residue" && text.contains("q0") && text.contains(&prime.to_string()), "{text}");
            assert!(!text.contains(&residue.to_string()) || residue == prime, "residues are not shown: {text}");
        }
    }
}

#[test]
fn rejects_impossible_ciphertexts() {
    let messages = Messages::new(47);
    let forged = |position: usize, value: u8| {
        refusal(messages.read_ciphertext(&resealed(&messages.seeded, |bytes| bytes[HEADER + position] = value))).0
    };
    assert_eq!(forged(0, 2), "form");
    assert_eq!(forged(0, 0), "payload length");
    assert_eq!(forged(1, 0), "domain");
    assert_eq!(forged(1, 9), "domain");
    assert_eq!(forged(2, 2), "ring kind");
    assert_eq!(forged(3, 9), "ring degree");
    assert_eq!(forged(3, 255), "ring degree");
    assert_eq!(forged(4, 0), "basis");
    assert_eq!(forged(4, 0x7f), "basis");
    assert_eq!(forged(11, 0x80), "basis");
    assert_eq!(forged(12, 4), "basis");
    assert_eq!(forged(4, 0x0f), "payload length");
    let public = resealed(&messages.public, |bytes| bytes[HEADER + 3] = 5);
    assert!(messages.read_public(&public).is_err());
    let halves = resealed(&messages.ciphertext, |bytes| bytes[10] = 2);
    assert_eq!(refusal(messages.read_public(&halves)).0, "form");
}

#[test]
fn rejects_impossible_keys() {
    let messages = Messages::new(48);
    let forged = |change: &dyn Fn(&mut [u8])| {
        refusal(messages.read_key(&resealed(&messages.key, |bytes| change(&mut bytes[HEADER..])))).0
    };
    assert_eq!(forged(&|key| key[0] = 0), "key name");
    assert_eq!(forged(&|key| key[0] = 7), "key name");
    assert_eq!(forged(&|key| key[0] = 1), "key name"); // relinearisation has no index
    assert_eq!(forged(&|key| key[9] = 1), "key name"); // Galois keys have one
    assert_eq!(forged(&|key| key[1] &= 0xfe), "Galois exponent");
    assert_eq!(forged(&|key| key[2] = 2), "Galois exponent"); // not below 2N = 512
    assert_eq!(forged(&|key| (key[0], key[1]) = (6, 12)), "packing tokens");
    assert_eq!(forged(&|key| (key[0], key[1]) = (6, 64)), "packing tokens");
    assert_eq!(forged(&|key| (key[0], key[1], key[9]) = (6, 8, 4)), "packing block");
    assert_eq!(forged(&|key| key[17] = 0x43), "basis");
    assert_eq!(forged(&|key| key[17] = 0), "ciphertext primes");
    assert_eq!(forged(&|key| key[25] = 0), "special primes");
    assert_eq!(forged(&|key| key[25] = 200), "basis");
    assert_eq!(forged(&|key| key[26] = 2), "gadget");
    assert_eq!(forged(&|key| key[26] = 0), "gadget");
    assert_eq!(forged(&|key| key[17] = 0x0f), "payload length");
}

#[test]
fn rejects_key_sets_with_a_bad_directory() {
    let messages = Messages::new(49);
    let (first, second) = (HEADER + 4, HEADER + 4 + 27);
    let doubled = resealed(&messages.set, |bytes| bytes.copy_within(first..first + 17, second));
    let (what, text) = refusal(messages.read_set(&doubled));
    assert!(what == "directory" && text.contains("ascending"), "{text}");
    let swapped = resealed(&messages.set, |bytes| {
        let (left, right) = bytes[first..second + 27].split_at_mut(27);
        left.swap_with_slice(right);
    });
    assert_eq!(refusal(messages.read_set(&swapped)).0, "directory");
    let fewer = resealed(&messages.set, |bytes| bytes[HEADER] = 1);
    assert_eq!(refusal(messages.read_set(&fewer)).0, "payload length");
    let absurd = resealed(&messages.set, |bytes| bytes[HEADER..HEADER + 4].fill(0xff));
    assert_eq!(refusal(messages.read_set(&absurd)).0, "number of keys");
}

#[test]
fn rejects_absurd_lengths_before_taking_memory() {
    let messages = Messages::new(50);
    let parameters = &messages.instance.parameters;
    let backend = Counting::new(Cpu::new(parameters.chain().clone()));
    for length in [0, 1, 26, 27, 1 << 32, u64::MAX] {
        for bytes in [&messages.key, &messages.set, &messages.ciphertext] {
            let mut header = bytes[..HEADER + 27].to_vec();
            header[LENGTH..HEADER].copy_from_slice(&length.to_le_bytes());
            // What follows never ends.
            let mut input = header.chain(io::repeat(0));
            let result = match bytes[10] {
                1 => Ciphertext::read(&backend, parameters, &mut input).map(drop),
                3 => SwitchingKey::read(&backend, parameters, &mut input).map(drop),
                _ => KeyStore::read(&backend, parameters, &mut input).map(drop),
            };
            assert!(result.is_err(), "{length}");
            assert_eq!(backend.peak_bytes(), 0, "{length}: memory was taken");
        }
    }
}

#[test]
fn rejects_keys_that_are_insecure_for_the_receiver() {
    let messages = Messages::new(51);
    let strict = parameters(false, 3);
    let backend = messages.instance.backend.as_ref();
    assert_eq!(strict.fingerprint(), messages.instance.parameters.fingerprint());
    let results = [
        SwitchingKey::read(backend, &strict, &mut messages.key.as_slice()).map(drop),
        KeyStore::read(backend, &strict, &mut messages.set.as_slice()).map(drop),
        PublicKey::read(backend, &strict, &mut messages.public.as_slice()).map(drop),
    ];
    for result in results {
        assert!(matches!(result, Err(RlweError::Insecure { log_degree: 8, .. })), "{result:?}");
    }
}

#[test]
fn rejects_backends_without_data_or_of_another_chain() {
    let messages = Messages::new(52);
    let parameters = &messages.instance.parameters;
    let meter = Meter::new(parameters.chain().clone());
    let zero = || Poly::zeros(&meter, Shape::evaluation(parameters.ring(), Basis::prefix(1))).expect("shape");
    let ciphertext = Ciphertext::new(zero(), zero()).expect("one shape");
    let mut out = Vec::new();
    let error = ciphertext.write(&meter, parameters, &mut out).expect_err("no data").to_string();
    assert!(error.contains("write: the backend is without data") && out.is_empty(), "{error}");
    let error = KeyStore::read(&meter, parameters, &mut messages.set.as_slice()).err().expect("no data");
    assert!(matches!(error, RlweError::Precondition { operation: "read", .. }), "{error}");
    let foreign = Cpu::new(crate::common::parameters(true).chain().clone());
    let error = Ciphertext::read(&foreign, parameters, &mut messages.seeded.as_slice()).err().expect("foreign");
    assert!(error.to_string().contains("another prime chain"), "{error}");
}

#[test]
fn rejects_writing_what_could_not_be_read() {
    let messages = Messages::new(53);
    let (instance, parameters) = (&messages.instance, &messages.instance.parameters);
    let backend = instance.backend.as_ref();
    let planner = instance.planner();
    let low = instance.encrypt(&message(DEGREE, BOUND, 1), 2, 0);
    planner.automorphism(&low, fhe_ring::GaloisElement::rotation(parameters.ring(), 1)).expect("planned");
    let (what, text) = refusal(planner.keys().write(backend, parameters, &mut Vec::new()));
    assert!(what == "public seeds" && text.contains("plan"), "{text}");

    let whole = KeyShape { ciphertext: Basis::prefix(2), special: 3, gadget: Gadget::Whole };
    let key = instance.client.switching_key(backend, &KeyId::Relinearisation, &whole).expect("key");
    assert_eq!(refusal(key.write(backend, parameters, &mut Vec::new())).0, "gadget");
    assert_eq!(refusal(SwitchingKey::<Cpu>::wire_bytes(&KeyId::Relinearisation, &whole, parameters)).0, "gadget");
    let mut requests = KeyRequests::default();
    requests.add(KeyId::Relinearisation, groups(Basis::prefix(20)));
    assert_eq!(refusal(requests.wire_bytes(parameters)).0, "basis");
    let shape = Shape::evaluation(parameters.ring(), Basis::prefix(7));
    assert_eq!(refusal(ciphertext_wire_bytes(shape, CiphertextForm::Seeded, parameters)).0, "basis");
}

#[test]
fn rejects_failing_streams() {
    struct Full(usize);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.0);
            self.0 -= taken;
            if taken == 0 { Err(io::Error::other("no space left on device")) } else { Ok(taken) }
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("connection reset"))
        }
    }
    let messages = Messages::new(54);
    let (backend, parameters) = (messages.instance.backend.as_ref(), &messages.instance.parameters);
    let ciphertext = messages.read_ciphertext(&messages.ciphertext).expect("whole");
    let (what, text) = refusal(ciphertext.write(backend, parameters, &mut Full(1000)));
    assert!(what == "output" && text.contains("no space left"), "{text}");
    let mut input = messages.seeded[..500].chain(Broken);
    let (what, text) = refusal(Ciphertext::read(backend, parameters, &mut input));
    assert!(what == "residues" && text.contains("connection reset"), "{text}");
}
