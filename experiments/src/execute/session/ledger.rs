//! What went over a line, counted frame by frame.

use serde::{Deserialize, Serialize};

use super::frame::Kind;

/// All frames of one kind that one side received.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What they held, such as `keys of the prompt`.
    pub what: String,
    /// How many came.
    pub frames: u64,
    /// Their bytes, headers and checksums included.
    pub bytes: u64,
}

/// What one side sent and the other received since a session began, kinds in the order in which they first came.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// One entry a kind.
    pub entries: Vec<Entry>,
}

impl Ledger {
    /// Bytes of all frames.
    pub fn bytes(&self) -> u64 {
        self.entries.iter().map(|entry| entry.bytes).sum()
    }

    pub(super) fn add(&mut self, kind: Kind, bytes: u64) {
        let what = kind.name();
        match self.entries.iter_mut().find(|entry| entry.what == what) {
            Some(entry) => {
                entry.frames += 1;
                entry.bytes += bytes;
            }
            None => self.entries.push(Entry { what: what.into(), frames: 1, bytes }),
        }
    }
}
