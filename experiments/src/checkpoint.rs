//! The run folder of a cell: its secret seed and what it has finished so far.
//!
//! `.runs/<identity>/` belongs to one cell and one process at a time. It is readable by its owner only, because the seed
//! is the secret key. Every file is written whole or not at all and carries a checksum, so that a process killed at any
//! moment resumes from the last checkpoint, and an altered file is found when it is read. The folder is deleted when
//! the cell is complete.

use crate::atomic::{Access, Disk, OsDisk, replace};
use crate::error::HarnessError;
use crate::identity::{Identity, ResolvedCell};
use crate::lock::{self, Lock};
use crate::randomness::seed_of;
use crate::workspace::Workspace;
use rand::TryRngCore;
use rand::rngs::OsRng;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"fhe-ckpt";
const HEADER: usize = MAGIC.len() + blake3::OUT_LEN;
const SEED: &str = "seed";

/// An open run folder, locked for this process until it is dropped.
#[derive(Debug)]
pub struct RunFolder {
    folder: PathBuf,
    spec_seed: Option<[u8; 32]>,
    _lock: Lock,
}

impl RunFolder {
    /// Opens the run folder of a cell, creating it if needed, and locks it.
    ///
    /// # Errors
    /// [`HarnessError::CellBusy`] while another process holds it; [`HarnessError::Io`].
    pub fn open(workspace: &Workspace, cell: &ResolvedCell) -> Result<Self, HarnessError> {
        let folder = workspace.run_folder(&cell.identity);
        let failed = |source| HarnessError::io("open the run folder", &folder, source);
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(failed)?;
        match Lock::try_take(workspace, &lock::of_run_folder(&cell.identity))? {
            Some(lock) => Ok(Self { folder, spec_seed: seed_of(&cell.cell), _lock: lock }),
            None => Err(HarnessError::CellBusy { identity: cell.identity.to_string(), folder }),
        }
    }

    /// Deletes what an earlier attempt at a cell left behind.
    ///
    /// # Errors
    /// [`HarnessError::Io`] when it cannot be deleted.
    pub fn discard(workspace: &Workspace, identity: &Identity) -> Result<(), HarnessError> {
        remove(&workspace.run_folder(identity))
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// The secret from which all keys and encryptions of this cell derive: derived from the spec's seed where it states one, else
    /// 32 bytes of the operating system's randomness, drawn once and kept for a resumed run.
    ///
    /// # Errors
    /// [`HarnessError::CheckpointDamaged`] when the stored seed was altered; [`HarnessError::Io`].
    pub fn seed(&self) -> Result<[u8; 32], HarnessError> {
        if let Some(seed) = self.spec_seed {
            return Ok(seed);
        }
        if let Some(stored) = self.load(SEED)? {
            return stored.try_into().map_err(|_| HarnessError::CheckpointDamaged {
                path: self.folder.join(SEED),
                problem: "not 32 bytes long".into(),
            });
        }
        let mut seed = [0; 32];
        OsRng
            .try_fill_bytes(&mut seed)
            .map_err(|error| HarnessError::execution("draw randomness from the operating system", error))?;
        self.save(SEED, &seed)?;
        Ok(seed)
    }

    /// Stores a checkpoint durably, replacing an earlier one of the same name.
    ///
    /// # Errors
    /// [`HarnessError::CheckpointName`], [`HarnessError::DiskFull`], [`HarnessError::Io`].
    pub fn save(&self, name: &str, bytes: &[u8]) -> Result<(), HarnessError> {
        self.save_on(&OsDisk, name, bytes)
    }

    /// As [`RunFolder::save`], on a given disk.
    ///
    /// # Errors
    /// As [`RunFolder::save`].
    pub fn save_on(&self, disk: &dyn Disk, name: &str, bytes: &[u8]) -> Result<(), HarnessError> {
        let path = self.checkpoint(name)?;
        let mut contents = Vec::with_capacity(HEADER + bytes.len());
        contents.extend_from_slice(MAGIC);
        contents.extend_from_slice(checksum(name, bytes).as_bytes());
        contents.extend_from_slice(bytes);
        replace(disk, &path, &contents, Access::Private)
    }

    /// A checkpoint's bytes, or `None` where none of that name was stored.
    ///
    /// # Errors
    /// [`HarnessError::CheckpointDamaged`] when the file was cut short, altered, or is another checkpoint's.
    pub fn load(&self, name: &str) -> Result<Option<Vec<u8>>, HarnessError> {
        read_verified(&self.checkpoint(name)?, name)
    }

    /// Deletes the checkpoints that have this in their names: later ones have taken their place.
    ///
    /// # Errors
    /// [`HarnessError::Io`] when one cannot be deleted.
    pub fn forget(&self, part: &str) -> Result<(), HarnessError> {
        let failed = |source| HarnessError::io("clear", &self.folder, source);
        for entry in std::fs::read_dir(&self.folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.file_name().to_string_lossy().contains(part) {
                std::fs::remove_file(entry.path()).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Deletes the folder: the cell is complete.
    ///
    /// # Errors
    /// [`HarnessError::Io`] when it cannot be deleted.
    pub fn finish(self) -> Result<(), HarnessError> {
        remove(&self.folder)
    }

    fn checkpoint(&self, name: &str) -> Result<PathBuf, HarnessError> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
            return Err(HarnessError::CheckpointName { name: name.into() });
        }
        Ok(self.folder.join(name))
    }
}

/// Reads a checkpoint and verifies it, without the folder's lock.
pub(crate) fn read_verified(path: &Path, name: &str) -> Result<Option<Vec<u8>>, HarnessError> {
    let contents = match std::fs::read(path) {
        Ok(contents) => contents,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(HarnessError::io("read", path, source)),
    };
    let damaged = |problem: &str| HarnessError::CheckpointDamaged { path: path.into(), problem: problem.into() };
    if contents.len() < HEADER || !contents.starts_with(MAGIC) {
        return Err(damaged("not a checkpoint, or cut short"));
    }
    let (header, bytes) = contents.split_at(HEADER);
    if header[MAGIC.len()..] != *checksum(name, bytes).as_bytes() {
        return Err(damaged("its checksum does not match"));
    }
    Ok(Some(bytes.to_vec()))
}

/// The name is part of the checksum: a checkpoint copied over another one is found, too.
fn checksum(name: &str, bytes: &[u8]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(name.len() as u64).to_le_bytes()).update(name.as_bytes()).update(bytes);
    hasher.finalize()
}

fn remove(folder: &Path) -> Result<(), HarnessError> {
    match std::fs::remove_dir_all(folder) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(HarnessError::io("delete", folder, source)),
        _ => Ok(()),
    }
}
