//! Decompositions, divisions, raises.

use fhe_ring::Basis;

use super::{coefficients, meter, values};

#[test]
fn rejects_decompositions_and_divisions_without_their_primes() {
    let meter = meter();
    let (three, pairs) = (Basis::prefix(3), Basis::prefix(4).groups_of(2));
    let (poly, extended) = (values(&meter, three), values(&meter, three.with_special(2)));
    assert!(poly.mod_up(&meter, &pairs, 0).is_ok());
    refused!(DomainMismatch, "mod_up", coefficients(&meter, three).mod_up(&meter, &pairs, 1));
    refused!(BasisUnsupported, "mod_up", extended.mod_up(&meter, &pairs, 1));
    refused!(OutOfRange, "mod_up", poly.mod_up(&meter, &pairs, 3));
    refused!(BasisNotContained, "mod_up", poly.mod_up(&meter, &pairs[..1], 1));
    refused!(BasisNotContained, "mod_up", poly.mod_up(&meter, &[], 1));
    refused!(LengthMismatch, "mod_up", poly.mod_up(&meter, &[Basis::prefix(2), Basis::of([1, 2])], 1));
    let many = [pairs.clone(), vec![Basis::default(); 62]].concat();
    refused!(OutOfRange, "mod_up", poly.mod_up(&meter, &many, 1));

    refused!(BasisUnsupported, "extend_by_special", extended.extend_by_special(&meter, 1));
    refused!(OutOfRange, "extend_by_special", poly.extend_by_special(&meter, 0));
    refused!(OutOfRange, "extend_by_special", poly.extend_by_special(&meter, 3));
    refused!(DomainMismatch, "extend_by_special", coefficients(&meter, three).extend_by_special(&meter, 1));

    refused!(BasisUnsupported, "mod_down", poly.mod_down(&meter, false));
    let coefficient_form = coefficients(&meter, three.with_special(1));
    refused!(DomainMismatch, "mod_down", coefficient_form.mod_down(&meter, false));
    let last = values(&meter, Basis::prefix(1).with_special(1));
    refused!(BasisUnsupported, "mod_down", last.mod_down(&meter, true));
    assert!(last.mod_down(&meter, false).is_ok());
    let special = values(&meter, Basis::prefix(0).with_special(1));
    refused!(BasisUnsupported, "mod_down", special.mod_down(&meter, false));

    refused!(BasisUnsupported, "rescale", extended.rescale(&meter));
    refused!(BasisUnsupported, "rescale", values(&meter, Basis::prefix(1)).rescale(&meter));

    let single = coefficients(&meter, Basis::prefix(1));
    assert!(coefficients(&meter, three).raise(&meter, three).is_ok());
    refused!(BasisUnsupported, "raise", coefficients(&meter, three.with_special(1)).raise(&meter, three));
    refused!(DomainMismatch, "raise", values(&meter, Basis::prefix(1)).raise(&meter, three));
    refused!(BasisMismatch, "raise", single.raise(&meter, Basis::prefix(5)));
    refused!(BasisUnsupported, "raise", single.raise(&meter, Basis::prefix(0)));
}
