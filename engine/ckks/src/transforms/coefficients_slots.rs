//! CoeffsToSlots and SlotsToCoeffs as products of a few sparse maps on slots.
//!
//! The stages of the canonical embedding ([`crate::transforms::embedding`]) are maps with three diagonals, at `0` and `+-2^stage` (two
//! for the last stage, where both offsets coincide). Multiplying consecutive stages trades levels for diagonals: `l` stages
//! in one factor have `2^(l+1) - 1` diagonals, `2^l` if the last stage is among them (Chen, Chillotti, Song: *Improved
//! Bootstrapping for Approximate Homomorphic Encryption*, EUROCRYPT 2019; Han, Hhan, Cheon: *Improved Homomorphic Discrete
//! Fourier Transforms and FHE Bootstrapping*, IEEE Access 2019).
//!
//! The bit reversal is left out of both directions: coefficients `p` and `p + n` correspond to the real and imaginary part of
//! slot `bit_reverse(p)`.

use std::collections::BTreeSet;
use std::ops::Range;

use num_complex::Complex64;

use crate::CkksError;
use crate::transforms::diagonals::{DiagonalMatrix, check_slots};
use crate::transforms::embedding::stage_twiddles;

/// Factors of SlotsToCoeffs on `slots` slots, in the order of application: `groups[i]` stages in factor `i`, from
/// neighbouring slots to distant ones. Applied to a vector whose slot `bit_reverse(p)` is `m_p + i m_(p+n)` they give the
/// slots of `constant` times the polynomial `m`.
///
/// Each factor carries an equal share of `constant` (positive). Example: `[5, 5, 5]` for `2^15` slots has 63, 63 and 32
/// diagonals.
pub fn slots_to_coefficients_factors(
    slots: usize,
    groups: &[usize],
    constant: f64,
) -> Result<Vec<DiagonalMatrix>, CkksError> {
    let share = shared_constant("slots_to_coefficients_factors", constant, groups.len())?;
    let ranges = stage_ranges("slots_to_coefficients_factors", slots, groups)?;
    ranges.into_iter().map(|stages| Ok(embedding_stages(slots, stages)?.scaled(share))).collect()
}

/// Factors of CoeffsToSlots, the inverse of [`slots_to_coefficients_factors`] up to `constant`, in the order of
/// application: `groups[i]` stages in factor `i`, from distant slots to neighbouring ones.
///
/// Every stage contains its half of `1/n`, so that no intermediate value exceeds the largest input; each factor carries
/// an equal share of `constant` (positive) besides. Example: `[4, 4, 4, 3]` for `2^15` slots has 16, 31, 31 and 15 diagonals.
pub fn coefficients_to_slots_factors(
    slots: usize,
    groups: &[usize],
    constant: f64,
) -> Result<Vec<DiagonalMatrix>, CkksError> {
    let share = shared_constant("coefficients_to_slots_factors", constant, groups.len())?;
    let reversed: Vec<_> = groups.iter().rev().copied().collect();
    let ranges = stage_ranges("coefficients_to_slots_factors", slots, &reversed)?;
    ranges.into_iter().rev().map(|stages| Ok(inverse_embedding_stages(slots, stages)?.scaled(share))).collect()
}

/// The product of consecutive stages of the embedding, smallest distance first.
///
/// A proper sub-range transforms the *lanes* of a slots-in-coefficients layout, or all but them.
pub fn embedding_stages(slots: usize, stages: Range<usize>) -> Result<DiagonalMatrix, CkksError> {
    let mut product = DiagonalMatrix::identity(slots)?;
    check_stages("embedding_stages", slots, &stages)?;
    for stage in stages {
        product = butterflies(slots, stage, |w| [[Complex64::ONE, w], [Complex64::ONE, -w]])?.compose(&product)?;
    }
    Ok(product)
}

/// The inverse of [`embedding_stages`] over the same range.
pub fn inverse_embedding_stages(slots: usize, stages: Range<usize>) -> Result<DiagonalMatrix, CkksError> {
    let mut product = DiagonalMatrix::identity(slots)?;
    check_stages("inverse_embedding_stages", slots, &stages)?;
    let half = Complex64::new(0.5, 0.0);
    for stage in stages.rev() {
        let inverse = butterflies(slots, stage, |w| [[half, half], [w.conj() * 0.5, -w.conj() * 0.5]])?;
        product = inverse.compose(&product)?;
    }
    Ok(product)
}

/// Offsets of the diagonals of [`embedding_stages`] and of its inverse, ascending, without computing any diagonal.
pub fn stage_offsets(slots: usize, stages: Range<usize>) -> Result<Vec<usize>, CkksError> {
    check_slots("stage_offsets", slots)?;
    check_stages("stage_offsets", slots, &stages)?;
    let mut offsets = BTreeSet::from([0]);
    for stage in stages {
        let distance = 1 << stage;
        let shifted = |offset: &usize| [*offset, (offset + distance) % slots, (offset + slots - distance) % slots];
        offsets = offsets.iter().flat_map(shifted).collect();
    }
    Ok(offsets.into_iter().collect())
}

/// The ranges of stages that `groups` stand for, smallest distance first.
pub fn stage_ranges(operation: &'static str, slots: usize, groups: &[usize]) -> Result<Vec<Range<usize>>, CkksError> {
    check_slots(operation, slots)?;
    let stages = slots.trailing_zeros() as usize;
    if groups.contains(&0) || groups.iter().sum::<usize>() != stages {
        return Err(CkksError::Precondition {
            operation,
            operand: "groups",
            found: format!("{groups:?}"),
            required: format!("positive numbers with sum {stages}"),
            remedy: "give every butterfly stage to exactly one factor",
        });
    }
    let ends = groups.iter().scan(0, |end, group| {
        *end += group;
        Some(*end)
    });
    Ok(ends.zip(groups).map(|(end, group)| end - group..end).collect())
}

/// The map with the 2x2 block `block(w)` on every pair of slots `2^stage` apart.
fn butterflies(
    slots: usize,
    stage: usize,
    block: impl Fn(Complex64) -> [[Complex64; 2]; 2],
) -> Result<DiagonalMatrix, CkksError> {
    let distance = 1 << stage;
    let mut diagonal = vec![Complex64::ZERO; slots];
    let mut to_the_right = diagonal.clone();
    let mut to_the_left = diagonal.clone();
    let blocks: Vec<_> = stage_twiddles(stage as u32).into_iter().map(block).collect();
    for pair in (0..slots).step_by(2 * distance) {
        for (j, [[low_low, low_high], [high_low, high_high]]) in blocks.iter().enumerate() {
            let (low, high) = (pair + j, pair + j + distance);
            diagonal[low] = *low_low;
            diagonal[high] = *high_high;
            to_the_right[low] = *low_high;
            to_the_left[high] = *high_low;
        }
    }
    DiagonalMatrix::zero(slots)?
        .with_diagonal(0, diagonal)?
        .with_diagonal(distance, to_the_right)?
        .with_diagonal(slots - distance, to_the_left)
}

fn shared_constant(operation: &'static str, constant: f64, factors: usize) -> Result<Complex64, CkksError> {
    if constant > 0.0 && constant.is_finite() {
        return Ok(Complex64::new(constant.powf(1.0 / factors as f64), 0.0));
    }
    Err(CkksError::Precondition {
        operation,
        operand: "constant",
        found: constant.to_string(),
        required: "a positive number".into(),
        remedy: "apply signs elsewhere",
    })
}

fn check_stages(operation: &'static str, slots: usize, stages: &Range<usize>) -> Result<(), CkksError> {
    let count = slots.trailing_zeros() as usize;
    if stages.start <= stages.end && stages.end <= count {
        return Ok(());
    }
    Err(CkksError::Precondition {
        operation,
        operand: "stages",
        found: format!("{stages:?}"),
        required: format!("a range inside 0..{count}"),
        remedy: "there are log2(slots) stages",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transforms::embedding::Embedding;

    fn apply_all(factors: &[DiagonalMatrix], mut x: Vec<Complex64>) -> Vec<Complex64> {
        for factor in factors {
            x = factor.apply(&x).unwrap();
        }
        x
    }

    fn distance(a: &[Complex64], b: &[Complex64]) -> f64 {
        a.iter().zip(b).map(|(x, y)| (x - y).norm()).fold(0.0, f64::max)
    }

    /// Coefficients in natural order and the slot vector that holds them bit-reversed.
    fn message(slots: usize) -> (Vec<Complex64>, Vec<Complex64>) {
        let natural: Vec<_> = (0..slots).map(|p| Complex64::new((p as f64).sin(), (3.0 * p as f64).cos())).collect();
        let shift = usize::BITS - slots.trailing_zeros();
        let reversed = (0..slots).map(|p| natural[p.reverse_bits() >> shift]).collect();
        (natural, reversed)
    }

    #[test]
    fn factors_are_the_embedding_of_bit_reversed_coefficients_and_its_inverse() {
        for groups in [vec![7], vec![3, 2, 2], vec![1; 7], vec![2, 5]] {
            let (natural, reversed) = message(128);
            let mut slots = natural;
            Embedding::new(8).unwrap().coefficients_to_slots(&mut slots).unwrap();
            let forward = slots_to_coefficients_factors(128, &groups, 3.0).unwrap();
            let tripled: Vec<_> = slots.iter().map(|slot| slot * 3.0).collect();
            assert!(distance(&apply_all(&forward, reversed.clone()), &tripled) < 1e-11);
            let backward = coefficients_to_slots_factors(128, &groups, 0.25).unwrap();
            let quartered: Vec<_> = reversed.iter().map(|value| value * 0.25).collect();
            assert!(distance(&apply_all(&backward, slots), &quartered) < 1e-12);
        }
    }

    #[test]
    fn full_size_transforms_have_the_diagonals_of_the_plan() {
        let counts =
            |factors: Vec<DiagonalMatrix>| -> Vec<_> { factors.iter().map(DiagonalMatrix::diagonal_count).collect() };
        let forward = slots_to_coefficients_factors(1 << 15, &[5, 5, 5], 1.0).unwrap();
        let (natural, reversed) = message(1 << 15);
        let mut slots = natural;
        Embedding::new(16).unwrap().coefficients_to_slots(&mut slots).unwrap();
        assert!(distance(&apply_all(&forward, reversed), &slots) < 1e-10);
        assert_eq!(counts(forward), [63, 63, 32]);
        let backward = coefficients_to_slots_factors(1 << 12, &[4, 4, 4], 1.0).unwrap();
        assert_eq!(counts(backward), [16, 31, 31]);
        let offsets = |stages| stage_offsets(1 << 15, stages).unwrap().len();
        assert_eq!([11..15, 7..11, 3..7, 0..3].map(offsets), [16, 31, 31, 15]);
    }

    #[test]
    fn predicted_offsets_are_those_of_the_products() {
        for stages in [0..3, 2..5, 3..6, 0..6, 4..4] {
            let product: Vec<_> = embedding_stages(64, stages.clone()).unwrap().offsets().collect();
            let inverse: Vec<_> = inverse_embedding_stages(64, stages.clone()).unwrap().offsets().collect();
            let predicted = stage_offsets(64, stages).unwrap();
            assert_eq!(product, predicted);
            assert_eq!(inverse, predicted);
        }
    }

    #[test]
    fn inverse_factors_never_enlarge_values() {
        for factor in coefficients_to_slots_factors(64, &[3, 3], 1.0).unwrap() {
            for row in 0..64 {
                let sum: f64 =
                    factor.offsets().filter_map(|offset| factor.diagonal(offset)).map(|d| d[row].norm()).sum();
                assert!(sum < 1.0 + 1e-12);
            }
        }
    }

    #[test]
    fn rejects_wrong_groups_stages_and_constants() {
        assert!(slots_to_coefficients_factors(64, &[3, 2], 1.0).is_err());
        assert!(coefficients_to_slots_factors(64, &[3, 0, 3], 1.0).is_err());
        assert!(slots_to_coefficients_factors(64, &[6], -1.0).is_err());
        assert!(slots_to_coefficients_factors(48, &[6], 1.0).is_err());
        assert!(embedding_stages(64, 4..7).is_err());
        assert!(inverse_embedding_stages(64, Range { start: 3, end: 2 }).is_err());
        assert!(stage_offsets(48, 0..2).is_err());
    }
}
