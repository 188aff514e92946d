//! Encryption, and what secrets do not give away.

use fhe_ring::{Basis, Cpu, Seed};
use fhe_rlwe::{Gadget, KeyId, KeyShape, Parameters, RlweError, client::ClientSecrets};

use crate::{
    BOUND, DEGREE, RINGS,
    common::{Instance, message, specification, worst},
};

#[test]
fn encryption_hides_only_a_small_error() {
    let instance = Instance::new(1);
    let plain = message(DEGREE, BOUND, 1);
    for kind in RINGS {
        let found = instance.decrypt(&instance.encrypt_in(instance.parameters.ring_of(kind), &plain, 4, 0));
        let error = worst(&found, &plain);
        assert!((1..=30).contains(&error), "{kind:?}: fresh error {error} is not that of sigma 3.19");
    }
    let backend = instance.backend.as_ref();
    let public = instance.client.public_key(backend, Basis::prefix(2)).expect("public key");
    let poly = instance.poly(instance.parameters.ring(), Basis::prefix(2), &plain);
    let fresh = public.encrypt(backend, poly, &Seed::from_bytes([9; 32])).expect("encryption");
    let error = worst(&instance.decrypt(&fresh), &plain);
    assert!((1..=1000).contains(&error), "public-key error {error}");
}

#[test]
fn ciphertexts_of_the_two_rings_share_no_mask() {
    // One mask under two secrets would give away their difference.
    let instance = Instance::new(2);
    let [complex, real] = RINGS.map(|kind| {
        let ciphertext = instance.encrypt_in(instance.parameters.ring_of(kind), &vec![0; DEGREE], 2, 5);
        instance.words(&ciphertext)
    });
    assert_ne!(complex[1], real[1]);
}

#[test]
fn rejects_insecure_keys_unless_asked_for_by_name() {
    let mut specification = specification();
    specification.insecure = false;
    let parameters = Parameters::new(specification).expect("valid structure");
    let backend = Cpu::new(parameters.chain().clone());
    let client = ClientSecrets::generate(&parameters, &Seed::from_bytes([1; 32])).expect("secrets");
    let shape = KeyShape { ciphertext: Basis::prefix(7), special: 3, gadget: Gadget::Groups(3) };
    for kind in RINGS {
        let error = client.switching_key(&backend, &KeyId::Relinearisation(kind), &shape).err().expect("insecure");
        assert!(matches!(error, RlweError::Insecure { log_degree: 8, .. }), "{error}");
        assert!(error.to_string().contains("insecure = true"));
    }
}

#[test]
fn secrets_do_not_print() {
    assert_eq!(format!("{:?}", Instance::new(9).client), "ClientSecrets(test)");
}
