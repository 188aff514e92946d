//! The code that this binary was built from, captured when it was built.

use serde::{Deserialize, Serialize};

/// A version of the code, exact even for an uncommitted tree.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CodeVersion {
    /// Git commit; empty when built outside a repository.
    pub commit: String,
    /// Whether a file that can change a result differed from the commit, or no commit was known.
    pub dirty: bool,
    /// Hash of every source file of the workspace.
    pub source_hash: String,
    /// Hash of `Cargo.lock`.
    pub lock_hash: String,
    /// The compiler, as it names itself.
    pub compiler: String,
    /// Cargo profile, `release` or `debug`.
    pub profile: String,
}

impl CodeVersion {
    /// The version of this binary.
    pub fn of_this_binary() -> Self {
        Self {
            commit: env!("FHE_LLAMA_COMMIT").into(),
            dirty: env!("FHE_LLAMA_DIRTY") == "true",
            source_hash: env!("FHE_LLAMA_SOURCE_HASH").into(),
            lock_hash: env!("FHE_LLAMA_LOCK_HASH").into(),
            compiler: env!("FHE_LLAMA_COMPILER").into(),
            profile: env!("FHE_LLAMA_PROFILE").into(),
        }
    }

    /// A short name for tables: the commit, marked when the tree differed, or the source hash where there is none.
    pub fn short(&self) -> String {
        match (self.commit.get(..10), self.dirty) {
            (Some(commit), false) => commit.into(),
            (Some(commit), true) => format!("{commit}, modified (sources {})", self.source_hash),
            (None, _) => format!("no commit (sources {})", self.source_hash),
        }
    }
}
