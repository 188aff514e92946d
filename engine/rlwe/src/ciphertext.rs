//! RLWE ciphertexts.

use fhe_ring::{Backend, Basis, Domain, Poly, Shape};

use crate::RlweError;

/// A pair `(b, a)` with phase `b + a s`; both halves have one shape.
pub struct Ciphertext<B: Backend> {
    b: Poly<B>,
    a: Poly<B>,
}

impl<B: Backend> Ciphertext<B> {
    /// Joins two halves.
    ///
    /// # Errors
    /// [`RlweError::Precondition`] if their shapes differ.
    pub fn new(b: Poly<B>, a: Poly<B>) -> Result<Self, RlweError> {
        if b.shape() != a.shape() {
            return Err(RlweError::Precondition {
                operation: "Ciphertext::new",
                operand: "shape of a",
                found: format!("{:?}", a.shape()),
                required: format!("{:?}", b.shape()),
                remedy: "bring both halves to one ring, basis and domain",
            });
        }
        Ok(Self { b, a })
    }

    /// Shape of each half.
    pub fn shape(&self) -> Shape {
        self.b.shape()
    }

    /// The primes.
    pub fn basis(&self) -> Basis {
        self.shape().basis
    }

    /// The half that carries the message.
    pub fn b(&self) -> &Poly<B> {
        &self.b
    }

    /// The half that multiplies the secret.
    pub fn a(&self) -> &Poly<B> {
        &self.a
    }

    /// Both halves, for operations that treat them alike.
    pub fn halves(&self) -> [&Poly<B>; 2] {
        [&self.b, &self.a]
    }

    /// Both halves, to change in place.
    pub fn halves_mut(&mut self) -> [&mut Poly<B>; 2] {
        [&mut self.b, &mut self.a]
    }

    /// Takes the pair apart.
    pub fn into_halves(self) -> [Poly<B>; 2] {
        [self.b, self.a]
    }

    /// The same operation on both halves.
    ///
    /// # Errors
    /// Whatever the operation reports.
    pub fn map(&self, f: impl Fn(&Poly<B>) -> Result<Poly<B>, fhe_ring::RingError>) -> Result<Self, RlweError> {
        Self::new(f(&self.b)?, f(&self.a)?)
    }

    /// A copy that another backend holds.
    ///
    /// # Errors
    /// [`RlweError::Ring`] if its chain of primes is another one, or it holds data and this one none.
    pub fn carried<C: Backend>(&self, from: &B, to: &C) -> Result<Ciphertext<C>, RlweError> {
        Ciphertext::new(self.b.carried(from, to)?, self.a.carried(from, to)?)
    }

    /// A copy.
    pub fn duplicate(&self, backend: &B) -> Self {
        Self { b: self.b.duplicate(backend), a: self.a.duplicate(backend) }
    }

    /// Both halves in the given domain.
    pub fn into_domain(self, backend: &B, domain: Domain) -> Self {
        let convert = |half: Poly<B>| match domain {
            Domain::Evaluation => half.into_evaluation(backend),
            Domain::Coefficient => half.into_coefficient(backend),
        };
        Self { b: convert(self.b), a: convert(self.a) }
    }
}
