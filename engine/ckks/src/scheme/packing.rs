//! Linear maps that lead from complex to real slots or back, and the conversions themselves.
//!
//! The conversion is folded into the map's diagonals, so that it costs two key switches and no level
//! ([`crate::transforms::real_slots`] has the algebra, [`fhe_rlwe::KeySwitcher::trace_to_real`] and its inverse the switches). A map from real
//! slots rotates them in the conjugate-invariant ring: there a rotation that leaves a half of the slots enters the other
//! half, so its diagonals must not reach across, and it has no giant steps.

use fhe_ring::{Backend, GadgetFactor, GaloisElement, Poly, RingKind};
use fhe_rlwe::{Ciphertext, KeyId, KeySwitcher};

use super::{
    CkksServer, SlotCiphertext,
    encoder::Encoder,
    linear_transform::{EncodedDiagonals, Encoding, encode_diagonals, words_of},
};
use crate::{
    CkksError, Level, Packing, Rotation,
    transforms::baby_giant::{BabyGiantPlan, RotationCost},
    transforms::diagonals::DiagonalMatrix,
    transforms::real_slots::{CONVERSION_FACTOR, parity_factors, trace_factors},
};

/// Cost of a giant rotation where every map has a second one beside it.
pub(super) const PAIRED_ROTATION_COST: RotationCost = RotationCost { hoisted: 1.0, giant: 5.0 };

/// A linear map from complex slots to their real and imaginary parts, times [`CONVERSION_FACTOR`].
pub(super) struct ToRealTransform<B: Backend> {
    pub(super) plan: BabyGiantPlan,
    parts: [EncodedDiagonals<B>; 2],
}

/// A linear map from real slots to complex ones.
pub(super) struct FromRealTransform<B: Backend> {
    plan: BabyGiantPlan,
    parts: [EncodedDiagonals<B>; 2],
}

/// The map that `matrix` computes (not called without data) with each of two factors for every slot of its result, encoded.
fn encoded_parts<B: Backend>(
    switcher: &KeySwitcher<B>,
    encoder: &Encoder,
    plan: &BabyGiantPlan,
    matrix: impl FnOnce() -> Result<DiagonalMatrix, CkksError>,
    factors: impl FnOnce(usize) -> [Vec<num_complex::Complex64>; 2],
    encoding: Encoding,
) -> Result<[EncodedDiagonals<B>; 2], CkksError> {
    let matrix = if B::HOLDS_DATA { Some(matrix()?) } else { None };
    let encode = |factors: &[num_complex::Complex64]| {
        let matrix = matrix.clone().map(|matrix| matrix.with_row_factors(factors)).transpose()?;
        encode_diagonals(switcher, encoder, plan, matrix.as_ref(), encoding)
    };
    let [even, odd] = factors(switcher.parameters().ring().degree());
    Ok([encode(&even)?, encode(&odd)?])
}

impl<B: Backend> ToRealTransform<B> {
    /// Encodes the diagonals that `matrix` computes (not called without data).
    pub(super) fn new(
        switcher: &KeySwitcher<B>,
        encoder: &Encoder,
        plan: BabyGiantPlan,
        matrix: impl FnOnce() -> Result<DiagonalMatrix, CkksError>,
        encoding: Encoding,
    ) -> Result<Self, CkksError> {
        let parts = encoded_parts(switcher, encoder, &plan, matrix, trace_factors, encoding)?;
        Ok(Self { plan, parts })
    }

    /// Words of the diagonals.
    pub(super) fn words(&self) -> usize {
        self.parts.iter().map(words_of).sum()
    }
}

impl<B: Backend> FromRealTransform<B> {
    /// Encodes the diagonals that `matrix` computes (not called without data). No row may have an entry on the other side of slot
    /// zero, cyclically.
    pub(super) fn new(
        switcher: &KeySwitcher<B>,
        encoder: &Encoder,
        offsets: Vec<usize>,
        matrix: impl FnOnce() -> Result<DiagonalMatrix, CkksError>,
        encoding: Encoding,
    ) -> Result<Self, CkksError> {
        let slots = switcher.parameters().ring().degree() / 2;
        let plan = BabyGiantPlan::babies_only(slots, offsets)?;
        let parts = encoded_parts(switcher, encoder, &plan, matrix, parity_factors, encoding)?;
        Ok(Self { plan, parts })
    }

    /// Words of the diagonals.
    pub(super) fn words(&self) -> usize {
        self.parts.iter().map(words_of).sum()
    }
}

impl<B: Backend> CkksServer<B> {
    /// Applies the map to complex slots and divides by the last prime: real slots.
    pub(super) fn transform_to_real(
        &self,
        batch: &[Ciphertext<B>],
        map: &ToRealTransform<B>,
    ) -> Result<Vec<Ciphertext<B>>, CkksError> {
        let [even, odd] = &map.parts;
        let mut sums = self.inner_sums(batch, Packing::Complex, &map.plan, &[even, odd])?;
        let odd = self.giant_steps(sums.split_off(even.len()), Packing::Complex, &map.plan)?;
        let even = self.giant_steps(sums, Packing::Complex, &map.plan)?;
        self.count(|c| {
            c.packing_conversions += batch.len() as u64;
            c.rescalings += batch.len() as u64;
        });
        let parts: Vec<_> = even.into_iter().zip(odd).map(|(even, odd)| [even, odd]).collect();
        Ok(self.switcher.trace_to_real(&parts)?)
    }

    /// Applies the map to real slots and divides by the last prime: complex slots.
    pub(super) fn transform_from_real(
        &self,
        batch: &[Ciphertext<B>],
        map: &FromRealTransform<B>,
    ) -> Result<Vec<Ciphertext<B>>, CkksError> {
        let parts = batch.iter().map(|x| self.parity_sums(x, map)).collect::<Result<Vec<_>, _>>()?;
        let Some((b, _)) = parts.first() else { return Ok(Vec::new()) };
        let mut totals =
            parts.iter().map(|_| self.switcher.extended_zeros(b.shape())).collect::<Result<Vec<_>, _>>()?;
        self.switcher.accumulate_complex(&mut totals, parts, GaloisElement::IDENTITY)?;
        self.count(|c| {
            c.packing_conversions += batch.len() as u64;
            c.rescalings += batch.len() as u64;
        });
        totals.iter().map(|total| Ok(self.switcher.mod_down(total, true)?)).collect()
    }

    /// The parts `(b, [a_even, a_odd])` of the mapped ciphertext, over ciphertext and special primes: with `f = A(X^2) + X B(X^2)` and `D`
    /// the diagonals, `b = (1 + i) sum D A_b + sum D H B_b`, `a_even` likewise, and
    /// `a_odd = (1 + i) sum D B_a + Y^-1 sum D H A_a` for the part of the secret times `Y`.
    fn parity_sums(
        &self,
        ciphertext: &Ciphertext<B>,
        map: &FromRealTransform<B>,
    ) -> Result<(Poly<B>, [Poly<B>; 2]), CkksError> {
        let (backend, switcher) = (self.backend(), &self.switcher);
        let digits = switcher.decompose(ciphertext.a())?;
        let cyclotomic =
            fhe_ring::Shape { ring: switcher.parameters().ring_of(RingKind::Cyclotomic), ..digits.shape() };
        let mut sums = (0..6).map(|_| Poly::zeros(backend, cyclotomic)).collect::<Result<Vec<_>, _>>()?;
        let slots = self.parameters.shape().slots(Packing::Complex) as i64;
        let [plain, turned] = &map.parts;
        // Without giant steps there is one list of terms, alike for both parts.
        for ((baby, plain), (_, turned)) in plain.iter().flatten().zip(turned.iter().flatten()) {
            let rotation = map.plan.babies[*baby];
            // Small rotations to the right are listed as large ones to the left.
            let steps = if 2 * rotation.0 > slots { rotation.0 - slots } else { rotation.0 };
            let element = self.galois(Packing::Real, Rotation(steps));
            let [b, a] = match element {
                GaloisElement::IDENTITY => {
                    let special = digits.shape().basis.special_count();
                    let extend = |half: &Poly<B>| half.extend_by_special(backend, special);
                    [extend(ciphertext.b())?, extend(ciphertext.a())?]
                }
                _ => {
                    let batch = [GadgetFactor { digits: &digits, addends: [Some(ciphertext.b()), None] }];
                    let id = KeyId::Galois(RingKind::ConjugateInvariant, element);
                    let [b, a] = &switcher.products(&batch, id)?[0];
                    self.count(|c| c.rotations += 1);
                    [b.automorphism(backend, element)?, a.automorphism(backend, element)?]
                }
            };
            let ([b_even, b_odd], [a_even, a_odd]) = (b.parity_split(backend)?, a.parity_split(backend)?);
            let terms = [
                (&b_even, plain),
                (&b_odd, turned),
                (&a_even, plain),
                (&a_odd, turned),
                (&a_odd, plain),
                (&a_even, turned),
            ];
            for (sum, (part, diagonal)) in sums.iter_mut().zip(terms) {
                sum.multiply_accumulate(backend, part, diagonal)?;
            }
            self.count(|c| c.plaintext_products += 1);
        }
        let degree = switcher.parameters().ring().degree();
        let joined = |even: &Poly<B>, odd: Poly<B>| -> Result<Poly<B>, CkksError> {
            let mut sum = even.multiply_monomial(backend, degree / 2)?;
            sum.add_assign(backend, even)?;
            sum.add_assign(backend, &odd)?;
            Ok(sum)
        };
        let mut sums = sums.into_iter();
        let mut pair = || sums.next().zip(sums.next()).unwrap_or_else(|| unreachable!("six sums make three pairs"));
        let (b, a_even) = (pair(), pair());
        let (odd_plain, even_turned) = pair();
        let a_odd = joined(&odd_plain, even_turned.multiply_monomial(backend, 2 * degree - 1)?)?;
        Ok((joined(&b.0, b.1)?, [joined(&a_even.0, a_even.1)?, a_odd]))
    }

    /// Real slots as complex ones; one level.
    pub(super) fn real_to_complex(&self, x: &SlotCiphertext<B>) -> Result<SlotCiphertext<B>, CkksError> {
        let (below, encoding) = self.conversion("to_complex", x, Packing::Real, 1.0)?;
        let slots = self.parameters.shape().slots(Packing::Complex);
        let identity = || DiagonalMatrix::identity(slots);
        let map = FromRealTransform::new(&self.switcher, &self.encoder, vec![0], identity, encoding)?;
        let converted = self.transform_from_real(&[x.ciphertext.duplicate(self.backend())], &map)?.remove(0);
        Ok(SlotCiphertext::new(converted, below, x.landing))
    }

    /// Complex slots as real ones; one level.
    pub(super) fn complex_to_real(&self, x: &SlotCiphertext<B>) -> Result<SlotCiphertext<B>, CkksError> {
        let (below, encoding) = self.conversion("to_real", x, Packing::Complex, CONVERSION_FACTOR)?;
        let slots = self.parameters.shape().slots(Packing::Complex);
        let plan = BabyGiantPlan::babies_only(slots, [0])?;
        let identity = || DiagonalMatrix::identity(slots);
        let map = ToRealTransform::new(&self.switcher, &self.encoder, plan, identity, encoding)?;
        let converted = self.transform_to_real(&[x.ciphertext.duplicate(self.backend())], &map)?.remove(0);
        Ok(SlotCiphertext::new(converted, below, x.landing))
    }

    /// The level below and the encoding of a conversion that multiplies by `gain`.
    fn conversion(
        &self,
        operation: &'static str,
        x: &SlotCiphertext<B>,
        required: Packing,
        gain: f64,
    ) -> Result<(Level, Encoding), CkksError> {
        if x.packing() != required {
            return Err(CkksError::Precondition {
                operation,
                operand: "packing",
                found: format!("{:?}", x.packing()),
                required: format!("{required:?}"),
                remedy: "leave the conversion out",
            });
        }
        let below = self.rescalable(operation, x.level, x.landing)?;
        let scale = self.accumulated_scale(below, x.landing) / self.scale_of(x) / gain;
        Ok((below, Encoding { basis: x.ciphertext.basis(), scale, packing: Packing::Complex }))
    }
}
