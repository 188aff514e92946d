//! Generation of the evaluation keys that a circuit requested.

use fhe_ring::{Backend, Poly, PrimeIndex, Shape};

use super::{ClientSecrets, noise::error_poly};
use crate::{Gadget, KeyId, KeyRequests, KeyShape, KeyStore, RlweError, SwitchingKey};

impl ClientSecrets {
    /// Generates every requested key, each at its own primes.
    ///
    /// # Errors
    /// [`RlweError::Insecure`] for a key below 128 bits, unless the set was declared insecure.
    pub fn evaluation_keys<B: Backend>(&self, backend: &B, requests: &KeyRequests) -> Result<KeyStore<B>, RlweError> {
        self.evaluation_keys_with_progress(backend, requests, |_| ())
    }

    /// The same, reporting how many keys are done.
    ///
    /// # Errors
    /// As [`ClientSecrets::evaluation_keys`].
    pub fn evaluation_keys_with_progress<B: Backend>(
        &self,
        backend: &B,
        requests: &KeyRequests,
        done: impl Fn(usize),
    ) -> Result<KeyStore<B>, RlweError> {
        let mut keys = Vec::with_capacity(requests.len());
        self.hand_out_evaluation_keys(backend, requests, |key| {
            keys.push(key);
            done(keys.len());
            Ok(())
        })?;
        Ok(KeyStore::new(keys))
    }

    /// The same one key after the other, each the receiver's as soon as it is made.
    ///
    /// # Errors
    /// As [`ClientSecrets::evaluation_keys`], before the first key; those of the receiver.
    pub fn hand_out_evaluation_keys<B: Backend>(
        &self,
        backend: &B,
        requests: &KeyRequests,
        mut receive: impl FnMut(SwitchingKey<B>) -> Result<(), RlweError>,
    ) -> Result<(), RlweError> {
        for (id, shape) in requests.iter() {
            self.parameters().check_key(id, shape)?;
        }
        for (id, shape) in requests.iter() {
            receive(self.switching_key(backend, id, shape)?)?;
        }
        Ok(())
    }

    /// One switching key: rows `(-a t + e + F_d s, a)` with `s` the source secret, `t` the target, `F_d` the gadget
    /// factor of digit group `d`.
    ///
    /// # Errors
    /// [`RlweError::Insecure`] for a key below 128 bits, unless the set was declared insecure.
    pub fn switching_key<B: Backend>(
        &self,
        backend: &B,
        id: &KeyId,
        shape: &KeyShape,
    ) -> Result<SwitchingKey<B>, RlweError> {
        self.parameters().check_key(id, shape)?;
        let basis = shape.basis();
        let source = self.source(backend, id, basis)?;
        // Negated once, so that `-a t` is added without ever lying in memory of its own, from which `t` would follow.
        let mut target = self.target(backend, id, basis)?;
        target.poly_mut().negate(backend);
        let poly = Shape::evaluation(self.parameters().key_ring(id), basis);
        // The shape belongs to the label: one key at two special moduli must not share masks, or their difference is
        // the secret.
        let label = format!("{id} at {basis} by {:?}", shape.gadget);
        let mut seeds = Vec::with_capacity(shape.rows());
        let mut rows = Vec::with_capacity(shape.rows());
        for row in 0..shape.rows() {
            // Published with the key. Derivation is one-way (keyed BLAKE3), so this tells nothing about the client's
            // own seed or about the errors, which have a label of theirs.
            let uniform = self.seed(&format!("{label}, uniform half"), row as u64);
            let errors = self.seed(&format!("{label}, errors"), row as u64);
            let a = Poly::uniform(backend, poly, &uniform)?;
            let mut b = error_poly(backend, poly, &errors)?;
            b.multiply_accumulate(backend, &a, target.poly())?;
            let mut message = self.source_scaled(backend, source.poly(), shape, row)?;
            b.add_assign(backend, &message)?;
            message.scale_integer(backend, 0);
            seeds.push(uniform);
            rows.push([b, a]);
        }
        Ok(SwitchingKey { id: *id, shape: *shape, seeds, rows })
    }

    /// The source secret times the gadget factor of one row.
    fn source_scaled<B: Backend>(
        &self,
        backend: &B,
        source: &Poly<B>,
        shape: &KeyShape,
        row: usize,
    ) -> Result<Poly<B>, RlweError> {
        let mut factors = self.parameters().chain().special_product_residues(shape.basis());
        match shape.gadget {
            Gadget::Whole => (),
            Gadget::Halves => {
                let base = self.parameters().halving().base;
                for (factor, modulus) in factors.iter_mut().zip(self.parameters().chain().moduli(shape.basis())) {
                    *factor = modulus.mul(*factor, modulus.reduce(base.pow(row as u32)));
                }
            }
            Gadget::Groups(_) => {
                let group = self.parameters().spec().gadget_groups[row];
                for (factor, prime) in factors.iter_mut().zip(shape.basis().indices()) {
                    if !matches!(prime, PrimeIndex::Ciphertext(i) if group.has_ciphertext_prime(i)) {
                        *factor = 0;
                    }
                }
            }
        }
        let mut message = source.duplicate(backend);
        message.scale_residues(backend, &factors)?;
        Ok(message)
    }
}
