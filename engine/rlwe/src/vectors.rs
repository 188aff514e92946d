//! Integer weights times one encrypted vector, at the lowest modulus.
//!
//! A matrix that meets a single token must not pay for a block of them. Ring switching to degree `n` and the stride split turn a
//! ciphertext into small ones, of which each holds `block` entries of the vector in its first coefficients and zeros elsewhere. One product
//! with a weight polynomial then gives the product of `n / block` rows, each in one coefficient
//! ([`fhe_ring::Backend::weight_products`]), and what other coefficients hold is removed while the results are packed: a tree of automorphisms
//! keeps the wanted coefficients of two ciphertexts and lets the others cancel (Chen, Dai, Kim and Song, ACNS 2021).
//!
//! Packing doubles the wanted coefficients `log2 block` times, so the vector is divided by `block` modulo `q_0` first. The noise of a switch
//! doubles as well on its way to the root: its standard deviation is multiplied by about `block / sqrt(3)` in all.

use fhe_ring::{
    Backend, Basis, Digits, GadgetFactor, GaloisElement, IntegerMatrix, Poly, Shape, gadget_product, weight_products,
};
use rayon::prelude::*;

use crate::{Ciphertext, KeyId, KeySwitcher, RlweError, raising::LOWEST_SPECIAL};

/// A small ciphertext.
type Halves<B> = [Poly<B>; 2];
/// A place in the packing tree, perhaps with nothing in it.
type Node<B> = Option<Halves<B>>;

/// A vector in small ciphertexts, `block` entries in the first coefficients of each, divided by `block` modulo `q_0`; evaluation
/// domain.
pub struct VectorParts<B: Backend> {
    parts: Vec<Halves<B>>,
    block: usize,
}

impl<B: Backend> VectorParts<B> {
    /// Number of parts.
    pub fn parts(&self) -> usize {
        self.parts.len()
    }

    /// Entries of a part.
    pub fn block(&self) -> usize {
        self.block
    }
}

/// The product of a matrix and a vector as one small ciphertext, evaluation domain: with `h` rows over rows a part, rounded up, and
/// `stride` the largest power of two with `h stride <= block`, row `o + h i` is the coefficient of `X^(stride o + block i)`; the others are
/// zero up to noise.
pub struct PackedVector<B: Backend> {
    halves: Halves<B>,
}

impl<B: Backend> KeySwitcher<B> {
    /// Splits ciphertexts at `q_0` into small ones, one key switch each: with `g = N / n`, part `J` is the coefficients `J mod g + g c` of
    /// `inputs[J div g]`, of which those with `c >= block` must be zero up to noise.
    ///
    /// # Errors
    /// [`RlweError::MissingKey`]; inputs above `q_0`; a number of inputs that does not hold so many parts; a block that is no power of two
    /// or above the small degree.
    pub fn split_vector(
        &self,
        inputs: &[&Ciphertext<B>],
        block: usize,
        parts: usize,
    ) -> Result<VectorParts<B>, RlweError> {
        const OPERATION: &str = "split_vector";
        let backend = self.backend();
        let (degree, small) = (self.parameters().ring().degree(), self.parameters().small_ring().degree());
        let group = degree / small;
        let refuse = |operand, found: usize, required, remedy| {
            Err(RlweError::Precondition { operation: OPERATION, operand, found: found.to_string(), required, remedy })
        };
        if parts == 0 || inputs.len() != parts.div_ceil(group) {
            let required = format!("at least one part, and {} inputs for {parts} parts", parts.div_ceil(group));
            return refuse("number of inputs", inputs.len(), required, "give one input for every so many parts");
        }
        if !block.is_power_of_two() || block > small {
            let required = format!("a power of two up to {small}");
            return refuse("block", block, required, "spread the vector over more parts");
        }
        let modulus = &self.parameters().chain().ciphertext_primes()[0];
        let inverse = modulus.inverse(block as u64).unwrap_or_else(|| unreachable!("primes are odd"));
        let mut split = Vec::with_capacity(parts);
        for input in inputs {
            let switched = self.switch_to_small(input)?;
            let [b, a] = switched.into_halves().map(|mut half| {
                half.scale_residues(backend, &[inverse])?;
                half.into_coefficient(backend).stride_split(backend, group)
            });
            split.extend(b?.into_iter().zip(a?).map(|(b, a)| [b, a]).take(parts - split.len()));
        }
        let values = |halves: Halves<B>| halves.map(|half| half.into_evaluation(backend));
        Ok(VectorParts { parts: split.into_par_iter().map(values).collect(), block })
    }

    /// `weights` times the vector, packed into one ciphertext: at most as many key switches as `block`, no level.
    ///
    /// # Errors
    /// [`RlweError::MissingKey`]; more rows than the small degree; columns that another number of parts holds.
    pub fn vector_product(
        &self,
        weights: &IntegerMatrix,
        vector: &VectorParts<B>,
    ) -> Result<PackedVector<B>, RlweError> {
        let (rows, small) = (weights.shape().rows, self.parameters().small_ring().degree());
        if rows > small {
            return Err(RlweError::Precondition {
                operation: "vector_product",
                operand: "rows of the weights",
                found: rows.to_string(),
                required: format!("at most {small}, the degree of the small ring"),
                remedy: "multiply by so many rows at a time, and join the results",
            });
        }
        let products = weight_products(self.backend(), weights, &vector.parts, vector.block)?;
        let stride = 1 << (vector.block / products.len()).ilog2();
        let mut leaves: Vec<Node<B>> = (0..vector.block).map(|_| None).collect();
        for (leaf, product) in leaves.iter_mut().step_by(stride).zip(products) {
            *leaf = Some(product);
        }
        while leaves.len() > 1 {
            leaves = self.merge(leaves)?;
        }
        match leaves.pop().flatten() {
            Some(halves) => Ok(PackedVector { halves }),
            None => unreachable!("a checked matrix has rows"),
        }
    }

    /// Packed vectors as ciphertexts of the main ring under the dense secret, `g = N / n` in each: coefficient `c` of `packed[C g + j]` becomes
    /// coefficient `j + g c` of ciphertext `C`. One key switch each; evaluation domain out.
    ///
    /// # Errors
    /// [`RlweError::MissingKey`].
    pub fn join_vectors(&self, packed: &[PackedVector<B>]) -> Result<Vec<Ciphertext<B>>, RlweError> {
        let backend = self.backend();
        let small = self.parameters().small_ring();
        let group = self.parameters().ring().degree() / small.degree();
        let key = KeyId::Packing { tokens: small.degree(), block: 0 };
        let join = |packed: &[PackedVector<B>]| {
            let merged = |half: usize| {
                let mut parts: Vec<_> = packed
                    .iter()
                    .map(|vector| vector.halves[half].duplicate(backend).into_coefficient(backend))
                    .collect();
                while parts.len() < group {
                    parts.push(Poly::zeros(backend, Shape::coefficient(small, Basis::prefix(1)))?);
                }
                Poly::stride_merge(backend, &parts)
            };
            Ok::<_, RlweError>((merged(0)?, vec![merged(1)?]))
        };
        self.switch_lowest_sums(packed.chunks(group).map(join).collect::<Result<_, _>>()?, &[key])
    }

    /// One level of the packing tree: `m` nodes of `2m`. Node `i` joins `u`, the `i`-th, and `z`, the `(i + m)`-th times `X^m`, to
    /// `(u + z) + g(u - z)`, where `g` takes `X^m` to `-X^m` and leaves `X^(2m)` as it is.
    fn merge(&self, mut nodes: Vec<Node<B>>) -> Result<Vec<Node<B>>, RlweError> {
        let backend = self.backend();
        let ring = self.parameters().small_ring();
        let count = nodes.len() / 2;
        let exponent = 1 + ring.degree() / count;
        let element = GaloisElement::from_exponent(ring, exponent as u64)
            .unwrap_or_else(|| unreachable!("a block is no larger than the degree, so that the quotient is even"));
        let second = nodes.split_off(count);
        let pairs: Vec<_> = nodes.into_iter().zip(second).collect();
        let occupied: Vec<bool> = pairs.iter().map(|(u, z)| u.is_some() || z.is_some()).collect();
        let sums = (pairs.into_par_iter())
            .filter_map(|pair| self.sum_and_difference(pair, count).transpose())
            .collect::<Result<Vec<_>, _>>()?;
        let digits = sums.par_iter().map(|[_, [_, a]]| self.lowest_digit(a)).collect::<Result<Vec<_>, RlweError>>()?;
        let batch: Vec<_> = (sums.iter().zip(&digits))
            .map(|([_, [b, _]], digits)| GadgetFactor { digits, addends: [Some(b), None] })
            .collect();
        let key = self.key(KeyId::SmallGalois(element), digits[0].shape())?;
        self.count_switches(batch.len());
        let switched = gadget_product(backend, &batch, &key.rows.iter().collect::<Vec<_>>())?;
        let merged = (sums.into_par_iter().zip(switched))
            .map(|([mut sum, _], extended)| {
                for (sum, half) in sum.iter_mut().zip(&extended) {
                    sum.automorphism_accumulate(backend, &half.mod_down(backend, false)?, element)?;
                }
                Ok(sum)
            })
            .collect::<Result<Vec<_>, RlweError>>()?;
        let mut merged = merged.into_iter();
        Ok(occupied.into_iter().map(|occupied| if occupied { merged.next() } else { None }).collect())
    }

    /// `u + X^m z` and `u - X^m z`, where one may be missing; nothing if both are.
    fn sum_and_difference(&self, pair: (Node<B>, Node<B>), shift: usize) -> Result<Option<[Halves<B>; 2]>, RlweError> {
        let backend = self.backend();
        let copy = |halves: &Halves<B>| halves.each_ref().map(|half| half.duplicate(backend));
        let moved = |[b, a]: Halves<B>| -> Result<Halves<B>, RlweError> {
            Ok([b.multiply_monomial(backend, shift)?, a.multiply_monomial(backend, shift)?])
        };
        Ok(match pair {
            (None, None) => None,
            (Some(u), None) => Some([copy(&u), u]),
            (None, Some(z)) => {
                let z = moved(z)?;
                let mut difference = copy(&z);
                difference.iter_mut().for_each(|half| half.negate(backend));
                Some([z, difference])
            }
            (Some(u), Some(z)) => {
                let z = moved(z)?;
                let (mut sum, mut difference) = (copy(&u), u);
                for (half, z) in sum.iter_mut().zip(&z) {
                    half.add_assign(backend, z)?;
                }
                for (half, z) in difference.iter_mut().zip(&z) {
                    half.subtract_assign(backend, z)?;
                }
                Some([sum, difference])
            }
        })
    }

    /// The only digit of a polynomial at the lowest prime.
    fn lowest_digit(&self, a: &Poly<B>) -> Result<Digits<B>, RlweError> {
        let backend = self.backend();
        let extended = a.shape().basis.with_special(LOWEST_SPECIAL);
        Ok(Digits::separate(vec![a.duplicate(backend).into_coefficient(backend).raise(backend, extended)?])?)
    }
}
