//! Agreement of logits, on numbers small enough to check by hand.

use fhe_model::float::agreement::{Comparison, compare};
use fhe_model::{Config, Error, Matrix, PromptBlock};

use crate::fixture::{config, random_tokens};

fn block(prompts: &[Vec<u32>], t: usize) -> PromptBlock {
    let config = Config::parse(&config().to_string(), std::path::Path::new("config.json")).unwrap();
    PromptBlock::new(prompts, t, &config).unwrap()
}

/// A vocabulary of `columns[0].len()` tokens, one column per block position.
fn logits(columns: &[&[f32]]) -> Matrix {
    let rows = columns[0].len();
    let data = (0..rows).flat_map(|row| columns.iter().map(move |column| column[row])).collect();
    Matrix::new(rows, columns.len(), data).unwrap()
}

#[test]
fn measures_what_it_says() {
    // One prompt of tokens 1, 0 in a block of 4: two live positions, of which the first predicts token 0.
    let block = block(&[vec![1, 0]], 4);
    let padding: &[f32] = &[50.0, -50.0];
    let reference = logits(&[&[2.0, 1.0], &[0.0, 0.5], padding, padding]);
    let other = logits(&[&[2.0, 1.0], &[1.0, 0.25], &[f32::NAN, 0.0], &[-9.0, 9.0]]);
    let agreement = compare(&block, &reference, &other).unwrap();

    assert_eq!((agreement.positions, agreement.top1), (2, 0.5));
    assert_eq!((agreement.top5_logit_error_max, agreement.top5_logit_error_mean), (1.0, 0.5));
    assert_eq!(agreement.largest_margin_lost, 0.5);
    let (p, q) = (1.0 / (1.0 + 0.5_f64.exp()), 1.0 / (1.0 + (-0.75_f64).exp()));
    let kl = p * (p / q).ln() + (1.0 - p) * ((1.0 - p) / (1.0 - q)).ln();
    assert!((agreement.kl_max - kl).abs() < 1e-12 && (agreement.kl_mean - kl / 2.0).abs() < 1e-12);
    let perplexity = 1.0 + (-1.0_f64).exp();
    assert!((agreement.perplexity_reference.unwrap() - perplexity).abs() < 1e-12);
    assert_eq!(agreement.perplexity_reference, agreement.perplexity_other);
}

#[test]
fn equal_logits_agree_entirely() {
    let tokens = random_tokens(7, 1);
    let block = block(&[tokens[..4].to_vec(), tokens[4..].to_vec()], 8);
    let data = (0..512 * 8).map(|i| ((i * 7919) % 1009) as f32 / 100.0).collect();
    let logits = Matrix::new(512, 8, data).unwrap();
    let agreement = compare(&block, &logits, &logits).unwrap();
    assert_eq!((agreement.positions, agreement.top1, agreement.largest_margin_lost), (7, 1.0, 0.0));
    assert_eq!((agreement.kl_max, agreement.top5_logit_error_max), (0.0, 0.0));
}

#[test]
fn a_single_token_predicts_nothing() {
    let logits = logits(&[&[1.0, 2.0], &[1.0, 2.0]]);
    let agreement = compare(&block(&[vec![1]], 2), &logits, &logits).unwrap();
    assert_eq!((agreement.positions, agreement.perplexity_reference), (1, None));
}

#[test]
fn a_logit_that_is_not_a_number_spoils_every_error() {
    let reference = logits(&[&[1.0, 2.0], &[1.0, 2.0]]);
    let other = logits(&[&[1.0, f32::NAN], &[1.0, 2.0]]);
    let agreement = compare(&block(&[vec![1, 0]], 2), &reference, &other).unwrap();
    assert!(agreement.kl_mean.is_nan() && agreement.kl_max.is_nan() && agreement.top5_logit_error_max.is_nan());
}

#[test]
fn blocks_add_up() {
    let (one, two) = (logits(&[&[1.0, 2.0], &[3.0, 2.0]]), logits(&[&[1.0, 2.5], &[2.0, 3.0]]));
    let block = block(&[vec![1, 0]], 2);
    let mut comparison = Comparison::default();
    comparison.add(&block, &one, &two).unwrap();
    comparison.add(&block, &two, &two).unwrap();
    let agreement = comparison.agreement();
    assert_eq!((agreement.positions, agreement.top1), (4, 0.75));
    assert_eq!(agreement.kl_max, compare(&block, &one, &two).unwrap().kl_max);
}

#[test]
fn rejects_logits_of_other_shapes() {
    let block = block(&[vec![1, 0]], 2);
    let right = logits(&[&[1.0, 2.0], &[3.0, 2.0]]);
    let narrow = logits(&[&[1.0, 2.0]]);
    let short = logits(&[&[1.0], &[3.0]]);
    for wrong in [&narrow, &short] {
        assert!(matches!(compare(&block, &right, wrong), Err(Error::Shape { .. })));
        assert!(matches!(compare(&block, wrong, &right), Err(Error::Shape { .. })));
    }
    assert!(matches!(Matrix::new(2, 3, vec![0.0; 5]), Err(Error::Shape { .. })));
}
