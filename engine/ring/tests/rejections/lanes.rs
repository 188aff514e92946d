//! Matrix products of ciphertexts over a subring.

use fhe_ring::{Basis, Poly, Ring, Shape, lane_products};

use super::{REAL, coefficients, meter, values};

#[test]
fn rejects_products_of_ciphertexts_that_do_not_fit() {
    let meter = meter();
    let two = Basis::prefix(2);
    let poly = coefficients(&meter, two);
    let pair = [&poly, &poly];
    let product = |left: &[_], right: &[_], rows| lane_products(&meter, left, right, rows);
    assert_eq!(product(&[pair; 3], &[pair; 3], 16).map(|rows| rows.len()).ok(), Some(16));
    for rows in [1, 256] {
        assert!(product(&[pair], &[pair], rows).is_ok());
    }

    refused!(OutOfRange, "lane_products", product(&[], &[], 16));
    refused!(LengthMismatch, "lane_products", product(&[pair; 2], &[pair; 3], 16));
    for rows in [0, 3, 512] {
        refused!(OutOfRange, "lane_products", product(&[pair], &[pair], rows));
    }
    let at_points = values(&meter, two);
    let special = coefficients(&meter, two.with_special(1));
    let real = Poly::zeros(&meter, Shape::coefficient(REAL, two)).unwrap();
    refused!(DomainMismatch, "lane_products", product(&[[&at_points; 2]], &[[&at_points; 2]], 16));
    refused!(BasisUnsupported, "lane_products", product(&[[&special; 2]], &[[&special; 2]], 16));
    refused!(RingUnsupported, "lane_products", product(&[[&real; 2]], &[[&real; 2]], 16));
    // One half of one ciphertext is of another shape.
    let small = Poly::zeros(&meter, Shape::coefficient(Ring::cyclotomic(7), two)).unwrap();
    let other = coefficients(&meter, Basis::of([0, 2]));
    for half in [[&poly, &small], [&small, &poly]] {
        refused!(RingMismatch, "lane_products", product(&[pair, half], &[pair; 2], 16));
        refused!(RingMismatch, "lane_products", product(&[pair; 2], &[pair, half], 16));
    }
    refused!(BasisMismatch, "lane_products", product(&[pair, [&poly, &other]], &[pair; 2], 16));
    refused!(DomainMismatch, "lane_products", product(&[pair], &[[&poly, &at_points]], 16));
}
