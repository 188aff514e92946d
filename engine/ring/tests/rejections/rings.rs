//! The maps between the two rings.

use fhe_ring::{Basis, Poly, Shape};

use super::{REAL, coefficients, meter, real_values, values};

#[test]
fn rejects_traces_of_unlike_parts() {
    let meter = meter();
    let two = Basis::prefix(2);
    let poly = values(&meter, two);
    assert!(Poly::trace(&meter, [&poly, &poly], true).is_ok());
    refused!(BasisMismatch, "trace", Poly::trace(&meter, [&poly, &values(&meter, Basis::prefix(3))], false));
    let real = real_values(&meter, two);
    refused!(RingUnsupported, "trace", Poly::trace(&meter, [&real, &real], false));
    refused!(RingMismatch, "trace", Poly::trace(&meter, [&poly, &real], false));
    let untransformed = coefficients(&meter, two);
    refused!(DomainMismatch, "trace", Poly::trace(&meter, [&untransformed, &untransformed], false));
    refused!(DomainMismatch, "trace", Poly::trace(&meter, [&poly, &untransformed], false));
}

#[test]
fn rejects_splits_by_parity_outside_the_conjugate_invariant_ring() {
    let meter = meter();
    let two = Basis::prefix(2);
    assert!(real_values(&meter, two).parity_split(&meter).is_ok());
    refused!(RingUnsupported, "parity_split", values(&meter, two).parity_split(&meter));
    let untransformed = Poly::zeros(&meter, Shape::coefficient(REAL, two)).unwrap();
    refused!(DomainMismatch, "parity_split", untransformed.parity_split(&meter));
}
