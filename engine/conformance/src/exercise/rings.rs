//! The maps between the two rings.

use fhe_ring::{Backend, Domain, Poly, RingKind};

use super::{ACCEPTED, operands};
use crate::{Case, Pattern, Transcript};

pub(super) fn between_the_rings<B: Backend>(backend: &B, case: &Case, transcript: &mut Transcript) {
    for poly in operands(backend, case).filter(|poly| poly.shape().domain == Domain::Evaluation) {
        match case.ring.kind {
            RingKind::Cyclotomic => {
                for pattern in [Pattern::Random, Pattern::Largest] {
                    let other = pattern.poly(backend, poly.shape(), 1);
                    for turned in [false, true] {
                        for parts in [[&poly, &other], [&other, &poly]] {
                            let trace = Poly::trace(backend, parts, turned).expect(ACCEPTED);
                            transcript.note(backend, &format!("trace, turned: {turned}"), trace);
                        }
                    }
                }
            }
            RingKind::ConjugateInvariant => {
                for part in poly.parity_split(backend).expect(ACCEPTED) {
                    transcript.note(backend, "parity_split", part);
                }
            }
        }
    }
}
