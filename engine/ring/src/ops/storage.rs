//! Making, copying and reading polynomials; changing their domain.

use rayon::prelude::*;

use super::checks::Check;
use crate::{Backend, Basis, Domain, Modulus, Poly, RingError, Seed, Shape};

impl<B: Backend> Poly<B> {
    /// The zero polynomial of a shape.
    pub fn zeros(backend: &B, shape: Shape) -> Result<Self, RingError> {
        Check("zeros").well_formed("the shape", shape, backend.primes())?;
        Ok(Self::from_parts(backend.zeros(shape), shape))
    }

    /// A polynomial whose residues `fill` writes: limb after limb in the order of [`Basis::indices`], `N` words each, every
    /// word below its limb's prime (verified). A backend without data never calls `fill`.
    pub fn upload(backend: &B, shape: Shape, mut fill: impl FnMut(&mut [u64])) -> Result<Self, RingError> {
        let check = Check("upload");
        let chain = backend.primes();
        check.well_formed("the shape", shape, chain)?;
        let mut unreduced = None;
        let buffer = backend.upload(shape, &mut |words| {
            fill(words);
            let bounds: Vec<u64> = chain.moduli(shape.basis).map(Modulus::value).collect();
            unreduced = (words.par_chunks(shape.ring.degree()).zip(bounds))
                .position_first(|(limb, bound)| limb.iter().fold(0, |most, &word| most.max(word)) >= bound);
            if unreduced.is_some() {
                words.fill(0); // a backend never sees what its kernels could not bear
            }
        });
        match unreduced {
            Some(limb) => Err(RingError::UnreducedResidue { operation: check.0, operand: "the data", limb }),
            None => Ok(Self::from_parts(buffer, shape)),
        }
    }

    /// The uniform polynomial that a public seed stands for: the same on every backend, and for every basis on the primes they share.
    pub fn uniform(backend: &B, shape: Shape, seed: &Seed) -> Result<Self, RingError> {
        Check("uniform").well_formed("the shape", shape, backend.primes())?;
        Ok(Self::from_parts(backend.uniform(shape, seed), shape))
    }

    /// The polynomial with the given signed coefficients, reduced modulo each prime and brought to the shape's domain.
    pub fn from_signed(backend: &B, shape: Shape, coefficients: &[i64]) -> Result<Self, RingError> {
        Self::from_integers(Check("from_signed"), backend, shape, coefficients, |source| {
            backend.upload_signed(source, coefficients)
        })
    }

    /// [`Poly::from_signed`] for coefficients of more than 64 bits.
    pub fn from_signed_wide(backend: &B, shape: Shape, coefficients: &[i128]) -> Result<Self, RingError> {
        Self::from_integers(Check("from_signed_wide"), backend, shape, coefficients, |source| {
            let moduli: Vec<&Modulus> = backend.primes().moduli(shape.basis).collect();
            backend.upload(source, &mut |words| {
                (words.par_chunks_mut(shape.ring.degree()).zip(&moduli)).for_each(|(limb, modulus)| {
                    limb.iter_mut().zip(coefficients).for_each(|(word, &c)| *word = modulus.reduce_i128(c));
                });
            })
        })
    }

    fn from_integers<T>(
        check: Check,
        backend: &B,
        shape: Shape,
        coefficients: &[T],
        upload: impl FnOnce(Shape) -> B::Buffer,
    ) -> Result<Self, RingError> {
        check.well_formed("the shape", shape, backend.primes())?;
        // A backend without data looks at nothing, so a caller may leave the coefficients unprepared.
        if B::HOLDS_DATA || !coefficients.is_empty() {
            let remedy = "give one coefficient per power of X, padding with zeros";
            check.length("the list of coefficients", coefficients.len(), shape.ring.degree(), remedy)?;
        }
        let source = shape.with_domain(Domain::Coefficient);
        let poly = Self::from_parts(upload(source), source);
        Ok(if shape.domain == Domain::Evaluation { poly.into_evaluation(backend) } else { poly })
    }

    /// The residues, limb-major; `None` where the backend holds no data.
    pub fn download(&self, backend: &B) -> Option<Vec<u64>> {
        backend.download(self.operand())
    }

    /// A copy that another backend of the same chain of primes holds. A backend with data takes none from one without.
    pub fn carried<C: Backend>(&self, from: &B, to: &C) -> Result<Poly<C>, RingError> {
        let refuse = |operand, found: &str, required: &str, remedy| {
            let (found, required) = (found.into(), required.into());
            Err(RingError::OutOfRange { operation: "carried", operand, found, required, remedy })
        };
        if from.primes() != to.primes() {
            let remedy = "make both backends of the same chain";
            return refuse("the chain of the other backend", "another one", "that of this backend", remedy);
        }
        match self.download(from) {
            Some(words) => Poly::upload(to, self.shape(), |target| target.copy_from_slice(&words)),
            None if C::HOLDS_DATA => refuse("the source", "without data", "data", "carry from a backend that computes"),
            None => Poly::zeros(to, self.shape()),
        }
    }

    /// A copy.
    pub fn duplicate(&self, backend: &B) -> Self {
        Self::from_parts(backend.restrict(self.operand(), self.shape()), self.shape())
    }

    /// A copy with the given primes, all of which the polynomial must have.
    pub fn restrict(&self, backend: &B, basis: Basis) -> Result<Self, RingError> {
        let check = Check("restrict");
        check.some_primes("the target", basis)?;
        check.contains("the source", self.shape().basis, basis)?;
        let shape = self.shape().with_basis(basis);
        Ok(Self::from_parts(backend.restrict(self.operand(), shape), shape))
    }

    /// The same polynomial in the evaluation domain; free if it is there already.
    #[must_use]
    pub fn into_evaluation(mut self, backend: &B) -> Self {
        let shape = self.shape();
        if shape.domain == Domain::Coefficient {
            backend.forward(self.buffer_mut(), shape);
            self.set_shape(shape.with_domain(Domain::Evaluation));
        }
        self
    }

    /// The same polynomial in the coefficient domain; free if it is there already.
    #[must_use]
    pub fn into_coefficient(mut self, backend: &B) -> Self {
        let shape = self.shape();
        if shape.domain == Domain::Evaluation {
            backend.inverse(self.buffer_mut(), shape);
            self.set_shape(shape.with_domain(Domain::Coefficient));
        }
        self
    }
}
