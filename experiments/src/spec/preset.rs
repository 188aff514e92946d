//! Models by name: folders of known content that a script of this repository fills.

use super::{ModelSection, keys};
use crate::error::HarnessError;
use std::path::Path;

/// A model that a spec names by `model.preset` instead of `model.path`.
struct Preset {
    name: &'static str,
    /// Relative to the repository root, as `model.path` is.
    folder: &'static str,
    /// What must be there before anything runs.
    files: &'static [&'static str],
    /// The command that makes what is not committed.
    fetch: &'static str,
    /// The public prefix that suits it; absent: its beginning-of-sequence token.
    public_prefix: Option<&'static str>,
    /// A committed folder with the model's `config.json` and assumed ranges, enough to meter it, if there is one.
    shape: Option<&'static str>,
}

const PRESETS: [Preset; 3] = [
    Preset {
        name: "smollm2-135m",
        folder: ".cache/models/smollm2-135m",
        files: &["config.json", "tokenizer.json", "model.safetensors"],
        fetch: "scripts/fetch-smollm2",
        // What stood between the texts of its training; `bos_token_id` begins a turn of a chat.
        public_prefix: Some("<|endoftext|>"),
        shape: Some("experiments/models/smollm2-135m"),
    },
    // One layer of that shape whose weights are synthetic; its beginning of sequence draws attention as trained ones do.
    Preset {
        name: "llama3-8b-layer",
        folder: ".cache/models/llama3-8b-layer",
        files: &["config.json", "tokenizer.json", "model.safetensors"],
        fetch: "scripts/synthesise-llama3-layer",
        public_prefix: None,
        shape: None,
    },
    // Its weights come with a licence that each user accepts alone; a circuit is metered without them.
    Preset {
        name: "llama-3-8b",
        folder: "experiments/models/llama-3-8b",
        files: &["config.json", "tokenizer.json"],
        fetch: "scripts/fetch-llama3-tokenizer",
        public_prefix: None,
        shape: Some("experiments/models/llama-3-8b"),
    },
];

/// The other of the two keys that name a model: an override of one replaces both.
pub(super) fn alternative(key: &str) -> Option<&'static str> {
    match key {
        "model.path" => Some("model.preset"),
        "model.preset" => Some("model.path"),
        _ => None,
    }
}

/// Whether a preset resolves to this folder, with its weights or as a shape.
pub(super) fn lies_in(name: &str, folder: &Path) -> bool {
    let mut named = PRESETS.iter().filter(|preset| preset.name == name);
    named.any(|preset| {
        Path::new(preset.folder) == folder || preset.shape.is_some_and(|shape| Path::new(shape) == folder)
    })
}

/// The public prefix that suits the model in a folder, if it is one of these.
pub(super) fn public_prefix(folder: &Path) -> Option<&'static str> {
    PRESETS.iter().find(|preset| Path::new(preset.folder) == folder)?.public_prefix
}

/// The section with `path` in place of `preset`, so that a model has one identity however it is named. Where only its shape is asked for,
/// nothing has to be fetched.
pub(super) fn resolve(
    model: ModelSection,
    shape_alone: bool,
    file: &str,
    root: &Path,
) -> Result<ModelSection, HarnessError> {
    let names: Vec<&str> = PRESETS.iter().map(|preset| preset.name).collect();
    let refuse =
        |key: &str, problem: String| Err(HarnessError::InvalidValue { origin: file.into(), key: key.into(), problem });
    let has_path = !model.path.as_os_str().is_empty();
    let Some(name) = &model.preset else {
        let problem =
            || format!("is missing: name a folder, or one of the models {} by model.preset", names.join(", "));
        return if has_path { Ok(model) } else { refuse("model.path", problem()) };
    };
    if has_path {
        return refuse("model.preset", format!("is `{name}` beside model.path = `{}`; name one", model.path.display()));
    }
    let Some(preset) = PRESETS.iter().find(|preset| preset.name == name) else {
        return Err(HarnessError::UnknownName {
            kind: "model preset",
            name: name.clone(),
            nearest: keys::nearest(name, names.iter().copied()).map(str::to_owned),
            known: names.into_iter().map(str::to_owned).collect(),
        });
    };
    if let Some(shape) = preset.shape.filter(|_| shape_alone) {
        return Ok(ModelSection { path: shape.into(), preset: None, ..model });
    }
    let folder = Path::new(preset.folder);
    match preset.files.iter().map(|file| folder.join(file)).find(|path| !root.join(path).is_file()) {
        Some(missing) => Err(HarnessError::ModelNotFetched {
            preset: preset.name,
            missing,
            directory: root.into(),
            command: preset.fetch,
        }),
        None => Ok(ModelSection { path: folder.into(), preset: None, ..model }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_committed_files_exist() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for preset in &PRESETS {
            assert!(root.join(preset.fetch).is_file(), "{} is fetched by a script that is not there", preset.name);
        }
        for file in ["config.json", "assumed-ranges.toml"] {
            let mut shapes = PRESETS.iter().filter_map(|preset| preset.shape);
            assert!(shapes.all(|shape| root.join(shape).join(file).is_file()), "{file}");
        }
    }
}
