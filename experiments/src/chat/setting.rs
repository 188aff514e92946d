//! Which model and circuit a conversation has: a cell of a spec, and what of it each side is told.

use std::path::{Path, PathBuf};

use crate::error::HarnessError;
use crate::spec::{Cell, Override, Suite};

/// A cell of an experiment. Its prompts play no part: what is typed never becomes part of a spec.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The experiment.
    pub spec: PathBuf,
    /// Which of its cells, from 0.
    pub cell: usize,
    /// Changed settings.
    pub overrides: Vec<Override>,
}

/// Settings of the client alone: what secrets are drawn from, and how tokens are chosen.
const OF_CLIENT: [&str; 3] = ["engine.seed", "generation.temperature", "generation.seed"];
const PROMPTS: &str = "input.prompts";

impl Setting {
    /// The cell, as the client reads it.
    ///
    /// # Errors
    /// What is wrong with the spec; [`HarnessError::NoSuchCell`].
    pub fn cell(&self, root: &Path) -> Result<Cell, HarnessError> {
        let mut overrides = self.overrides.clone();
        // A change of them could be of a conversation, and would end a sweep of the block that they lie in.
        overrides.retain(|change| change.key() != PROMPTS);
        let Suite { name: suite, mut cells } = Suite::load(&self.spec, &overrides, root)?;
        if self.cell >= cells.len() {
            return Err(HarnessError::NoSuchCell { cell: self.cell, suite, cells: cells.len() });
        }
        Ok(cells.swap_remove(self.cell))
    }

    /// The same for the server, which draws no secrets and chooses no tokens.
    ///
    /// # Errors
    /// As [`Setting::cell`].
    pub(super) fn cell_of_server(&self, root: &Path) -> Result<Cell, HarnessError> {
        let mut cell = self.cell(root)?;
        cell.config.engine.seed = None;
        if let Some(generation) = &mut cell.config.generation {
            (generation.temperature, generation.seed) = (None, None);
        }
        Ok(cell)
    }

    /// What the server's process is started with behind `serve`: all of this but the settings of the client.
    pub(super) fn arguments(&self) -> Vec<String> {
        let shared = |change: &&Override| !OF_CLIENT.contains(&change.key()) && change.key() != PROMPTS;
        let changes = self.overrides.iter().filter(shared).flat_map(|change| ["--set".into(), change.to_string()]);
        [self.spec.display().to_string(), "--cell".into(), self.cell.to_string()].into_iter().chain(changes).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Prompts that are changed change nothing, and answers of another length nothing else.
    #[test]
    fn the_committed_spec_is_one_cell_whatever_is_typed() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let overrides = ["generation.tokens=3", "input.prompts=[\"a secret\"]"];
        let overrides = overrides.iter().map(|text| Override::parse(text).unwrap()).collect();
        let setting = Setting { spec: "experiments/suites/chat.toml".into(), cell: 0, overrides };
        let cell = setting.cell(root).unwrap();
        assert_eq!((cell.config.input.block_tokens, cell.config.input.bos), (64, false));
        assert_eq!(cell.prompts, ["It was a bright cold day in"]);
        assert_eq!(cell.config.generation.unwrap().tokens, 3);
        let beyond = Setting { cell: 1, ..setting };
        assert!(matches!(beyond.cell(root), Err(HarnessError::NoSuchCell { cell: 1, cells: 1, .. })));
    }

    /// A seed that keys are made from and a seed that tokens are drawn with are on no command line of the server.
    #[test]
    fn the_server_is_not_told_what_is_the_clients() {
        let texts = [
            "engine.seed=7",
            "generation.temperature=0.5",
            "generation.seed=3",
            "input.prompts=[\"a secret\"]",
            "generation.tokens=4",
        ];
        let overrides = texts.iter().map(|text| Override::parse(text).unwrap()).collect();
        let setting = Setting { spec: "suite.toml".into(), cell: 1, overrides };
        assert_eq!(setting.arguments(), ["suite.toml", "--cell", "1", "--set", "generation.tokens=4"]);
    }
}
