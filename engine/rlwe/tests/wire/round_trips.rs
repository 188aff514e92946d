//! What is read back is what was written, and works.

use std::sync::Arc;

use fhe_ring::{Basis, Cpu, Domain, GaloisElement, IntegerMatrix, MatrixShape, Poly, Ring, Seed, Shape, tensor};
use fhe_rlwe::{Ciphertext, KeyStore, KeySwitcher, RaiseFactor, SwitchingKey, client::PublicKey, wire::expect_end};

use crate::{
    BOUND, DEGREE,
    common::{Instance, message, worst},
    groups, instance, requests, rotation, seeded, written,
};

fn read_alone(instance: &Instance, bytes: &[u8]) -> Ciphertext<Cpu> {
    let mut input = bytes;
    let found = Ciphertext::read(instance.backend.as_ref(), &instance.parameters, &mut input).expect("read");
    expect_end(&mut input).expect("nothing left");
    found
}

/// Every kind of key switch there is.
fn circuit(instance: &Instance, inputs: &Inputs, server: &KeySwitcher<Cpu>) -> Vec<Ciphertext<Cpu>> {
    let mut outputs = Vec::new();
    for input in &inputs.high {
        outputs.push(server.automorphism(input, inputs.element).expect("rotation"));
        let square = tensor(server.backend(), input.halves(), input.halves()).expect("square");
        outputs.extend(server.relinearise(&[square], true).expect("relinearisation"));
    }
    outputs.extend(converted(inputs, server));
    let map = [GaloisElement::IDENTITY, inputs.element].map(|element| RaiseFactor {
        element,
        factor: instance.poly(instance.parameters.ring(), server.raise_basis(), &message(DEGREE, BOUND, 8)),
    });
    outputs.extend(server.raise(&[&inputs.lowest], Basis::of([0, 1, 3, 5]), &map).expect("raise"));
    let rows = server.module_rows(&[&inputs.lowest], 8).expect("rows");
    let shape = MatrixShape { rows: 16, columns: DEGREE / 8 };
    let weights = IntegerMatrix::new(shape, (0..16 * DEGREE as i16 / 8).map(|w| w % 7 - 3).collect()).expect("sizes");
    let rows = rows.integer_product(server.backend(), &weights).expect("product");
    outputs.extend(server.pack_rows(&rows).expect("packing"));
    outputs
}

struct Inputs {
    /// In the cyclotomic and in the conjugate-invariant ring.
    high: [Ciphertext<Cpu>; 2],
    lowest: Ciphertext<Cpu>,
    element: GaloisElement,
}

impl Inputs {
    fn new(instance: &Instance) -> Self {
        let [complex, real] = [instance.parameters.ring(), instance.parameters.real_ring()];
        let plain = message(DEGREE, BOUND, 6);
        Self {
            high: [complex, real].map(|ring| instance.encrypt_in(ring, &plain, 5, 5)),
            lowest: instance.encrypt(&plain, 1, 1),
            element: GaloisElement::rotation(complex, 3),
        }
    }
}

/// To the other ring, each way.
fn converted(inputs: &Inputs, server: &KeySwitcher<Cpu>) -> [Ciphertext<Cpu>; 2] {
    let backend = server.backend();
    let extended =
        |input: &Ciphertext<Cpu>| input.halves().map(|half| half.extend_by_special(backend, 3).expect("extended"));
    let [complex, real] = inputs.high.each_ref();
    let trace = server.trace_to_real(&[[extended(complex), extended(complex)]]).expect("trace").remove(0);
    let [[b, _], a] = extended(real).map(|half| half.parity_split(backend).expect("parts"));
    let mut totals = [server.extended_zeros(b.shape()).expect("zero")];
    server.accumulate_complex(&mut totals, vec![(b, a)], inputs.element).expect("conversion");
    [trace, server.mod_down(&totals[0], false).expect("division")]
}

#[test]
fn ciphertexts_of_every_shape_round_trip() {
    let instance = instance(21);
    let backend = instance.backend.as_ref();
    for basis in [Basis::prefix(1), Basis::prefix(6), Basis::of([0, 2, 5]), Basis::prefix(3).with_special(2)] {
        for ring in [instance.parameters.ring(), instance.parameters.small_ring(), Ring::conjugate_invariant(8)] {
            for domain in [Domain::Coefficient, Domain::Evaluation] {
                let half = |salt| {
                    let shape = Shape { ring, basis, domain };
                    Poly::from_signed(backend, shape, &message(ring.degree(), BOUND, salt)).expect("half")
                };
                let ciphertext = Ciphertext::new(half(1), half(2)).expect("one shape");
                let bytes = written(|out| ciphertext.write(backend, &instance.parameters, out));
                let found = read_alone(&instance, &bytes);
                assert_eq!(found.shape(), ciphertext.shape());
                assert_eq!(instance.words(&found), instance.words(&ciphertext));
            }
        }
    }
}

#[test]
fn fresh_ciphertexts_travel_by_their_seed_and_decrypt() {
    let instance = instance(22);
    let plain = message(DEGREE, BOUND, 3);
    for basis in [Basis::prefix(1), Basis::prefix(4), Basis::of([0, 1, 4])] {
        let fresh = seeded(&instance, &plain, basis, 5);
        let bytes = written(|out| fresh.write(instance.backend.as_ref(), &instance.parameters, out));
        let found = read_alone(&instance, &bytes);
        assert_eq!(instance.words(&found), instance.words(fresh.ciphertext()));
        let error = worst(&instance.decrypt(&found), &plain);
        assert!((1..=30).contains(&error), "error {error}");
    }
    let same = seeded(&instance, &plain, Basis::prefix(4), 5).into_ciphertext();
    assert_eq!(instance.words(&same), instance.words(&instance.encrypt(&plain, 4, 5)));
}

#[test]
fn messages_follow_one_another_on_one_connection() {
    let instance = instance(23);
    let backend = instance.backend.as_ref();
    let plains: Vec<_> = (0..3).map(|salt| message(DEGREE, BOUND, salt)).collect();
    let mut bytes = Vec::new();
    for (plain, nonce) in plains.iter().zip(0..) {
        seeded(&instance, plain, Basis::prefix(2), nonce)
            .write(backend, &instance.parameters, &mut bytes)
            .expect("written");
    }
    let mut input = bytes.as_slice();
    for plain in &plains {
        let found = Ciphertext::read(backend, &instance.parameters, &mut input).expect("read");
        assert!(worst(&instance.decrypt(&found), plain) <= 30);
    }
    expect_end(&mut input).expect("three messages");
}

#[test]
fn a_public_key_read_back_encrypts_alike() {
    let instance = instance(24);
    let backend = instance.backend.as_ref();
    let plain = message(DEGREE, BOUND, 4);
    let key = instance.client.public_key(backend, Basis::prefix(3)).expect("key");
    let bytes = written(|out| key.write(backend, &instance.parameters, out));
    let found = PublicKey::read(backend, &instance.parameters, &mut bytes.as_slice()).expect("read");
    let encrypt = |key: &PublicKey<Cpu>| {
        let shape = Shape::evaluation(instance.parameters.ring(), Basis::prefix(3));
        let poly = Poly::from_signed(backend, shape, &plain).expect("message");
        key.encrypt(backend, poly, &Seed::from_bytes([9; 32])).expect("encryption")
    };
    assert_eq!(instance.words(&encrypt(&found)), instance.words(&encrypt(&key)));
    assert!(worst(&instance.decrypt(&encrypt(&found)), &plain) < 1000);
}

#[test]
fn a_switching_key_read_back_rotates_alike() {
    let instance = instance(25);
    let (backend, parameters) = (instance.backend.as_ref(), &instance.parameters);
    let plain = message(DEGREE, BOUND, 5);
    let id = rotation(parameters, 3);
    let shape = groups(Basis::prefix(5));
    let generated = instance.client.switching_key(backend, &id, &shape).expect("key");
    let bytes = written(|out| generated.write(backend, parameters, out));
    let found = SwitchingKey::read(backend, parameters, &mut bytes.as_slice()).expect("read");
    assert_eq!((found.id(), found.shape()), (id, shape));
    assert_eq!(bytes, written(|out| found.write(backend, parameters, out)), "a key read back is written alike");
    let rotate = |key| {
        let server = KeySwitcher::new(Arc::clone(&instance.backend), parameters.clone(), KeyStore::new([key]));
        let element = GaloisElement::rotation(parameters.ring(), 3);
        server.automorphism(&instance.encrypt(&plain, 5, 7), element).expect("rotation")
    };
    assert_eq!(instance.words(&rotate(found)), instance.words(&rotate(generated)));
}

#[test]
fn a_key_set_read_back_serves_every_kind_of_switch() {
    let instance = instance(26);
    let (backend, parameters) = (instance.backend.as_ref(), &instance.parameters);
    let inputs = Inputs::new(&instance);
    let requests = requests(&instance, |planner| drop(circuit(&instance, &inputs, planner)));
    let count = 2 * (1 + 1) + 2 + 2 + 1 + 2 + 1 + 4;
    assert_eq!(requests.len(), count, "rotation and relinearisation twice, conversions, raise, ring switch, packing");
    let generated = instance.client.evaluation_keys(backend, &requests).expect("keys");
    let bytes = written(|out| generated.write(backend, parameters, out));
    let found = KeyStore::read(backend, parameters, &mut bytes.as_slice()).expect("read");
    assert_eq!(found.bytes(parameters), requests.bytes(parameters));
    let run = |keys| {
        let server = KeySwitcher::new(Arc::clone(&instance.backend), parameters.clone(), keys);
        circuit(&instance, &inputs, &server).iter().map(|output| instance.words(output)).collect::<Vec<_>>()
    };
    assert_eq!(run(found), run(generated));

    let counted = std::cell::Cell::new(0);
    let streamed = written(|out| instance.client.write_evaluation_keys(backend, &requests, out, |n| counted.set(n)));
    assert!(streamed == bytes, "keys written as they are generated are the same message");
    assert_eq!(counted.get(), requests.len());
}

#[test]
fn an_empty_key_set_is_a_message_too() {
    let instance = instance(27);
    let (backend, parameters) = (instance.backend.as_ref(), &instance.parameters);
    let bytes = written(|out| KeyStore::<Cpu>::new([]).write(backend, parameters, out));
    let found = KeyStore::read(backend, parameters, &mut bytes.as_slice()).expect("read");
    assert_eq!(found.bytes(parameters), 0);
}
