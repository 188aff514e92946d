//! The same run on another device: the client is the same, and so is every word that it decrypts.

use std::collections::BTreeMap;

use crate::stage::{Stage, stderr};
use experiments::record::CellRecord;

/// Run by `scripts/cuda-emulator-test`, on a GPU that is a program; on a machine with a real one it runs as well.
#[test]
#[ignore = "needs a GPU, which scripts/cuda-emulator-test emulates"]
fn a_gpu_computes_what_the_cpu_does() {
    // Attention slot by slot, and over lanes on the ring that has some.
    let lanes = ["--set", "engine.parameters=n13-toy", "--set", "attention.products=lanes"];
    for settings in [&[][..], &lanes] {
        let stage = Stage::new();
        stage.succeed(settings);
        stage.succeed(&[settings, &["--set", "engine.device=cuda"]].concat());
        let [cpu, gpu]: [CellRecord; 2] = stage.records().try_into().unwrap();
        assert_eq!(cpu.provenance.machine.gpu, None);
        let name = gpu.provenance.machine.gpu.as_deref().unwrap_or_default();
        assert!(!name.is_empty() && gpu.provenance.machine.class().ends_with(name), "{name}");
        // Secrets and randomness follow from the seed. What is decrypted after every step and at the end, 64-bit floats, would differ in
        // some last digit if any word of any ciphertext did.
        assert!(cpu.layer_errors.len() > 20);
        assert_eq!(gpu.layer_errors, cpu.layer_errors);
        assert_eq!((&gpu.agreement, &gpu.prompts), (&cpu.agreement, &cpu.prompts));
        assert_eq!((&gpu.counts, gpu.footprint.key_bytes), (&cpu.counts, cpu.footprint.key_bytes));
        // What the client encrypts arrives on the server's device, which counts it.
        let arrived = gpu.kernels["uploaded_bytes"] - cpu.kernels["uploaded_bytes"];
        assert!(arrived > 0 && gpu.kernels["polynomial_bytes"] - cpu.kernels["polynomial_bytes"] == arrived);
        assert_eq!(without_arrivals(&gpu), without_arrivals(&cpu));
        assert!(gpu.footprint.device_memory_bytes > gpu.footprint.key_bytes);
        assert_eq!(cpu.footprint.device_memory_bytes, 0);
    }
}

/// Keys are on both, and ciphertexts are dealt out.
#[test]
#[ignore = "needs the emulated GPUs of scripts/cuda-emulator-test, of which there are as many as a test asks for"]
fn two_gpus_compute_what_the_cpu_does() {
    let stage = Stage::new();
    for device in ["engine.device=cpu", "engine.device=cuda:0,1"] {
        let output = stage.command(&["--set", device]).env("CUDA_EMULATOR_DEVICES", "2").output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
    }
    let [cpu, two]: [CellRecord; 2] = stage.records().try_into().unwrap();
    assert!(two.provenance.machine.gpu.as_ref().unwrap().contains(" + "), "the names of two");
    assert!(cpu.layer_errors.len() > 20);
    assert_eq!(two.layer_errors, cpu.layer_errors);
    assert_eq!((&two.agreement, &two.prompts), (&cpu.agreement, &cpu.prompts));
    let mut counts = two.counts.clone();
    let moved = ["peer_copies", "peer_bytes"].map(|name| counts.remove(name).unwrap());
    assert_eq!(counts, cpu.counts);
    assert!(moved[0] > 100 && moved[1] > two.footprint.key_bytes / 2, "{moved:?}");
    // Batches are of one GPU's ciphertexts, and each reads keys and factors for itself; what meets weights is split and transformed on both.
    const ON_BOTH: [&str; 5] = ["key_bytes", "plaintext_bytes", "butterflies", "copied_words", "polynomial_bytes"];
    let (found, expected) = (without_arrivals(&two), without_arrivals(&cpu));
    for (name, &count) in &expected {
        let found = found[name];
        let on_both = ON_BOTH.contains(&name.as_str());
        assert!(if on_both { found > count } else { found == count }, "{name}: {found}, {count}");
    }
}

/// What the run needs is known before the first key is made.
#[test]
#[ignore = "needs the emulated GPU of scripts/cuda-emulator-test, which has as much memory as a test gives it"]
fn rejects_a_gpu_with_too_little_memory() {
    let stage = Stage::new();
    let mut command = stage.command(&["--set", "engine.device=cuda"]);
    let output = command.env("CUDA_EMULATOR_MEMORY", "60000000").output().unwrap();
    let message = stderr(&output);
    assert!(!output.status.success() && message.contains("engine.device = cuda: memory: "), "{message}");
    assert!(message.contains("of the device's 60000000 are available"), "{message}");
    assert!(!message.contains("keys:"), "{message}");
}

fn without_arrivals(record: &CellRecord) -> BTreeMap<String, u64> {
    let mut kernels = record.kernels.clone();
    kernels.retain(|name, _| name != "uploaded_bytes" && name != "polynomial_bytes");
    kernels
}
