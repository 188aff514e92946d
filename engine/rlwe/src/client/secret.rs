//! Secrets, and their expansion onto a backend for as long as a computation needs them.

use std::fmt;

use fhe_ring::{Backend, Basis, GaloisElement, Poly, Ring, RingKind, Seed, Shape, sparse_ternary, ternary};
use zeroize::Zeroizing;

use super::parts;
use crate::{KeyId, Parameters, RlweError, SecretId, security::Distribution};

/// The five secrets of a client and the seed of its randomness. Zeroized on drop, never printed.
///
/// What a client makes for others can be written to the wire,
///
/// ```
/// # use fhe_ring::{Backend, Basis, Cpu, Seed};
/// # use fhe_rlwe::{KeyRequests, Parameters, client::ClientSecrets};
/// fn sends(backend: &Cpu, secrets: &ClientSecrets, parameters: &Parameters, out: &mut Vec<u8>) {
///     secrets.evaluation_keys(backend, &KeyRequests::default()).unwrap().write(backend, parameters, out).unwrap();
/// }
/// ```
///
/// the secrets themselves cannot:
///
/// ```compile_fail,E0599
/// # use fhe_ring::{Backend, Basis, Cpu, Seed};
/// # use fhe_rlwe::{KeyRequests, Parameters, client::ClientSecrets};
/// fn sends(backend: &Cpu, secrets: &ClientSecrets, parameters: &Parameters, out: &mut Vec<u8>) {
///     secrets.write(backend, parameters, out).unwrap();
/// }
/// ```
///
/// nor do they, or the seeds that they are drawn from, have a representation in any other format,
///
/// ```compile_fail,E0277
/// fn travels<T: serde::Serialize>() {}
/// travels::<fhe_rlwe::client::ClientSecrets>();
/// ```
///
/// ```compile_fail,E0277
/// fn travels<T: serde::Serialize>() {}
/// travels::<fhe_ring::Seed>();
/// ```
///
/// where other types have one:
///
/// ```
/// fn travels<T: serde::Serialize>() {}
/// travels::<String>();
/// ```
pub struct ClientSecrets {
    parameters: Parameters,
    dense: Zeroizing<Vec<i8>>,
    /// In the symmetric basis `1, X^k + X^-k`.
    real: Zeroizing<Vec<i8>>,
    ephemeral: Zeroizing<Vec<i8>>,
    small: Zeroizing<Vec<i8>>,
    lanes: Zeroizing<Vec<i8>>,
    randomness: Seed,
}

impl fmt::Debug for ClientSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientSecrets({})", self.parameters.spec().name)
    }
}

/// A polynomial derived from a secret; overwritten with zeros when dropped.
pub(super) struct SecretPoly<'a, B: Backend> {
    backend: &'a B,
    poly: Poly<B>,
}

impl<B: Backend> SecretPoly<'_, B> {
    pub(super) fn poly(&self) -> &Poly<B> {
        &self.poly
    }

    /// The square, likewise overwritten when dropped.
    pub(super) fn square(&self) -> Result<Self, RlweError> {
        self.multiplied(self)
    }

    /// The product, likewise overwritten when dropped.
    pub(super) fn multiplied(&self, other: &Self) -> Result<Self, RlweError> {
        Ok(Self { backend: self.backend, poly: self.poly.multiply(self.backend, &other.poly)? })
    }

    pub(super) fn poly_mut(&mut self) -> &mut Poly<B> {
        &mut self.poly
    }

    /// Another polynomial derived from a secret in the place of this one, which is overwritten.
    fn replace(&mut self, poly: Poly<B>) {
        self.poly.scale_integer(self.backend, 0);
        self.poly = poly;
    }
}

impl<B: Backend> Drop for SecretPoly<'_, B> {
    fn drop(&mut self) {
        self.poly.scale_integer(self.backend, 0);
    }
}

impl ClientSecrets {
    /// Draws all secrets from a seed; take it from the operating system unless a run must be reproducible, in which case its keys
    /// are not private.
    ///
    /// # Errors
    /// If the weights of the parameter set cannot be drawn.
    pub fn generate(parameters: &Parameters, seed: &Seed) -> Result<Self, RlweError> {
        let draw = |id: SecretId, label| -> Result<Zeroizing<Vec<i8>>, RlweError> {
            let (ring, distribution) = parameters.secret(id);
            let mut rng = seed.derive(label, 0).rng();
            Ok(Zeroizing::new(match distribution {
                Distribution::Ternary => ternary(&mut rng, ring.degree()),
                Distribution::Sparse(weight) => sparse_ternary(&mut rng, ring.degree(), weight)?,
            }))
        };
        Ok(Self {
            parameters: parameters.clone(),
            dense: draw(SecretId::Dense, "dense secret")?,
            real: draw(SecretId::Real, "real secret")?,
            ephemeral: draw(SecretId::Ephemeral, "ephemeral secret")?,
            small: draw(SecretId::Small, "small secret")?,
            lanes: draw(SecretId::Lanes, "secret of lanes")?,
            randomness: seed.derive("client randomness", 0),
        })
    }

    /// The parameters.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// A fresh seed for one purpose; purposes with different labels or indices never share randomness.
    pub(super) fn seed(&self, label: &str, index: u64) -> Seed {
        self.randomness.derive(label, index)
    }

    /// The secret of ciphertexts of a ring, in the evaluation domain.
    pub(super) fn main<'a, B: Backend>(
        &self,
        backend: &'a B,
        kind: RingKind,
        basis: Basis,
    ) -> Result<SecretPoly<'a, B>, RlweError> {
        let secret = match kind {
            RingKind::Cyclotomic => &self.dense,
            RingKind::ConjugateInvariant => &self.real,
        };
        lift(backend, self.parameters.ring_of(kind), basis, &wide(secret))
    }

    /// The secret that a key leads from, as a polynomial of the key's ring.
    pub(super) fn source<'a, B: Backend>(
        &self,
        backend: &'a B,
        id: &KeyId,
        basis: Basis,
    ) -> Result<SecretPoly<'a, B>, RlweError> {
        let ring = self.parameters.key_ring(id);
        let coefficients = match *id {
            KeyId::Relinearisation(kind) => return self.main(backend, kind, basis)?.square(),
            KeyId::Galois(kind, _) => return self.main(backend, kind, basis),
            KeyId::DenseToEphemeral | KeyId::RingSwitch | KeyId::LaneSwitch => wide(&self.dense),
            KeyId::SmallGalois(_) => wide(&self.small),
            KeyId::Raise(element) => wide(&automorphism(&self.ephemeral, ring, element)),
            KeyId::ToReal(part) => parts::doubled_part(&self.dense, part),
            KeyId::ToComplex(parity, _) => parts::parity_part(&self.real, parity),
            KeyId::Packing { tokens, block } => {
                // s'_j = every (N'/t)-th coefficient of s', spread to multiples of r = N/t.
                let rank = self.small.len() / tokens;
                let spacing = ring.degree() / tokens;
                let mut spread = Zeroizing::new(vec![0; ring.degree()]);
                for (token, &coefficient) in self.small.iter().skip(block).step_by(rank).enumerate() {
                    spread[spacing * token] = coefficient.into();
                }
                spread
            }
            KeyId::LaneGalois(element) => wide(&automorphism(&self.lanes, ring, element)),
            KeyId::LaneRelinearisation(element) => {
                let rotated = lift(backend, ring, basis, &wide(&automorphism(&self.lanes, ring, element)))?;
                return lift(backend, ring, basis, &wide(&self.lanes))?.multiplied(&rotated);
            }
            KeyId::LaneReturn => spread(&self.lanes, ring),
        };
        lift(backend, ring, basis, &coefficients)
    }

    /// The secret that a key is encrypted under, as a polynomial of the key's ring.
    pub(super) fn target<'a, B: Backend>(
        &self,
        backend: &'a B,
        id: &KeyId,
        basis: Basis,
    ) -> Result<SecretPoly<'a, B>, RlweError> {
        let ring = self.parameters.key_ring(id);
        match *id {
            KeyId::Relinearisation(_)
            | KeyId::Raise(_)
            | KeyId::ToReal(_)
            | KeyId::Packing { .. }
            | KeyId::LaneReturn => self.main(backend, id.ring(), basis),
            KeyId::Galois(kind, element) => {
                let mut secret = self.main(backend, kind, basis)?;
                let rotated = secret.poly().automorphism(backend, element.inverse(ring))?;
                secret.replace(rotated);
                Ok(secret)
            }
            KeyId::ToComplex(_, element) => {
                lift(backend, ring, basis, &wide(&automorphism(&self.dense, ring, element.inverse(ring))))
            }
            KeyId::SmallGalois(element) => {
                lift(backend, ring, basis, &wide(&automorphism(&self.small, ring, element.inverse(ring))))
            }
            KeyId::DenseToEphemeral => lift(backend, ring, basis, &wide(&self.ephemeral)),
            KeyId::RingSwitch => lift(backend, ring, basis, &spread(&self.small, ring)),
            KeyId::LaneSwitch => lift(backend, ring, basis, &spread(&self.lanes, ring)),
            KeyId::LaneGalois(_) | KeyId::LaneRelinearisation(_) => lift(backend, ring, basis, &wide(&self.lanes)),
        }
    }
}

fn wide(coefficients: &[i8]) -> Zeroizing<Vec<i64>> {
    Zeroizing::new(coefficients.iter().map(|&c| c.into()).collect())
}

/// `s(X^g)` in a ring whose degree is `g` times that of the secret's.
fn spread(secret: &[i8], ring: Ring) -> Zeroizing<Vec<i64>> {
    let spacing = ring.degree() / secret.len();
    let mut spread = Zeroizing::new(vec![0; ring.degree()]);
    spread.iter_mut().step_by(spacing).zip(secret).for_each(|(spread, &coefficient)| *spread = coefficient.into());
    spread
}

fn lift<'a, B: Backend>(
    backend: &'a B,
    ring: Ring,
    basis: Basis,
    coefficients: &[i64],
) -> Result<SecretPoly<'a, B>, RlweError> {
    Ok(SecretPoly { backend, poly: Poly::from_signed(backend, Shape::evaluation(ring, basis), coefficients)? })
}

/// `p(X^g)` of signed coefficients in `Z[X]/(X^N+1)`.
fn automorphism(coefficients: &[i8], ring: Ring, element: GaloisElement) -> Zeroizing<Vec<i8>> {
    let degree = ring.degree();
    let mut image = Zeroizing::new(vec![0i8; degree]);
    for (i, &coefficient) in coefficients.iter().enumerate() {
        let exponent = (i as u64 * element.exponent() % (2 * degree as u64)) as usize;
        image[exponent % degree] = if exponent < degree { coefficient } else { -coefficient };
    }
    image
}
