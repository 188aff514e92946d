//! Which device works on which ciphertext, where a backend has several.
//!
//! A ciphertext is given its place at the lowest modulus, on its way into a half bootstrap or a product with weights, where it is smallest. From there until it
//! is at the lowest modulus again, everything happens where it is. The ciphertexts of a tensor are dealt out in turn, so that those of two tensors of
//! one length that meet one by one, gate and up, lie together. Where others meet, as in attention, one of them is copied.

use fhe_ring::{Backend, IntegerMatrix};
use rayon::prelude::*;

use super::{CkksServer, CoefficientCiphertext, EncryptedRows};
use crate::CkksError;

impl<B: Backend> CkksServer<B> {
    /// A product with weights, packed: every shard makes some of the ciphertexts, from copies of the rows, which are at the lowest modulus. Shards are asked one
    /// after the other, and work at the same time as far as they only queue what they are asked.
    pub(super) fn product_on_all_shards(
        &self,
        weights: &IntegerMatrix,
        scale: f64,
        rows: &EncryptedRows<B>,
    ) -> Result<Vec<CoefficientCiphertext<B>>, CkksError> {
        let backend = self.backend();
        let product = |weights: &IntegerMatrix| self.join_rows(&self.multiply_rows(weights, scale, rows)?);
        let Some(per_ciphertext) = rows.rows.per_ciphertext().filter(|_| backend.shards() > 1) else {
            return product(weights);
        };
        let ciphertexts = weights.shape().rows.div_ceil(per_ciphertext);
        let share = ciphertexts.div_ceil(backend.shards()).max(1) * per_ciphertext;
        let mut products = Vec::with_capacity(ciphertexts);
        for (shard, first) in (0..weights.shape().rows).step_by(share).enumerate() {
            rows.rows.place(backend, shard);
            products.extend(product(&weights.row_range(first, share))?);
        }
        Ok(products)
    }
}

/// The results of `work` for all inputs in their order: on every shard for those that are dealt to it, on all shards at once.
pub(super) fn on_all_shards<B: Backend, R: Send>(
    backend: &B,
    inputs: &[&CoefficientCiphertext<B>],
    work: impl Fn(&[&CoefficientCiphertext<B>]) -> Result<Vec<R>, CkksError> + Sync,
) -> Result<Vec<R>, CkksError> {
    let shards = backend.shards().min(inputs.len());
    if shards <= 1 {
        return work(inputs);
    }
    let dealt: Vec<Vec<_>> =
        (0..shards).map(|shard| inputs.iter().skip(shard).step_by(shards).copied().collect()).collect();
    for (shard, inputs) in dealt.iter().enumerate() {
        for half in inputs.iter().flat_map(|input| input.ciphertext().halves()) {
            backend.place(half.operand(), shard);
        }
    }
    let results = dealt.par_iter().map(|inputs| work(inputs)).collect::<Result<Vec<_>, _>>()?;
    let mut results: Vec<_> = results.into_iter().map(Vec::into_iter).collect();
    Ok((0..inputs.len()).filter_map(|index| results[index % shards].next()).collect())
}
