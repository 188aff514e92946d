//! Strided maps, module rows, integer products, gathers.

use fhe_ring::{
    Basis, IntegerMatrix, MatrixShape, Meter, Poly, ResidueMatrix, Ring, Shape, module_product, module_rows,
};

use super::{REAL, RING, coefficients, meter, values};

#[test]
fn rejects_strided_maps_off_their_ground() {
    let meter = meter();
    let one = Basis::prefix(1);
    let poly = coefficients(&meter, one);
    refused!(OutOfRange, "stride_split", poly.stride_split(&meter, 3));
    refused!(OutOfRange, "stride_split", poly.stride_split(&meter, 0));
    refused!(OutOfRange, "stride_split", poly.stride_split(&meter, 256));
    refused!(DomainMismatch, "stride_split", values(&meter, one).stride_split(&meter, 2));
    let special = coefficients(&meter, one.with_special(1));
    refused!(BasisUnsupported, "stride_split", special.stride_split(&meter, 2));
    assert!(coefficients(&meter, Basis::of([0, 2])).stride_split(&meter, 2).is_ok());
    let real = Poly::zeros(&meter, Shape::coefficient(REAL, one)).unwrap();
    refused!(RingUnsupported, "stride_split", real.stride_split(&meter, 2));

    let mut parts = poly.stride_split(&meter, 4).unwrap();
    refused!(OutOfRange, "stride_merge", Poly::stride_merge(&meter, &parts[..3]));
    refused!(OutOfRange, "stride_merge", Poly::<Meter>::stride_merge(&meter, &[]));
    parts[3] = coefficients(&meter, one);
    refused!(RingMismatch, "stride_merge", Poly::stride_merge(&meter, &parts));
    refused!(OutOfRange, "stride_merge", Poly::stride_merge(&meter, &[poly.duplicate(&meter), poly]));
}

#[test]
fn rejects_matrices_that_do_not_fit() {
    let meter = meter();
    let small = Shape::coefficient(Ring::cyclotomic(6), Basis::prefix(1));
    let pair = |shape| [Poly::zeros(&meter, shape).unwrap(), Poly::zeros(&meter, shape).unwrap()];
    let ciphertexts: Vec<_> = (0..4).map(|_| pair(small)).collect();
    refused!(OutOfRange, "module_rows", module_rows::<Meter>(&meter, &[], 1, 16));
    refused!(OutOfRange, "module_rows", module_rows(&meter, &ciphertexts, 0, 16));
    refused!(LengthMismatch, "module_rows", module_rows(&meter, &ciphertexts, 3, 16));
    refused!(OutOfRange, "module_rows", module_rows(&meter, &ciphertexts, 2, 24));
    refused!(OutOfRange, "module_rows", module_rows(&meter, &ciphertexts, 2, 128));
    let other = [pair(small.with_basis(Basis::of([1])))];
    refused!(BasisMismatch, "module_rows", module_rows(&meter, &other, 1, 16));

    let weights = |rows, columns| IntegerMatrix::unfilled(MatrixShape { rows, columns });
    let fitting = weights(8, 16);
    refused!(OutOfRange, "module_product", module_product::<Meter>(&meter, &fitting, &[], 1, 16));
    refused!(OutOfRange, "module_product", module_product(&meter, &fitting, &ciphertexts, 0, 16));
    refused!(LengthMismatch, "module_product", module_product(&meter, &fitting, &ciphertexts, 3, 16));
    refused!(OutOfRange, "module_product", module_product(&meter, &fitting, &ciphertexts, 2, 24));
    refused!(OutOfRange, "module_product", module_product(&meter, &fitting, &ciphertexts, 2, 128));
    refused!(BasisMismatch, "module_product", module_product(&meter, &fitting, &other, 1, 16));
    refused!(LengthMismatch, "module_product", module_product(&meter, &weights(8, 15), &ciphertexts, 2, 16));
    refused!(LengthMismatch, "module_product", module_product(&meter, &weights(8, 32), &ciphertexts, 2, 16));
    let [b, a] = module_product(&meter, &fitting, &ciphertexts, 2, 16).unwrap();
    assert_eq!((b.shape(), a.shape()), (MatrixShape { rows: 8, columns: 16 }, MatrixShape { rows: 8, columns: 64 }));

    let [b, a] = module_rows(&meter, &ciphertexts, 2, 16).unwrap();
    assert_eq!((b.shape(), a.shape()), (MatrixShape { rows: 16, columns: 16 }, MatrixShape { rows: 16, columns: 64 }));
    refused!(LengthMismatch, "integer_product", b.integer_product(&meter, &weights(8, 15)));
    assert!(b.integer_product(&meter, &weights(8, 16)).is_ok());

    refused!(RingUnsupported, "gather_rows", b.gather_rows(&meter, &a, 0, REAL));
    refused!(OutOfRange, "gather_rows", b.gather_rows(&meter, &a, 16, RING));
    refused!(OutOfRange, "gather_rows", b.gather_rows(&meter, &a, 0, Ring::cyclotomic(3)));
    refused!(OutOfRange, "gather_rows", b.gather_rows(&meter, &a, 0, Ring::cyclotomic(9)));
    let fewer: ResidueMatrix<Meter> = a.integer_product(&meter, &weights(8, 16)).unwrap();
    refused!(LengthMismatch, "gather_rows", b.gather_rows(&meter, &fewer, 0, RING));
    assert!(b.gather_rows(&meter, &a, 8, RING).is_ok());
}
