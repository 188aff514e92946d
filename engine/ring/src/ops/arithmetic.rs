//! Sums, products, constants and automorphisms.

use super::checks::Check;
use crate::{Backend, Basis, Domain, GaloisElement, Modulus, Poly, Ring, RingError, RingKind};

/// `sum_i factor_i * term_i` over the primes of `basis` with integer factors, in one pass. Terms have one ring and domain, and
/// may have more primes.
pub fn linear_combination<B: Backend>(
    backend: &B,
    terms: &[(&Poly<B>, i128)],
    basis: Basis,
) -> Result<Poly<B>, RingError> {
    /// What a lazy sum of constant products holds.
    const MOST_TERMS: usize = 127;
    let check = Check("linear_combination");
    check.number("the number of terms", terms.len(), 1..=MOST_TERMS, "add up fewer terms at a time")?;
    check.some_primes("the target", basis)?;
    let shape = terms[0].0.shape().with_basis(basis);
    for (term, _) in terms {
        check.same_ring("a term", term.shape().ring, shape.ring)?;
        check.domain("a term", term.shape().domain, shape.domain)?;
        check.contains("a term", term.shape().basis, basis)?;
    }
    let terms: Vec<_> = (terms.iter())
        .map(|(term, factor)| (term.operand(), backend.primes().integer_residues(basis, *factor)))
        .collect();
    Ok(Poly::from_parts(backend.linear_combination(&terms, shape), shape))
}

/// Ciphertexts times a matrix of factors from a subring: for every sum the two halves of `sum_i factors[i] * inputs[i]`. Evaluation
/// domain; a factor is a polynomial in `X^(N/n)`, given as a polynomial of the ring of degree `n`; what [`Backend::subring_sums`] says.
pub fn subring_sums<B: Backend>(
    backend: &B,
    inputs: &[[&Poly<B>; 2]],
    factors: &[Vec<&Poly<B>>],
) -> Result<Vec<[Poly<B>; 2]>, RingError> {
    let check = Check("subring_sums");
    let Some([first, _]) = inputs.first() else {
        check.length("the sums of no inputs", factors.len(), 0, "leave sums without terms out")?;
        return Ok(Vec::new());
    };
    let shape = first.shape();
    check.domain("the first input", shape.domain, Domain::Evaluation)?;
    for half in inputs.iter().flatten() {
        check.same_shape("an input", half.shape(), shape)?;
    }
    let remedy = "give every sum a factor for each input";
    for factors in factors {
        check.length("the factors of a sum", factors.len(), inputs.len(), remedy)?;
    }
    let Some(subring) = factors.iter().flatten().next().map(|factor| factor.shape()) else { return Ok(Vec::new()) };
    check.same_ring(
        "the factors' kind of ring",
        Ring { log_degree: shape.ring.log_degree, ..subring.ring },
        shape.ring,
    )?;
    let degrees = 1..=shape.ring.degree();
    check.number("the factors' degree", subring.ring.degree(), degrees, "use factors from a subring")?;
    check.domain("the factors", subring.domain, Domain::Evaluation)?;
    check.same_basis("the factors", subring.basis, shape.basis)?;
    for factor in factors.iter().flatten() {
        check.same_shape("a factor", factor.shape(), subring)?;
    }
    let inputs: Vec<_> = inputs.iter().map(|input| input.map(Poly::operand)).collect();
    let factors: Vec<Vec<_>> =
        factors.iter().map(|factors| factors.iter().map(|factor| factor.operand()).collect()).collect();
    let sums = backend.subring_sums(&inputs, &factors);
    Ok(sums.into_iter().map(|halves| halves.map(|half| Poly::from_parts(half, shape))).collect())
}

/// The product of two ciphertexts `(b, a)` as a polynomial in the secret: `[b b', b a' + a b', a a']`. Evaluation domain; the right
/// one may have more primes than the left one, whose primes the result has.
pub fn tensor<B: Backend>(backend: &B, left: [&Poly<B>; 2], right: [&Poly<B>; 2]) -> Result<[Poly<B>; 3], RingError> {
    let check = Check("tensor");
    let shape = left[0].shape();
    check.domain("the left ciphertext", shape.domain, Domain::Evaluation)?;
    check.same_shape("the second half of the left ciphertext", left[1].shape(), shape)?;
    check.same_shape("the second half of the right ciphertext", right[1].shape(), right[0].shape())?;
    check.same_ring("the right ciphertext", right[0].shape().ring, shape.ring)?;
    check.domain("the right ciphertext", right[0].shape().domain, Domain::Evaluation)?;
    check.contains("the right ciphertext", right[0].shape().basis, shape.basis)?;
    let parts = backend.tensor(left.map(Poly::operand), right.map(Poly::operand));
    Ok(parts.map(|part| Poly::from_parts(part, shape)))
}

impl<B: Backend> Poly<B> {
    /// `self += other`; same ring, domain and primes.
    pub fn add_assign(&mut self, backend: &B, other: &Self) -> Result<(), RingError> {
        Check("add_assign").same_shape("the other summand", other.shape(), self.shape())?;
        backend.add_assign(self.buffer_mut(), other.operand());
        Ok(())
    }

    /// `self -= other`; same ring, domain and primes.
    pub fn subtract_assign(&mut self, backend: &B, other: &Self) -> Result<(), RingError> {
        Check("subtract_assign").same_shape("the subtrahend", other.shape(), self.shape())?;
        backend.subtract_assign(self.buffer_mut(), other.operand());
        Ok(())
    }

    /// `self = -self`.
    pub fn negate(&mut self, backend: &B) {
        let shape = self.shape();
        backend.negate(self.buffer_mut(), shape);
    }

    /// The product; evaluation domain, same ring and primes.
    pub fn multiply(&self, backend: &B, other: &Self) -> Result<Self, RingError> {
        let check = Check("multiply");
        check.domain("the left factor", self.shape().domain, Domain::Evaluation)?;
        check.same_shape("the right factor", other.shape(), self.shape())?;
        Ok(Self::from_parts(backend.multiply(self.operand(), other.operand()), self.shape()))
    }

    /// `self += left * right`; evaluation domain. `left` has the primes of `self`, `right` may have more.
    pub fn multiply_accumulate(&mut self, backend: &B, left: &Self, right: &Self) -> Result<(), RingError> {
        let check = Check("multiply_accumulate");
        check.domain("the accumulator", self.shape().domain, Domain::Evaluation)?;
        check.same_shape("the left factor", left.shape(), self.shape())?;
        check.same_ring("the right factor", right.shape().ring, self.shape().ring)?;
        check.domain("the right factor", right.shape().domain, Domain::Evaluation)?;
        check.contains("the right factor", right.shape().basis, self.shape().basis)?;
        backend.multiply_accumulate(self.buffer_mut(), left.operand(), right.operand());
        Ok(())
    }

    /// Multiplies by an integer, reduced modulo each prime.
    pub fn scale_integer(&mut self, backend: &B, factor: i128) {
        let shape = self.shape();
        let residues = backend.primes().integer_residues(shape.basis, factor);
        backend.scale(self.buffer_mut(), shape, &residues);
    }

    /// Multiplies limb `i` by `residues[i]`, which is below the limb's prime.
    pub fn scale_residues(&mut self, backend: &B, residues: &[u64]) -> Result<(), RingError> {
        let check = Check("scale_residues");
        let shape = self.shape();
        check.length("the list of factors", residues.len(), shape.basis.len(), "give one factor per limb")?;
        let bounds = backend.primes().moduli(shape.basis).map(Modulus::value);
        if let Some(limb) = residues.iter().zip(bounds).position(|(&residue, prime)| residue >= prime) {
            return Err(RingError::UnreducedResidue { operation: check.0, operand: "the list of factors", limb });
        }
        backend.scale(self.buffer_mut(), shape, residues);
        Ok(())
    }

    /// Adds a constant polynomial: an integer, reduced modulo each prime. Evaluation domain, where it is added to every
    /// value.
    pub fn add_constant(&mut self, backend: &B, constant: i128) -> Result<(), RingError> {
        let shape = self.shape();
        Check("add_constant").domain("the polynomial", shape.domain, Domain::Evaluation)?;
        let residues = backend.primes().integer_residues(shape.basis, constant);
        backend.add_constant(self.buffer_mut(), shape, &residues);
        Ok(())
    }

    /// `p(X^g)`, in the domain of `p`. The element must have been made for this ring.
    pub fn automorphism(&self, backend: &B, element: GaloisElement) -> Result<Self, RingError> {
        self.check_element(Check("automorphism"), element)?;
        Ok(Self::from_parts(backend.automorphism(self.operand(), element), self.shape()))
    }

    /// `self += p(X^g)`; evaluation domain, same ring and primes.
    pub fn automorphism_accumulate(
        &mut self,
        backend: &B,
        other: &Self,
        element: GaloisElement,
    ) -> Result<(), RingError> {
        let check = Check("automorphism_accumulate");
        check.domain("the accumulator", self.shape().domain, Domain::Evaluation)?;
        check.same_shape("the summand", other.shape(), self.shape())?;
        self.check_element(check, element)?;
        backend.automorphism_accumulate(self.buffer_mut(), other.operand(), element);
        Ok(())
    }

    pub(super) fn check_element(&self, check: Check, element: GaloisElement) -> Result<(), RingError> {
        let ring = self.shape().ring;
        let order = match ring.kind {
            RingKind::Cyclotomic => 2 * ring.degree(),
            RingKind::ConjugateInvariant => 4 * ring.degree(),
        };
        let remedy = "make the Galois element for the ring of the polynomial";
        check.number("the exponent of the Galois element", element.exponent() as usize, 1..=order - 1, remedy)
    }

    /// `X^exponent * p(X)` in the cyclotomic ring, in the domain of `p`; the exponent counts modulo `2N` (`X^N = -1`).
    pub fn multiply_monomial(&self, backend: &B, exponent: usize) -> Result<Self, RingError> {
        let shape = self.shape();
        Check("multiply_monomial").cyclotomic("the polynomial", shape.ring)?;
        let exponent = exponent % (2 * shape.ring.degree());
        Ok(Self::from_parts(backend.multiply_monomial(self.operand(), exponent), shape))
    }
}
