//! The wire format: what was written is read back and works; whatever is wrong is refused by name.

#[path = "../common/mod.rs"]
mod common;
mod corruption;
mod forgeries;
mod messages;
mod names;
mod refusals;
mod round_trips;
mod sizes;

use common::Instance;
use fhe_ring::{Basis, Cpu, GaloisElement, Poly, PrimeChain, RingKind, Shape, primes::primes_below};
use fhe_rlwe::{
    Gadget, KeyId, KeyRequests, KeyShape, KeySwitcher, Parameters, ParametersSpec, RlweError, SeededCiphertext,
};

const DEGREE: usize = 1 << common::LOG_DEGREE;
const BOUND: i64 = 1 << 40;

/// Header of a message, without its payload.
const HEADER: usize = 52;
/// Position of the payload length.
const LENGTH: usize = 44;

/// Primes of several widths, as real chains have them: 50, 42, 42, 42, 50, 50 bits and three special primes of 50.
fn specification(insecure: bool, group_width: usize) -> ParametersSpec {
    let congruence = 4 << common::LOG_DEGREE;
    let wide: Vec<u64> = primes_below(1 << 50, congruence).take(6).collect();
    let narrow: Vec<u64> = primes_below(1 << 42, congruence).take(3).collect();
    let ciphertext = vec![wide[0], narrow[0], narrow[1], narrow[2], wide[1], wide[2]];
    let chain = PrimeChain::new(ciphertext, wide[3..].to_vec(), common::LOG_DEGREE).expect("primes of the right form");
    ParametersSpec {
        name: "test".into(),
        log_degree: common::LOG_DEGREE,
        chain,
        gadget_groups: Basis::prefix(6).groups_of(group_width),
        low_region: None,
        ephemeral_weight: 32,
        small_log_degree: common::SMALL_LOG_DEGREE,
        lane_log_degree: common::LANE_LOG_DEGREE,
        insecure,
    }
}

fn parameters(insecure: bool, group_width: usize) -> Parameters {
    Parameters::new(specification(insecure, group_width)).expect("valid structure")
}

fn instance(seed: u8) -> Instance {
    Instance::of(specification(true, 3), seed)
}

fn seeded(instance: &Instance, plain: &[i64], basis: Basis, nonce: u64) -> SeededCiphertext<Cpu> {
    let shape = Shape::evaluation(instance.parameters.ring(), basis);
    let message = Poly::from_signed(instance.backend.as_ref(), shape, plain).expect("message");
    instance.client.encrypt_seeded(instance.backend.as_ref(), message, nonce).expect("encryption")
}

/// What `write` writes: a method of some value, its first arguments in place.
fn written(write: impl FnOnce(&mut Vec<u8>) -> Result<(), RlweError>) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut bytes).expect("written");
    bytes
}

fn rotation(parameters: &Parameters, steps: i64) -> KeyId {
    KeyId::Galois(RingKind::Cyclotomic, GaloisElement::rotation(parameters.ring(), steps))
}

/// The shape of a key with digits, in groups of three primes.
fn groups(ciphertext: Basis) -> KeyShape {
    KeyShape { ciphertext, special: 3, gadget: Gadget::Groups(ciphertext.groups_of(3).len()) }
}

/// The keys that a run of `circuit` uses.
fn requests(instance: &Instance, circuit: impl Fn(&KeySwitcher<Cpu>)) -> KeyRequests {
    let planner = instance.planner();
    circuit(&planner);
    planner.keys().requests()
}
