//! The name of every key and its indices: what travels, and what no key is called.

use fhe_ring::{Basis, Cpu, GaloisElement, RingKind};
use fhe_rlwe::{Gadget, KeyId, KeyRequests, KeyShape, KeyStore, LowRegion, Parameters, Parity, Part, SwitchingKey};

use crate::{
    DEGREE, HEADER,
    common::Instance,
    groups, instance,
    messages::{Messages, refusal, resealed},
    specification, written,
};

const RINGS: [RingKind; 2] = [RingKind::Cyclotomic, RingKind::ConjugateInvariant];

/// Every name, with its number and indices on the wire.
fn names(parameters: &Parameters) -> Vec<(KeyId, [u64; 3])> {
    let complex = GaloisElement::rotation(parameters.ring(), 3);
    let real = GaloisElement::rotation(parameters.real_ring(), 200);
    assert!(real.exponent() > 2 * DEGREE as u64, "an exponent that only the ring of real slots has");
    let small = GaloisElement::rotation(parameters.small_ring(), 3);
    let packing = KeyId::Packing { tokens: 8, block: 3 };
    let lanes = GaloisElement::rotation(parameters.lane_ring(), 3);
    vec![
        (KeyId::Relinearisation(RINGS[0]), [1, 0, 0]),
        (KeyId::Relinearisation(RINGS[1]), [1, 0, 1]),
        (KeyId::Galois(RINGS[0], complex), [2, complex.exponent(), 0]),
        (KeyId::Galois(RINGS[1], real), [2, real.exponent(), 1]),
        (KeyId::DenseToEphemeral, [3, 0, 0]),
        (KeyId::Raise(complex), [4, complex.exponent(), 0]),
        (KeyId::RingSwitch, [5, 0, 0]),
        (packing, [6, 8, 3]),
        (KeyId::SmallGalois(small), [9, small.exponent(), 0]),
        (KeyId::ToReal(Part::Real), [7, 0, 0]),
        (KeyId::ToReal(Part::Imaginary), [7, 0, 1]),
        (KeyId::ToComplex(Parity::Even, complex), [8, complex.exponent(), 0]),
        (KeyId::ToComplex(Parity::Odd, complex), [8, complex.exponent(), 1]),
        (KeyId::LaneSwitch, [10, 0, 0]),
        (KeyId::LaneGalois(lanes), [11, lanes.exponent(), 0]),
        (KeyId::LaneRelinearisation(lanes), [12, lanes.exponent(), 0]),
        (KeyId::LaneReturn, [13, 0, 0]),
    ]
}

fn shape(parameters: &Parameters, id: &KeyId) -> KeyShape {
    let ciphertext = Basis::prefix(2);
    KeyShape { ciphertext, special: 3, gadget: parameters.gadget(id, ciphertext) }
}

#[test]
fn every_name_is_written_by_its_number_and_read_back() {
    let instance = instance(81);
    let (backend, parameters) = (instance.backend.as_ref(), &instance.parameters);
    for (id, [name, first, second]) in names(parameters) {
        let shape = shape(parameters, &id);
        let key = instance.client.switching_key(backend, &id, &shape).expect("key");
        let bytes = written(|out| key.write(backend, parameters, out));
        let rows = match shape.gadget {
            Gadget::Whole => 0,
            Gadget::Halves => 255,
            Gadget::Groups(groups) => groups as u8,
        };
        let numbers = [first, second, 0b11].map(u64::to_le_bytes).concat();
        let description = [&[name as u8], numbers.as_slice(), &[3, rows]].concat();
        assert_eq!(bytes[HEADER..HEADER + 27], description, "{id}");
        let found = SwitchingKey::read(backend, parameters, &mut bytes.as_slice()).expect("read");
        assert_eq!((found.id(), found.shape()), (id, shape));
        assert!(bytes == written(|out| found.write(backend, parameters, out)), "{id} is written alike");
    }
}

#[test]
fn a_set_holds_every_name_and_one_name_by_each_special_modulus() {
    let mut specification = specification(true, 3);
    specification.low_region = Some(LowRegion { primes: 1, special: 2 });
    let instance = Instance::of(specification, 82);
    let (backend, parameters) = (instance.backend.as_ref(), &instance.parameters);
    let mut requests = KeyRequests::default();
    names(parameters).iter().for_each(|(id, _)| requests.add(*id, shape(parameters, id)));
    let low = KeyShape { ciphertext: Basis::prefix(1), special: 2, gadget: Gadget::Groups(1) };
    RINGS.into_iter().for_each(|kind| requests.add(KeyId::Relinearisation(kind), low));
    assert_eq!(requests.len(), names(parameters).len() + 2);
    let bytes = written(|out| instance.client.write_evaluation_keys(backend, &requests, out, |_| ()));
    assert_eq!(bytes.len() as u64, requests.wire_bytes(parameters).expect("size"));
    let found = KeyStore::<Cpu>::read(backend, parameters, &mut bytes.as_slice()).expect("read");
    assert!(bytes == written(|out| found.write(backend, parameters, out)), "the set is written alike");
    for (id, required) in requests.iter() {
        let key = found.get(backend, parameters.key_ring(id), *id, *required).expect("held");
        assert_eq!((key.id(), key.shape()), (*id, *required));
    }
}

#[test]
fn rejects_the_special_moduli_of_one_name_out_of_order() {
    let messages = Messages::new(83);
    let (first, second) = (HEADER + 4, HEADER + 4 + 27);
    // Both entries of one name; the second has no more special primes than the first.
    let forged = resealed(&messages.set, |bytes| {
        bytes.copy_within(first..second, second);
        bytes[second + 25] = 2;
    });
    let (what, text) = refusal(messages.read_set(&forged));
    assert!(what == "directory" && text.contains("ascending"), "{text}");
}

/// Refusals of keys whose name and indices were replaced, in a message of one row.
#[test]
fn rejects_names_and_indices_that_no_key_has() {
    let messages = Messages::new(84);
    let forged = |name: u8, first: u64, second: u64| {
        refusal(messages.read_key(&resealed(&messages.key, |bytes| {
            bytes[HEADER] = name;
            bytes[HEADER + 1..HEADER + 9].copy_from_slice(&first.to_le_bytes());
            bytes[HEADER + 9..HEADER + 17].copy_from_slice(&second.to_le_bytes());
        })))
        .0
    };
    for name in [0, 14, 255] {
        assert_eq!(forged(name, 0, 0), "key name", "{name}");
    }
    // An index that its name does not have, or beyond what it counts.
    for (name, first, second) in [
        (1, 5, 0),
        (1, 0, 2),
        (2, 5, 2),
        (2, 5, u64::MAX),
        (3, 1, 0),
        (3, 0, 1),
        (4, 5, 1),
        (5, 1, 0),
        (5, 0, 1),
        (7, 5, 0),
        (7, 0, 2),
        (8, 5, 2),
        (9, 5, 1),
    ] {
        assert_eq!(forged(name, first, second), "key name", "{name} with {first} and {second}");
    }
    // Exponents are odd, and below 2N = 512 but for the Galois keys of real slots: below 4N.
    for (name, second) in [(2, 0), (4, 0), (8, 0), (8, 1)] {
        for exponent in [0, 4, 513, u64::MAX] {
            assert_eq!(forged(name, exponent, second), "Galois exponent", "{name} with {exponent} and {second}");
        }
    }
    for exponent in [0, 4, 1025, u64::MAX] {
        assert_eq!(forged(2, exponent, 1), "Galois exponent", "{exponent}");
    }
    for exponent in [0, 4, 65, u64::MAX] {
        assert_eq!(forged(9, exponent, 0), "Galois exponent", "{exponent} of the small ring");
    }
    for (tokens, block, what) in [(0, 0, "packing tokens"), (12, 0, "packing tokens"), (8, 4, "packing block")] {
        assert_eq!(forged(6, tokens, block), what);
    }
    // The gadget goes with the name: these keys are of one row by themselves, not of one digit.
    for (name, first) in [(3, 0), (4, 5), (5, 0), (6, 8), (9, 5)] {
        assert_eq!(forged(name, first, 0), "gadget", "{name}");
    }
}

#[test]
fn rejects_writing_exponents_of_another_ring() {
    let messages = Messages::new(85);
    let parameters = &messages.instance.parameters;
    let element = GaloisElement::rotation(parameters.real_ring(), 200);
    let size = |id| SwitchingKey::<Cpu>::wire_bytes(&id, &groups(Basis::prefix(2)), parameters);
    assert!(size(KeyId::Galois(RINGS[1], element)).is_ok());
    assert_eq!(refusal(size(KeyId::Galois(RINGS[0], element))).0, "Galois exponent");
    assert_eq!(refusal(size(KeyId::Raise(element))).0, "Galois exponent");
    assert_eq!(refusal(size(KeyId::ToComplex(Parity::Odd, element))).0, "Galois exponent");
    assert_eq!(refusal(size(KeyId::LaneGalois(element))).0, "Galois exponent");
    assert_eq!(refusal(size(KeyId::LaneRelinearisation(element))).0, "Galois exponent");
    let element = GaloisElement::rotation(parameters.ring(), 3);
    assert!(element.exponent() > 64, "an exponent that the small ring does not have");
    assert_eq!(refusal(size(KeyId::SmallGalois(element))).0, "Galois exponent");
}
