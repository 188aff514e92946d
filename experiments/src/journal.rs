//! The truth about a suite: `results/SUITE/SUITE.jsonl`, one record a line, only ever growing by whole lines.

use crate::atomic::{Access, Disk, replace, sweep};
use crate::error::HarnessError;
use crate::lock::{self, Lock};
use crate::record::{self, CellRecord, OLDEST_SCHEMA, SCHEMA, Unreadable};
use crate::workspace::Workspace;
use std::path::{Path, PathBuf};

/// A suite's records on disk.
#[derive(Clone, Debug)]
pub struct Journal {
    path: PathBuf,
    workspace: Workspace,
    lock: String,
}

/// The lines of a journal, each read by itself.
#[derive(Debug, Default)]
pub struct JournalLines {
    /// What every whole line holds, or what is wrong with it.
    pub whole: Vec<Result<CellRecord, HarnessError>>,
    /// How many of them have an older schema, and were brought up to date in memory.
    pub migrated: usize,
    /// A last line that some other program left without its end.
    pub torn: Option<String>,
}

/// What a journal holds.
#[derive(Clone, Debug, Default)]
pub struct JournalContents {
    /// All records, oldest first.
    pub records: Vec<CellRecord>,
    /// A last line that some other program left without its end; it counts as never written.
    pub torn: Option<String>,
}

impl Journal {
    /// The journal of a suite; it need not exist yet.
    pub fn of(workspace: &Workspace, suite: &str) -> Self {
        Self { path: workspace.result(suite, ".jsonl"), workspace: workspace.clone(), lock: lock::of_journal(suite) }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All records.
    ///
    /// # Errors
    /// [`HarnessError::RecordDamaged`] or [`HarnessError::RecordSchema`] with the line; a torn last line is no error.
    pub fn read(&self) -> Result<JournalContents, HarnessError> {
        let JournalLines { whole, torn, .. } = self.lines()?;
        Ok(JournalContents { records: whole.into_iter().collect::<Result<_, _>>()?, torn })
    }

    /// All lines, the damaged ones among them.
    ///
    /// # Errors
    /// [`HarnessError::Io`] when the file is there and cannot be read.
    pub fn lines(&self) -> Result<JournalLines, HarnessError> {
        let bytes = self.bytes()?;
        let (whole, torn) = bytes.split_at(end_of_whole_lines(&bytes));
        let torn = (!torn.is_empty()).then(|| String::from_utf8_lossy(torn).into_owned());
        let mut lines = JournalLines { torn, ..JournalLines::default() };
        for (index, line) in whole.split_inclusive(|byte| *byte == b'\n').enumerate() {
            let read = record::read(line).map_err(|unreadable| self.error(unreadable, index + 1));
            lines.migrated += usize::from(read.as_ref().is_ok_and(|(_, schema)| *schema != SCHEMA));
            lines.whole.push(read.map(|(record, _)| record));
        }
        Ok(lines)
    }

    /// Appends a record: afterwards the file holds it whole, or an error is returned and the file is as before. A torn
    /// last line and what a killed writer left are dropped. Safe while other processes append.
    ///
    /// # Errors
    /// [`HarnessError::DiskFull`], [`HarnessError::Io`].
    pub fn append(&self, record: &CellRecord, disk: &dyn Disk) -> Result<(), HarnessError> {
        let line =
            serde_json::to_string(record).map_err(|source| HarnessError::execution("encode the record", source))?;
        let _lock = Lock::wait(&self.workspace, &self.lock)?;
        sweep(&self.path)?;
        let mut bytes = self.bytes()?;
        bytes.truncate(end_of_whole_lines(&bytes));
        bytes.extend_from_slice(line.as_bytes());
        bytes.push(b'\n');
        replace(disk, &self.path, &bytes, Access::Shared)
    }

    fn bytes(&self) -> Result<Vec<u8>, HarnessError> {
        match std::fs::read(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            other => other.map_err(|source| HarnessError::io("read", &self.path, source)),
        }
    }

    fn error(&self, unreadable: Unreadable, line: usize) -> HarnessError {
        let path = self.path.clone();
        match unreadable {
            Unreadable::Damaged(message) => HarnessError::RecordDamaged { path, line, message },
            Unreadable::Schema(found) => {
                HarnessError::RecordSchema { path, line, found, oldest: OLDEST_SCHEMA, newest: SCHEMA }
            }
        }
    }
}

/// A line counts once its newline is there.
fn end_of_whole_lines(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1)
}
