//! Evaluating a linear map on slots with few rotations.
//!
//! With offsets written as `giant + baby`, the map `y = sum_d D_d * rot_d(x)` of [`crate::transforms::diagonals`] becomes
//!
//! ```text
//! y = sum_giant rot_giant( sum_baby rot_(-giant)(D_(giant + baby)) * rot_baby(x) )
//! ```
//!
//! It needs the baby rotations of `x`, which share one decomposition (hoisting), and one rotation per giant step (Halevi,
//! Shoup: *Faster Homomorphic Linear Transformations in HElib*, CRYPTO 2018; Bossuat, Mouchet, Troncoso-Pastoriza, Hubaux:
//! *Efficient Bootstrapping for Approximate Homomorphic Encryption with Non-Sparse Keys*, EUROCRYPT 2021, section 4).

use std::collections::{BTreeMap, BTreeSet};

use num_complex::Complex64;

use crate::transforms::diagonals::{DiagonalMatrix, check_length, check_slots};
use crate::{CkksError, Rotation};

/// Relative costs of the two kinds of rotation of a baby-step giant-step evaluation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RotationCost {
    /// One rotation that shares the decomposition of its input.
    pub hoisted: f64,
    /// One rotation of its own.
    pub giant: f64,
}

/// One diagonal inside a giant step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BabyTerm {
    /// Index into [`BabyGiantPlan::babies`].
    pub baby: usize,
    /// Offset of the diagonal, `giant + baby mod slots`.
    pub offset: usize,
}

/// The diagonals that share one giant rotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GiantStep {
    /// Applied to the sum of the terms; the identity for one of the steps.
    pub rotation: Rotation,
    /// The terms, by ascending baby.
    pub terms: Vec<BabyTerm>,
}

/// Baby and giant rotations for a set of diagonal offsets; holds no diagonals, so that it can be metered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BabyGiantPlan {
    slots: usize,
    /// Rotations of the input, `0 <= steps < slots`, ascending; the identity is listed where it is used.
    pub babies: Vec<Rotation>,
    /// Giant steps, by ascending rotation in `0 <= steps < slots`.
    pub giants: Vec<GiantStep>,
}

impl BabyGiantPlan {
    /// The cheapest split of `offsets` into arithmetic progressions of babies and giants.
    pub fn new(slots: usize, offsets: impl IntoIterator<Item = usize>, cost: RotationCost) -> Result<Self, CkksError> {
        check_slots("BabyGiantPlan::new", slots)?;
        let offsets: BTreeSet<i64> = offsets.into_iter().map(|offset| (offset % slots) as i64).collect();
        let stride = offsets.iter().fold(slots as i64, |a, &b| greatest_common_divisor(a, b));
        let period = slots as i64 / stride;
        // Offsets that wrap around are either small negative numbers or, where they fill the period, large positive ones.
        let positive: Vec<i64> = offsets.iter().map(|offset| offset / stride).collect();
        let centred: Vec<i64> =
            positive.iter().map(|&unit| if 2 * unit > period { unit - period } else { unit }).collect();
        let best = [positive, centred]
            .iter()
            .flat_map(|units| splits(units).map(move |(width, first)| (units.clone(), width, first)))
            .map(|(units, width, first)| Self::split(slots, stride, &units, width, first))
            .min_by(|a, b| a.cost(cost).total_cmp(&b.cost(cost)));
        best.ok_or_else(|| CkksError::Precondition {
            operation: "BabyGiantPlan::new",
            operand: "offsets",
            found: "no offset".into(),
            required: "at least one diagonal".into(),
            remedy: "do not evaluate the zero map",
        })
    }

    /// Babies alone, for a map that must not be followed by a rotation.
    pub fn babies_only(slots: usize, offsets: impl IntoIterator<Item = usize>) -> Result<Self, CkksError> {
        Self::new(slots, offsets, RotationCost { hoisted: 0.0, giant: 1.0 })
    }

    /// Babies `first .. first + width` and giants at multiples of `width`, in units of `stride`.
    fn split(slots: usize, stride: i64, units: &[i64], width: i64, first: i64) -> Self {
        let modulo = |unit: i64| (unit * stride).rem_euclid(slots as i64);
        let mut pairs: BTreeMap<i64, BTreeMap<i64, usize>> = BTreeMap::new();
        for &unit in units {
            let giant = (unit - first).div_euclid(width) * width;
            pairs.entry(modulo(giant)).or_default().insert(modulo(unit - giant), modulo(unit) as usize);
        }
        let babies: BTreeSet<i64> = pairs.values().flat_map(|terms| terms.keys().copied()).collect();
        let babies: Vec<Rotation> = babies.into_iter().map(Rotation).collect();
        let index = |baby: i64| babies.binary_search(&Rotation(baby)).unwrap_or_default();
        let giants = pairs
            .into_iter()
            .map(|(giant, terms)| GiantStep {
                rotation: Rotation(giant),
                terms: terms.into_iter().map(|(baby, offset)| BabyTerm { baby: index(baby), offset }).collect(),
            })
            .collect();
        Self { slots, babies, giants }
    }

    /// Rotations of the input that are not the identity.
    pub fn hoisted_rotations(&self) -> usize {
        self.babies.iter().filter(|rotation| rotation.0 != 0).count()
    }

    /// Giant rotations that are not the identity.
    pub fn giant_rotations(&self) -> usize {
        self.giants.iter().filter(|giant| giant.rotation.0 != 0).count()
    }

    /// Key switches of one evaluation.
    pub fn rotations(&self) -> usize {
        self.hoisted_rotations() + self.giant_rotations()
    }

    fn cost(&self, cost: RotationCost) -> f64 {
        self.hoisted_rotations() as f64 * cost.hoisted + self.giant_rotations() as f64 * cost.giant
    }

    /// The terms of a giant step with their diagonals of `matrix`, rotated to the right by the giant amount.
    pub fn rotated_diagonals(
        &self,
        giant: &GiantStep,
        matrix: &DiagonalMatrix,
    ) -> Result<Vec<(usize, Vec<Complex64>)>, CkksError> {
        check_length("BabyGiantPlan::rotated_diagonals", "matrix", matrix.slots(), self.slots)?;
        let shift = giant.rotation.0.rem_euclid(self.slots as i64) as usize;
        let rotated = |term: &BabyTerm| {
            let mut diagonal = matrix.diagonal(term.offset)?.to_vec();
            diagonal.rotate_right(shift);
            Some((term.baby, diagonal))
        };
        giant.terms.iter().map(rotated).collect::<Option<_>>().ok_or_else(|| CkksError::Precondition {
            operation: "BabyGiantPlan::rotated_diagonals",
            operand: "matrix",
            found: "a diagonal of the plan missing".into(),
            required: "all offsets of the plan".into(),
            remedy: "plan for the offsets of this matrix",
        })
    }
}

/// Candidate widths of the baby progression and its first elements.
fn splits(units: &[i64]) -> impl Iterator<Item = (i64, i64)> + use<> {
    let lowest = units.iter().min().copied().unwrap_or(0);
    let span = units.iter().max().map_or(0, |highest| highest - lowest + 1);
    // Long spans are searched at two starts only: the first baby is the identity, or the babies are centred. The longest are those of
    // offsets near opposite slots, for which widths that divide both into whole giants serve.
    const LONGEST: i64 = 1 << 12;
    let searched = move |width: &i64| span <= LONGEST || (*width as u64).is_power_of_two();
    (1..=span).filter(searched).flat_map(move |width| {
        let step = if span <= 128 { 1 } else { (width / 2).max(1) };
        (0..width).step_by(step as usize).map(move |shift| (width, -shift))
    })
}

fn greatest_common_divisor(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DEAR_GIANTS: RotationCost = RotationCost { hoisted: 1.0, giant: 2.0 };

    fn symmetric(slots: usize, reach: usize, stride: usize) -> Vec<usize> {
        (0..=2 * reach).map(|k| (slots + k * stride - reach * stride) % slots).collect()
    }

    fn plan(slots: usize, offsets: Vec<usize>) -> BabyGiantPlan {
        BabyGiantPlan::new(slots, offsets, DEAR_GIANTS).unwrap()
    }

    fn sizes(plan: &BabyGiantPlan) -> (usize, usize, usize) {
        (plan.babies.len(), plan.giants.len(), plan.rotations())
    }

    proptest! {
        #[test]
        fn steps_add_up_to_the_map(
            offsets in prop::collection::btree_set(0usize..32, 1..20),
            stride in prop::sample::select(vec![1usize, 2, 4]),
            entries in prop::collection::vec(-1.0f64..1.0, 129),
        ) {
            let slots = 128;
            let entry = |index: usize| Complex64::new(entries[index % 129], entries[index * 7 % 129]);
            let mut matrix = DiagonalMatrix::zero(slots).unwrap();
            for offset in &offsets {
                let diagonal = (0..slots).map(|j| entry(j * 31 + offset)).collect();
                matrix = matrix.with_diagonal((offset * stride + 128 - 16 * stride) % slots, diagonal).unwrap();
            }
            let x: Vec<_> = (0..slots).map(|j| entry(j * 3 + 1)).collect();
            let rotated = |x: &[Complex64], rotation: Rotation| -> Vec<_> {
                (0..slots).map(|j| x[(j + rotation.0 as usize) % slots]).collect()
            };
            let plan = BabyGiantPlan::new(slots, matrix.offsets(), DEAR_GIANTS).unwrap();
            let babies: Vec<_> = plan.babies.iter().map(|&baby| rotated(&x, baby)).collect();
            let mut sum = vec![Complex64::ZERO; slots];
            for giant in &plan.giants {
                let mut inner = vec![Complex64::ZERO; slots];
                for (baby, diagonal) in plan.rotated_diagonals(giant, &matrix).unwrap() {
                    for j in 0..slots { inner[j] += diagonal[j] * babies[baby][j]; }
                }
                for (total, part) in sum.iter_mut().zip(rotated(&inner, giant.rotation)) { *total += part; }
            }
            for (left, right) in sum.iter().zip(matrix.apply(&x).unwrap()) {
                prop_assert!((left - right).norm() < 1e-12);
            }
        }
    }

    #[test]
    fn transforms_of_bootstrapping_split_as_counted_by_hand() {
        let slots = 1 << 15;
        // Four butterfly layers in the middle: 31 diagonals. Five layers: 63 diagonals.
        assert_eq!(sizes(&plan(slots, symmetric(slots, 15, 1 << 7))), (8, 4, 10));
        assert_eq!(sizes(&plan(slots, symmetric(slots, 31, 32))), (9, 7, 14));
        // The largest strides wrap around: 16 and 32 diagonals.
        assert_eq!(sizes(&plan(slots, (0..16).map(|k| k << 11).collect())), (4, 4, 6));
        assert_eq!(sizes(&plan(slots, (0..32).map(|k| k << 10).collect())), (8, 4, 10));
    }

    #[test]
    fn dearer_giants_mean_more_babies() {
        let offsets = symmetric(1 << 10, 31, 1);
        let giants = |giant| {
            BabyGiantPlan::new(1 << 10, offsets.clone(), RotationCost { hoisted: 1.0, giant }).unwrap().giants.len()
        };
        assert!(giants(0.2) > giants(1.0) && giants(1.0) > giants(10.0));
        assert_eq!(giants(1000.0), 1);
    }

    #[test]
    fn a_diagonal_matrix_needs_no_rotation() {
        let plan = plan(64, vec![0]);
        assert_eq!((plan.rotations(), plan.babies.len(), plan.giants.len()), (0, 1, 1));
    }

    #[test]
    fn rejects_empty_maps_and_foreign_matrices() {
        assert!(BabyGiantPlan::new(64, [], DEAR_GIANTS).is_err());
        assert!(BabyGiantPlan::new(63, [1], DEAR_GIANTS).is_err());
        let plan = plan(64, vec![5]);
        assert!(plan.rotated_diagonals(&plan.giants[0], &DiagonalMatrix::identity(64).unwrap()).is_err());
        assert!(plan.rotated_diagonals(&plan.giants[0], &DiagonalMatrix::identity(32).unwrap()).is_err());
    }
}
