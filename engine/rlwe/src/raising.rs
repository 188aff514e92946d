//! From the lowest modulus upwards: ModRaise, and switches with keys of one row.
//!
//! **The raise with a linear map on it.** Right after ModRaise a ciphertext `(b, a)` is a pair of small integer polynomials under the sparse
//! secret `e`. A linear map `sum_g factor_g * g(.)` can be applied to them as integers, rotations without a key, before the first
//! key switch: it consumes no modulus. The term of `g` is then under `g(e)` and is switched to the dense secret by a key of its own,
//! whose single row suffices because its argument is small: the noise `2^60 / P'` of a switch with two special primes vanishes. These
//! switches take the place of the one from sparse to dense (sparse-secret encapsulation: Bossuat et al., ACNS 2022).

use fhe_ring::{Backend, Basis, Digits, Domain, GadgetFactor, GaloisElement, Poly, gadget_product};

use crate::{Ciphertext, KeyId, KeySwitcher, RlweError};

/// Special primes of keys whose argument is at the lowest modulus only: one, so that the key's own modulus is `q_0 p_0`.
pub(crate) const LOWEST_SPECIAL: usize = 1;
/// Special primes of the keys after ModRaise: their arguments are two primes wide at most, so two leave the noise far below one.
const RAISE_SPECIAL: usize = 2;

/// One term of the linear map on the raise: an automorphism, and the factor of its result over the work primes.
pub struct RaiseFactor<B: Backend> {
    /// `X -> X^g`.
    pub element: GaloisElement,
    /// Evaluation domain, over [`KeySwitcher::raise_basis`].
    pub factor: Poly<B>,
}

/// One switch with keys of one row: what is added, and the argument of each key.
pub(crate) struct WholeSwitch<B: Backend> {
    /// To either half.
    pub(crate) addends: [Option<Poly<B>>; 2],
    /// One for each key.
    pub(crate) terms: Vec<Poly<B>>,
}

impl<B: Backend> KeySwitcher<B> {
    /// The primes that the factors of a map on the raise are encoded over: `q_0` and the two highest ciphertext primes. The product of a
    /// factor with a polynomial below `q_0` fits all three, its quotient by the highest fits the other two.
    pub fn raise_basis(&self) -> Basis {
        let all = self.parameters().ciphertext_basis();
        let count = all.ciphertext_count();
        Basis::prefix(1).union(all.range(count.saturating_sub(2), count))
    }

    /// ModRaise: a ciphertext at `q_0` becomes one at `target` whose phase is the old one plus `q_0 I` with small integer `I`, mapped by
    /// `sum_g factor_g * g(.)` and divided by the highest ciphertext prime. One switch at the lowest modulus, then one with a key of one row for each factor;
    /// evaluation domain out.
    ///
    /// # Errors
    /// [`RlweError::MissingKey`], or if an input is not at the lowest prime.
    pub fn raise(
        &self,
        inputs: &[&Ciphertext<B>],
        target: Basis,
        map: &[RaiseFactor<B>],
    ) -> Result<Vec<Ciphertext<B>>, RlweError> {
        let mapped = inputs.iter().map(|input| self.map_sparse(input, target, map)).collect::<Result<Vec<_>, _>>()?;
        let Some((first, _)) = mapped.first() else { return Ok(Vec::new()) };
        let keys = (map.iter())
            .map(|term| self.key(KeyId::Raise(term.element), first.shape()))
            .collect::<Result<Vec<_>, _>>()?;
        let rows: Vec<_> = keys.iter().flat_map(|key| &key.rows).collect();
        let batch: Vec<_> =
            mapped.iter().map(|(digits, b)| GadgetFactor { digits, addends: [Some(b), None] }).collect();
        self.count_switches(batch.len());
        let switched = gadget_product(self.backend(), &batch, &rows)?;
        drop(mapped);
        switched.iter().map(|extended| self.mod_down(extended, false)).collect()
    }

    /// The terms of the half `a`, one for each factor, over the target's primes and the special primes of the raise; and the sum of
    /// the terms of `b` over the target's primes.
    fn map_sparse(
        &self,
        input: &Ciphertext<B>,
        target: Basis,
        map: &[RaiseFactor<B>],
    ) -> Result<(Digits<B>, Poly<B>), RlweError> {
        let backend = self.backend();
        let work = self.raise_basis();
        if work.len() < 3 {
            return Err(RlweError::Precondition {
                operation: "raise",
                operand: "the chain",
                found: format!("of {} ciphertext primes", work.len()),
                required: "at least 3".into(),
                remedy: "use parameters with two primes above the lowest",
            });
        }
        let sparse = self.switch_lowest(input, KeyId::DenseToEphemeral)?.into_domain(backend, Domain::Coefficient);
        let [b, a] = [sparse.b().raise(backend, work)?, sparse.a().raise(backend, work)?];
        let term = |half: &Poly<B>, term: &RaiseFactor<B>| {
            half.automorphism(backend, term.element)?.multiply(backend, &term.factor)
        };
        let divided = |product: Poly<B>| product.into_coefficient(backend).rescale(backend);
        let extended = target.with_special(RAISE_SPECIAL);
        let terms = (map.iter())
            .map(|factor| divided(term(&a, factor)?)?.raise(backend, extended))
            .collect::<Result<Vec<_>, _>>()?;
        let mut sum = Poly::zeros(backend, b.shape())?;
        for factor in map {
            sum.add_assign(backend, &term(&b, factor)?)?;
        }
        Ok((Digits::separate(terms)?, divided(sum)?.raise(backend, target)?))
    }

    /// Key switch of a ciphertext at the lowest prime with a key of one row and one special prime; evaluation domain out.
    pub(crate) fn switch_lowest(&self, ct: &Ciphertext<B>, id: KeyId) -> Result<Ciphertext<B>, RlweError> {
        self.switch_lowest_terms(ct.b(), vec![ct.a().duplicate(self.backend())], id)
    }

    /// The same of `b` and arguments for as many rows of one key.
    pub(crate) fn switch_lowest_terms(
        &self,
        b: &Poly<B>,
        terms: Vec<Poly<B>>,
        id: KeyId,
    ) -> Result<Ciphertext<B>, RlweError> {
        let mut switched = self.switch_lowest_sums(vec![(b.duplicate(self.backend()), terms)], &[id])?;
        Ok(switched.pop().unwrap_or_else(|| unreachable!("one result for one input")))
    }

    /// `b + sum_i a_i * key_i` at the lowest prime for every `(b, [a_i])` of a batch, which share the keys; one division each.
    /// Evaluation domain out.
    pub(crate) fn switch_lowest_sums(
        &self,
        batch: Vec<(Poly<B>, Vec<Poly<B>>)>,
        ids: &[KeyId],
    ) -> Result<Vec<Ciphertext<B>>, RlweError> {
        batch.iter().try_for_each(|(b, _)| check_lowest(b))?;
        let batch = batch.into_iter().map(|(b, terms)| WholeSwitch { addends: [Some(b), None], terms });
        self.switch_whole(batch.collect(), ids, LOWEST_SPECIAL)
    }

    /// The same at any primes, with keys of one row and so many special primes. The keys' arguments are small polynomials if the special primes outweigh
    /// the ciphertext's by some bits.
    pub(crate) fn switch_whole(
        &self,
        batch: Vec<WholeSwitch<B>>,
        ids: &[KeyId],
        special: usize,
    ) -> Result<Vec<Ciphertext<B>>, RlweError> {
        let backend = self.backend();
        let (mut addends, mut digits) = (Vec::new(), Vec::new());
        for switch in batch {
            let raise = |a: Poly<B>| {
                let extended = a.shape().basis.with_special(special);
                a.into_coefficient(backend).raise(backend, extended)
            };
            digits.push(Digits::separate(switch.terms.into_iter().map(raise).collect::<Result<_, _>>()?)?);
            addends.push(switch.addends.map(|addend| addend.map(|poly| poly.into_evaluation(backend))));
        }
        let Some(shape) = digits.first().map(Digits::shape) else { return Ok(Vec::new()) };
        let keys = ids.iter().map(|&id| self.key(id, shape)).collect::<Result<Vec<_>, _>>()?;
        let rows: Vec<_> = keys.iter().flat_map(|key| &key.rows).collect();
        self.count_switches(digits.len());
        let factors = (digits.iter().zip(&addends))
            .map(|(digits, addends)| GadgetFactor { digits, addends: addends.each_ref().map(Option::as_ref) });
        let switched = gadget_product(backend, &factors.collect::<Vec<_>>(), &rows)?;
        switched.iter().map(|extended| self.mod_down(extended, false)).collect()
    }
}

/// Refuses what is not at `q_0` alone.
pub(crate) fn check_lowest<B: Backend>(poly: &Poly<B>) -> Result<(), RlweError> {
    if poly.shape().basis == Basis::prefix(1) {
        return Ok(());
    }
    Err(RlweError::Precondition {
        operation: "key switch at the lowest modulus",
        operand: "ciphertext",
        found: format!("at {:?}", poly.shape().basis),
        required: "at q_0 alone".into(),
        remedy: "rescale it to the lowest level first",
    })
}
