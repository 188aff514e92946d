//! Chains, shapes, copies.

use fhe_ring::{Basis, Counting, Poly, PrimeChain, Ring, Seed, Shape, primes::primes_below};

use super::{RING, meter, values};

#[test]
fn rejects_chains_of_unsuitable_primes() {
    let good: Vec<u64> = primes_below(1 << 45, 4 << 8).take(2).collect();
    let rejected = |ciphertext: &[u64], special: &[u64], log_degree| {
        PrimeChain::new(ciphertext.to_vec(), special.to_vec(), log_degree).unwrap_err().to_string()
    };
    assert!(rejected(&[], &[], 8).contains("number of ciphertext primes"));
    assert!(rejected(&[good[0]; 2], &[], 8).contains("q1"));
    assert!(rejected(&[good[0]], &[good[0]], 8).contains("p0"));
    assert!(rejected(&[good[0]], &[], 30).contains("max_log_degree"));
    assert!(rejected(&[good[0]], &[], 0).contains("max_log_degree"));
    assert!(rejected(&[1025 * 1025], &[], 8).contains("a prime number"));
    assert!(rejected(&[12289], &[], 12).contains("1 modulo 4N"));
    assert!(rejected(&[(1 << 50) + 4096 + 1], &[], 8).contains("below 2^50"));
    assert!(rejected(&[good[0]; 64], &[], 8).contains("1..=63"));
}

#[test]
fn rejects_impossible_shapes() {
    let meter = meter();
    let zeros = |ring, basis| Poly::zeros(&meter, Shape::evaluation(ring, basis));
    refused!(BasisUnsupported, "zeros", zeros(RING, Basis::prefix(0)));
    let seed = Seed::from_bytes([1; 32]);
    let uniform = |basis| Poly::uniform(&meter, Shape::evaluation(RING, basis), &seed);
    refused!(BasisUnsupported, "uniform", uniform(Basis::prefix(0)));
    refused!(BasisMismatch, "uniform", uniform(Basis::prefix(5)));
    refused!(BasisMismatch, "zeros", zeros(RING, Basis::prefix(5)));
    refused!(BasisMismatch, "zeros", zeros(RING, Basis::prefix(1).with_special(3)));
    refused!(OutOfRange, "zeros", zeros(Ring::cyclotomic(9), Basis::prefix(1)));
    refused!(OutOfRange, "zeros", zeros(Ring::cyclotomic(0), Basis::prefix(1)));
    let shape = Shape::evaluation(RING, Basis::prefix(5));
    refused!(BasisMismatch, "upload", Poly::upload(&meter, shape, |_| {}));
    refused!(BasisMismatch, "from_signed", Poly::from_signed(&meter, shape, &[0; 256]));
    refused!(BasisMismatch, "from_signed_wide", Poly::from_signed_wide(&meter, shape, &[0; 256]));
    let shape = Shape::evaluation(RING, Basis::prefix(2));
    refused!(LengthMismatch, "from_signed", Poly::from_signed(&meter, shape, &[0; 255]));
    refused!(LengthMismatch, "from_signed_wide", Poly::from_signed_wide(&meter, shape, &[0; 257]));
}

#[test]
fn rejects_restriction_to_absent_primes() {
    let meter = meter();
    let poly = values(&meter, Basis::of([0, 2]));
    refused!(BasisUnsupported, "restrict", poly.restrict(&meter, Basis::prefix(0)));
    refused!(BasisNotContained, "restrict", poly.restrict(&meter, Basis::prefix(2)));
    refused!(BasisNotContained, "restrict", poly.restrict(&meter, Basis::of([0]).with_special(1)));
}

#[test]
fn counting_a_meter_refuses_alike() {
    let counting = Counting::new(meter());
    let outcome = Poly::zeros(&counting, Shape::evaluation(RING, Basis::prefix(9)));
    refused!(BasisMismatch, "zeros", outcome);
}

#[test]
fn rejects_carrying_to_another_chain_or_from_nothing() {
    let (meter, cpu) = (meter(), fhe_ring::Cpu::new(super::chain()));
    let shape = Shape::evaluation(RING, Basis::prefix(1));
    let nothing = Poly::zeros(&meter, shape).unwrap();
    refused!(OutOfRange, "carried", nothing.carried(&meter, &cpu));
    let good: Vec<u64> = primes_below(1 << 45, 4 << 8).take(2).collect();
    let other = fhe_ring::Cpu::new(PrimeChain::new(good, vec![], 8).unwrap());
    let zeros = Poly::zeros(&cpu, shape).unwrap();
    refused!(OutOfRange, "carried", zeros.carried(&cpu, &other));
    assert_eq!(zeros.carried(&cpu, &cpu).unwrap().download(&cpu), zeros.download(&cpu));
    assert!(zeros.carried(&cpu, &meter).is_ok());
}
