//! Locks between processes that share a workspace, on one machine or on several.
//!
//! A lock is a file that the kernel locks for whoever has it open: it is free the moment its holder ends, however that happens. A file
//! system that machines share must carry such locks between them; NFS does, Lustre where it is mounted with `flock`.

use crate::error::HarnessError;
use crate::identity::Identity;
use crate::workspace::Workspace;
use std::fs::{DirBuilder, File, TryLockError};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// A lock, held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Waits until nobody else holds the lock of a name, and takes it.
    ///
    /// # Errors
    /// [`HarnessError::Io`].
    pub fn wait(workspace: &Workspace, name: &str) -> Result<Self, HarnessError> {
        let (path, file) = open(workspace, name)?;
        file.lock().map_err(|source| HarnessError::io("lock", &path, source))?;
        Ok(Self { _file: file })
    }

    /// Takes the lock of a name, unless another process, or another part of this one, holds it.
    ///
    /// # Errors
    /// [`HarnessError::Io`].
    pub fn try_take(workspace: &Workspace, name: &str) -> Result<Option<Self>, HarnessError> {
        let (path, file) = open(workspace, name)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(HarnessError::io("lock", &path, source)),
        }
    }
}

fn open(workspace: &Workspace, name: &str) -> Result<(PathBuf, File), HarnessError> {
    let path = workspace.runs().join(format!("{name}.lock"));
    let folder = path.parent().unwrap_or(Path::new("."));
    // Seeds will lie beside it.
    let created = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    created.map_err(|source| HarnessError::io("create", folder, source))?;
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|source| HarnessError::io("open", &path, source))?;
    Ok((path, file))
}

/// The lock of whoever is in charge of a cell: from before it looks for a record until the record is written.
pub fn of_claim(cell: &Identity) -> String {
    format!("claim-{cell}")
}

/// The lock of a cell's run folder. It lies beside the folder, so that deleting the folder cannot let two processes lock different files.
pub fn of_run_folder(cell: &Identity) -> String {
    cell.to_string()
}

/// The lock of whoever appends to a suite's journal.
pub fn of_journal(suite: &str) -> String {
    format!("journal-{suite}")
}

/// The lock of whoever derives tables or figures of a suite: the last one to do so has read all that others recorded.
pub fn of_derived(suite: &str) -> String {
    format!("derived-{suite}")
}
