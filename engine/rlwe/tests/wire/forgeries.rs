//! Messages whose checksum is right and whose contents are not. Refused by the field's name.

use std::io::{self, Read};

use fhe_ring::{Counting, Cpu};
use fhe_rlwe::{Ciphertext, KeyStore, RlweError, SwitchingKey, client::PublicKey};

use crate::{
    HEADER, LENGTH,
    messages::{Messages, refusal, resealed},
    parameters,
};

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
    assert_eq!(forged(&|key| key[0] = 14), "key name");
    assert_eq!(forged(&|key| (key[0], key[1]) = (6, 12)), "packing tokens");
    assert_eq!(forged(&|key| (key[0], key[1]) = (6, 64)), "packing tokens");
    assert_eq!(forged(&|key| (key[0], key[1], key[9]) = (6, 8, 4)), "packing block");
    assert_eq!(forged(&|key| key[17] = 0x43), "basis");
    assert_eq!(forged(&|key| key[17] = 0), "ciphertext primes");
    assert_eq!(forged(&|key| key[25] = 0), "special primes");
    assert_eq!(forged(&|key| key[25] = 200), "basis");
    assert_eq!(forged(&|key| key[26] = 2), "gadget");
    assert_eq!(forged(&|key| key[26] = 0), "gadget");
    assert_eq!(forged(&|key| key[17] = 0x0f), "gadget");
    assert_eq!(forged(&|key| key[17] = 0x07), "payload length");
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
