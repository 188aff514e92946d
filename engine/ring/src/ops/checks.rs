//! Preconditions, each with the error that explains its violation.

use crate::{Basis, Domain, PrimeChain, Ring, RingError, RingKind, Shape};

/// One operation whose operands are being checked.
#[derive(Clone, Copy)]
pub(super) struct Check(pub(super) &'static str);

impl Check {
    /// The shape can exist: some primes, all of the chain, a degree within the chain's.
    pub(super) fn well_formed(self, operand: &'static str, shape: Shape, chain: &PrimeChain) -> Result<(), RingError> {
        self.some_primes(operand, shape.basis)?;
        let required = chain.full_basis();
        if !required.contains(shape.basis) {
            return Err(RingError::BasisMismatch {
                operation: self.0,
                operand,
                found: shape.basis,
                required,
                remedy: "name only primes of the backend's chain",
            });
        }
        self.number(
            "the binary logarithm of the ring degree",
            shape.ring.log_degree as usize,
            1..=chain.max_log_degree() as usize,
            "choose a degree that the backend's chain was made for",
        )
    }

    pub(super) fn some_primes(self, operand: &'static str, basis: Basis) -> Result<(), RingError> {
        if !basis.is_empty() {
            return Ok(());
        }
        Err(self.primes_unsupported(
            operand,
            basis,
            "at least one prime",
            "a polynomial without primes has no residues",
        ))
    }

    pub(super) fn same_ring(self, operand: &'static str, found: Ring, required: Ring) -> Result<(), RingError> {
        if found == required {
            return Ok(());
        }
        let remedy = "operate on polynomials of one ring, or switch rings first";
        Err(RingError::RingMismatch { operation: self.0, operand, found, required, remedy })
    }

    pub(super) fn cyclotomic(self, operand: &'static str, found: Ring) -> Result<(), RingError> {
        if found.kind == RingKind::Cyclotomic {
            return Ok(());
        }
        Err(RingError::RingUnsupported {
            operation: self.0,
            operand,
            found,
            required: "a cyclotomic ring Z[X]/(X^N+1)",
            remedy: "X is no element of the conjugate-invariant ring: convert to the cyclotomic ring first",
        })
    }

    pub(super) fn conjugate_invariant(self, operand: &'static str, found: Ring) -> Result<(), RingError> {
        if found.kind == RingKind::ConjugateInvariant {
            return Ok(());
        }
        Err(RingError::RingUnsupported {
            operation: self.0,
            operand,
            found,
            required: "a conjugate-invariant ring",
            remedy: "take the trace of a polynomial of the cyclotomic ring first",
        })
    }

    /// A polynomial that joins a sum of shape `sum`: of that shape, or without its special primes.
    pub(super) fn addend(self, operand: &'static str, found: Shape, sum: Shape) -> Result<(), RingError> {
        let unextended = sum.with_basis(sum.basis.without_special());
        self.same_shape(operand, found, if found.basis.special_count() == 0 { unextended } else { sum })
    }

    pub(super) fn too_short(
        self,
        operand: &'static str,
        found: usize,
        required: usize,
        remedy: &'static str,
    ) -> RingError {
        RingError::LengthMismatch { operation: self.0, operand, found, required, remedy }
    }

    pub(super) fn domain(self, operand: &'static str, found: Domain, required: Domain) -> Result<(), RingError> {
        if found == required {
            return Ok(());
        }
        Err(RingError::DomainMismatch { operation: self.0, operand, found, required })
    }

    pub(super) fn same_basis(self, operand: &'static str, found: Basis, required: Basis) -> Result<(), RingError> {
        if found == required {
            return Ok(());
        }
        let remedy = "restrict the operand with more primes";
        Err(RingError::BasisMismatch { operation: self.0, operand, found, required, remedy })
    }

    pub(super) fn contains(self, operand: &'static str, found: Basis, required: Basis) -> Result<(), RingError> {
        if found.contains(required) {
            return Ok(());
        }
        let remedy = "use an operand made for these primes, or restrict the other one";
        Err(RingError::BasisNotContained { operation: self.0, operand, found, required, remedy })
    }

    /// Same ring, domain and primes.
    pub(super) fn same_shape(self, operand: &'static str, found: Shape, required: Shape) -> Result<(), RingError> {
        self.same_ring(operand, found.ring, required.ring)?;
        self.domain(operand, found.domain, required.domain)?;
        self.same_basis(operand, found.basis, required.basis)
    }

    /// Exactly one ciphertext prime and no special one.
    pub(super) fn single_prime(self, operand: &'static str, found: Basis) -> Result<(), RingError> {
        if found.ciphertext_count() == 1 && found.special_count() == 0 {
            return Ok(());
        }
        let remedy = "divide by or restrict away the other primes first";
        Err(self.primes_unsupported(operand, found, "exactly one ciphertext prime and no special prime", remedy))
    }

    pub(super) fn no_special_primes(self, operand: &'static str, found: Basis) -> Result<(), RingError> {
        if found.special_count() == 0 {
            return Ok(());
        }
        Err(self.primes_unsupported(
            operand,
            found,
            "no special prime",
            "divide by the special primes with mod_down first",
        ))
    }

    /// At least `count` ciphertext primes: what is left after a division must be something.
    pub(super) fn ciphertext_primes(self, operand: &'static str, found: Basis, count: usize) -> Result<(), RingError> {
        if found.ciphertext_count() >= count {
            return Ok(());
        }
        let required = if count == 1 { "at least one ciphertext prime" } else { "at least two ciphertext primes" };
        Err(self.primes_unsupported(operand, found, required, "start from a higher level"))
    }

    pub(super) fn primes_unsupported(
        self,
        operand: &'static str,
        found: Basis,
        required: &'static str,
        remedy: &'static str,
    ) -> RingError {
        RingError::BasisUnsupported { operation: self.0, operand, found, required, remedy }
    }

    pub(super) fn length(
        self,
        operand: &'static str,
        found: usize,
        required: usize,
        remedy: &'static str,
    ) -> Result<(), RingError> {
        if found == required {
            return Ok(());
        }
        Err(RingError::LengthMismatch { operation: self.0, operand, found, required, remedy })
    }

    pub(super) fn number(
        self,
        operand: &'static str,
        found: usize,
        range: std::ops::RangeInclusive<usize>,
        remedy: &'static str,
    ) -> Result<(), RingError> {
        if range.contains(&found) {
            return Ok(());
        }
        let required = format!("a number in {}..={}", range.start(), range.end());
        Err(RingError::OutOfRange { operation: self.0, operand, found: found.to_string(), required, remedy })
    }

    /// The index of one of `count` things.
    pub(super) fn index(
        self,
        operand: &'static str,
        found: usize,
        count: usize,
        remedy: &'static str,
    ) -> Result<(), RingError> {
        if found < count {
            return Ok(());
        }
        let required = format!("an index below {count}");
        Err(RingError::OutOfRange { operation: self.0, operand, found: found.to_string(), required, remedy })
    }

    /// A power of two in `range`.
    pub(super) fn power_of_two(
        self,
        operand: &'static str,
        found: usize,
        range: std::ops::RangeInclusive<usize>,
        remedy: &'static str,
    ) -> Result<(), RingError> {
        if found.is_power_of_two() && range.contains(&found) {
            return Ok(());
        }
        let required = format!("a power of two in {}..={}", range.start(), range.end());
        Err(RingError::OutOfRange { operation: self.0, operand, found: found.to_string(), required, remedy })
    }
}
