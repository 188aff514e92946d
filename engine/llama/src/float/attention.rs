//! Grouped-query attention under the mask of a block (Ainslie et al., arXiv 2305.13245), behind public keys if there are any.

use rayon::prelude::*;

use super::context::ContextLayer;
use super::linear::{Strided, add_product_into, scaled_product_into};
use crate::config::Config;
use crate::matrix::Matrix;
use crate::prompt::PromptBlock;

/// What one attention computes. Sums and maxima are over live keys, public ones included.
pub(super) struct Attention {
    /// Query heads * public keys x queries.
    pub(super) public_scores: Matrix,
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

/// SoftMax(q k / sqrt(head_dim)) v for every query head over the keys and values of the context and of the block; the three operands
/// are stacked heads x tokens.
pub(super) fn attend(
    config: &Config,
    block: &PromptBlock,
    context: &ContextLayer,
    q: &Matrix,
    k: &Matrix,
    v: &Matrix,
) -> Attention {
    let (t, heads, head_dim) = (block.size(), config.num_attention_heads, config.head_dim);
    let mut attention = Attention {
        public_scores: Matrix::zeros(heads * context.len(), t),
        scores: Matrix::zeros(heads * t, t),
        row_maxima: Matrix::zeros(heads, t),
        log_denominators: Matrix::zeros(heads, t),
        log_root_sums: [Matrix::zeros(heads, t), Matrix::zeros(heads, t)],
        output: Matrix::zeros(heads * head_dim, t),
    };
    let factor = (1.0 / (head_dim as f64).sqrt()) as f32;
    attention.by_head(heads).into_par_iter().enumerate().for_each(|(head, mut part)| {
        let shared = config.key_value_head(head);
        let queries = Strided::rows_of(q, head * head_dim, head_dim);
        let own = |matrix| Strided::rows_of(matrix, shared * head_dim, head_dim);
        scaled_product_into(part.scores, factor, own(k).transposed(), queries);
        if context.is_empty() {
            let probabilities = part.softmax(block);
            return scaled_product_into(part.output, 1.0, own(v), Strided::row_major(&probabilities, t));
        }
        scaled_product_into(part.public_scores, factor, Strided::row_major(context.keys(shared), head_dim), queries);
        let probabilities = part.softmax(block);
        let (public, inside) = probabilities.split_at(context.len() * t);
        scaled_product_into(part.output, 1.0, own(v), Strided::row_major(inside, t));
        let values = Strided::row_major(context.values(shared), head_dim).transposed();
        add_product_into(part.output, values, Strided::row_major(public, t));
    });
    attention
}

/// The rows of one query head.
struct HeadPart<'a> {
    public_scores: &'a mut [f32],
    scores: &'a mut [f32],
    row_maxima: &'a mut [f32],
    log_denominators: &'a mut [f32],
    log_root_sums: [&'a mut [f32]; 2],
    output: &'a mut [f32],
}

impl Attention {
    fn by_head(&mut self, heads: usize) -> Vec<HeadPart<'_>> {
        let Self { public_scores, scores, row_maxima, log_denominators, log_root_sums: [halved, quartered], output } =
            self;
        let matrices = [public_scores, scores, row_maxima, log_denominators, halved, quartered, output];
        let mut parts = matrices.map(|matrix| split_evenly(matrix.data_mut(), heads).into_iter());
        let part = |_| {
            let [public_scores, scores, row_maxima, log_denominators, halved, quartered, output] =
                parts.each_mut().map(|part| part.next().expect("a part for every head"));
            let log_root_sums = [halved, quartered];
            HeadPart { public_scores, scores, row_maxima, log_denominators, log_root_sums, output }
        };
        (0..heads).map(part).collect()
    }
}

/// As many parts of equal size, which may be nothing.
fn split_evenly(mut rest: &mut [f32], parts: usize) -> Vec<&mut [f32]> {
    let size = rest.len() / parts;
    let part = |_| {
        let (part, behind) = std::mem::take(&mut rest).split_at_mut(size);
        rest = behind;
        part
    };
    (0..parts).map(part).collect()
}

impl HeadPart<'_> {
    /// Fills in maxima and sums, and returns the probabilities: public keys, then keys of the block, x queries. Masked ones are zero.
    fn softmax(&mut self, block: &PromptBlock) -> Vec<f32> {
        let t = block.size();
        let public = self.public_scores.len() / t;
        // Key after key, as scores lie in memory; sums of a query are taken in that order, too.
        let rows = || self.public_scores.chunks(t).chain(self.scores.chunks(t)).enumerate();
        let is_live = |key: usize, query: usize| key < public || block.attends(query, key - public);
        let mut maxima = vec![f32::NEG_INFINITY; t];
        for (key, row) in rows() {
            for (query, &score) in row.iter().enumerate().filter(|&(query, _)| is_live(key, query)) {
                maxima[query] = maxima[query].max(score);
            }
        }
        let mut exponentials = vec![0.0; (public + t) * t];
        let (mut sums, mut root_sums) = (vec![0.0; t], vec![[0.0; 2]; t]);
        for ((key, row), exponentials) in rows().zip(exponentials.chunks_mut(t)) {
            for (query, &score) in row.iter().enumerate().filter(|&(query, _)| is_live(key, query)) {
                let below = f64::from(score) - f64::from(maxima[query]);
                let quarter = (below / 4.0).exp();
                // Public keys are thousands, and exponentials most of the time that a prefill takes.
                let whole = if key < public { (quarter * quarter).powi(2) } else { below.exp() };
                exponentials[query] = whole;
                sums[query] += whole;
                root_sums[query][0] += quarter * quarter;
                root_sums[query][1] += quarter;
            }
        }
        for query in 0..t {
            let maximum = f64::from(maxima[query]);
            self.row_maxima[query] = maxima[query];
            self.log_denominators[query] = (maximum + sums[query].ln()) as f32;
            for (index, root) in [2.0, 4.0].into_iter().enumerate() {
                self.log_root_sums[index][query] = (maximum / root + root_sums[query][index].ln()) as f32;
            }
        }
        let probabilities = exponentials.chunks(t).flat_map(|row| row.iter().zip(&sums));
        probabilities.map(|(exponential, sum): (&f64, &f64)| (exponential / sum) as f32).collect()
    }
}
