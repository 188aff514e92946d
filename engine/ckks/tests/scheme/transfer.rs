//! Coefficient ciphertexts between two processes: what arrives is what was sent, and nothing else is believed.

use crate::common::{Instance, uniform};
use fhe_ckks::{Client, CoefficientCiphertext, Evaluator, Parameters, SlotArithmetic};
use fhe_ring::{Backend, Cpu};
use fhe_rlwe::wire::CiphertextForm;

const SET: &str = "n11-toy";

fn written(x: &CoefficientCiphertext<Cpu>, instance: &Instance) -> Vec<u8> {
    let mut bytes = Vec::new();
    x.write(&instance.backend, &instance.parameters, &mut bytes).unwrap();
    bytes
}

fn read(bytes: &[u8], instance: &Instance) -> Result<CoefficientCiphertext<Cpu>, String> {
    CoefficientCiphertext::read(instance.backend.as_ref(), &instance.parameters, &mut &bytes[..])
        .map_err(|error| error.to_string())
}

/// A fresh encryption travels by a seed, what was computed with it by both halves; both decrypt to the same words as before.
#[test]
fn what_arrives_is_what_was_sent() {
    let instance = Instance::new(SET, 5);
    let (planner, _) = instance.planner();
    let server = instance.server(&planner);
    let values = uniform(server.shape().degree, 9);
    let fresh = instance.client.encrypt(&values, 2f64.powi(30)).unwrap();
    let computed = server.magnify(&fresh, 3).unwrap();
    for (x, form) in [(&fresh, CiphertextForm::Seeded), (&computed, CiphertextForm::BothHalves)] {
        let bytes = written(x, &instance);
        let required = CoefficientCiphertext::<Cpu>::wire_bytes(form, &instance.parameters).unwrap();
        assert_eq!(bytes.len() as u64, required);
        let arrived = read(&bytes, &instance).unwrap();
        assert_eq!(server.unit(&arrived), server.unit(x));
        let [sent, found] = [x, &arrived].map(|x| instance.client.decrypt(x).unwrap().unwrap());
        assert!(sent.iter().zip(&found).all(|(a, b)| a.to_bits() == b.to_bits()));
    }
    // Halves and seed are those of one ciphertext: the server computes on what it read as on what was never sent.
    let arrived = read(&written(&fresh, &instance), &instance).unwrap();
    let [local, remote] = [&fresh, &arrived].map(|x| server.save(&server.magnify(x, 3).unwrap()).unwrap());
    assert_eq!(local, remote);
}

#[test]
fn rejects_units_that_are_no_scale() {
    let instance = Instance::new(SET, 5);
    let x = instance.client.encrypt(&vec![0.25; instance.parameters.shape().degree], 1e6).unwrap();
    let whole = written(&x, &instance);
    for unit in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let mut bytes = whole.clone();
        bytes[..8].copy_from_slice(&unit.to_le_bytes());
        let message = read(&bytes, &instance).err().unwrap();
        assert!(message.contains("unit is") && message.contains("a positive number"), "{message}");
    }
}

#[test]
fn rejects_messages_cut_anywhere() {
    let instance = Instance::new(SET, 5);
    let x = instance.client.encrypt(&vec![0.25; instance.parameters.shape().degree], 1e6).unwrap();
    let bytes = written(&x, &instance);
    for length in [0, 7, 8, 60, bytes.len() / 2, bytes.len() - 1] {
        let message = read(&bytes[..length], &instance).err().unwrap();
        assert!(message.starts_with("wire format: "), "{message}");
    }
}

#[test]
fn rejects_a_ciphertext_of_other_parameters() {
    let [here, there] = ["n11-toy", "n13-toy"].map(|set| Instance::new(set, 5));
    let x = there.client.encrypt(&vec![0.25; there.parameters.shape().degree], 1e6).unwrap();
    let message = read(&written(&x, &there), &here).err().unwrap();
    assert!(message.contains("parameter fingerprint") && message.contains("n11-toy"), "{message}");
}

/// A valid message of the format need not be one of coefficients.
#[test]
fn rejects_a_ciphertext_at_other_primes() {
    let instance = Instance::new(SET, 5);
    let parameters: &Parameters = &instance.parameters;
    let slots = vec![0.5; parameters.shape().slots(fhe_ckks::Packing::Real)];
    let x = instance.client.encrypt_slots(&slots, fhe_ckks::Level(2)).unwrap();
    let mut bytes = 1e6f64.to_le_bytes().to_vec();
    x.ciphertext().write(&instance.backend, parameters.rlwe(), &mut bytes).unwrap();
    let message = read(&bytes, &instance).err().unwrap();
    assert!(message.contains("that of coefficients"), "{message}");
    assert!(instance.backend.primes() == parameters.rlwe().chain());
}

/// Keys that a client writes one by one are those that it generates at once.
#[test]
fn keys_are_written_as_they_are_made() {
    let instance = Instance::new(SET, 5);
    let (planner, planning) = instance.planner();
    let input = planning.encrypt(&vec![0.0; planner.shape().degree], 1e6).unwrap();
    planner.half_bootstrap(&[&input], planner.shape().compute_levels).unwrap();
    let requests = planner.key_requests();
    let (mut streamed, mut held) = (Vec::new(), Vec::new());
    let done = std::cell::Cell::new(0);
    instance.client.write_evaluation_keys(&requests, &mut streamed, |count| done.set(count)).unwrap();
    let keys = instance.client.evaluation_keys(&requests, |_| ()).unwrap();
    keys.write(instance.backend.as_ref(), instance.parameters.rlwe(), &mut held).unwrap();
    assert_eq!(done.get(), requests.len());
    assert!(streamed == held && streamed.len() as u64 == requests.wire_bytes(instance.parameters.rlwe()).unwrap());
}
