//! Files that are either as they were or as they should be, never in between.

use crate::error::HarnessError;
use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everyone the user's umask allows.
    Shared,
    /// The owner only: seeds and anything derived from keys.
    Private,
}

/// How bytes reach a file. A trait so that a test can be a disk that fills up.
pub trait Disk: Sync {
    /// Writes all bytes and makes them durable.
    ///
    /// # Errors
    /// The system's reason.
    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()>;
}

/// The real disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsDisk;

impl Disk for OsDisk {
    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)?;
        file.sync_all()
    }
}

/// Replaces a file by new contents: a temporary file beside it, made durable, then renamed over it.
///
/// # Errors
/// [`HarnessError::DiskFull`] or [`HarnessError::Io`]; the old file is then unharmed and no temporary one is left.
pub fn replace(disk: &dyn Disk, path: &Path, bytes: &[u8], access: Access) -> Result<(), HarnessError> {
    let failed = |source| HarnessError::io("write", path, source);
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(|source| HarnessError::io("create", folder, source))?;
    let mode = match access {
        Access::Shared => 0o644,
        Access::Private => 0o600,
    };
    let mut file = tempfile::Builder::new()
        .prefix(&prefix(path))
        .suffix(SUFFIX)
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(folder)
        .map_err(failed)?;
    disk.write(file.as_file_mut(), bytes).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    // The rename itself must survive a power cut, which is the folder's business.
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

const SUFFIX: &str = ".tmp";

fn prefix(path: &Path) -> String {
    format!(".{}.", path.file_name().unwrap_or_default().to_string_lossy())
}

/// Deletes the temporary files of writers that were killed while they replaced a file. Only for a caller who keeps other
/// writers of that file out.
///
/// # Errors
/// [`HarnessError::Io`].
pub fn sweep(path: &Path) -> Result<(), HarnessError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    // No folder, no leftovers.
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(&prefix(path)) && name.ends_with(SUFFIX) {
            let leftover = entry.path();
            std::fs::remove_file(&leftover).map_err(|source| HarnessError::io("delete", &leftover, source))?;
        }
    }
    Ok(())
}
