//! Grouped-query attention under the mask of a block (Ainslie et al., arXiv 2305.13245).

use rayon::prelude::*;

use super::linear::{Strided, scaled_product_into};
use crate::config::Config;
use crate::matrix::Matrix;
use crate::prompt::PromptBlock;

/// What one attention computes.
pub(super) struct Attention {
    /// Query heads * keys x queries, masked pairs included.
    pub(super) scores: Matrix,
    /// Query heads x queries.
    pub(super) row_maxima: Matrix,
    /// Query heads x queries.
    pub(super) log_denominators: Matrix,
    /// Logarithms of the sums of `exp(score / 2)`, and of `exp(score / 4)`; query heads x queries.
    pub(super) log_root_sums: [Matrix; 2],
    /// Query width x queries.
    pub(super) output: Matrix,
}

/// SoftMax(q k / sqrt(head_dim)) v for every query head; all three operands are stacked heads x tokens.
pub(super) fn attend(config: &Config, block: &PromptBlock, q: &Matrix, k: &Matrix, v: &Matrix) -> Attention {
    let (t, heads, head_dim) = (block.size(), config.num_attention_heads, config.head_dim);
    let mut attention = Attention {
        scores: Matrix::zeros(heads * t, t),
        row_maxima: Matrix::zeros(heads, t),
        log_denominators: Matrix::zeros(heads, t),
        log_root_sums: [Matrix::zeros(heads, t), Matrix::zeros(heads, t)],
        output: Matrix::zeros(heads * head_dim, t),
    };
    let factor = (1.0 / (head_dim as f64).sqrt()) as f32;
    let scores = attention.scores.data_mut().par_chunks_mut(t * t);
    let maxima = attention.row_maxima.data_mut().par_chunks_mut(t);
    let denominators = attention.log_denominators.data_mut().par_chunks_mut(t);
    let [halved, quartered] = &mut attention.log_root_sums;
    let root_sums = halved.data_mut().par_chunks_mut(t).zip(quartered.data_mut().par_chunks_mut(t));
    let output = attention.output.data_mut().par_chunks_mut(head_dim * t);
    scores.zip(maxima).zip(denominators.zip(root_sums)).zip(output).enumerate().for_each(
        |(head, (((scores, maxima), (denominators, (halved, quartered))), output))| {
            let group = config.key_value_head(head) * head_dim;
            let queries = Strided::rows_of(q, head * head_dim, head_dim);
            let (keys, values) = (Strided::rows_of(k, group, head_dim), Strided::rows_of(v, group, head_dim));
            scaled_product_into(scores, factor, keys.transposed(), queries);
            let mut probabilities = vec![0.0; t * t];
            for query in 0..t {
                let live = || (0..t).filter(|&key| block.attends(query, key));
                let score = |key: usize| f64::from(scores[key * t + query]);
                let maximum = live().map(score).fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = live().map(|key| (score(key) - maximum).exp()).sum();
                live().for_each(|key| probabilities[key * t + query] = ((score(key) - maximum).exp() / sum) as f32);
                maxima[query] = maximum as f32;
                denominators[query] = (maximum + sum.ln()) as f32;
                let root_sum = |root: f64| {
                    let sum: f64 = live().map(|key| ((score(key) - maximum) / root).exp()).sum();
                    (maximum / root + sum.ln()) as f32
                };
                (halved[query], quartered[query]) = (root_sum(2.0), root_sum(4.0));
            }
            scaled_product_into(output, 1.0, values, Strided::row_major(&probabilities, t));
        },
    );
    attention
}
