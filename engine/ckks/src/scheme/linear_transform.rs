//! Linear maps on slots by double-hoisted baby and giant steps, for batches of ciphertexts.
//!
//! The baby rotations share one decomposition, stay over the special primes and are never stored; only the `a` half is divided before
//! each giant rotation, and everything once at the end together with the rescaling (Bossuat et al., Eurocrypt 2021,
//! algorithm 6). One level.

use fhe_ring::{Backend, Basis, Digits, Poly};
use fhe_rlwe::{Ciphertext, Extended, KeySwitcher, Rotated};
use rayon::prelude::*;

use super::{CkksServer, encoder::Encoder};
use crate::{
    CkksError, Packing,
    transforms::{
        baby_giant::{BabyGiantPlan, RotationCost},
        diagonal_coefficients::DiagonalCoefficients,
        diagonals::DiagonalMatrix,
        embedding::Embedding,
    },
};

/// Cost of a giant rotation, which decomposes and divides once more, in hoisted rotations at the top of the chain.
pub(super) const ROTATION_COST: RotationCost = RotationCost { hoisted: 1.0, giant: 2.5 };

/// Plaintexts of one plan: per giant step, in the plan's order, the index of a baby and its diagonal.
pub(super) type EncodedDiagonals<B> = Vec<Vec<(usize, Poly<B>)>>;

/// Where and how diagonals are encoded.
#[derive(Clone, Copy)]
pub(super) struct Encoding {
    /// The primes of the ciphertext that the map meets first; special primes are added.
    pub(super) basis: Basis,
    /// The plaintext scale.
    pub(super) scale: f64,
    /// The slots that the map meets.
    pub(super) packing: Packing,
}

/// Encodes the diagonals of `matrix`, which is missing without data.
pub(super) fn encode_diagonals<B: Backend>(
    switcher: &KeySwitcher<B>,
    encoder: &Encoder,
    plan: &BabyGiantPlan,
    matrix: Option<&DiagonalMatrix>,
    encoding: Encoding,
) -> Result<EncodedDiagonals<B>, CkksError> {
    let embed = |matrix| DiagonalCoefficients::new(encoder.embedding(), encoding.packing, plan, matrix);
    let coefficients = matrix.map(embed).transpose()?;
    encode_coefficients(switcher, encoder, plan, coefficients.as_ref(), encoding)
}

/// As [`encode_diagonals`], of diagonals that are embedded already.
fn encode_coefficients<B: Backend>(
    switcher: &KeySwitcher<B>,
    encoder: &Encoder,
    plan: &BabyGiantPlan,
    coefficients: Option<&DiagonalCoefficients>,
    Encoding { basis, scale, packing }: Encoding,
) -> Result<EncodedDiagonals<B>, CkksError> {
    let basis = basis.with_special(switcher.parameters().special_for(basis));
    let encode = |integers: &[i64]| encoder.integers(switcher.backend(), packing, basis, integers);
    let Some(coefficients) = coefficients else {
        let giants = plan.giants.iter();
        return giants.map(|giant| giant.terms.iter().map(|term| Ok((term.baby, encode(&[])?))).collect()).collect();
    };
    let diagonal = |(baby, values): &(usize, Vec<f64>)| Ok((*baby, encode(&Embedding::scaled(values, scale)?)?));
    coefficients.giants().par_iter().map(|giant| giant.par_iter().map(diagonal).collect()).collect()
}

/// Words of encoded diagonals.
pub(super) fn words_of<B: Backend>(diagonals: &EncodedDiagonals<B>) -> usize {
    diagonals.iter().flatten().map(|(_, plain)| plain.shape().words()).sum()
}

/// A linear map whose diagonals are encoded over ciphertext and special primes.
pub(super) struct EncodedTransform<B: Backend> {
    pub(super) plan: BabyGiantPlan,
    diagonals: EncodedDiagonals<B>,
    packing: Packing,
}

impl<B: Backend> EncodedTransform<B> {
    /// Encodes the diagonals that `matrix` computes (not called without data).
    pub(super) fn new(
        switcher: &KeySwitcher<B>,
        encoder: &Encoder,
        plan: BabyGiantPlan,
        matrix: impl FnOnce() -> Result<DiagonalMatrix, CkksError>,
        encoding: Encoding,
    ) -> Result<Self, CkksError> {
        let matrix = if B::HOLDS_DATA { Some(matrix()?) } else { None };
        let diagonals = encode_diagonals(switcher, encoder, &plan, matrix.as_ref(), encoding)?;
        Ok(Self { plan, diagonals, packing: encoding.packing })
    }

    /// The same from diagonals that were embedded for the encoding's packing (missing without data).
    pub(super) fn of_coefficients(
        switcher: &KeySwitcher<B>,
        encoder: &Encoder,
        plan: BabyGiantPlan,
        coefficients: Option<&DiagonalCoefficients>,
        encoding: Encoding,
    ) -> Result<Self, CkksError> {
        let diagonals = encode_coefficients(switcher, encoder, &plan, coefficients, encoding)?;
        Ok(Self { plan, diagonals, packing: encoding.packing })
    }

    /// Words of the diagonals.
    pub(super) fn words(&self) -> usize {
        words_of(&self.diagonals)
    }
}

impl<B: Backend> CkksServer<B> {
    /// Applies the map to every ciphertext and divides by their last prime.
    pub(super) fn transform(
        &self,
        batch: &[Ciphertext<B>],
        map: &EncodedTransform<B>,
    ) -> Result<Vec<Ciphertext<B>>, CkksError> {
        let sums = self.inner_sums(batch, map.packing, &map.plan, &[&map.diagonals])?;
        let totals = self.giant_steps(sums, map.packing, &map.plan)?;
        self.count(|c| c.rescalings += batch.len() as u64);
        totals.iter().map(|total| Ok(self.switcher.mod_down(total, true)?)).collect()
    }

    /// The sums over babies of several maps with one plan, map after map and giant after giant; each for the whole batch.
    pub(super) fn inner_sums(
        &self,
        batch: &[Ciphertext<B>],
        packing: Packing,
        plan: &BabyGiantPlan,
        maps: &[&EncodedDiagonals<B>],
    ) -> Result<Vec<Vec<Extended<B>>>, CkksError> {
        let digits: Vec<Digits<B>> = batch.iter().map(|x| self.switcher.decompose(x.a())).collect::<Result<_, _>>()?;
        let inputs: Vec<_> =
            batch.iter().zip(&digits).map(|(ciphertext, digits)| Rotated { ciphertext, digits }).collect();
        let elements: Vec<_> = plan.babies.iter().map(|&baby| self.galois(packing, baby)).collect();
        let sums: Vec<Vec<_>> = (maps.iter().copied().flatten())
            .map(|terms| terms.iter().map(|(baby, plain)| (*baby, plain)).collect())
            .collect();
        let results = self.switcher.rotated_sums(&inputs, &elements, &sums)?;
        self.count(|c| {
            c.rotations += (plan.hoisted_rotations() * batch.len()) as u64;
            c.plaintext_products += (sums.iter().map(Vec::len).sum::<usize>() * batch.len()) as u64;
        });
        Ok(transposed(results, sums.len()))
    }

    /// The giant steps over sums of one map: the total for each ciphertext of the batch, over ciphertext and special primes.
    pub(super) fn giant_steps(
        &self,
        sums: Vec<Vec<Extended<B>>>,
        packing: Packing,
        plan: &BabyGiantPlan,
    ) -> Result<Vec<Extended<B>>, CkksError> {
        let mut steps: Vec<_> = plan.giants.iter().zip(sums).collect();
        // The identity needs no switch: it starts the totals.
        steps.sort_by_key(|(giant, _)| giant.rotation.0 != 0);
        let mut totals: Option<Vec<Extended<B>>> = None;
        for (giant, sums) in steps {
            match &mut totals {
                None if giant.rotation.0 == 0 => totals = Some(sums),
                totals => {
                    let batch = sums.len() as u64;
                    let totals = match totals {
                        Some(totals) => totals,
                        none => {
                            let zeros = sums.iter().map(|sum| self.switcher.extended_zeros(sum[0].shape()));
                            none.insert(zeros.collect::<Result<_, _>>()?)
                        }
                    };
                    let element = self.galois(packing, giant.rotation);
                    self.switcher.accumulate_automorphisms(totals, sums, element)?;
                    self.count(|c| c.rotations += batch);
                }
            }
        }
        totals.ok_or_else(|| CkksError::Precondition {
            operation: "linear transform",
            operand: "giant steps",
            found: "none".into(),
            required: "at least one".into(),
            remedy: "report this: a plan without diagonals is refused when it is made",
        })
    }
}

/// Per sum and input what comes per input and sum.
fn transposed<T>(results: Vec<Vec<T>>, sums: usize) -> Vec<Vec<T>> {
    let mut by_sum: Vec<Vec<T>> = (0..sums).map(|_| Vec::with_capacity(results.len())).collect();
    for result in results {
        by_sum.iter_mut().zip(result).for_each(|(sum, part)| sum.push(part));
    }
    by_sum
}
