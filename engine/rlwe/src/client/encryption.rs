//! Encryption and decryption.

use fhe_ring::{Backend, Basis, Domain, Poly, RingKind, Seed, Shape, ternary};
use zeroize::Zeroizing;

use super::{ClientSecrets, noise::error_poly};
use crate::{Ciphertext, RlweError, SecretId, SeededCiphertext};

/// An encryption of zero under the dense secret, from which anyone can make fresh ciphertexts.
pub struct PublicKey<B: Backend> {
    pub(crate) zero: SeededCiphertext<B>,
}

impl ClientSecrets {
    /// Encrypts a plaintext polynomial under the dense secret of its ring; evaluation domain out. `nonce` must never be reused with one seed.
    ///
    /// # Errors
    /// [`RlweError::Insecure`] if the primes are too many for the degree.
    pub fn encrypt<B: Backend>(&self, backend: &B, message: Poly<B>, nonce: u64) -> Result<Ciphertext<B>, RlweError> {
        Ok(self.encrypt_seeded(backend, message, nonce)?.into_ciphertext())
    }

    /// The same ciphertext together with the public seed of its uniform half: what the client sends, half the bytes.
    ///
    /// # Errors
    /// As [`ClientSecrets::encrypt`].
    pub fn encrypt_seeded<B: Backend>(
        &self,
        backend: &B,
        message: Poly<B>,
        nonce: u64,
    ) -> Result<SeededCiphertext<B>, RlweError> {
        let mut zero = self.encrypt_zero(backend, message.shape(), "ciphertext", nonce)?;
        zero.add_to_message_half(backend, &message.into_evaluation(backend))?;
        Ok(zero)
    }

    /// A public key at the given primes.
    ///
    /// # Errors
    /// [`RlweError::Insecure`] if the primes are too many for the degree.
    pub fn public_key<B: Backend>(&self, backend: &B, basis: Basis) -> Result<PublicKey<B>, RlweError> {
        Ok(PublicKey {
            zero: self.encrypt_zero(backend, Shape::evaluation(self.parameters().ring(), basis), "public key", 0)?,
        })
    }

    /// The phase `b + a s`, coefficient domain.
    ///
    /// # Errors
    /// If the ciphertext has not the degree of the main ring.
    pub fn decrypt<B: Backend>(&self, backend: &B, ciphertext: &Ciphertext<B>) -> Result<Poly<B>, RlweError> {
        let ciphertext = ciphertext.duplicate(backend).into_domain(backend, Domain::Evaluation);
        let secret = self.main(backend, ciphertext.shape().ring.kind, ciphertext.basis())?;
        let [mut phase, a] = ciphertext.into_halves();
        phase.multiply_accumulate(backend, &a, secret.poly())?;
        Ok(phase.into_coefficient(backend))
    }

    fn encrypt_zero<B: Backend>(
        &self,
        backend: &B,
        shape: Shape,
        label: &str,
        nonce: u64,
    ) -> Result<SeededCiphertext<B>, RlweError> {
        let under = match shape.ring.kind {
            RingKind::Cyclotomic => SecretId::Dense,
            RingKind::ConjugateInvariant => SecretId::Real,
        };
        self.parameters().check_modulus(label, under, shape.basis)?;
        let shape = shape.with_domain(Domain::Evaluation);
        // Public, as the seeds of switching keys are. The ring belongs to the label: one mask under two secrets would give
        // away their difference.
        let label = format!("{label} in {}", shape.ring);
        let uniform = self.seed(&format!("{label}, uniform half"), nonce);
        let a = Poly::uniform(backend, shape, &uniform)?;
        let mut b = error_poly(backend, shape, &self.seed(&format!("{label}, errors"), nonce))?;
        let mut secret = self.main(backend, shape.ring.kind, shape.basis)?;
        secret.poly_mut().negate(backend);
        b.multiply_accumulate(backend, &a, secret.poly())?;
        Ok(SeededCiphertext::new(Ciphertext::new(b, a)?, uniform))
    }
}

impl<B: Backend> PublicKey<B> {
    /// Encrypts a plaintext polynomial at the key's primes, with randomness from `seed`; evaluation domain out.
    ///
    /// # Errors
    /// If the message has other primes than the key.
    pub fn encrypt(&self, backend: &B, message: Poly<B>, seed: &Seed) -> Result<Ciphertext<B>, RlweError> {
        let zero = self.zero.ciphertext();
        let shape = zero.shape();
        let mask: Zeroizing<Vec<i64>> = Zeroizing::new(
            ternary(&mut seed.derive("mask", 0).rng(), shape.ring.degree()).into_iter().map(i64::from).collect(),
        );
        let mut mask = Poly::from_signed(backend, shape, &mask)?;
        let mut halves = Vec::with_capacity(2);
        for (half, index) in zero.halves().into_iter().zip(0..) {
            let mut sum = error_poly(backend, shape, &seed.derive("errors", index))?;
            sum.multiply_accumulate(backend, half, &mask)?;
            halves.push(sum);
        }
        mask.scale_integer(backend, 0);
        halves[0].add_assign(backend, &message.into_evaluation(backend))?;
        let a = halves.remove(1);
        Ciphertext::new(halves.remove(0), a)
    }
}
