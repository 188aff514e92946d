//! Choices that a model leaves open.

use fhe_circuits::{Accuracy, Functions, PublicProducts, SoftmaxVariant, WeightScales};

use super::AttentionProducts;

/// Choices that a model leaves open.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CircuitOptions {
    /// Bits of the integer weights, sign included.
    pub weight_bits: u32,
    /// Which integer stands for the weight 1 in products whose rows the circuit can tell apart afterwards: queries, keys, values, gate, up and
    /// logits. Output and down projection write to the residual, which has one unit, and have one scale each in any case; with scales per row
    /// the down projection is handed a share of every channel that lets each of its columns fill the integers.
    pub weight_scales: WeightScales,
    /// Error asked of every polynomial (relative for inverses and roots; of the window for SiLU, of the smallest
    /// denominator for the exponential).
    pub tolerance: f64,
    /// How SoftMax divides.
    pub softmax: SoftmaxVariant,
    /// How the products of attention are computed.
    pub products: AttentionProducts,
    /// How queries are multiplied with the keys of a public context, and probabilities with its values.
    pub public_products: PublicProducts,
    /// Whether polynomials must follow their functions.
    pub functions: Functions,
    /// Whether the inverse roots of norms are evaluated slimly where that saves products and the levels allow it.
    pub slim_norms: bool,
    /// Whether keys and values are kept for a [`DecodingModel`](super::DecodingModel), which takes one prompt in the block.
    pub keep_cache: bool,
}

impl Default for CircuitOptions {
    fn default() -> Self {
        Self {
            weight_bits: 13,
            weight_scales: WeightScales::default(),
            tolerance: 1e-6,
            softmax: SoftmaxVariant::default(),
            products: AttentionProducts::default(),
            public_products: PublicProducts::default(),
            functions: Functions::default(),
            slim_norms: false,
            keep_cache: false,
        }
    }
}

impl CircuitOptions {
    pub(super) fn accuracy(&self) -> Accuracy {
        Accuracy { tolerance: self.tolerance, functions: self.functions }
    }
}
