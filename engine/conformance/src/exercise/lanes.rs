//! Strided maps over several primes, and matrix products of ciphertexts over a subring.

use fhe_ring::{Backend, Poly, RingKind, Shape, lane_products};

use super::ACCEPTED;
use crate::{Case, Transcript};

/// Most words of the results of a product: what a test has time for.
const MOST_WORDS: usize = 1 << 18;

pub(super) fn strided_maps<B: Backend>(backend: &B, case: &Case, transcript: &mut Transcript) {
    if case.ring.kind == RingKind::ConjugateInvariant {
        return;
    }
    let poly = case.pattern.poly(backend, Shape::coefficient(case.ring, case.basis), 90);
    for log_parts in [0, case.ring.log_degree / 2, case.ring.log_degree - 1] {
        let parts = poly.stride_split(backend, 1 << log_parts).expect(ACCEPTED);
        let merged = Poly::stride_merge(backend, &parts).expect(ACCEPTED);
        transcript.note(backend, "stride_merge", merged);
        for part in parts {
            transcript.note(backend, "stride_split", part);
        }
    }
}

pub(super) fn matrix_products<B: Backend>(backend: &B, case: &Case, transcript: &mut Transcript) {
    if case.ring.kind == RingKind::ConjugateInvariant {
        return;
    }
    let shape = Shape::coefficient(case.ring, case.basis);
    let halves: Vec<_> = (91..91 + 4 * 3).map(|salt| case.pattern.poly(backend, shape, salt)).collect();
    let pairs: Vec<[&Poly<B>; 2]> = halves.chunks(2).map(|pair| [&pair[0], &pair[1]]).collect();
    for log_rows in (0..=case.ring.log_degree).filter(|log_rows| shape.words() << (log_rows + 2) <= MOST_WORDS) {
        for count in [1, 3] {
            let products =
                lane_products(backend, &pairs[..count], &pairs[3..3 + count], 1 << log_rows).expect(ACCEPTED);
            assert_eq!(products.len(), 1 << log_rows, "lane_products returned another number of rows");
            for (row, parts) in products.into_iter().enumerate() {
                for (part, product) in parts.into_iter().flatten().enumerate() {
                    let name = format!("lane_products, row {row} of 2^{log_rows}, part {part}, {count} pairs");
                    transcript.note(backend, &name, product);
                }
            }
        }
    }
}
