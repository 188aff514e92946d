//! Reading prompts: one a line from a file, or the spec's own list.

use super::PromptSource;
use crate::error::HarnessError;
use std::path::Path;

/// The prompts of a cell, in order, none of them empty.
pub(super) fn read(source: &PromptSource, root: &Path, spec: &str) -> Result<Vec<String>, HarnessError> {
    let (prompts, origin) = match source {
        PromptSource::Inline(prompts) => (prompts.clone(), format!("{spec}: ")),
        PromptSource::File(path) => {
            let full = root.join(path);
            if !full.is_file() {
                return Err(HarnessError::InputNotFound {
                    key: "input.prompts".into(),
                    path: path.clone(),
                    directory: root.into(),
                });
            }
            let text = std::fs::read_to_string(&full).map_err(|source| HarnessError::io("read", &full, source))?;
            (text.lines().map(str::to_string).collect(), String::new())
        }
    };
    if prompts.is_empty() {
        let problem = "holds no prompt, at least one is required".into();
        return Err(HarnessError::InvalidValue { origin: spec.into(), key: "input.prompts".into(), problem });
    }
    match prompts.iter().position(|prompt| prompt.trim().is_empty()) {
        Some(index) => Err(HarnessError::EmptyPrompt { place: format!("{origin}{}", source.place(index)) }),
        None => Ok(prompts),
    }
}
