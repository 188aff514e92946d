//! One factor of SlotsToCoeffs or CoeffsToSlots, for dense slots or for slots in copies.
//!
//! A vector with period `n` is the embedding of a polynomial in `X^copies`, and its butterflies are those of the small transform
//! of `n` slots, repeated. On the way up, the stages that would act at distance `n` or more average over that distance
//! instead: together they are the trace to the subring, divided by its degree, and remove the coefficients between the
//! multiples of `copies`, multiples of `q_0` included. On the way down there is nothing for them to do.
//! (Sparsely packed bootstrapping: Cheon, Han, Kim, Kim and Song, Eurocrypt 2018, section 5.)

use std::{collections::BTreeSet, ops::Range};

use num_complex::Complex64;

use crate::{
    CkksError, Copies,
    transforms::coefficients_slots::{embedding_stages, inverse_embedding_stages, stage_offsets, stage_ranges},
    transforms::diagonals::DiagonalMatrix,
};

/// Consecutive stages of a transform over `slots` complex slots whose values stand in `copies` of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootstrapFactor {
    slots: usize,
    copies: Copies,
    stages: Range<usize>,
}

impl BootstrapFactor {
    /// The factors of CoeffsToSlots, from the largest distances down, as `layers` splits the stages from the smallest up.
    ///
    /// # Errors
    /// If `layers` does not sum to the number of stages.
    pub fn ascending(slots: usize, copies: Copies, layers: &[usize]) -> Result<Vec<Self>, CkksError> {
        let ranges = stage_ranges("CoeffsToSlots", slots, layers)?;
        Ok(ranges.into_iter().rev().map(|stages| Self { slots, copies, stages }).collect())
    }

    /// The factors of SlotsToCoeffs, from the smallest distances up: as `layers` splits the stages, or as many factors of nearly
    /// equal sizes where copies leave fewer stages.
    ///
    /// # Errors
    /// If the layers do not sum to the number of stages, or a factor would be empty.
    pub fn descending(slots: usize, copies: Copies, layers: &[usize]) -> Result<Vec<Self>, CkksError> {
        let values = slots / copies.0;
        let ranges = match copies {
            Copies::ONE => stage_ranges("SlotsToCoeffs", slots, layers)?,
            _ => {
                let (stages, count) = (values.trailing_zeros() as usize, layers.len());
                let split: Vec<usize> = (0..count).map(|i| (i + 1) * stages / count - i * stages / count).collect();
                stage_ranges("SlotsToCoeffs", values, &split)?
            }
        };
        Ok(ranges.into_iter().map(|stages| Self { slots, copies, stages }).collect())
    }

    /// The factors of SlotsToCoeffs without the stages inside rows of so many lanes: `count` of them, from the smallest distances up. The first
    /// one, which may have to start from real slots and then takes every rotation by itself, is the smallest.
    ///
    /// # Errors
    /// If `slots` is not a power of two, or a factor would be empty.
    pub fn to_lanes(slots: usize, lanes: usize, count: usize) -> Result<Vec<Self>, CkksError> {
        let inside = lanes.trailing_zeros() as usize;
        let stages = (slots / lanes).trailing_zeros() as usize;
        let first = (stages / 4).max(1);
        let ends = (1..count).map(|i| first + i * (stages - first) / (count - 1));
        let groups: Vec<usize> = (std::iter::once(first).chain(ends))
            .scan(0, |start, end| Some(end - std::mem::replace(start, end)))
            .collect();
        let ranges = stage_ranges("SlotsToLanes", slots / lanes, &groups)?;
        let shifted = |stages: Range<usize>| inside + stages.start..inside + stages.end;
        Ok(ranges.into_iter().map(|stages| Self { slots, copies: Copies::ONE, stages: shifted(stages) }).collect())
    }

    /// Binary logarithm of the number of values.
    fn log_values(&self) -> usize {
        (self.slots / self.copies.0).trailing_zeros() as usize
    }

    /// The stages that are butterflies.
    fn butterflies(&self) -> Range<usize> {
        let end = self.log_values();
        self.stages.start.min(end)..self.stages.end.min(end)
    }

    /// The period of what an ascending factor is given and a descending one returns, unless it acts on less than a period.
    fn period(&self) -> Option<usize> {
        (self.stages.end >= self.log_values()).then_some(1 << self.stages.end)
    }

    /// Distances over which the factor averages.
    fn averages(&self) -> impl Iterator<Item = usize> + use<> {
        (self.stages.start.max(self.log_values())..self.stages.end).map(|stage| 1 << stage)
    }

    /// Whether the factor is that of dense slots, whatever the copies.
    pub fn is_dense(&self) -> bool {
        self.copies == Copies::ONE || self.period().is_none()
    }

    /// Offsets of the diagonals, ascending.
    ///
    /// # Errors
    /// If `slots` is not a power of two.
    pub fn offsets(&self) -> Result<Vec<usize>, CkksError> {
        let butterflies: BTreeSet<usize> = stage_offsets(self.slots, self.butterflies())?.into_iter().collect();
        let averaged = self.averages().fold(butterflies, |offsets, distance| {
            offsets.iter().flat_map(|&offset| [offset, (offset + distance) % self.slots]).collect()
        });
        let period = self.period().unwrap_or(self.slots);
        Ok(averaged.into_iter().map(|offset| offset % period).collect::<BTreeSet<_>>().into_iter().collect())
    }

    /// The factor of CoeffsToSlots. Every stage contains its half of the inverse number of slots.
    ///
    /// # Errors
    /// If `slots` is not a power of two.
    pub fn ascent(&self) -> Result<DiagonalMatrix, CkksError> {
        let mut average = DiagonalMatrix::identity(self.slots)?;
        for distance in self.averages() {
            let half = || vec![Complex64::new(0.5, 0.0); self.slots];
            let step = DiagonalMatrix::zero(self.slots)?.with_diagonal(0, half())?.with_diagonal(distance, half())?;
            average = step.compose(&average)?;
        }
        self.folded(inverse_embedding_stages(self.slots, self.butterflies())?.compose(&average)?)
    }

    /// The factor of SlotsToCoeffs.
    ///
    /// # Errors
    /// If `slots` is not a power of two.
    pub fn descent(&self) -> Result<DiagonalMatrix, CkksError> {
        self.folded(embedding_stages(self.slots, self.butterflies())?)
    }

    fn folded(&self, matrix: DiagonalMatrix) -> Result<DiagonalMatrix, CkksError> {
        match self.period() {
            Some(period) => matrix.on_period(period),
            None => Ok(matrix),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transforms::embedding::Embedding;

    const SLOTS: usize = 64;

    fn vector(length: usize) -> Vec<Complex64> {
        (0..length).map(|p| Complex64::new((p as f64).sin(), (3.0 * p as f64).cos())).collect()
    }

    fn distance(a: &[Complex64], b: &[Complex64]) -> f64 {
        assert_eq!(a.len(), b.len());
        a.iter().zip(b).map(|(x, y)| (x - y).norm()).fold(0.0, f64::max)
    }

    fn applied(factors: &[DiagonalMatrix], x: &[Complex64]) -> Vec<Complex64> {
        factors.iter().fold(x.to_vec(), |x, factor| factor.apply(&x).unwrap())
    }

    fn reversed(p: usize, size: usize) -> usize {
        p.reverse_bits() >> (usize::BITS - size.trailing_zeros())
    }

    /// Slots of a polynomial with coefficients everywhere return those at the multiples of `copies`, repeated.
    #[test]
    fn ascent_keeps_the_multiples_of_the_copies() {
        let coefficients = vector(SLOTS);
        let mut slots = coefficients.clone();
        Embedding::new(7).unwrap().coefficients_to_slots(&mut slots).unwrap();
        for copies in [1, 2, 4, 8, 16] {
            let factors = BootstrapFactor::ascending(SLOTS, Copies(copies), &[2, 3, 1]).unwrap();
            let matrices: Vec<_> = factors.iter().map(|factor| factor.ascent().unwrap()).collect();
            let values = SLOTS / copies;
            let expected: Vec<_> = (0..SLOTS).map(|j| coefficients[copies * reversed(j % values, values)]).collect();
            assert!(distance(&applied(&matrices, &slots), &expected) < 1e-12, "{copies} copies");
        }
    }

    #[test]
    fn descent_of_periodic_slots_is_that_of_the_small_ring() {
        for copies in [1, 2, 4, 8] {
            let values = SLOTS / copies;
            let small = vector(values);
            let bit_reversed: Vec<_> = (0..SLOTS).map(|j| small[reversed(j % values, values)]).collect();
            // The polynomial in X^copies has these coefficients at the multiples of `copies`.
            let mut slots = vec![Complex64::ZERO; SLOTS];
            small.iter().enumerate().for_each(|(p, value)| slots[copies * p] = *value);
            Embedding::new(7).unwrap().coefficients_to_slots(&mut slots).unwrap();
            let factors = BootstrapFactor::descending(SLOTS, Copies(copies), &[2, 3, 1]).unwrap();
            let matrices: Vec<_> = factors.iter().map(|factor| factor.descent().unwrap()).collect();
            assert_eq!(matrices.len(), 3);
            assert!(distance(&applied(&matrices, &bit_reversed), &slots) < 1e-12, "{copies} copies");
        }
    }

    #[test]
    fn predicted_offsets_are_those_of_the_matrices() {
        for copies in [1, 2, 4, 8] {
            let ascending = BootstrapFactor::ascending(SLOTS, Copies(copies), &[2, 2, 2]).unwrap();
            let descending = BootstrapFactor::descending(SLOTS, Copies(copies), &[2, 2, 2]).unwrap();
            for factor in &ascending {
                assert_eq!(factor.ascent().unwrap().offsets().collect::<Vec<_>>(), factor.offsets().unwrap());
            }
            for factor in &descending {
                assert_eq!(factor.descent().unwrap().offsets().collect::<Vec<_>>(), factor.offsets().unwrap());
            }
        }
    }

    /// 2^10 values in 2^15 slots: the raise averages, the next factor averages once and folds, the others are those of dense slots.
    #[test]
    fn copies_change_the_factors_of_large_distances() {
        let factors = BootstrapFactor::ascending(1 << 15, Copies(32), &[3, 4, 4, 4]).unwrap();
        let counts: Vec<_> = factors.iter().map(|factor| factor.offsets().unwrap().len()).collect();
        assert_eq!(counts, [16, 16, 31, 15]);
        assert_eq!(factors.iter().map(BootstrapFactor::is_dense).collect::<Vec<_>>(), [false, false, true, true]);
        let factors = BootstrapFactor::descending(1 << 15, Copies(32), &[4, 5, 6]).unwrap();
        let counts: Vec<_> = factors.iter().map(|factor| factor.offsets().unwrap().len()).collect();
        assert_eq!(counts, [15, 15, 16]);
    }

    /// Slots are what the remaining stages make of lanes, and lanes what the first ones make of coefficients.
    #[test]
    fn descent_to_lanes_leaves_out_the_stages_inside_them() {
        let values = vector(SLOTS);
        for lanes in [1, 2, 8] {
            let factors = BootstrapFactor::to_lanes(SLOTS, lanes, 3).unwrap();
            assert_eq!(factors.len(), 3);
            let matrices: Vec<_> = factors.iter().map(|factor| factor.descent().unwrap()).collect();
            for (factor, matrix) in factors.iter().zip(&matrices) {
                assert_eq!(matrix.offsets().collect::<Vec<_>>(), factor.offsets().unwrap());
            }
            let inside = embedding_stages(SLOTS, 0..lanes.trailing_zeros() as usize).unwrap();
            let found = applied(&matrices, &inside.apply(&values).unwrap());
            let all = embedding_stages(SLOTS, 0..6).unwrap();
            assert!(distance(&found, &all.apply(&values).unwrap()) < 1e-12, "{lanes} lanes");
        }
    }

    #[test]
    fn rejects_layers_that_do_not_fit() {
        assert!(BootstrapFactor::to_lanes(SLOTS, 32, 3).is_err());
        assert!(BootstrapFactor::ascending(SLOTS, Copies::ONE, &[2, 2]).is_err());
        assert!(BootstrapFactor::descending(SLOTS, Copies::ONE, &[2, 2]).is_err());
        assert!(BootstrapFactor::descending(SLOTS, Copies(16), &[2, 2, 2]).is_err());
    }
}
