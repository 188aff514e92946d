//! One question, three ways to run it: they count the same, and the answers agree as well as they should.

use crate::model;
use crate::stage::{Stage, stderr};
use experiments::record::{CLEAR_CIRCUIT, CellRecord, FLOAT};
use experiments::spec::Mode;
use fhe_ckks::OperationCounts;
use fhe_model::Site;
use std::sync::OnceLock;

/// Encrypted, clear and metered records of the same spec.
fn records() -> &'static [CellRecord; 3] {
    static RECORDS: OnceLock<[CellRecord; 3]> = OnceLock::new();
    RECORDS.get_or_init(|| {
        let stage = Stage::new();
        let first = stage.succeed(&["--mode", "metered"]);
        assert!(stderr(&first).contains("odd has no stored ranges: calibrating it on calibration.txt in float first"));
        assert!(stage.path().join("odd/ranges.toml").is_file());
        let second = stage.succeed(&["--mode", "clear"]);
        assert!(!stderr(&second).contains("calibrating"), "ranges are measured once");
        stage.succeed(&[]);
        assert!(stage.run_folders().is_empty());
        [Mode::Encrypted, Mode::Clear, Mode::Metered].map(|mode| stage.record(mode))
    })
}

/// Metering predicts without data, the clear circuit counts what it was told bootstraps cost, the encrypted run counts
/// what it did. The decoder may do without complex slots; a block is no single token, and attention slot by slot has no lanes.
#[test]
fn all_modes_count_the_same_operations() {
    let [encrypted, clear, metered] = records();
    for (name, _) in OperationCounts::default().entries() {
        let count = |record: &CellRecord| record.counts.get(name).copied();
        let of_complex_slots = ["conjugations", "packing_conversions"].contains(&name);
        let of_one_token = name.starts_with("vector_");
        let of_lanes = name.starts_with("lane_") || name == "slots_to_lanes";
        let unused = of_complex_slots || of_one_token || of_lanes;
        assert!(count(encrypted).is_some_and(|count| count > 0 || unused), "{name}: nothing was counted");
        assert_eq!(count(clear), count(encrypted), "{name}, clear");
        assert_eq!(count(metered), count(encrypted), "{name}, metered");
    }
    assert_eq!((&clear.polynomials, &metered.polynomials), (&encrypted.polynomials, &encrypted.polynomials));
}

/// The other ways to divide count alike as well, in the sparse bootstraps of their sums too, and agree with float. Iterations carry scores that
/// differ little.
#[test]
fn all_modes_count_the_same_operations_of_every_softmax() {
    let config = model::config();
    let mut tame = model::tensors(&config);
    for (_, (_, numbers)) in tame.iter_mut().filter(|(name, _)| name.contains("q_proj")) {
        numbers.iter_mut().for_each(|number| *number *= 0.5);
    }
    for variant in ["exp-slim-inverse", "exp-goldschmidt"] {
        let stage = Stage::new();
        model::write(&stage.path().join("odd"), &config, &tame);
        let choice = format!("softmax.variant={variant}");
        for mode in ["metered", "clear", "encrypted"] {
            stage.succeed(&["--set", &choice, "--mode", mode]);
        }
        let [encrypted, clear, metered] = [Mode::Encrypted, Mode::Clear, Mode::Metered].map(|mode| stage.record(mode));
        for (name, _) in OperationCounts::default().entries() {
            let count = |record: &CellRecord| record.counts.get(name).copied();
            assert_eq!(count(&clear), count(&encrypted), "{variant}: {name}, clear");
            assert_eq!(count(&metered), count(&encrypted), "{variant}: {name}, metered");
        }
        assert_eq!(metered.footprint.key_bytes, encrypted.footprint.key_bytes);
        for record in [&encrypted, &clear] {
            let float = record.agreement_with(FLOAT).unwrap();
            assert_eq!(float.top1, float.positions, "{variant}, {}", record.mode);
            assert!(float.kl_mean <= 1.6e-6, "{variant}, {}: {}", record.mode, float.kl_mean);
        }
    }
}

#[test]
fn metering_predicts_every_kernel_and_every_key() {
    let [encrypted, _, metered] = records();
    assert_eq!(metered.kernels, encrypted.kernels);
    assert_eq!(metered.counts["key_switches"], encrypted.counts["key_switches"]);
    assert_eq!(metered.kernels["gadget_products"], metered.counts["key_switches"]);
    assert_eq!(metered.footprint.key_bytes, encrypted.footprint.key_bytes);
    assert!(metered.footprint.key_bytes > 0);
    assert!(metered.predicted.is_some() && metered.predicted == encrypted.predicted);
}

/// 13-bit weights are off by 2^-12.8 of their root mean square, polynomials by 1e-6. Two layers make 2^-11 of it in logits
/// whose rms is 1, or a divergence of half its square: 1e-7. Allowed: an error four times larger.
#[test]
fn an_unseen_model_agrees_with_its_float_twin() {
    for record in &records()[..2] {
        let float = record.agreement_with(FLOAT).unwrap();
        assert_eq!(float.positions, record.input.live_tokens);
        assert_eq!(float.by_position.len(), float.positions);
        assert_eq!(float.top1, float.positions, "{}", record.mode);
        assert!(float.kl_mean <= 1.6e-6, "{}: {}", record.mode, float.kl_mean);
        assert!(float.top5_logit_error_max <= 0.01, "{}: {}", record.mode, float.top5_logit_error_max);
        assert!(record.prompts.iter().all(|prompt| prompt.next == prompt.next_float));
    }
}

/// Half bootstraps promise 2^-20 of a tensor's range, quantisation and polynomials leave 2^-11: encryption must not show.
#[test]
fn encryption_adds_little_to_the_clear_circuit() {
    let [encrypted, clear, _] = records();
    let added = encrypted.agreement_with(CLEAR_CIRCUIT).unwrap();
    let circuit = clear.agreement_with(FLOAT).unwrap();
    assert_eq!(added.top1, added.positions);
    assert!(added.kl_mean <= 0.02 * circuit.kl_mean, "{} beside {}", added.kl_mean, circuit.kl_mean);
    let (added, circuit) = (added.top5_logit_error_max, circuit.top5_logit_error_max);
    assert!(added <= 0.2 * circuit, "{added} beside {circuit}");
}

/// What noise adds to the clear circuit is predicted for every tensor that passes by, without encrypting anything: one and a half bits
/// are allowed, and a tensor in which little is left of it has too few numbers for less.
#[test]
fn modelled_noise_is_what_encryption_adds() {
    let stage = Stage::new();
    stage.succeed(&["--mode", "clear", "--set", "engine.noise=modelled"]);
    let modelled = stage.record(Mode::Clear);
    let [encrypted, ..] = records();
    let added = |record: &CellRecord| -> Vec<(Option<usize>, String, f64)> {
        let errors = record.layer_errors.iter().filter(|error| error.against == CLEAR_CIRCUIT);
        errors.map(|error| (error.layer, error.site.clone(), error.mean_error_bits)).collect()
    };
    let (predicted, found) = (added(&modelled), added(encrypted));
    assert_eq!(predicted.len(), found.len());
    assert!(found.len() > 20);
    for ((layer, site, predicted), (found_layer, found_site, found)) in predicted.into_iter().zip(found) {
        assert_eq!((layer, &site), (found_layer, &found_site));
        assert!(
            (predicted - found).abs() < 1.5,
            "layer {layer:?}, {site}: 2^{predicted:.2} predicted, 2^{found:.2} found"
        );
    }
    assert!(modelled.agreement_with(CLEAR_CIRCUIT).is_some());
}

#[test]
fn every_site_is_compared_with_both_references() {
    let [encrypted, clear, _] = records();
    let passed = |against: &str| -> Vec<f64> {
        let errors = encrypted.layer_errors.iter().filter(|error| error.against == against);
        errors.filter_map(|error| error.layers_passed()).collect()
    };
    for against in [FLOAT, CLEAR_CIRCUIT] {
        assert_eq!(passed(against), [0.5, 1.0, 1.5, 2.0], "{against}");
        assert!(encrypted.layer_errors.iter().any(|error| error.against == against && error.is_at(Site::Logits)));
    }
    assert_eq!(clear.layer_errors.len(), 2 * 15 + 2);
    for error in encrypted.layer_errors.iter().chain(&clear.layer_errors) {
        assert!(error.max_abs.is_finite() && error.mean_error_bits < -6.0, "{error:?}");
    }
}

/// Rotated weights at a scale for every row are other numbers wherever one looks, and the same model: what it is compared with are the logits of
/// the stored weights.
#[test]
fn a_rotated_model_at_scales_per_row_agrees_with_the_stored_one() {
    let stage = Stage::new();
    for mode in ["metered", "clear", "encrypted"] {
        let choices = ["--set", "mitigation.rotate=true", "--set", "engine.weight_scales=per-row"];
        stage.succeed(&[&choices[..], &["--mode", mode]].concat());
    }
    assert!(stage.path().join("odd/ranges-rotated.toml").is_file() && !stage.path().join("odd/ranges.toml").exists());
    let [encrypted, clear, metered] = [Mode::Encrypted, Mode::Clear, Mode::Metered].map(|mode| stage.record(mode));
    for (name, _) in OperationCounts::default().entries() {
        let count = |record: &CellRecord| record.counts.get(name).copied();
        assert_eq!(count(&clear), count(&encrypted), "{name}, clear");
        assert_eq!(count(&metered), count(&encrypted), "{name}, metered");
    }
    assert_eq!(metered.footprint.key_bytes, encrypted.footprint.key_bytes);
    for record in [&encrypted, &clear] {
        let float = record.agreement_with(FLOAT).unwrap();
        assert_eq!(float.top1, float.positions, "{}", record.mode);
        assert!(float.kl_mean <= 1.6e-6, "{}: {}", record.mode, float.kl_mean);
        for error in &record.layer_errors {
            assert!(error.max_abs.is_finite() && error.mean_error_bits < -6.0, "{error:?}");
        }
    }
}
