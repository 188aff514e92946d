//! Bootstrapping by a preset, through the driver that the library tests its presets with.

use crate::stopwatch::{time, time_once};
use poulpy_ckks::layouts::EvalModRing;
use poulpy_ckks::presets::bootstrapping::all;
use poulpy_ckks::test_suite::presets::{BootstrappingPresetRun, CIBackend, preset_for_backend};

type Engine = super::Engine;

pub(crate) fn measure(preset: &str, runs: usize) -> Result<(), String> {
    let presets = all().map_err(|error| error.to_string())?;
    let names: Vec<String> = presets.iter().map(|known| known.name().to_string()).collect();
    let Some(preset) = presets.into_iter().find(|known| known.name() == preset) else {
        return Err(format!("`{preset}` is no bootstrapping preset; known: {}", names.join(", ")));
    };
    let preset = preset_for_backend::<Engine, CIBackend<Engine>>(&preset)
        .map_err(|error| format!("{}: {error}", names.join(", ")))?;
    let scale = preset.log_delta();
    let levels = (preset.output_k() - preset.input_k()) / scale;
    let rotation_keys = preset.keys_layout().rotation_keys.len();
    // Keys, prepared matrices and a first bootstrap: the driver does not do them apart.
    let (mut run, set_up) = time_once(|| match preset.plan().eval_mod_ring() {
        EvalModRing::Standard => BootstrappingPresetRun::<Engine>::setup(preset.clone()),
        _ => BootstrappingPresetRun::<Engine>::setup_ci(preset.clone()),
    });
    let note = format!("\"keys, matrices and one bootstrap; {rotation_keys} rotation keys\"");
    set_up.report("bootstrap-keys", &[("note", note)]);
    let times = time(runs, || run.bootstrap());
    let (real, imaginary) = run.precision();
    let mean = real.avg_log2_prec.min(imaginary.avg_log2_prec);
    let worst = real.min_log2_prec.min(imaginary.min_log2_prec);
    times.report(
        "bootstrap-full",
        &[
            ("bits", format!("{{\"mean\":{mean:.2},\"worst\":{worst:.2}}}")),
            ("levels_left", levels.to_string()),
            ("level_bits", scale.to_string()),
            ("note", format!("\"complex slots; {rotation_keys} rotation keys\"")),
        ],
    );
    Ok(())
}
