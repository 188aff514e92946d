//! `fhe-llama submit --slurm`: suites as Slurm job arrays, one task for each cell that is neither recorded nor being run.
//!
//! Slurm decides when and where a task runs; what it runs is `fhe-llama run SPEC --cell N` in the workspace, which all nodes must see under
//! the same path. Everything else is as on one machine: a task claims its cell, a killed one is queued again and resumes after its last
//! finished layer, and each derives tables and figures behind its record. Cells that ask for the same [`Resources`] are one array.

mod array;
mod resources;

pub use array::JobArray;
pub use resources::Resources;

use crate::error::HarnessError;
use crate::runner::{Intent, PlannedCell, RunRequest, plan_elsewhere};
use crate::workspace::Workspace;
use std::collections::BTreeMap;
use std::path::Path;

/// The arrays that a request needs, spec by spec; none of a spec whose cells all have their records. `options` are further ones of sbatch.
///
/// # Errors
/// What is wrong with a spec, and [`HarnessError::InvalidValue`] for what is no option.
pub fn arrays(workspace: &Workspace, request: &RunRequest, options: &[String]) -> Result<Vec<JobArray>, HarnessError> {
    if let Some(option) = options.iter().find(|option| !option.starts_with("--") || option.contains('\n')) {
        let problem = format!("is `{option}`, one long option of sbatch is required, such as --partition=long");
        return Err(HarnessError::InvalidValue { origin: "submit".into(), key: "--sbatch".into(), problem });
    }
    let program = std::env::current_exe()
        .map_err(|source| HarnessError::io("find this program's file", Path::new("fhe-llama"), source))?;
    let mut arrays = Vec::new();
    for spec in &request.specs {
        let planned = plan_elsewhere(workspace, &RunRequest { specs: vec![spec.clone()], ..request.clone() })?;
        let mut alike: BTreeMap<Resources, Vec<_>> = BTreeMap::new();
        for cell in planned.iter().filter(|cell| matches!(cell.intent, Intent::Run | Intent::Resume)) {
            alike.entry(Resources::of(cell)).or_default().push(&cell.cell);
        }
        let threads = |cell: &PlannedCell| cell.cell.cell.config.threads();
        let mut command = vec![program.display().to_string(), "run".into(), spec.display().to_string()];
        command.extend(request.overrides.iter().flat_map(|change| ["--set".into(), change.to_string()]));
        // One thread a core is what a spec leaves out, and the cores of a node are not those that a task is given. Cells that differ
        // in their threads state them.
        if let Some(first) = planned.first().filter(|first| planned.iter().all(|cell| threads(cell) == threads(first)))
        {
            command.extend(["--set".into(), format!("engine.threads={}", threads(first))]);
        }
        command.extend(request.force.then(|| "--force".to_string()));
        for (resources, cells) in alike {
            arrays.push(JobArray::new(workspace, &cells, resources, options, &command));
        }
    }
    Ok(arrays)
}
