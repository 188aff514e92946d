//! Storage and transforms.

use fhe_ring::{Backend, Domain, Poly, Seed, Shape};

use super::{ACCEPTED, operands};
use crate::{Case, Transcript};

pub(super) fn storage_and_transforms<B: Backend>(backend: &B, case: &Case, transcript: &mut Transcript) {
    for poly in operands(backend, case) {
        transcript.note(backend, "zeros", Poly::zeros(backend, poly.shape()).expect(ACCEPTED));
        transcript.note(backend, "upload", poly.duplicate(backend));
        for basis in [case.basis, case.basis.without_last(), case.basis.range(1, 63)] {
            if !basis.is_empty() {
                transcript.note(backend, "restrict", poly.restrict(backend, basis).expect(ACCEPTED));
            }
        }
        let copy = poly.duplicate(backend);
        match poly.shape().domain {
            Domain::Coefficient => {
                let values = transcript.note(backend, "forward", copy.into_evaluation(backend));
                transcript.note(backend, "inverse of forward", values.into_coefficient(backend));
            }
            Domain::Evaluation => {
                let coefficients = transcript.note(backend, "inverse", copy.into_coefficient(backend));
                transcript.note(backend, "forward of inverse", coefficients.into_evaluation(backend));
            }
        }
    }
    let seed = Seed::from_bytes([case.ring.log_degree as u8; 32]);
    for shape in
        [Shape::coefficient(case.ring, case.basis), Shape::evaluation(case.ring, case.basis.with_special(case.special))]
    {
        transcript.note(backend, "uniform", Poly::uniform(backend, shape, &seed).expect(ACCEPTED));
    }
    let signed: Vec<i64> =
        (0..case.ring.degree() as i64).map(|i| (i - 3).wrapping_mul(i64::MAX / 5) >> (i % 60)).collect();
    let wide: Vec<i128> = signed.iter().map(|&c| i128::from(c) << 60).collect();
    let shape = Shape::evaluation(case.ring, case.basis.with_special(case.special));
    transcript.note(backend, "from_signed", Poly::from_signed(backend, shape, &signed).expect(ACCEPTED));
    transcript.note(backend, "from_signed_wide", Poly::from_signed_wide(backend, shape, &wide).expect(ACCEPTED));
}
