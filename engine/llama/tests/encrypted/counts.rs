//! What a layer executes is what its plan says: the first numbers to look at when a run becomes slower.

use fhe_ckks::{Clear, NoiseModel, OperationCounts, SlotArithmetic};
use fhe_model::PromptBlock;
use fhe_model::encrypted::{AttentionProducts, EncryptedModel, Unattended};

use crate::fixture::{random_model, random_tokens};
use crate::support::{by_polynomials, margins_for, ranges_of, shape};

/// One ciphertext per tensor, 8 heads of 8 channels, 172 FFN channels; two prompts of 16 tokens, one in each half.
fn counts(products: AttentionProducts) -> [OperationCounts; 2] {
    let (_folder, weights) = random_model(1);
    let block = PromptBlock::new(&[random_tokens(16, 3), random_tokens(16, 4)], 32, weights.config()).unwrap();
    let ranges = ranges_of(&weights, &block, &margins_for(products));
    let shape = shape(1 << 13);
    let model = EncryptedModel::prepare(&weights, &ranges, &block, &shape, by_polynomials(products)).unwrap();
    let e = Clear::new(shape, (), NoiseModel::default(), 1).unwrap();
    let residual = model.embed::<Clear, _>(&e).unwrap();
    assert_eq!(e.counts(), OperationCounts::default(), "the client's work is not the evaluator's");
    let residual = model.layer(&e, 0, &residual, &mut Unattended).unwrap();
    let layer = e.counts();
    model.head(&e, &residual, &mut Unattended).unwrap();
    [layer, e.counts() - layer]
}

#[test]
fn a_layer_bootstraps_every_tensor_once() {
    let [layer, head] = counts(AttentionProducts::Slots);
    // Two norms, Q, K, V, scores, denominators, gate, up.
    assert_eq!(layer.half_bootstraps, 9);
    // Two normalised inputs, scores, denominators, attention output, gated product.
    assert_eq!(layer.slots_to_coefficients, 6);
    // Into Q, K, V together; O; gate, up together; down. Out of each of the seven.
    assert_eq!((layer.row_splits, layer.row_packings), (4, 7));
    // The final norm; 512 logits in two ciphertexts of 256 rows.
    assert_eq!((head.half_bootstraps, head.slots_to_coefficients), (1, 1));
    assert_eq!((head.row_splits, head.row_packings), (1, 2));
}

#[test]
fn rotations_of_a_layer() {
    let [layer, head] = counts(AttentionProducts::Slots);
    // 256 rows of 16 tokens: 8 channels x 4 replicas x 8 heads. 16 offsets of a half are 4 steps of 4 replicas.
    // The 72 channels of the residual lie in every other row: a sum over them, spread back to them.
    let norm = 2 * 7;
    // Queries meet partners above and below; keys do so for 4 replicas, and values are moved for 3.
    let placement = 2 + (3 * 4 - 1) + 3;
    // The keys moved by 3 offsets (one is zero), 4 products summed over groups of 2 channels, and rows brought together
    // from up to 1 group before and 3 after.
    let scores = 3 + 4 + 4;
    // The values moved, probabilities moved by as many groups, 4 rows spread over 2 channels.
    let weighted_values = 3 + 4 + 4;
    // Sums over the 32 entries of a head, for the denominators; renormalisation takes none.
    let sums = 5;
    assert_eq!(layer.rotations, 2 * norm + placement + scores + weighted_values + sums);
    assert_eq!((layer.conjugations, layer.packing_conversions), (0, 0));
    assert_eq!(head.rotations, norm);
}

#[test]
fn weights_of_a_layer() {
    let [layer, head] = counts(AttentionProducts::Slots);
    let columns = 256;
    // Q, K, V reach the last row of the ciphertext; gate and up stop at row 172, O and down at row 72.
    assert_eq!(layer.matrix_weights, (3 * 256 + 2 * 172 + 2 * 72) * columns);
    assert_eq!(head.matrix_weights, 512 * columns);
}

#[test]
fn products_over_lanes_bootstrap_scores_and_output() {
    let [layer, _] = counts(AttentionProducts::Lanes);
    // Two norms, gate, up, denominators. Eight fields of two channels or keys: the 8 channels of 8 heads in 32 lanes are one ciphertext of
    // queries, of dense keys and of values, and one of outputs; 32 keys are two of scores.
    let once = 5;
    assert_eq!(layer.half_bootstraps, once + 3 + 2 + 1);
    // Two normalised inputs, denominators, attention output, gated product.
    assert_eq!(layer.slots_to_coefficients, 5);
    // Queries, two parities of copied keys, two of probabilities, two of copied values.
    assert_eq!(layer.slots_to_lanes, 1 + 2 + 2 + 2);
    assert_eq!((layer.lane_products, layer.lane_transposes, layer.lane_joins), (2, 1, 2 + 1));
}
