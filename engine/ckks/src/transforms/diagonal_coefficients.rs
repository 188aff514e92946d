//! The diagonals of a linear map as polynomials, before a scale and primes are chosen: what of their encoding can be kept.

use num_complex::Complex64;
use rayon::prelude::*;

use crate::{
    CkksError, Packing,
    transforms::{baby_giant::BabyGiantPlan, diagonals::DiagonalMatrix, embedding::Embedding},
};

/// Real coefficients of the polynomials whose slots are the rotated diagonals of a plan.
#[derive(Clone, Debug)]
pub(crate) struct DiagonalCoefficients {
    /// Per giant step, in the plan's order, the index of a baby and its diagonal.
    giants: Vec<Vec<(usize, Vec<f64>)>>,
}

impl DiagonalCoefficients {
    /// Embeds every diagonal of the plan.
    ///
    /// # Errors
    /// If the matrix lacks one, or has another number of slots than the packing.
    pub(crate) fn new(
        embedding: &Embedding,
        packing: Packing,
        plan: &BabyGiantPlan,
        matrix: &DiagonalMatrix,
    ) -> Result<Self, CkksError> {
        let embed = |(baby, slots): (usize, Vec<Complex64>)| Ok((baby, embedding.embed(packing, slots)?));
        let giant = |giant| plan.rotated_diagonals(giant, matrix)?.into_par_iter().map(embed).collect();
        Ok(Self { giants: plan.giants.par_iter().map(giant).collect::<Result<_, CkksError>>()? })
    }

    /// The polynomials, giant after giant.
    pub(crate) fn giants(&self) -> &[Vec<(usize, Vec<f64>)>] {
        &self.giants
    }
}
