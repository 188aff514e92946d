//! Arithmetic on slot ciphertexts at canonical scales.

use fhe_ring::{Backend, Basis, GaloisElement, RingKind, linear_combination, tensor};
use fhe_rlwe::Ciphertext;
use rayon::prelude::*;

use super::{CkksServer, SlotCiphertext, encoder::ring_of};
use crate::{CkksError, Level, Packing, Plaintext, Rotation};

type Slots<B> = SlotCiphertext<B>;

/// Plaintexts of a combination that are encoded at the same time.
const ENCODED_TOGETHER: usize = 8;

/// Nearest integer to a scaled constant.
///
/// # Errors
/// If it does not fit 120 bits: the constant is far outside any useful range.
pub(super) fn scaled(operation: &'static str, constant: f64, scale: f64) -> Result<i128, CkksError> {
    let value = (constant * scale).round();
    if value.abs() < 120f64.exp2() {
        return Ok(value as i128);
    }
    Err(CkksError::Precondition {
        operation,
        operand: "constant",
        found: format!("{constant:e} at scale 2^{:.1}", scale.log2()),
        required: "a finite constant below 2^120 once scaled".into(),
        remedy: "normalise the values of the circuit",
    })
}

impl<B: Backend> CkksServer<B> {
    pub(super) fn scale_of(&self, x: &Slots<B>) -> f64 {
        self.parameters.scale(x.level, x.landing)
    }

    fn basis_of(&self, level: Level, landing: Option<Level>) -> Basis {
        self.parameters.basis(level, landing)
    }

    /// The common region of several operands, and their lowest level, from which one rescaling must be left.
    pub(super) fn meet(
        &self,
        operation: &'static str,
        operands: &[&Slots<B>],
    ) -> Result<(Level, Option<Level>), CkksError> {
        let refuse = |operand, found: String, required: String, remedy| {
            Err(CkksError::Precondition { operation, operand, found, required, remedy })
        };
        let Some(first) = operands.first() else {
            return refuse("operands", "none".into(), "at least one".into(), "pass a ciphertext");
        };
        if let Some(other) = operands.iter().find(|x| x.packing() != first.packing()) {
            let (found, required) = (format!("{:?}", other.packing()), format!("{:?}", first.packing()));
            return refuse("packing", found, required, "convert with to_real or to_complex");
        }
        if let Some(other) = operands.iter().find(|x| x.landing != first.landing) {
            return refuse(
                "regions",
                format!("{:?}", other.landing),
                format!("{:?}", first.landing),
                "combine ciphertexts of one region of the chain",
            );
        }
        let level = operands.iter().map(|x| x.level).min().unwrap_or(first.level);
        Ok((level, first.landing))
    }

    pub(super) fn rescalable(
        &self,
        operation: &'static str,
        level: Level,
        landing: Option<Level>,
    ) -> Result<Level, CkksError> {
        if level.0 > landing.map_or(0, |l| l.0) {
            return Ok(Level(level.0 - 1));
        }
        Err(CkksError::Precondition {
            operation,
            operand: "level",
            found: level.0.to_string(),
            required: "at least one level to consume".into(),
            remedy: "bootstrap before this operation or ask the bootstrap for more levels",
        })
    }

    pub(super) fn restrict(&self, x: &Slots<B>, level: Level) -> Result<Ciphertext<B>, CkksError> {
        let basis = self.basis_of(level, x.landing);
        Ok(x.ciphertext.map(|half| half.restrict(self.backend(), basis))?)
    }

    pub(super) fn rescaled(
        &self,
        sum: &Ciphertext<B>,
        level: Level,
        landing: Option<Level>,
    ) -> Result<Slots<B>, CkksError> {
        self.count(|c| c.rescalings += 1);
        Ok(SlotCiphertext::new(sum.map(|half| half.rescale(self.backend()))?, level, landing))
    }

    pub(super) fn lower_slots(&self, x: &Slots<B>, level: Level) -> Result<Slots<B>, CkksError> {
        if level == x.level {
            return Ok(x.clone());
        }
        if level > x.level {
            return Err(CkksError::Precondition {
                operation: "lower",
                operand: "level",
                found: x.level.0.to_string(),
                required: format!("at least {}", level.0),
                remedy: "only a bootstrap raises a level",
            });
        }
        let above = self.basis_of(Level(level.0 + 1), x.landing);
        let factor = self.accumulated_scale(level, x.landing) / self.scale_of(x);
        let factor = scaled("lower", 1.0, factor)?;
        let sum = x.ciphertext.map(|half| linear_combination(self.backend(), &[(half, factor)], above))?;
        self.count(|c| c.constant_products += 1);
        self.rescaled(&sum, level, x.landing)
    }

    /// Scale of a sum that is about to be rescaled to `level`.
    pub(super) fn accumulated_scale(&self, level: Level, landing: Option<Level>) -> f64 {
        let above = self.basis_of(Level(level.0 + 1), landing);
        let divided = above.last().map_or(1.0, |index| self.parameters.prime(index));
        self.parameters.scale(level, landing) * divided
    }

    pub(super) fn add_slots(&self, a: &Slots<B>, b: &Slots<B>, negate: bool) -> Result<Slots<B>, CkksError> {
        let (level, landing) = self.meet("add", &[a, b])?;
        let (a, b) = (self.lower_slots(a, level)?, self.lower_slots(b, level)?);
        let basis = self.basis_of(level, landing);
        let sign = if negate { -1 } else { 1 };
        let sum = |x, y| linear_combination(self.backend(), &[(x, 1), (y, sign)], basis);
        let ([ab, aa], [bb, ba]) = (a.ciphertext.halves(), b.ciphertext.halves());
        Ok(SlotCiphertext::new(Ciphertext::new(sum(ab, bb)?, sum(aa, ba)?)?, level, landing))
    }

    pub(super) fn add_constant_slots(&self, a: &Slots<B>, constant: f64) -> Result<Slots<B>, CkksError> {
        let constant = scaled("add_constant", constant, self.scale_of(a))?;
        let mut sum = a.ciphertext.duplicate(self.backend());
        sum.halves_mut()[0].add_constant(self.backend(), constant)?;
        Ok(SlotCiphertext::new(sum, a.level, a.landing))
    }

    pub(super) fn add_plain_slots(&self, a: &Slots<B>, plain: Plaintext<'_>) -> Result<Slots<B>, CkksError> {
        let basis = self.basis_of(a.level, a.landing);
        let plain = self.encoder.real(self.backend(), a.packing(), basis, plain, self.scale_of(a))?;
        let mut sum = a.ciphertext.duplicate(self.backend());
        sum.halves_mut()[0].add_assign(self.backend(), &plain)?;
        Ok(SlotCiphertext::new(sum, a.level, a.landing))
    }

    pub(super) fn multiply_integer_slots(&self, a: &Slots<B>, factor: i64) -> Result<Slots<B>, CkksError> {
        let basis = a.ciphertext.basis();
        let product = a.ciphertext.map(|half| linear_combination(self.backend(), &[(half, factor.into())], basis))?;
        Ok(SlotCiphertext::new(product, a.level, a.landing))
    }

    pub(super) fn multiply_slots(&self, a: &Slots<B>, b: &Slots<B>) -> Result<Slots<B>, CkksError> {
        let mut products = self.multiply_pairs(&[(a, b)])?;
        products.pop().ok_or_else(|| unreachable!("one product for one pair"))
    }

    /// The products of several pairs that all meet at one level, sharing the relinearisation key's words.
    pub(super) fn multiply_pairs(&self, pairs: &[(&Slots<B>, &Slots<B>)]) -> Result<Vec<Slots<B>>, CkksError> {
        let operands: Vec<_> = pairs.iter().flat_map(|&(a, b)| [a, b]).collect();
        let (level, landing) = self.meet("multiply", &operands)?;
        let below = self.rescalable("multiply", level, landing)?;
        let parts = (pairs.iter())
            .map(|(a, b)| {
                let (a, b) = (self.lower_slots(a, level)?, self.lower_slots(b, level)?);
                Ok(tensor(self.backend(), a.ciphertext.halves(), b.ciphertext.halves())?)
            })
            .collect::<Result<Vec<_>, CkksError>>()?;
        let products = self.switcher.relinearise(&parts, true)?;
        self.count(|c| {
            c.products += pairs.len() as u64;
            c.rescalings += pairs.len() as u64;
        });
        Ok(products.into_iter().map(|product| SlotCiphertext::new(product, below, landing)).collect())
    }

    pub(super) fn constant_combination(
        &self,
        terms: &[(&Slots<B>, f64)],
        constant: f64,
    ) -> Result<Slots<B>, CkksError> {
        let operation = "linear_combination";
        let operands: Vec<_> = terms.iter().map(|(x, _)| *x).collect();
        let (level, landing) = self.meet(operation, &operands)?;
        let below = self.rescalable(operation, level, landing)?;
        let target = self.accumulated_scale(below, landing);
        let factors = (terms.iter())
            .map(|(x, factor)| scaled(operation, *factor, target / self.scale_of(x)))
            .collect::<Result<Vec<_>, _>>()?;
        let basis = self.basis_of(level, landing);
        let combine = |half: usize| {
            let terms: Vec<_> =
                operands.iter().zip(&factors).map(|(x, factor)| (x.ciphertext.halves()[half], *factor)).collect();
            linear_combination(self.backend(), &terms, basis)
        };
        let mut sum = Ciphertext::new(combine(0)?, combine(1)?)?;
        self.count(|c| c.constant_products += terms.len() as u64);
        sum.halves_mut()[0].add_constant(self.backend(), scaled(operation, constant, target)?)?;
        self.rescaled(&sum, below, landing)
    }

    pub(super) fn vector_combination(&self, terms: &[(&Slots<B>, Plaintext<'_>)]) -> Result<Slots<B>, CkksError> {
        let operation = "plain_combination";
        let operands: Vec<_> = terms.iter().map(|(x, _)| *x).collect();
        let (level, landing) = self.meet(operation, &operands)?;
        let below = self.rescalable(operation, level, landing)?;
        let target = self.accumulated_scale(below, landing);
        let basis = self.basis_of(level, landing);
        let encode = |(x, plain): &(&Slots<B>, Plaintext<'_>)| {
            self.encoder.real(self.backend(), x.packing(), basis, *plain, target / self.scale_of(x))
        };
        let mut sum: Option<Ciphertext<B>> = None;
        let encoded = terms.chunks(ENCODED_TOGETHER).map(|terms| {
            let plains = terms.par_iter().map(encode).collect::<Result<Vec<_>, _>>()?;
            Ok::<_, CkksError>(terms.iter().zip(plains))
        });
        for terms in encoded {
            for ((x, _), plain) in terms? {
                let term = self.restrict(x, level)?;
                match &mut sum {
                    None => sum = Some(term.map(|half| half.multiply(self.backend(), &plain))?),
                    Some(sum) => {
                        for (target, term) in sum.halves_mut().into_iter().zip(term.halves()) {
                            target.multiply_accumulate(self.backend(), term, &plain)?;
                        }
                    }
                }
            }
        }
        self.count(|c| c.plaintext_products += terms.len() as u64);
        let Some(sum) = sum else { unreachable!("meet refuses an empty list") };
        self.rescaled(&sum, below, landing)
    }

    pub(super) fn galois(&self, packing: Packing, rotation: Rotation) -> GaloisElement {
        GaloisElement::rotation(ring_of(packing, self.parameters.set().log_degree), rotation.0)
    }

    pub(super) fn rotate_slots(&self, a: &Slots<B>, rotations: &[Rotation]) -> Result<Vec<Slots<B>>, CkksError> {
        let elements: Vec<_> = rotations.iter().map(|r| self.galois(a.packing(), *r)).collect();
        let moving = elements.iter().filter(|g| **g != GaloisElement::IDENTITY).count();
        if moving == 0 {
            return Ok(vec![a.clone(); rotations.len()]);
        }
        self.count(|c| c.rotations += moving as u64);
        let digits = self.switcher.decompose(a.ciphertext.a())?;
        elements
            .into_iter()
            .map(|element| {
                let rotated = self.switcher.automorphism_hoisted(&a.ciphertext, &digits, element)?;
                Ok(SlotCiphertext::new(rotated, a.level, a.landing))
            })
            .collect()
    }

    fn complex(&self, operation: &'static str, a: &Slots<B>) -> Result<(), CkksError> {
        if a.ciphertext.shape().ring.kind == RingKind::Cyclotomic {
            return Ok(());
        }
        Err(CkksError::Precondition {
            operation,
            operand: "packing",
            found: format!("{:?}", a.packing()),
            required: format!("{:?}", Packing::Complex),
            remedy: "convert with to_complex",
        })
    }

    pub(super) fn conjugate_slots(&self, a: &Slots<B>) -> Result<Slots<B>, CkksError> {
        self.complex("conjugate", a)?;
        self.count(|c| c.conjugations += 1);
        let element = GaloisElement::conjugation(self.parameters.rlwe().ring());
        Ok(SlotCiphertext::new(self.switcher.automorphism(&a.ciphertext, element)?, a.level, a.landing))
    }

    /// Multiplies by `i^power`, a monomial.
    pub(super) fn imaginary_slots(&self, a: &Slots<B>, power: usize) -> Result<Slots<B>, CkksError> {
        self.complex("multiply_imaginary", a)?;
        let exponent = power % 4 * self.parameters.shape().slots(Packing::Complex);
        let product = a.ciphertext.map(|half| half.multiply_monomial(self.backend(), exponent))?;
        Ok(SlotCiphertext::new(product, a.level, a.landing))
    }
}
