//! RMSNorm over channels (Zhang and Sennrich, arXiv 1910.07467).

use super::observer::{Location, Observer, Site, show};
use crate::error::Result;
use crate::matrix::Matrix;
use crate::prompt::PromptBlock;

/// The two sites of a norm.
#[derive(Clone, Copy)]
pub(super) struct NormSites {
    mean_square: Site,
    normalised: Site,
}

impl NormSites {
    pub(super) const ATTENTION: Self =
        Self { mean_square: Site::AttentionMeanSquare, normalised: Site::AttentionNormalisedInput };
    pub(super) const FEED_FORWARD: Self =
        Self { mean_square: Site::FfnMeanSquare, normalised: Site::FfnNormalisedInput };
    pub(super) const FINAL: Self = Self { mean_square: Site::FinalMeanSquare, normalised: Site::FinalNormalisedInput };
}

/// One RMSNorm of the model.
pub(super) struct Norm<'a> {
    pub(super) gamma: &'a [f32],
    pub(super) epsilon: f64,
    pub(super) sites: NormSites,
    pub(super) layer: Option<usize>,
}

impl Norm<'_> {
    /// `gamma * x / sqrt(mean(x^2) + epsilon)`, token by token; x is channels x tokens.
    pub(super) fn apply(&self, x: &Matrix, block: &PromptBlock, observer: &mut dyn Observer) -> Result<Matrix> {
        let at = |site| Location { layer: self.layer, site };
        let mean_squares = mean_squares(x);
        let as_row = mean_squares.iter().map(|&square| square as f32).collect();
        let as_row = Matrix::new(1, x.cols(), as_row).expect("one entry per token");
        show(observer, at(self.sites.mean_square), &as_row, block)?;

        let factors: Vec<f32> =
            mean_squares.iter().map(|square| (1.0 / (square + self.epsilon).sqrt()) as f32).collect();
        let mut y = x.clone();
        for row in y.data_mut().chunks_mut(factors.len()) {
            row.iter_mut().zip(&factors).for_each(|(x, factor)| *x *= factor);
        }
        show(observer, at(self.sites.normalised), &y, block)?;

        for (channel, gamma) in self.gamma.iter().enumerate() {
            y.row_mut(channel).iter_mut().for_each(|x| *x *= gamma);
        }
        Ok(y)
    }
}

/// The mean over channels of each token's squares.
fn mean_squares(x: &Matrix) -> Vec<f64> {
    let mut sums = vec![0.0; x.cols()];
    for row in x.data().chunks(x.cols()) {
        sums.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x) * f64::from(x));
    }
    sums.iter().map(|sum| sum / x.rows() as f64).collect()
}
