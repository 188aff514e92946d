//! Products of integer weights with a vector in small ciphertexts.

use super::checks::Check;
use crate::{Backend, Domain, IntegerMatrix, Poly, RingError};

/// Products of an integer matrix with a vector that lies in the first `block` coefficients of each of some ciphertexts of a small
/// cyclotomic ring, in order: one input for every `block` columns. Result `o` of `h` has row `o + h i` times the vector as its coefficient of
/// `X^(block i)`; the other coefficients mean nothing. Evaluation domain in and out, one prime;
/// [`Backend::weight_products`] has the formula.
pub fn weight_products<B: Backend>(
    backend: &B,
    weights: &IntegerMatrix,
    inputs: &[[Poly<B>; 2]],
    block: usize,
) -> Result<Vec<[Poly<B>; 2]>, RingError> {
    let check = Check("weight_products");
    check.number("the number of inputs", inputs.len(), 1..=usize::MAX, "give at least one ciphertext")?;
    let shape = inputs[0][0].shape();
    check.cyclotomic("the first input", shape.ring)?;
    check.domain("the first input", shape.domain, Domain::Evaluation)?;
    check.single_prime("the first input", shape.basis)?;
    for [b, a] in inputs {
        check.same_shape("the b part of an input", b.shape(), shape)?;
        check.same_shape("the a part of an input", a.shape(), shape)?;
    }
    check.power_of_two("the block", block, 1..=shape.ring.degree(), "put fewer entries into each input")?;
    let found = weights.shape();
    check.number("the number of rows", found.rows, 1..=usize::MAX, "leave the product out")?;
    let required = found.columns.div_ceil(block).max(1);
    check.length("the list of inputs", inputs.len(), required, "give one input for every block of columns")?;
    if B::HOLDS_DATA && !weights.is_filled() {
        let remedy = "fill the weights, or run on a backend without data";
        check.length("the weight matrix", weights.entries().len(), found.words(), remedy)?;
    }
    let operands: Vec<_> = inputs.iter().map(|[b, a]| [b.operand(), a.operand()]).collect();
    let products = backend.weight_products(weights, &operands, block);
    Ok(products.into_iter().map(|halves| halves.map(|half| Poly::from_parts(half, shape))).collect())
}
