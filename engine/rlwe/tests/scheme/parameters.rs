//! Parameter sets that are refused, each by the name of its field; and what the fingerprint depends on.

use std::collections::HashSet;

use fhe_ring::{Basis, Modulus, PrimeChain};
use fhe_rlwe::{LowRegion, Parameters, ParametersSpec, RlweError};

use crate::common::{LOG_DEGREE, specification};

/// The refused field and the whole message.
fn refusal(change: impl FnOnce(&mut ParametersSpec)) -> (&'static str, String) {
    let mut specification = specification();
    change(&mut specification);
    match Parameters::new(specification).expect_err("refused") {
        error @ RlweError::Precondition { operand, .. } => (operand, error.to_string()),
        other => panic!("not about a field: {other}"),
    }
}

#[test]
fn rejects_groups_that_are_no_partition() {
    let groups = |groups: &[Basis]| refusal(|spec| spec.gadget_groups = groups.to_vec());
    let [first, second, third] = [Basis::of([0, 1, 2]), Basis::of([3, 4, 5]), Basis::of([6])];
    let (what, text) = groups(&[first, second]);
    assert!(what == "gadget groups" && text.contains("6 primes") && text.contains("into one group"), "{text}");
    assert_eq!(groups(&[first, second, third, third]).0, "gadget groups", "one prime twice");
    assert_eq!(groups(&[first, second, Basis::of([2])]).0, "gadget groups", "as many, but one twice and one never");
    assert_eq!(groups(&[first, second, Basis::of([7])]).0, "gadget groups", "a prime that is not in the chain");
    assert_eq!(groups(&[first, second, third.with_special(1)]).0, "gadget groups", "a special prime");
    assert_eq!(groups(&[first, second, third, Basis::default()]).0, "gadget groups", "a group of nothing");
    assert_eq!(groups(&[]).0, "gadget groups");
}

#[test]
fn accepts_groups_in_any_order_and_with_gaps() {
    let mut specification = specification();
    specification.gadget_groups = vec![Basis::of([2, 6]), Basis::of([0, 3, 5]), Basis::of([1, 4])];
    assert!(Parameters::new(specification).is_ok());
}

#[test]
fn rejects_digits_larger_than_the_special_modulus() {
    let (what, text) = refusal(|spec| spec.gadget_groups = Basis::prefix(7).groups_of(4));
    assert!(what == "gadget groups" && text.contains("200.0 bits") && text.contains("150.0 bits"), "{text}");
}

#[test]
fn rejects_low_regions_without_margin() {
    let region = |primes, special| refusal(|spec| spec.low_region = Some(LowRegion { primes, special }));
    let (what, text) = region(2, 2);
    assert!(what == "low region" && text.contains("a margin of") && text.contains("8 bits below"), "{text}");
    assert_eq!(region(1, 1).0, "low region", "as large as its special modulus");
    assert_eq!(region(1, 0).0, "low region", "no special prime");
    assert_eq!(region(1, 4).0, "low region", "more special primes than there are");
    assert_eq!(region(0, 2).0, "low region", "no prime at all");
    assert_eq!(region(64, 2).0, "low region", "more primes than there are");
    let (what, _) = refusal(|spec| {
        spec.gadget_groups = Basis::prefix(7).groups_of(1);
        spec.low_region = Some(LowRegion { primes: 2, special: 3 });
    });
    assert_eq!(what, "low region", "two digits");
    for (primes, special) in [(1, 2), (2, 3)] {
        let mut specification = specification();
        specification.low_region = Some(LowRegion { primes, special });
        assert!(Parameters::new(specification).is_ok());
    }
}

#[test]
fn rejects_a_single_special_prime() {
    let (what, text) = refusal(|spec| {
        let primes = |primes: &[Modulus]| primes.iter().map(Modulus::value).collect::<Vec<_>>();
        let (ciphertext, special) = (primes(spec.chain.ciphertext_primes()), primes(&spec.chain.special_primes()[..1]));
        spec.chain = PrimeChain::new(ciphertext, special, LOG_DEGREE).expect("primes of the right form");
    });
    assert!(what == "special primes" && text.contains("is 1, required at least 2"), "{text}");
}

#[test]
fn rejects_degrees_and_weights_out_of_range() {
    assert_eq!(refusal(|spec| spec.small_log_degree = LOG_DEGREE).0, "degrees");
    assert_eq!(refusal(|spec| spec.lane_log_degree = LOG_DEGREE).0, "degrees");
    assert_eq!(refusal(|spec| spec.lane_log_degree = 1).0, "degrees");
    assert_eq!(refusal(|spec| spec.log_degree = LOG_DEGREE + 1).0, "degrees");
    assert_eq!(refusal(|spec| spec.ephemeral_weight = 0).0, "ephemeral weight");
    assert_eq!(refusal(|spec| spec.ephemeral_weight = 257).0, "ephemeral weight");
}

#[test]
fn fingerprints_tell_apart_whatever_keys_depend_on() {
    let changes: [fn(&mut ParametersSpec); 8] = [
        |_| (),
        |spec| spec.gadget_groups = Basis::prefix(7).groups_of(2),
        |spec| spec.gadget_groups.swap(0, 1),
        |spec| spec.low_region = Some(LowRegion { primes: 1, special: 2 }),
        |spec| spec.low_region = Some(LowRegion { primes: 1, special: 3 }),
        |spec| spec.ephemeral_weight = 16,
        |spec| spec.small_log_degree = 4,
        |spec| spec.lane_log_degree = 4,
    ];
    let fingerprint = |change: fn(&mut ParametersSpec)| {
        let mut specification = specification();
        change(&mut specification);
        Parameters::new(specification).expect("valid structure").fingerprint()
    };
    let distinct: HashSet<_> = changes.map(fingerprint).into_iter().collect();
    assert_eq!(distinct.len(), changes.len());
    let named = |spec: &mut ParametersSpec| (spec.name, spec.insecure) = ("other".into(), false);
    assert_eq!(fingerprint(named), fingerprint(|_| ()), "neither a name nor a permission");
}
