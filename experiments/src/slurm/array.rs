//! One job array: its batch script, and how it is submitted.

use super::Resources;
use crate::command_line::word;
use crate::error::HarnessError;
use crate::identity::ResolvedCell;
use crate::workspace::Workspace;
use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where tasks write what `run` says, under the run folders.
const LOGS: &str = "slurm";

/// Tasks that ask for the same, each for a cell of one suite.
#[derive(Clone, Debug)]
pub struct JobArray {
    suite: String,
    question: String,
    cells: Vec<usize>,
    resources: Resources,
    options: Vec<String>,
    root: PathBuf,
    logs: PathBuf,
    /// What a task runs, but for its cell.
    command: Vec<String>,
}

impl JobArray {
    pub(super) fn new(
        workspace: &Workspace,
        cells: &[&ResolvedCell],
        resources: Resources,
        options: &[String],
        command: &[String],
    ) -> Self {
        let first = cells.first().map(|cell| &cell.cell);
        Self {
            suite: first.map(|cell| cell.suite.clone()).unwrap_or_default(),
            question: first.map(|cell| cell.question.clone()).unwrap_or_default(),
            cells: cells.iter().map(|cell| cell.cell.index).collect(),
            resources,
            options: options.to_vec(),
            root: workspace.root().to_path_buf(),
            logs: workspace.runs().join(LOGS),
            command: command.to_vec(),
        }
    }

    /// The batch script.
    pub fn script(&self) -> String {
        let named = [
            format!("--job-name=fhe-llama-{}", self.suite),
            format!("--array={}", ranges(&self.cells)),
            format!("--chdir={}", quoted(&self.root)),
            format!("--output={}", quoted(&self.logs.join("%A_%a.log"))),
            // A task whose node dies starts again, and goes on in the same log.
            "--open-mode=append".into(),
            "--requeue".into(),
            "--ntasks=1".into(),
        ];
        let options = named.into_iter().chain(self.resources.options()).chain(self.options.iter().cloned());
        let options: String = options.map(|option| format!("#SBATCH {option}\n")).collect();
        let command = self.command.iter().map(|part| word(part)).collect::<Vec<_>>().join(" ");
        let question = self.question.replace('\n', " ");
        format!(
            "#!/bin/sh\n# {}: {question}\n# Made by `fhe-llama submit --slurm`: one task a cell.\n{options}\n\
             exec {command} --cell \"$SLURM_ARRAY_TASK_ID\"\n",
            self.suite
        )
    }

    /// Hands the script to sbatch and returns the job's number.
    ///
    /// # Errors
    /// [`HarnessError::NotSubmitted`] with what sbatch said; [`HarnessError::Io`].
    pub fn submit(&self, workspace: &Workspace) -> Result<String, HarnessError> {
        let refused = |problem: String| HarnessError::NotSubmitted { problem };
        let logs = workspace.runs().join(LOGS);
        std::fs::create_dir_all(&logs).map_err(|source| HarnessError::io("create", &logs, source))?;
        let mut sbatch = Command::new("sbatch")
            .arg("--parsable")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| {
                refused(format!("it cannot be started ({error}); a machine with Slurm's commands is required"))
            })?;
        if let Some(mut stdin) = sbatch.stdin.take() {
            // A sbatch that does not read on says why on its own.
            let _ = stdin.write_all(self.script().as_bytes());
        }
        let output = sbatch.wait_with_output().map_err(|error| refused(error.to_string()))?;
        if !output.status.success() {
            return Err(refused(String::from_utf8_lossy(&output.stderr).trim().to_string()));
        }
        // With several clusters, the number is followed by the cluster's name.
        let said = String::from_utf8_lossy(&output.stdout);
        Ok(said.trim().split(';').next().unwrap_or_default().to_string())
    }

    /// The files that the tasks of a job write to.
    pub fn logs(&self, job: &str) -> String {
        let logs = self.logs.strip_prefix(&self.root).unwrap_or(&self.logs);
        logs.join(format!("{job}_*.log")).display().to_string()
    }
}

impl fmt::Display for JobArray {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.cells.len() == 1 { "" } else { "s" };
        write!(f, "cell{plural} {} of {}, {} each", ranges(&self.cells), self.suite, self.resources)
    }
}

/// A path as sbatch reads it.
fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display())
}

/// `0-2,5`: neighbours together.
fn ranges(cells: &[usize]) -> String {
    let runs = cells.chunk_by(|left, right| left + 1 == *right).map(|run| match run {
        [first, .., last] => format!("{first}-{last}"),
        [only] => only.to_string(),
        [] => String::new(),
    });
    runs.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::ranges;

    #[test]
    fn neighbours_are_named_together() {
        assert_eq!(ranges(&[0, 1, 2, 5, 7, 8]), "0-2,5,7-8");
        assert_eq!(ranges(&[3]), "3");
    }
}
