//! Key switching on the server: gadget products, hoisted automorphisms, the raise.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use fhe_ring::{Backend, Basis, Digits, Domain, GaloisElement, Poly, Shape, gadget_product};

use crate::{Ciphertext, KeyId, KeyShape, KeyStore, Parameters, RlweError, SwitchingKey};

/// Special primes of keys whose argument is at the lowest modulus only: one, so that the key's own modulus is `q_0 p_0`.
const LOWEST_SPECIAL: usize = 1;
/// Special primes of the key after ModRaise: its argument is one prime wide, so two leave the noise far below one.
const RAISE_SPECIAL: usize = 2;

/// The server's key-switching engine: a backend, a parameter set and the evaluation keys. It never holds a secret.
pub struct KeySwitcher<B: Backend> {
    backend: Arc<B>,
    parameters: Parameters,
    keys: KeyStore<B>,
    switches: AtomicU64,
}

/// A ciphertext over ciphertext and special primes, not yet divided by the special modulus.
pub type Extended<B> = [Poly<B>; 2];

impl<B: Backend> KeySwitcher<B> {
    /// Joins the three.
    pub fn new(backend: Arc<B>, parameters: Parameters, keys: KeyStore<B>) -> Self {
        Self { backend, parameters, keys, switches: AtomicU64::new(0) }
    }

    /// The backend.
    pub fn backend(&self) -> &B {
        &self.backend
    }

    /// The parameters.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The keys.
    pub fn keys(&self) -> &KeyStore<B> {
        &self.keys
    }

    /// Gadget products executed so far.
    pub fn switches(&self) -> u64 {
        self.switches.load(Ordering::Relaxed)
    }

    /// Gadget digits of a polynomial at full width; the part of a key switch that rotations of one ciphertext share.
    ///
    /// # Errors
    /// If the polynomial is not in the evaluation domain or has special primes.
    pub fn decompose(&self, poly: &Poly<B>) -> Result<Digits<B>, RlweError> {
        Ok(poly.mod_up(self.backend(), self.parameters.spec().gadget_width, self.parameters.special_count())?)
    }

    /// Adds `digits * key` to `target`.
    ///
    /// # Errors
    /// [`RlweError::MissingKey`], or a shape that the ring refuses.
    pub fn accumulate(&self, target: &mut Extended<B>, digits: &Digits<B>, id: KeyId) -> Result<(), RlweError> {
        let key = self.key(id, digits.shape())?;
        self.switches.fetch_add(1, Ordering::Relaxed);
        Ok(gadget_product(self.backend(), target, digits, &key.rows)?)
    }

    /// `digits * key` over ciphertext and special primes.
    ///
    /// # Errors
    /// As [`KeySwitcher::accumulate`].
    pub fn product(&self, digits: &Digits<B>, id: KeyId) -> Result<Extended<B>, RlweError> {
        let mut target = self.extended_zeros(digits.shape())?;
        self.accumulate(&mut target, digits, id)?;
        Ok(target)
    }

    /// Zero over the given primes.
    ///
    /// # Errors
    /// If the shape is not one of this chain.
    pub fn extended_zeros(&self, shape: Shape) -> Result<Extended<B>, RlweError> {
        Ok([Poly::zeros(self.backend(), shape)?, Poly::zeros(self.backend(), shape)?])
    }

    /// Multiplies by the special modulus: the same phase, over ciphertext and special primes, that [`KeySwitcher::mod_down`] divides
    /// away again.
    ///
    /// # Errors
    /// If the polynomial already has special primes.
    pub fn extend(&self, poly: &Poly<B>) -> Result<Poly<B>, RlweError> {
        let special = self.parameters.special_count();
        Ok(poly.extend_by_special(self.backend(), special)?)
    }

    /// Divides both halves by the special modulus, and by the last ciphertext prime if `rescale`.
    ///
    /// # Errors
    /// If there are no special primes.
    pub fn mod_down(&self, extended: &Extended<B>, rescale: bool) -> Result<Ciphertext<B>, RlweError> {
        let [b, a] = extended;
        Ciphertext::new(b.mod_down(self.backend(), rescale)?, a.mod_down(self.backend(), rescale)?)
    }

    /// `b + a s + c s^2` from the three parts of a product, relinearised; divides by the last prime too if `rescale`.
    ///
    /// # Errors
    /// [`RlweError::MissingKey`], or a shape that the ring refuses.
    pub fn relinearise(&self, parts: [&Poly<B>; 3], rescale: bool) -> Result<Ciphertext<B>, RlweError> {
        let [b, a, c] = parts;
        let mut target = self.product(&self.decompose(c)?, KeyId::Relinearisation)?;
        for (target, part) in target.iter_mut().zip([b, a]) {
            target.add_assign(self.backend(), &self.extend(part)?)?;
        }
        self.mod_down(&target, rescale)
    }

    /// Applies `X -> X^g` and returns to the same secret: one key switch, none for the identity.
    ///
    /// # Errors
    /// [`RlweError::MissingKey`], or a shape that the ring refuses.
    pub fn automorphism(&self, ct: &Ciphertext<B>, element: GaloisElement) -> Result<Ciphertext<B>, RlweError> {
        if element == GaloisElement::IDENTITY {
            return Ok(ct.duplicate(self.backend()));
        }
        self.automorphism_hoisted(ct, &self.decompose(ct.a())?, element)
    }

    /// The same with the digits of `ct.a()` at hand (hoisting; Halevi and Shoup 2018).
    ///
    /// # Errors
    /// As [`KeySwitcher::automorphism`].
    pub fn automorphism_hoisted(
        &self,
        ct: &Ciphertext<B>,
        digits: &Digits<B>,
        element: GaloisElement,
    ) -> Result<Ciphertext<B>, RlweError> {
        if element == GaloisElement::IDENTITY {
            return Ok(ct.duplicate(self.backend()));
        }
        let switched = self.mod_down(&self.product(digits, KeyId::Galois(element))?, false)?;
        let [mut b, a] = switched.into_halves();
        b.add_assign(self.backend(), ct.b())?;
        Ciphertext::new(b.automorphism(self.backend(), element)?, a.automorphism(self.backend(), element)?)
    }

    /// The automorphism over ciphertext and special primes, without the division: what double hoisting sums up
    /// (Bossuat et al., Eurocrypt 2021, section 4).
    ///
    /// # Errors
    /// As [`KeySwitcher::automorphism`].
    pub fn automorphism_extended(
        &self,
        ct: &Ciphertext<B>,
        digits: &Digits<B>,
        element: GaloisElement,
    ) -> Result<Extended<B>, RlweError> {
        let backend = self.backend();
        if element == GaloisElement::IDENTITY {
            return Ok([self.extend(ct.b())?, self.extend(ct.a())?]);
        }
        let [mut b, a] = self.product(digits, KeyId::Galois(element))?;
        b.add_assign(backend, &self.extend(ct.b())?)?;
        Ok([b.automorphism(backend, element)?, a.automorphism(backend, element)?])
    }

    /// ModRaise with sparse-secret encapsulation (Bossuat et al. 2022): a ciphertext at `q_0` becomes one at `target` whose phase is
    /// the old one plus `q_0 I` with small integer `I`. Two key switches of one row each; evaluation domain out.
    ///
    /// # Errors
    /// [`RlweError::MissingKey`], or if the input is not at the lowest prime.
    pub fn raise(&self, ct: &Ciphertext<B>, target: Basis) -> Result<Ciphertext<B>, RlweError> {
        let sparse = self.switch_lowest(ct, KeyId::DenseToEphemeral)?.into_domain(self.backend(), Domain::Coefficient);
        let digits = Digits::single(sparse.a().raise(self.backend(), target.with_special(RAISE_SPECIAL))?)?;
        let [mut b, a] = self.mod_down(&self.product(&digits, KeyId::EphemeralToDense)?, false)?.into_halves();
        b.add_assign(self.backend(), &sparse.b().raise(self.backend(), target)?)?;
        Ciphertext::new(b, a)
    }

    /// Key switch of a ciphertext at the lowest prime with a key of one row and one special prime; evaluation domain out.
    pub(crate) fn switch_lowest(&self, ct: &Ciphertext<B>, id: KeyId) -> Result<Ciphertext<B>, RlweError> {
        let b = ct.b().duplicate(self.backend()).into_evaluation(self.backend());
        self.switch_lowest_sum(b, [(ct.a().duplicate(self.backend()), id)])
    }

    /// `b + sum_i a_i * key_i` at the lowest prime with one division; evaluation domain out.
    pub(crate) fn switch_lowest_sum(
        &self,
        b: Poly<B>,
        terms: impl IntoIterator<Item = (Poly<B>, KeyId)>,
    ) -> Result<Ciphertext<B>, RlweError> {
        let backend = self.backend();
        let basis = Basis::prefix(1);
        if b.shape().basis != basis {
            return Err(RlweError::Precondition {
                operation: "key switch at the lowest modulus",
                operand: "ciphertext",
                found: format!("at {:?}", b.shape().basis),
                required: "at q_0 alone".into(),
                remedy: "rescale it to the lowest level first",
            });
        }
        let extended = basis.with_special(LOWEST_SPECIAL);
        let mut target = self.extended_zeros(b.shape().with_domain(Domain::Evaluation).with_basis(extended))?;
        for (a, id) in terms {
            let digit = a.into_coefficient(backend).raise(backend, extended)?;
            self.accumulate(&mut target, &Digits::single(digit)?, id)?;
        }
        let [mut switched, a] = self.mod_down(&target, false)?.into_halves();
        switched.add_assign(backend, &b.into_evaluation(backend))?;
        Ciphertext::new(switched, a)
    }

    fn key(&self, id: KeyId, shape: Shape) -> Result<Arc<SwitchingKey<B>>, RlweError> {
        let gadget = id.gadget(self.parameters.spec().gadget_width);
        let required =
            KeyShape { ciphertext: shape.basis.without_special(), special: shape.basis.special_count(), gadget };
        self.keys.get(self.backend(), shape.ring, id, required)
    }
}
