//! Every checked operation refuses what it cannot do, and says why. `Meter` runs the checks without data.

/// Asserts that the outcome is the named variant of [`fhe_ring::RingError`], and that its message names the operation.
macro_rules! refused {
    ($variant:ident, $operation:literal, $outcome:expr) => {
        match $outcome {
            Err(error @ fhe_ring::RingError::$variant { .. }) => {
                let message = error.to_string();
                assert!(message.starts_with(concat!($operation, ":")) && message.contains("; "), "{message}");
            }
            Err(other) => panic!("refused for another reason: {other}"),
            Ok(_) => panic!("accepted"),
        }
    };
}

mod arithmetic;
mod key_switching;
mod lanes;
mod modules;
mod moduli;
mod rings;
mod storage;
mod weights;

use fhe_ring::{Basis, Meter, Poly, PrimeChain, Ring, Shape, primes::primes_below};

pub(crate) const RING: Ring = Ring::cyclotomic(8);
pub(crate) const REAL: Ring = Ring::conjugate_invariant(8);

pub(crate) fn chain() -> PrimeChain {
    let primes: Vec<u64> = primes_below(1 << 45, 4 << 8).take(6).collect();
    PrimeChain::new(primes[..4].to_vec(), primes[4..].to_vec(), 8).unwrap()
}

pub(crate) fn meter() -> Meter {
    Meter::new(chain())
}

pub(crate) fn values(meter: &Meter, basis: Basis) -> Poly<Meter> {
    Poly::zeros(meter, Shape::evaluation(RING, basis)).unwrap()
}

pub(crate) fn coefficients(meter: &Meter, basis: Basis) -> Poly<Meter> {
    Poly::zeros(meter, Shape::coefficient(RING, basis)).unwrap()
}

pub(crate) fn real_values(meter: &Meter, basis: Basis) -> Poly<Meter> {
    Poly::zeros(meter, Shape::evaluation(REAL, basis)).unwrap()
}
