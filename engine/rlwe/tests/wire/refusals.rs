//! What a receiver meets: foreign files, other releases and parameters, damage, broken streams.

use std::io::{self, Read, Write};

use fhe_ring::{Basis, Cpu, Meter, Poly, RingKind, Shape};
use fhe_rlwe::{
    Ciphertext, Gadget, KeyId, KeyRequests, KeyShape, KeyStore, RlweError, SwitchingKey,
    wire::{CiphertextForm, ciphertext_wire_bytes, expect_end},
};

use crate::{
    BOUND, DEGREE, HEADER, LENGTH,
    common::message,
    groups,
    messages::{Messages, refusal, resealed},
    parameters,
};

#[test]
fn rejects_wrong_headers() {
    let messages = Messages::new(41);
    let (what, text) = refusal(messages.read_ciphertext(b"{\"weights\": [1, 2]}"));
    assert!(what == "magic" && text.contains("fhe-rlwe") && text.contains("weight"), "{text}");
    let newer = resealed(&messages.key, |bytes| bytes[8] = 3);
    let (what, text) = refusal(messages.read_key(&newer));
    assert!(what == "format version" && text.contains("is 3, required 2"), "{text}");
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
    let foreign = Cpu::new(crate::common::specification().chain);
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
    let id = KeyId::Relinearisation(RingKind::Cyclotomic);
    let key = instance.client.switching_key(backend, &id, &whole).expect("key");
    assert_eq!(refusal(key.write(backend, parameters, &mut Vec::new())).0, "gadget");
    assert_eq!(refusal(SwitchingKey::<Cpu>::wire_bytes(&id, &whole, parameters)).0, "gadget");
    let mut requests = KeyRequests::default();
    requests.add(id, groups(Basis::prefix(20)));
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
