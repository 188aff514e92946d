//! What rounding the weights of one kind of projection costs a real model, in float: the circuit without polynomials and noise is this model.
//! Needs what `scripts/fetch-smollm2` leaves, and minutes:
//! `cargo test --release -p fhe-model --test model -- --ignored --nocapture quantisation`.

use std::path::{Path, PathBuf};

use fhe_model::float::agreement::{Agreement, Comparison};
use fhe_model::{Beginning, FloatModel, Location, Matrix, PromptBlock, Rotation, Site, Tokenizer, Weights};
use safetensors::tensor::Dtype;
use serde_json::{Value, json};

use crate::fixture::{Tensors, folder};

const KINDS: [&str; 8] = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "lm_head"];

#[derive(Clone, Copy, PartialEq)]
enum Scales {
    Tensor,
    /// Per row but for what writes to the residual.
    Rows,
    /// The same, and a share of every channel for the columns of down, as the circuit does it.
    RowsAndShares,
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// All tensors with gammas folded into the weights that follow, as the circuit has them.
fn folded(weights: &Weights) -> Tensors {
    let mut tensors = Tensors::new();
    let mut add = |name: String, matrix: Matrix, gamma: &[f32]| {
        let (mut numbers, columns) = (matrix.data().to_vec(), matrix.cols());
        for row in numbers.chunks_exact_mut(columns) {
            row.iter_mut().zip(gamma).for_each(|(weight, gamma)| *weight *= gamma);
        }
        tensors.insert(format!("{name}.weight"), (vec![matrix.rows(), columns], numbers));
    };
    let hidden = weights.config().hidden_size;
    add("model.embed_tokens".into(), weights.embedding(), &[]);
    add("lm_head".into(), weights.lm_head(), &weights.final_norm());
    for index in 0..weights.config().num_hidden_layers {
        let layer = weights.layer(index).unwrap();
        let (before, after) = (&layer.input_norm, &layer.post_norm);
        for (part, matrix, gamma) in [
            ("self_attn.q_proj", layer.q, &before[..]),
            ("self_attn.k_proj", layer.k, before),
            ("self_attn.v_proj", layer.v, before),
            ("self_attn.o_proj", layer.o, &[]),
            ("mlp.gate_proj", layer.gate, after),
            ("mlp.up_proj", layer.up, after),
            ("mlp.down_proj", layer.down, &[]),
        ] {
            add(format!("model.layers.{index}.{part}"), matrix, gamma);
        }
    }
    let ones = || (vec![hidden], vec![1.0; hidden]);
    for index in 0..weights.config().num_hidden_layers {
        for norm in ["input_layernorm", "post_attention_layernorm"] {
            tensors.insert(format!("model.layers.{index}.{norm}.weight"), ones());
        }
    }
    tensors.insert("model.norm.weight".into(), ones());
    tensors
}

/// The tensors of these kinds rounded to integers of so many bits, and back.
fn rounded(tensors: &Tensors, kinds: &[&str], scales: Scales, bits: i32) -> Tensors {
    let limit = 2_f64.powi(bits - 1) - 1.0;
    let mut tensors = tensors.clone();
    for (name, (shape, numbers)) in &mut tensors {
        let Some(kind) = kinds.iter().find(|kind| name.contains(**kind)) else { continue };
        let writes = ["o_proj", "down_proj"].contains(kind);
        let run = if scales == Scales::Tensor || writes { numbers.len() } else { shape[1] };
        if scales == Scales::RowsAndShares && *kind == "down_proj" {
            round_by_columns(numbers, shape[1], limit);
            continue;
        }
        for run in numbers.chunks_exact_mut(run) {
            let largest = run.iter().fold(0.0, |largest: f64, &weight| largest.max(f64::from(weight).abs()));
            let scale = limit / largest.max(f64::MIN_POSITIVE);
            run.iter_mut().for_each(|weight| *weight = ((f64::from(*weight) * scale).round() / scale) as f32);
        }
    }
    tensors
}

/// Every column to integers of its own scale, and back.
fn round_by_columns(numbers: &mut [f32], columns: usize, limit: f64) {
    let mut peaks = vec![0.0_f64; columns];
    for row in numbers.chunks_exact(columns) {
        peaks.iter_mut().zip(row).for_each(|(peak, weight)| *peak = peak.max(f64::from(*weight).abs()));
    }
    for row in numbers.chunks_exact_mut(columns) {
        for (weight, peak) in row.iter_mut().zip(&peaks) {
            let scale = limit / peak.max(f64::MIN_POSITIVE);
            *weight = ((f64::from(*weight) * scale).round() / scale) as f32;
        }
    }
}

struct Study {
    config: Value,
    blocks: Vec<PromptBlock>,
    reference: Vec<Matrix>,
}

impl Study {
    fn logits(&self, weights: &Weights) -> Vec<Matrix> {
        self.blocks.iter().map(|block| FloatModel::new(weights).logits(block).unwrap()).collect()
    }

    /// Agreement on the first block, and on all.
    fn agreement(&self, tensors: &Tensors) -> [Agreement; 2] {
        let folder = folder(&self.config, tensors, Dtype::F32);
        let logits = self.logits(&Weights::open(folder.path()).unwrap());
        [1, self.blocks.len()].map(|blocks| {
            let mut comparison = Comparison::default();
            for ((block, reference), logits) in self.blocks.iter().zip(&self.reference).zip(&logits).take(blocks) {
                comparison.add(block, reference, logits).unwrap();
            }
            comparison.agreement()
        })
    }

    fn show(&self, name: &str, tensors: &Tensors) {
        for (blocks, agreement) in ["suite", "all"].into_iter().zip(self.agreement(tensors)) {
            println!(
                "{name} | {blocks} | KL {:.2e} / {:.2e} | top-1 {:.4} | top-5 {:.4} / {:.4}",
                agreement.kl_mean,
                agreement.kl_max,
                agreement.top1,
                agreement.top5_logit_error_mean,
                agreement.top5_logit_error_max
            );
        }
    }
}

/// How much larger than the largest value the largest magnified one is, as it is and by the bound of Cauchy and Schwarz.
fn print_fill(weights: &Weights, block: &PromptBlock) {
    let layers: Vec<_> = (0..weights.config().num_hidden_layers).map(|layer| weights.layer(layer).unwrap()).collect();
    let mut see = |at: Location, tensor: &Matrix, _: &PromptBlock| {
        let Some(layer) = at.layer.map(|layer| &layers[layer]) else { return };
        let (matrix, gamma) = match at.site {
            Site::Query => (&layer.q, &layer.input_norm),
            Site::Key => (&layer.k, &layer.input_norm),
            Site::Value => (&layer.v, &layer.input_norm),
            Site::Gate => (&layer.gate, &layer.post_norm),
            Site::Up => (&layer.up, &layer.post_norm),
            _ => return,
        };
        let rows: Vec<Vec<f64>> = (0..matrix.rows())
            .map(|row| matrix.row(row).iter().zip(gamma).map(|(w, g)| f64::from(*w) * f64::from(*g)).collect())
            .collect();
        let largest: Vec<f64> = rows.iter().map(|row| row.iter().fold(0.0, |max: f64, w| max.max(w.abs()))).collect();
        let all = largest.iter().fold(0.0, |max: f64, &w| max.max(w));
        let value = |row: usize| tensor.row(row).iter().fold(0.0, |max: f64, &x| max.max(f64::from(x).abs()));
        let bound = (0..rows.len()).map(value).fold(0.0, f64::max);
        let reach = |row: usize| (matrix.cols() as f64).sqrt() * rows[row].iter().map(|w| w * w).sum::<f64>().sqrt();
        let fill =
            |of: &dyn Fn(usize) -> f64| (0..rows.len()).map(|row| all / largest[row] * of(row)).fold(0.0, f64::max);
        println!(
            "{at}: rows from {:.2e} of the largest weight; magnified values {:.2}, bounds {:.2} of the largest value",
            largest.iter().fold(f64::INFINITY, |min, &w| min.min(w)) / all,
            fill(&value) / bound,
            fill(&|row| reach(row).min(1.5 * bound)) / bound
        );
    };
    FloatModel::new(weights).observe(block, &mut see).unwrap();
}

#[test]
#[ignore = "needs scripts/fetch-smollm2, and minutes"]
fn quantisation_of_smollm2_kind_by_kind() {
    let source = repository().join(".cache/models/smollm2-135m");
    let weights = Weights::open(&source).unwrap_or_else(|error| panic!("{error}\nscripts/fetch-smollm2 fetches it"));
    let tokenizer = Tokenizer::open(&source.join("tokenizer.json"), weights.config()).unwrap();
    let read = |path: &str| std::fs::read_to_string(repository().join("experiments").join(path)).unwrap();
    let suite = tokenizer.encode_prompt(read("suites/smollm2-prompt.txt").trim_end(), Beginning::Prepend).unwrap();
    let held_out = tokenizer.encode(&read("models/tiny-llama/heldout.txt")).unwrap();
    let windows = held_out.chunks_exact(127).take(3).map(|text| [&suite[..1], text].concat());
    let blocks = [suite.clone()].into_iter().chain(windows);
    let blocks: Vec<_> = blocks.map(|tokens| PromptBlock::new(&[tokens], 128, weights.config()).unwrap()).collect();
    print_fill(&weights, &blocks[0]);

    let mut config: Value =
        serde_json::from_str(&std::fs::read_to_string(source.join("config.json")).unwrap()).unwrap();
    config["tie_word_embeddings"] = json!(false);
    let mut study = Study { config, blocks, reference: Vec::new() };
    study.reference = study.logits(&weights);
    for (basis, tensors) in [("stored", folded(&weights)), ("rotated", folded(&weights.rotated(Rotation::SEED)))] {
        study.show(&format!("{basis}, float"), &tensors);
        let choices =
            [(Scales::Tensor, "per tensor"), (Scales::Rows, "per row"), (Scales::RowsAndShares, "per row with shares")];
        for (scales, name) in choices {
            for bits in [11, 13, 15] {
                study.show(&format!("{basis}, {name}, {bits} bits"), &rounded(&tensors, &KINDS, scales, bits));
            }
            for kind in KINDS {
                study.show(&format!("{basis}, {name}, 13 bits, {kind} alone"), &rounded(&tensors, &[kind], scales, 13));
            }
        }
    }
    // Rotations leave nothing that a hundredth of the 13-bit weights would not.
    let [float, _] = study.agreement(&folded(&weights.rotated(Rotation::SEED)));
    assert!(float.kl_mean < 1e-8 && float.top1 == 1.0, "{float:?}");
}
