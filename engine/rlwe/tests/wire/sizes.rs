//! Sizes are what the formulas say, and every byte is where the front page puts it.

use fhe_ring::{Basis, Cpu, Domain, GaloisElement, Poly, Seed, Shape};
use fhe_rlwe::{
    Ciphertext, Gadget, KeyId, KeyRequests, KeyShape, Parameters, SwitchingKey,
    client::PublicKey,
    wire::{CiphertextForm, FORMAT_VERSION, ciphertext_wire_bytes},
};
use num_bigint::BigUint;

use crate::{
    BOUND, DEGREE,
    common::{LOG_DEGREE, message},
    groups, instance, rotation, seeded, written,
};

/// Bits of the primes of [`crate::parameters`], ciphertext primes first.
const BITS: [usize; 9] = [50, 42, 42, 42, 50, 50, 50, 50, 50];

fn limbs(positions: &[usize]) -> u64 {
    positions.iter().map(|&i| (DEGREE * BITS[i]).div_ceil(8) as u64).sum()
}

#[test]
fn sizes_are_those_of_the_formulas() {
    let instance = instance(31);
    let (backend, parameters) = (instance.backend.as_ref(), &instance.parameters);
    let basis = Basis::of([0, 2, 5]);
    let fresh = seeded(&instance, &message(DEGREE, BOUND, 1), basis, 0);
    let shape = fresh.ciphertext().shape();

    let half = limbs(&[0, 2, 5]);
    let small = ciphertext_wire_bytes(shape, CiphertextForm::Seeded, parameters).expect("size");
    assert_eq!(small, 97 + 32 + half);
    assert_eq!(small, written(|out| fresh.write(backend, parameters, out)).len() as u64);
    let large = ciphertext_wire_bytes(shape, CiphertextForm::BothHalves, parameters).expect("size");
    assert_eq!(large, 97 + 2 * half);
    assert_eq!(large, written(|out| fresh.ciphertext().write(backend, parameters, out)).len() as u64);

    let public = instance.client.public_key(backend, basis).expect("key");
    let expected = PublicKey::<Cpu>::wire_bytes(basis, parameters).expect("size");
    assert_eq!(expected, 97 + 32 + half);
    assert_eq!(expected, written(|out| public.write(backend, parameters, out)).len() as u64);

    let (id, shape) = (rotation(parameters, 1), groups(Basis::prefix(4)));
    let row = 32 + limbs(&[0, 1, 2, 3, 6, 7, 8]);
    let key = instance.client.switching_key(backend, &id, &shape).expect("key");
    let expected = SwitchingKey::<Cpu>::wire_bytes(&id, &shape, parameters).expect("size");
    assert_eq!(expected, 111 + 2 * row);
    assert_eq!(expected, written(|out| key.write(backend, parameters, out)).len() as u64);

    let mut requests = KeyRequests::default();
    requests.add(id, shape);
    let lowest = KeyShape { ciphertext: Basis::prefix(1), special: 1, gadget: Gadget::Whole };
    requests.add(KeyId::DenseToEphemeral, lowest);
    let expected = requests.wire_bytes(parameters).expect("size");
    assert_eq!(expected, 88 + (27 + 2 * row) + (27 + 32 + limbs(&[0, 6])));
    let keys = instance.client.evaluation_keys(backend, &requests).expect("keys");
    assert_eq!(expected, written(|out| keys.write(backend, parameters, out)).len() as u64);
}

/// The payload's fields after the header, as the front page lists them.
fn sealed(parameters: &Parameters, kind: u16, payload: &[Vec<u8>]) -> Vec<u8> {
    let payload = payload.concat();
    let mut bytes = b"fhe-rlwe".to_vec();
    bytes.extend(FORMAT_VERSION.to_le_bytes());
    bytes.extend(kind.to_le_bytes());
    bytes.extend(parameters.fingerprint().0);
    bytes.extend((payload.len() as u64).to_le_bytes());
    bytes.extend(payload);
    bytes.extend(blake3::hash(&bytes).as_bytes());
    bytes
}

/// Residues as the digits of one big number.
fn packed(limb: &[u64], bits: usize) -> Vec<u8> {
    let number = limb.iter().rev().fold(BigUint::ZERO, |number, &residue| (number << bits) + residue);
    let mut bytes = number.to_bytes_le();
    bytes.resize((limb.len() * bits).div_ceil(8), 0);
    bytes
}

#[test]
fn ciphertext_bytes_are_where_the_table_says() {
    let instance = instance(32);
    let (backend, parameters) = (instance.backend.as_ref(), &instance.parameters);
    let shape = Shape { ring: parameters.ring(), basis: Basis::of([0, 3]), domain: Domain::Coefficient };
    let half = |salt| Poly::from_signed(backend, shape, &message(DEGREE, BOUND, salt)).expect("half");
    let ciphertext = Ciphertext::new(half(1), half(2)).expect("one shape");
    let mut fields = vec![vec![0, 0, 0, LOG_DEGREE as u8], 0b1001u64.to_le_bytes().to_vec(), vec![0]];
    for half in ciphertext.halves() {
        let words = half.download(backend).expect("data");
        fields.extend(words.chunks(DEGREE).zip([50, 42]).map(|(limb, bits)| packed(limb, bits)));
    }
    assert!(written(|out| ciphertext.write(backend, parameters, out)) == sealed(parameters, 1, &fields));
}

#[test]
fn key_bytes_are_where_the_table_says() {
    let instance = instance(33);
    let (backend, parameters) = (instance.backend.as_ref(), &instance.parameters);
    let id = KeyId::Packing { tokens: 8, block: 3 };
    let shape = KeyShape { ciphertext: Basis::prefix(1), special: 1, gadget: Gadget::Whole };
    let key = instance.client.switching_key(backend, &id, &shape).expect("key");
    let bytes = written(|out| key.write(backend, parameters, out));
    // The rows cannot be computed without the secret: they are cut out of the message, and used elsewhere.
    let rows = &bytes[52 + 27..bytes.len() - 32];
    let description =
        [vec![6], 8u64.to_le_bytes().to_vec(), 3u64.to_le_bytes().to_vec(), 1u64.to_le_bytes().to_vec(), vec![1, 0]];
    let fields = [description.concat(), rows.to_vec()];
    assert!(bytes == sealed(parameters, 3, &fields));
    let mut requests = KeyRequests::default();
    requests.add(id, shape);
    let set = written(|out| instance.client.write_evaluation_keys(backend, &requests, out, |_| ()));
    assert!(set == sealed(parameters, 4, &[1u32.to_le_bytes().to_vec(), fields.concat()]));
}

#[test]
fn one_name_at_two_special_moduli_shares_no_seed() {
    // Equal masks and errors under different gadget factors would differ by a multiple of the secret.
    let instance = instance(34);
    let backend = instance.backend.as_ref();
    let seeds: Vec<Vec<u8>> = [2, 3]
        .map(|special| {
            let shape = KeyShape { ciphertext: Basis::prefix(1), special, gadget: Gadget::Whole };
            let key =
                instance.client.switching_key(backend, &KeyId::Raise(GaloisElement::IDENTITY), &shape).expect("key");
            let bytes = written(|out| key.write(backend, &instance.parameters, out));
            bytes[bytes.len() - 64..bytes.len() - 32].to_vec()
        })
        .to_vec();
    assert_ne!(seeds[0], seeds[1]);
    assert!(seeds.iter().all(|seed| seed.as_slice() != Seed::from_bytes([34; 32]).as_bytes()));
}
