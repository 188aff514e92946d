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
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut file = tempfile::Builder::new()
        .prefix(&format!(".{name}."))
        .suffix(".tmp")
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(folder)
        .map_err(failed)?;
    disk.write(file.as_file_mut(), bytes).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    // The rename itself must survive a power cut, which is the folder's business.
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}
