//! Rotary positions (Su et al., arXiv 2104.09864) in the pairing of Hugging Face checkpoints: channel `j` of a head
//! turns together with channel `j + head_dim / 2`.

use rayon::prelude::*;

use crate::config::Config;
use crate::matrix::Matrix;
use crate::prompt::PromptBlock;

/// Cosines and sines of every channel pair at every position of one block, pair after pair.
pub(super) struct RotaryTable {
    head_dim: usize,
    tokens: usize,
    cosines: Vec<f32>,
    sines: Vec<f32>,
}

impl RotaryTable {
    pub(super) fn new(block: &PromptBlock, config: &Config) -> Self {
        let (head_dim, tokens) = (config.head_dim, block.size());
        let angle = |pair: usize, token: usize| {
            let frequency = config.rope_theta.powf(-2.0 * pair as f64 / head_dim as f64);
            block.rotary_position(token) as f64 * frequency
        };
        let angles = || (0..head_dim / 2).flat_map(|pair| (0..tokens).map(move |token| angle(pair, token)));
        let cosines = angles().map(|angle| angle.cos() as f32).collect();
        let sines = angles().map(|angle| angle.sin() as f32).collect();
        Self { head_dim, tokens, cosines, sines }
    }

    /// Turns every head of a projection, stacked heads x tokens.
    pub(super) fn turn(&self, projection: &mut Matrix) {
        projection.data_mut().par_chunks_mut(self.head_dim * self.tokens).for_each(|head| {
            let (first, second) = head.split_at_mut(self.head_dim / 2 * self.tokens);
            let turns = self.cosines.iter().zip(&self.sines);
            for ((x, y), (cosine, sine)) in first.iter_mut().zip(second).zip(turns) {
                (*x, *y) = (*x * cosine - *y * sine, *y * cosine + *x * sine);
            }
        });
    }
}
