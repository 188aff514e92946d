//! SoftMax alone, head by head: every head that is tried counts, whatever becomes of it.

use crate::stage::{Stage, stderr};
use experiments::record::{CellRecord, SoftmaxOfHeads};
use experiments::spec::Mode;
use fhe_model::calibration::{Corpus, Margins, WindowPlan, calibrate};
use fhe_model::{FloatModel, Tokenizer, Weights};

const ALONE: [&str; 4] = ["--set", "circuit=softmax", "--set", "attention.products=lanes"];
/// Layers times query heads of the stage's model.
const HEADS: usize = 16;

fn of_heads(record: &CellRecord) -> &SoftmaxOfHeads {
    let softmax = record.softmax.as_ref().unwrap();
    assert_eq!(softmax.by_head.len(), softmax.heads);
    let refused: usize = softmax.refusals.values().sum();
    assert_eq!(softmax.ran + refused, softmax.heads, "{:?}", softmax.refusals);
    assert_eq!(softmax.by_head.iter().filter(|head| head.refusal.is_some()).count(), refused);
    let within = softmax.by_head.iter().filter(|head| head.error_max.is_some_and(|error| error <= softmax.error_bound));
    assert_eq!(within.count(), softmax.covered);
    softmax
}

/// A sweep of variants with what belongs to each, in the clear: the same probabilities for different prices.
#[test]
fn every_variant_covers_the_heads_of_a_tame_model() {
    let stage = Stage::new();
    let spec = std::fs::read_to_string(stage.path().join("toy.toml")).unwrap();
    let variants = r#"softmax = [
        { variant = "normalize-and-square", rounds = 2 }, { variant = "exp-inverse" }, { variant = "exp-slim-inverse" },
        { variant = "exp-goldschmidt" },
    ]"#;
    std::fs::write(stage.path().join("toy.toml"), format!("{spec}\n[sweep.product]\n{variants}\n")).unwrap();
    stage.succeed(&[&ALONE[..], &["--mode", "clear"]].concat());
    let records = stage.records();
    assert_eq!(records.len(), 4);
    for record in &records {
        let softmax = of_heads(record);
        let variant = &record.config["softmax.variant"];
        assert_eq!((softmax.heads, softmax.covered), (HEADS, HEADS), "{variant}: {:?}", softmax.refusals);
        assert!(softmax.error_max.unwrap() <= 1e-4, "{variant}: {:?}", softmax.error_max);
        assert!(softmax.seconds.is_none() && !softmax.predicted.is_empty());
        assert!(record.agreement.is_empty() && record.layer_errors.is_empty());
        let rounds = record.config.get("softmax.rounds").map_or(1.0, |rounds| rounds.as_f64().unwrap());
        assert_eq!(softmax.half_bootstraps, rounds, "{variant}");
    }
    let products: Vec<f64> = records.iter().map(|record| of_heads(record).products_per_ciphertext).collect();
    assert!(products.iter().all(|products| *products > 1.0));
    let page = std::fs::read_to_string(stage.path().join("results/toy/toy.md")).unwrap();
    assert!(page.contains("SoftMax of single heads") && page.contains("16 (100.0 %)"), "{page}");
    let heads = std::fs::read_to_string(stage.path().join("results/toy/toy-heads.csv")).unwrap();
    assert_eq!(heads.lines().count(), 1 + 4 * HEADS);
    assert!(!stage.path().join("figures/toy.svg").exists());
}

/// The scheme on a sample, beside the clear circuit with the noise that is modelled for it.
#[test]
fn a_sample_under_encryption_is_as_far_off_as_modelled() {
    let stage = Stage::new();
    for variant in ["exp-slim-inverse", "exp-goldschmidt"] {
        let choice = format!("softmax.variant={variant}");
        let sample = [&ALONE[..], &["--set", &choice, "--set", "softmax.heads=3", "--set", "softmax.error_bound=0.02"]];
        let sample = sample.concat();
        stage.succeed(&sample);
        stage.succeed(&[&sample[..], &["--mode", "clear", "--set", "engine.noise=modelled"]].concat());
        let records = stage.records();
        let of = |mode: Mode| {
            let found = records.iter().rev().find(|record| record.mode == mode).unwrap();
            assert_eq!(found.config["softmax.variant"], variant);
            (found, of_heads(found))
        };
        let ((encrypted, found), (_, modelled)) = (of(Mode::Encrypted), of(Mode::Clear));
        assert_eq!((found.heads, found.covered, found.heads_of_model), (3, 3, HEADS), "{variant}");
        assert!(found.seconds.unwrap() > 0.0);
        // Costs are those of the same circuit; the run's own counts hold what is inside of its bootstraps.
        assert_eq!(found.products_per_ciphertext, modelled.products_per_ciphertext);
        assert_eq!((found.levels, found.crossing_levels), (modelled.levels, modelled.crossing_levels));
        let bootstraps = encrypted.counts["half_bootstraps"];
        assert_eq!(bootstraps, 3 * (found.ciphertexts as u64 + 1));
        let bits = |softmax: &SoftmaxOfHeads| softmax.error_mean.unwrap().log2();
        assert!((bits(found) - bits(modelled)).abs() < 1.5, "{variant}: {} beside {}", bits(found), bits(modelled));
    }
}

/// Ranges of a small text, without margins, hold for hardly any other: those heads are counted, not left out.
#[test]
fn heads_outside_their_windows_are_refused_and_counted() {
    let stage = Stage::new();
    let folder = stage.path().join("odd");
    let weights = Weights::open(&folder).unwrap();
    let tokenizer = Tokenizer::open(&folder.join("tokenizer.json"), weights.config()).unwrap();
    let corpus = Corpus::from_text(&"The old captain looked at the sea. ".repeat(20), &tokenizer).unwrap();
    let plan = WindowPlan { windows: 4, block: 16, ..WindowPlan::default() };
    let ranges = calibrate(&FloatModel::new(&weights), &corpus, &plan, Margins::NONE, |_, _| {}).unwrap();
    ranges.save(&folder.join("ranges.toml")).unwrap();
    stage.succeed(&[&ALONE[..], &["--mode", "clear"]].concat());
    let record = stage.record(Mode::Clear);
    let softmax = of_heads(&record);
    assert_eq!(softmax.heads, HEADS);
    assert!(softmax.ran < HEADS, "{softmax:?}");
    assert!(softmax.refusals.keys().any(|reason| reason.contains("outside of the calibrated window")), "{softmax:?}");
}

#[test]
fn rejects_what_softmax_alone_does_not_do() {
    let stage = Stage::new();
    let refused = |arguments: &[&str], part: &str| {
        let output = stage.run(arguments);
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains(part), "{}", stderr(&output));
    };
    refused(&[&ALONE[..], &["--mode", "metered"]].concat(), "`mode` is `metered`");
    refused(&ALONE[..2], "set attention.products = \"lanes\"");
    refused(&["--set", "softmax.heads=2"], "`softmax.heads` is given");
    let long = "input.prompts=[\"Of all the sciences of all the sciences of all the sciences of all the sciences\"]";
    refused(&[&ALONE[..], &["--set", long]].concat(), "the model has 24 positions");
    assert!(!stage.path().join("results").exists());
}
