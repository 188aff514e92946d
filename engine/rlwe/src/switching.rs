//! Key switching on the server: gadget products and hoisted automorphisms, for batches of ciphertexts.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use fhe_ring::{
    Backend, Digits, GadgetFactor, GaloisElement, HoistedFactor, KeyedRotation, Poly, Shape, gadget_product,
    hoisted_sums,
};

use crate::{Ciphertext, KeyId, KeyShape, KeyStore, Parameters, RlweError, SwitchingKey, WeightProduct};

/// The server's key-switching engine: a backend, a parameter set and the evaluation keys. It never holds a secret.
pub struct KeySwitcher<B: Backend> {
    backend: Arc<B>,
    parameters: Parameters,
    keys: KeyStore<B>,
    weight_product: WeightProduct,
    switches: AtomicU64,
}

/// A ciphertext over ciphertext and special primes, not yet divided by the special modulus.
pub type Extended<B> = [Poly<B>; 2];

/// A ciphertext with the gadget digits of its half `a`, which its rotations share.
pub struct Rotated<'a, B: Backend> {
    /// The ciphertext.
    pub ciphertext: &'a Ciphertext<B>,
    /// The digits of its half `a`.
    pub digits: &'a Digits<B>,
}

impl<B: Backend> KeySwitcher<B> {
    /// Joins the three.
    pub fn new(backend: Arc<B>, parameters: Parameters, keys: KeyStore<B>) -> Self {
        Self { backend, parameters, keys, weight_product: WeightProduct::default(), switches: AtomicU64::new(0) }
    }

    /// The same with another form of products with weights.
    #[must_use]
    pub fn with_weight_product(self, weight_product: WeightProduct) -> Self {
        Self { weight_product, ..self }
    }

    /// The form of products with weights.
    pub fn weight_product(&self) -> WeightProduct {
        self.weight_product
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

    /// Gadget products executed so far; one with several keys, as on the raise, counts once.
    pub fn switches(&self) -> u64 {
        self.switches.load(Ordering::Relaxed)
    }

    /// Gadget digits of a polynomial by the groups of the parameter set; the part of a key switch that rotations of one
    /// ciphertext share.
    ///
    /// # Errors
    /// If the polynomial is not in the evaluation domain or has special primes.
    pub fn decompose(&self, poly: &Poly<B>) -> Result<Digits<B>, RlweError> {
        let groups = &self.parameters.spec().gadget_groups;
        Ok(poly.mod_up(self.backend(), groups, self.parameters.special_for(poly.shape().basis))?)
    }

    /// For every ciphertext of a batch `digits * key + addends`, over ciphertext and special primes.
    ///
    /// # Errors
    /// [`RlweError::MissingKey`], or a shape that the ring refuses.
    pub fn products(&self, batch: &[GadgetFactor<'_, B>], id: KeyId) -> Result<Vec<Extended<B>>, RlweError> {
        let Some(first) = batch.first() else { return Ok(Vec::new()) };
        let key = self.key(id, first.digits.shape())?;
        self.count_switches(batch.len());
        Ok(gadget_product(self.backend(), batch, &key.rows.iter().collect::<Vec<_>>())?)
    }

    /// Zero over the given primes.
    ///
    /// # Errors
    /// If the shape is not one of this chain.
    pub fn extended_zeros(&self, shape: Shape) -> Result<Extended<B>, RlweError> {
        Ok([Poly::zeros(self.backend(), shape)?, Poly::zeros(self.backend(), shape)?])
    }

    /// Divides both halves by the special modulus, and by the last ciphertext prime if `rescale`.
    ///
    /// # Errors
    /// If there are no special primes.
    pub fn mod_down(&self, extended: &Extended<B>, rescale: bool) -> Result<Ciphertext<B>, RlweError> {
        let [b, a] = extended;
        Ciphertext::new(b.mod_down(self.backend(), rescale)?, a.mod_down(self.backend(), rescale)?)
    }

    /// `b + a s + c s^2` from the three parts of each product of a batch, relinearised; divides by the last prime too if `rescale`.
    ///
    /// # Errors
    /// [`RlweError::MissingKey`], or a shape that the ring refuses.
    pub fn relinearise(&self, products: &[[Poly<B>; 3]], rescale: bool) -> Result<Vec<Ciphertext<B>>, RlweError> {
        let Some([first, ..]) = products.first() else { return Ok(Vec::new()) };
        let id = KeyId::Relinearisation(first.shape().ring.kind);
        let digits = products.iter().map(|[_, _, c]| self.decompose(c)).collect::<Result<Vec<_>, _>>()?;
        let batch: Vec<_> = (products.iter().zip(&digits))
            .map(|([b, a, _], digits)| GadgetFactor { digits, addends: [Some(b), Some(a)] })
            .collect();
        let switched = self.products(&batch, id)?;
        drop(digits);
        switched.iter().map(|extended| self.mod_down(extended, rescale)).collect()
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
        let id = KeyId::Galois(ct.shape().ring.kind, element);
        let batch = [GadgetFactor { digits, addends: [Some(ct.b()), None] }];
        let switched = self.products(&batch, id)?.into_iter().next().map(|product| self.mod_down(&product, false));
        let switched = switched.transpose()?.unwrap_or_else(|| unreachable!("one product for one input"));
        switched.map(|half| half.automorphism(self.backend(), element))
    }

    /// For every ciphertext of a batch and every sum, `sum factor * g(ciphertext)` over ciphertext and special primes, without the
    /// division: what double hoisting sums up (Bossuat et al., Eurocrypt 2021, section 4). A sum names its automorphisms by their
    /// index in `elements`.
    ///
    /// # Errors
    /// [`RlweError::MissingKey`], or a shape that the ring refuses.
    pub fn rotated_sums(
        &self,
        batch: &[Rotated<'_, B>],
        elements: &[GaloisElement],
        sums: &[Vec<(usize, &Poly<B>)>],
    ) -> Result<Vec<Vec<Extended<B>>>, RlweError> {
        let Some(first) = batch.first() else { return Ok(Vec::new()) };
        let kind = first.ciphertext.shape().ring.kind;
        let keys = (elements.iter())
            .map(|&element| {
                let moves = element != GaloisElement::IDENTITY;
                moves.then(|| self.key(KeyId::Galois(kind, element), first.digits.shape())).transpose()
            })
            .collect::<Result<Vec<_>, _>>()?;
        let rotations: Vec<_> = (elements.iter().zip(&keys))
            .map(|(&element, key)| KeyedRotation { element, rows: key.iter().flat_map(|key| &key.rows).collect() })
            .collect();
        let batch: Vec<_> = (batch.iter())
            .map(|input| HoistedFactor { digits: input.digits, ciphertext: input.ciphertext.halves() })
            .collect();
        self.count_switches(keys.iter().flatten().count() * batch.len());
        Ok(hoisted_sums(self.backend(), &batch, &rotations, sums)?)
    }

    /// One automorphism of each ciphertext of a batch that still has its special primes, added to a total: the giant step of a
    /// linear transform. Divides the half `a`, decomposes it, and switches; none of it for the identity.
    ///
    /// # Errors
    /// As [`KeySwitcher::automorphism`].
    pub fn accumulate_automorphisms(
        &self,
        totals: &mut [Extended<B>],
        sums: Vec<Extended<B>>,
        element: GaloisElement,
    ) -> Result<(), RlweError> {
        let backend = self.backend();
        one_total_each("accumulate_automorphisms", totals.len(), sums.len())?;
        let mut switched = sums;
        if element != GaloisElement::IDENTITY {
            let Some([first, _]) = switched.first() else { return Ok(()) };
            let id = KeyId::Galois(first.shape().ring.kind, element);
            let digits = (switched.iter())
                .map(|[_, a]| self.decompose(&a.mod_down(backend, false)?))
                .collect::<Result<Vec<_>, _>>()?;
            let batch: Vec<_> = (switched.iter().zip(&digits))
                .map(|([b, _], digits)| GadgetFactor { digits, addends: [Some(b), None] })
                .collect();
            switched = self.products(&batch, id)?;
        }
        for (total, sum) in totals.iter_mut().zip(&switched) {
            for (total, half) in total.iter_mut().zip(sum) {
                match element {
                    GaloisElement::IDENTITY => total.add_assign(backend, half)?,
                    _ => total.automorphism_accumulate(backend, half, element)?,
                }
            }
        }
        Ok(())
    }

    pub(crate) fn key(&self, id: KeyId, shape: Shape) -> Result<Arc<SwitchingKey<B>>, RlweError> {
        let ciphertext = shape.basis.without_special();
        let gadget = self.parameters.gadget(&id, ciphertext);
        let required = KeyShape { ciphertext, special: shape.basis.special_count(), gadget };
        self.keys.get(self.backend(), shape.ring, id, required)
    }

    pub(crate) fn count_switches(&self, switches: usize) {
        self.switches.fetch_add(switches as u64, Ordering::Relaxed);
    }
}

/// Refuses to drop totals or summands that have no partner.
pub(crate) fn one_total_each(operation: &'static str, totals: usize, summands: usize) -> Result<(), RlweError> {
    if totals == summands {
        return Ok(());
    }
    Err(RlweError::Precondition {
        operation,
        operand: "the number of totals",
        found: totals.to_string(),
        required: summands.to_string(),
        remedy: "give one total for each ciphertext of the batch",
    })
}
