//! Every checked operation refuses what it cannot do, and says why. `Meter` runs the checks without data.

use fhe_ring::{
    Backend, Basis, Counting, Digits, GaloisElement, IntegerMatrix, MatrixShape, Meter, Poly, PrimeChain,
    ResidueMatrix, Ring, RingError, Shape, gadget_product, module_rows, primes::primes_below,
};

const RING: Ring = Ring::cyclotomic(8);
const REAL: Ring = Ring::conjugate_invariant(8);

fn chain() -> PrimeChain {
    let primes: Vec<u64> = primes_below(1 << 45, 4 << 8).take(6).collect();
    PrimeChain::new(primes[..4].to_vec(), primes[4..].to_vec(), 8).unwrap()
}

fn meter() -> Meter {
    Meter::new(chain())
}

fn values(meter: &Meter, basis: Basis) -> Poly<Meter> {
    Poly::zeros(meter, Shape::evaluation(RING, basis)).unwrap()
}

fn coefficients(meter: &Meter, basis: Basis) -> Poly<Meter> {
    Poly::zeros(meter, Shape::coefficient(RING, basis)).unwrap()
}

fn real_values(meter: &Meter, basis: Basis) -> Poly<Meter> {
    Poly::zeros(meter, Shape::evaluation(REAL, basis)).unwrap()
}

/// Asserts that the outcome is the named variant of [`RingError`], and that its message names the operation.
macro_rules! refused {
    ($variant:ident, $operation:literal, $outcome:expr) => {
        match $outcome {
            Err(error @ RingError::$variant { .. }) => {
                let message = error.to_string();
                assert!(message.starts_with(concat!($operation, ":")) && message.contains("; "), "{message}");
            }
            Err(other) => panic!("refused for another reason: {other}"),
            Ok(_) => panic!("accepted"),
        }
    };
}

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
fn rejects_mismatched_summands_and_factors() {
    let meter = meter();
    let (two, three) = (Basis::prefix(2), Basis::prefix(3));
    let mut target = values(&meter, two);
    refused!(BasisMismatch, "add_assign", target.add_assign(&meter, &values(&meter, three)));
    refused!(DomainMismatch, "subtract_assign", target.subtract_assign(&meter, &coefficients(&meter, two)));
    refused!(RingMismatch, "add_assign", target.add_assign(&meter, &real_values(&meter, two)));
    refused!(BasisMismatch, "multiply", target.multiply(&meter, &values(&meter, three)));
    refused!(DomainMismatch, "multiply", coefficients(&meter, two).multiply(&meter, &coefficients(&meter, two)));
    let (left, right) = (values(&meter, two), values(&meter, three));
    assert!(target.multiply_accumulate(&meter, &left, &right).is_ok());
    refused!(BasisMismatch, "multiply_accumulate", target.multiply_accumulate(&meter, &right, &right));
    let fewer = values(&meter, Basis::of([0]));
    refused!(BasisNotContained, "multiply_accumulate", target.multiply_accumulate(&meter, &left, &fewer));
    let transformed = coefficients(&meter, two);
    refused!(DomainMismatch, "multiply_accumulate", target.multiply_accumulate(&meter, &left, &transformed));
    let foreign = real_values(&meter, two);
    refused!(RingMismatch, "multiply_accumulate", target.multiply_accumulate(&meter, &left, &foreign));
}

#[test]
fn rejects_unsuitable_constants() {
    let meter = meter();
    let mut poly = values(&meter, Basis::prefix(2));
    refused!(LengthMismatch, "scale_residues", poly.scale_residues(&meter, &[1]));
    let prime = chain().ciphertext_primes()[1].value();
    assert!(poly.scale_residues(&meter, &[1, prime - 1]).is_ok());
    let outcome = poly.scale_residues(&meter, &[1, prime]);
    assert!(matches!(outcome, Err(RingError::UnreducedResidue { limb: 1, .. })));
    let mut poly = poly.into_coefficient(&meter);
    refused!(DomainMismatch, "add_constant", poly.add_constant(&meter, 1));
}

#[test]
fn rejects_foreign_automorphisms_and_monomials() {
    let meter = meter();
    let poly = values(&meter, Basis::prefix(2));
    let foreign = GaloisElement::conjugation(Ring::cyclotomic(9));
    refused!(OutOfRange, "automorphism", poly.automorphism(&meter, foreign));
    let digits = poly.mod_up(&meter, 1, 1).unwrap();
    refused!(OutOfRange, "automorphism", digits.automorphism(&meter, foreign));
    let real = real_values(&meter, Basis::prefix(1));
    refused!(RingUnsupported, "multiply_monomial", real.multiply_monomial(&meter, 1));
    assert!(poly.multiply_monomial(&meter, 5 * 256 + 3).is_ok());
}

#[test]
fn rejects_decompositions_and_divisions_without_their_primes() {
    let meter = meter();
    let three = Basis::prefix(3);
    let (poly, extended) = (values(&meter, three), values(&meter, three.with_special(2)));
    refused!(DomainMismatch, "mod_up", coefficients(&meter, three).mod_up(&meter, 2, 1));
    refused!(BasisUnsupported, "mod_up", extended.mod_up(&meter, 2, 1));
    refused!(OutOfRange, "mod_up", poly.mod_up(&meter, 0, 1));
    refused!(OutOfRange, "mod_up", poly.mod_up(&meter, 64, 1));
    refused!(OutOfRange, "mod_up", poly.mod_up(&meter, 2, 3));
    refused!(DomainMismatch, "single digit", Digits::single(coefficients(&meter, three)));

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
    refused!(BasisUnsupported, "raise", coefficients(&meter, three).raise(&meter, three));
    refused!(DomainMismatch, "raise", values(&meter, Basis::prefix(1)).raise(&meter, three));
    refused!(BasisMismatch, "raise", single.raise(&meter, Basis::prefix(5)));
    refused!(BasisUnsupported, "raise", single.raise(&meter, Basis::prefix(0)));
}

#[test]
fn rejects_keys_that_do_not_fit_the_digits() {
    let meter = meter();
    let basis = Basis::prefix(3);
    let extended = basis.with_special(1);
    let digits = values(&meter, basis).mod_up(&meter, 2, 1).unwrap();
    let targets = |basis| [values(&meter, basis), values(&meter, basis)];
    let rows = |count: usize, basis| (0..count).map(|_| targets(basis)).collect::<Vec<_>>();
    let product = |mut target, rows: &[[Poly<Meter>; 2]]| gadget_product(&meter, &mut target, &digits, rows);
    let full = meter.primes().full_basis();
    assert!(product(targets(extended), &rows(3, full)).is_ok());
    refused!(LengthMismatch, "gadget_product", product(targets(extended), &rows(1, full)));
    refused!(BasisMismatch, "gadget_product", product(targets(basis), &rows(2, full)));
    refused!(BasisNotContained, "gadget_product", product(targets(extended), &rows(2, basis)));
    let real: Vec<_> = (0..2).map(|_| [real_values(&meter, full), real_values(&meter, full)]).collect();
    refused!(RingMismatch, "gadget_product", product(targets(extended), &real));
    let untransformed: Vec<_> = (0..2).map(|_| [coefficients(&meter, full), coefficients(&meter, full)]).collect();
    refused!(DomainMismatch, "gadget_product", product(targets(extended), &untransformed));
}

#[test]
fn rejects_strided_maps_off_their_ground() {
    let meter = meter();
    let one = Basis::prefix(1);
    let poly = coefficients(&meter, one);
    refused!(OutOfRange, "stride_split", poly.stride_split(&meter, 3));
    refused!(OutOfRange, "stride_split", poly.stride_split(&meter, 0));
    refused!(OutOfRange, "stride_split", poly.stride_split(&meter, 256));
    refused!(DomainMismatch, "stride_split", values(&meter, one).stride_split(&meter, 2));
    refused!(BasisUnsupported, "stride_split", coefficients(&meter, Basis::prefix(2)).stride_split(&meter, 2));
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

    let [b, a] = module_rows(&meter, &ciphertexts, 2, 16).unwrap();
    assert_eq!((b.shape(), a.shape()), (MatrixShape { rows: 16, columns: 16 }, MatrixShape { rows: 16, columns: 64 }));
    let weights = |rows, columns| IntegerMatrix::unfilled(MatrixShape { rows, columns });
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

#[test]
fn counting_a_meter_refuses_alike() {
    let counting = Counting::new(meter());
    let outcome = Poly::zeros(&counting, Shape::evaluation(RING, Basis::prefix(9)));
    refused!(BasisMismatch, "zeros", outcome);
}
