//! Reading prompts: one a line from a file, or the spec's own list.

use super::PromptSource;
use crate::error::HarnessError;
use std::path::Path;

/// The prompts of a cell, in order, none of them empty.
pub(super) fn read(source: &PromptSource, root: &Path, file: &str) -> Result<Vec<String>, HarnessError> {
    let (prompts, place): (Vec<String>, Box<dyn Fn(usize) -> String>) = match source {
        PromptSource::Inline(prompts) => {
            let file = file.to_string();
            (prompts.clone(), Box::new(move |index| format!("{file}: input.prompts[{index}]")))
        }
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
            let path = path.display().to_string();
            (text.lines().map(str::to_string).collect(), Box::new(move |index| format!("{path}:{}", index + 1)))
        }
    };
    if prompts.is_empty() {
        return Err(HarnessError::EmptyPrompt { place: place(0) });
    }
    match prompts.iter().position(|prompt| prompt.trim().is_empty()) {
        Some(index) => Err(HarnessError::EmptyPrompt { place: place(index) }),
        None => Ok(prompts),
    }
}
