//! Products with weight polynomials.

use fhe_ring::{Basis, Cpu, IntegerMatrix, MatrixShape, Meter, Poly, Shape, weight_products};

use super::{RING, chain, coefficients, meter, real_values, values};

#[test]
fn rejects_weight_products_that_do_not_fit() {
    let meter = meter();
    let one = Basis::prefix(1);
    let pair = |make: fn(&Meter, Basis) -> Poly<Meter>, basis| [make(&meter, basis), make(&meter, basis)];
    let weights = |rows, columns| IntegerMatrix::unfilled(MatrixShape { rows, columns });
    let inputs = [pair(values, one), pair(values, one)];
    assert_eq!(weight_products(&meter, &weights(9, 128), &inputs, 64).unwrap().len(), 3);
    assert_eq!(weight_products(&meter, &weights(4, 65), &inputs, 64).unwrap().len(), 1);

    refused!(OutOfRange, "weight_products", weight_products::<Meter>(&meter, &weights(9, 128), &[], 64));
    refused!(OutOfRange, "weight_products", weight_products(&meter, &weights(0, 128), &inputs, 64));
    for block in [0, 48, 512] {
        refused!(OutOfRange, "weight_products", weight_products(&meter, &weights(9, 128), &inputs, block));
    }
    for columns in [0, 64, 129] {
        refused!(LengthMismatch, "weight_products", weight_products(&meter, &weights(9, columns), &inputs, 64));
    }
    let refused = |input| weight_products(&meter, &weights(1, 64), &[input], 64);
    refused!(RingUnsupported, "weight_products", refused(pair(real_values, one)));
    refused!(DomainMismatch, "weight_products", refused(pair(coefficients, one)));
    refused!(BasisUnsupported, "weight_products", refused(pair(values, Basis::prefix(2))));
    refused!(BasisMismatch, "weight_products", refused([values(&meter, one), values(&meter, Basis::of([1]))]));
    let mixed = [pair(values, one), pair(coefficients, one)];
    refused!(DomainMismatch, "weight_products", weight_products(&meter, &weights(9, 128), &mixed, 64));
}

#[test]
fn rejects_weights_that_are_not_there() {
    let cpu = Cpu::new(chain());
    let shape = Shape::evaluation(RING, Basis::prefix(1));
    let inputs = [[Poly::zeros(&cpu, shape).unwrap(), Poly::zeros(&cpu, shape).unwrap()]];
    let unfilled = IntegerMatrix::unfilled(MatrixShape { rows: 4, columns: 64 });
    refused!(LengthMismatch, "weight_products", weight_products(&cpu, &unfilled, &inputs, 64));
}
