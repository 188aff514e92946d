//! Why a session does not go on.

use thiserror::Error;

/// What one side of a session refuses, or what became of the other.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SessionError {
    /// A frame that is not one of this protocol, or whose parts contradict each other.
    #[error("session: {what} is {found}, required {required}; {remedy}")]
    Frame {
        /// Which part.
        what: &'static str,
        /// What it is.
        found: String,
        /// What it has to be.
        required: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// A frame of another session, or the opening of one that was there before.
    #[error("session: a frame of session {found}, required {required}; send the frames of one session, each once")]
    OtherSession {
        /// The session that it names.
        found: String,
        /// The session under way, or a new one.
        required: String,
    },
    /// A frame again, too early or too late.
    #[error("session: frame {found}, required frame {required}; a frame that was {}", if found < required { "answered before is not answered again" } else { "left out is missed" })]
    Sequence {
        /// Its number.
        found: u64,
        /// The number of the next one.
        required: u64,
    },
    /// The input ended within a frame.
    #[error(
        "session: a {what} frame is truncated, {left} of its bytes are missing; the other side ended, or its output was cut"
    )]
    Truncated {
        /// What it would have held.
        what: &'static str,
        /// Bytes that it announced and that did not come.
        left: u64,
    },
    /// The other side is gone.
    #[error("session: the other side ended while {what}")]
    Left {
        /// What was under way.
        what: &'static str,
    },
    /// Both sides are not to run the same circuit on the same model.
    #[error(
        "session: {what} is {found} with the client, {required} with the server; start both with one model, one spec and one release"
    )]
    OtherTerms {
        /// Which of the terms.
        what: &'static str,
        /// The client's.
        found: String,
        /// The server's.
        required: String,
    },
    /// Keys and values that another prompt left, or the same one in another session or under another model.
    #[error(
        "session: a cache of {found}, required one of {required}; take steps behind the prompt that filled the cache"
    )]
    OtherCache {
        /// Where it was filled.
        found: String,
        /// Where the step is taken.
        required: String,
    },
    /// The other side's own words.
    #[error("the server refused: {reason}")]
    Refused {
        /// Its error.
        reason: String,
    },
    /// The engine, the model or the machine refused.
    #[error("cannot {stage}: {source}")]
    Engine {
        /// What was to be done.
        stage: &'static str,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl SessionError {
    /// Wraps an error of the engine, naming what could not be done because of it; to be given to `map_err`.
    pub(super) fn engine<S: std::error::Error + Send + Sync + 'static>(stage: &'static str) -> impl FnOnce(S) -> Self {
        move |source| Self::Engine { stage, source: Box::new(source) }
    }

    pub(super) fn frame(
        what: &'static str,
        found: impl ToString,
        required: impl ToString,
        remedy: &'static str,
    ) -> Self {
        Self::Frame { what, found: found.to_string(), required: required.to_string(), remedy }
    }
}
