//! The gadget product is a sum of products.

use fhe_ring::{Backend, Shape, gadget_product};

use super::{coefficients, values};
use crate::{Case, Pattern};

pub(super) fn check<B: Backend>(backend: &B, case: &Case) {
    const ACCEPTED: &str = "the case is well formed";
    let full = Shape::evaluation(case.ring, backend.primes().full_basis());
    let digits =
        values(backend, case.pattern, full.with_basis(case.basis), 0).mod_up(backend, 2, case.special).expect(ACCEPTED);
    let rows: Vec<_> = (0..4u64).map(|d| [30, 50].map(|salt| Pattern::Random.poly(backend, full, salt + d))).collect();
    let mut target = [Pattern::Largest, Pattern::Random].map(|pattern| pattern.poly(backend, digits.shape(), 7));
    let mut expected = [0, 1].map(|half: usize| target[half].duplicate(backend));
    gadget_product(backend, &mut target, &digits, &rows).expect(ACCEPTED);
    for (half, sum) in expected.iter_mut().enumerate() {
        for (index, digit) in digits.iter() {
            let row = rows[index][half].restrict(backend, digit.shape().basis).expect(ACCEPTED);
            sum.add_assign(backend, &digit.multiply(backend, &row).expect(ACCEPTED)).expect(ACCEPTED);
        }
        let (found, expected) = (coefficients(backend, &target[half]), coefficients(backend, sum));
        assert_eq!(found, expected, "{case}: gadget_product, half {half}");
    }
}
