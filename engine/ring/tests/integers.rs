//! Integer coefficients on their way into a backend.

use fhe_ring::{Backend, Basis, Cpu, Modulus, Poly, PrimeChain, Ring, RingError, Shape, primes::primes_below};
use proptest::prelude::*;

const RING: Ring = Ring::cyclotomic(3);

fn cpu() -> Cpu {
    let mut primes: Vec<u64> = primes_below(1 << 50, 32).take(2).collect();
    primes.push(primes_below(1 << 20, 32).next().unwrap());
    Cpu::new(PrimeChain::new(primes[1..].to_vec(), primes[..1].to_vec(), 3).unwrap())
}

fn shape() -> Shape {
    Shape::coefficient(RING, Basis::prefix(2).with_special(1))
}

fn residues(cpu: &Cpu, coefficients: &[i128]) -> Vec<u64> {
    (cpu.primes().moduli(shape().basis).map(Modulus::value))
        .flat_map(|p| coefficients.iter().map(move |c| c.rem_euclid(i128::from(p)) as u64))
        .collect()
}

proptest! {
    #[test]
    fn signed_coefficients_are_reduced(wide: [i128; 8], shift in 0u32..127) {
        let cpu = cpu();
        let wide = wide.map(|c| c >> shift);
        let poly = Poly::from_signed_wide(&cpu, shape(), &wide).unwrap();
        prop_assert_eq!(poly.download(&cpu).unwrap(), residues(&cpu, &wide));
        let narrow = wide.map(|c| c as i64 >> (shift / 2));
        let poly = Poly::from_signed(&cpu, shape(), &narrow).unwrap();
        prop_assert_eq!(poly.download(&cpu).unwrap(), residues(&cpu, &narrow.map(i128::from)));
        // In the evaluation domain the same polynomial, transformed.
        let evaluation = shape().with_domain(fhe_ring::Domain::Evaluation);
        let values = Poly::from_signed(&cpu, evaluation, &narrow).unwrap();
        prop_assert_eq!(values.shape(), evaluation);
        prop_assert_eq!(values.into_coefficient(&cpu).download(&cpu), poly.download(&cpu));
    }
}

#[test]
fn extreme_coefficients_are_reduced() {
    let cpu = cpu();
    let p = cpu.primes().ciphertext_primes()[0].value() as i64;
    let narrow = [i64::MIN, i64::MAX, 0, -1, p, -p, p - 1, 1 - p];
    let poly = Poly::from_signed(&cpu, shape(), &narrow).unwrap();
    assert_eq!(poly.download(&cpu).unwrap(), residues(&cpu, &narrow.map(i128::from)));
    let wide = [i128::MIN, i128::MAX, 0, -1, 1 << 64, -1 << 64, 1 << 100, 12345];
    let poly = Poly::from_signed_wide(&cpu, shape(), &wide).unwrap();
    assert_eq!(poly.download(&cpu).unwrap(), residues(&cpu, &wide));
}

#[test]
fn rejects_uploads_that_are_not_reduced() {
    let cpu = cpu();
    for (limb, modulus) in cpu.primes().moduli(shape().basis).enumerate() {
        let upload = |word| {
            Poly::upload(&cpu, shape(), |words| {
                words.fill(0);
                words[8 * limb + 5] = word;
            })
        };
        assert!(upload(modulus.value() - 1).is_ok());
        match upload(modulus.value()).map(|_| ()) {
            Err(RingError::UnreducedResidue { limb: found, .. }) => assert_eq!(found, limb),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn rejects_missing_coefficients_where_there_is_data() {
    let outcome = Poly::from_signed(&cpu(), shape(), &[]).map(|_| ());
    assert!(matches!(outcome, Err(RingError::LengthMismatch { found: 0, required: 8, .. })));
}

#[test]
fn rejects_unfilled_weights_where_there_is_data() {
    use fhe_ring::{IntegerMatrix, MatrixShape, module_product, module_rows};
    let cpu = cpu();
    let shape = Shape::coefficient(RING, Basis::prefix(1));
    let pair = [Poly::zeros(&cpu, shape).unwrap(), Poly::zeros(&cpu, shape).unwrap()];
    let pair = [pair];
    let [b, _] = module_rows(&cpu, &pair, 1, 4).unwrap();
    let weights = IntegerMatrix::unfilled(MatrixShape { rows: 3, columns: 2 });
    let product = b.integer_product(&cpu, &weights).map(|_| ());
    assert!(matches!(product, Err(RingError::LengthMismatch { found: 0, required: 6, .. })));
    let product = module_product(&cpu, &weights, &pair, 1, 4).map(|_| ());
    assert!(matches!(product, Err(RingError::LengthMismatch { found: 0, required: 6, .. })));
}
