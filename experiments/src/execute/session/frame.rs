//! The header of a frame: which protocol, what it holds, which session, and its place in it.

use std::fmt;
use std::io::{ErrorKind, Read};

use rand::TryRngCore;
use rand::rngs::OsRng;

use super::SessionError;

/// Version of the protocol that is spoken, and the only one that is understood.
pub const PROTOCOL_VERSION: u16 = 1;

const MAGIC: [u8; 8] = *b"fhe-talk";

/// Bytes before the payload.
pub(super) const HEADER_BYTES: u64 = 8 + 2 + 2 + 16 + 8 + 8;
/// Bytes behind it.
pub(super) const CHECKSUM_BYTES: u64 = 32;

/// The name of a session, drawn by the client: public, and never used twice.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(pub(super) [u8; 16]);

impl SessionId {
    /// A new one.
    ///
    /// # Errors
    /// If the operating system has no randomness.
    pub fn draw() -> Result<Self, SessionError> {
        let mut bytes = [0; 16];
        OsRng.try_fill_bytes(&mut bytes).map_err(SessionError::engine("name a session"))?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..4].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({self})")
    }
}

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Terms: what the client wants to run.
    Open,
    /// The same terms: the server is ready for it.
    Welcome,
    /// Evaluation keys of the prompt's circuit.
    PromptKeys,
    /// The encrypted embedding of the prompt.
    Prompt,
    /// Encrypted logits and what they took.
    Logits,
    /// Evaluation keys of steps, in place of those of the prompt.
    StepKeys,
    /// The encrypted embedding of one token.
    Token,
    /// The end of the session.
    Close,
    /// What the server received in it.
    Account,
    /// Why the server does not go on.
    Refusal,
}

impl Kind {
    const ALL: [Self; 10] = [
        Self::Open,
        Self::Welcome,
        Self::PromptKeys,
        Self::Prompt,
        Self::Logits,
        Self::StepKeys,
        Self::Token,
        Self::Close,
        Self::Account,
        Self::Refusal,
    ];

    /// Its number on the line, from 1.
    fn number(self) -> u16 {
        Self::ALL.iter().position(|kind| *kind == self).map_or(0, |place| place as u16 + 1)
    }

    /// In words.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Open => "opening terms",
            Self::Welcome => "welcome",
            Self::PromptKeys => "keys of the prompt",
            Self::Prompt => "encrypted prompt",
            Self::Logits => "encrypted logits",
            Self::StepKeys => "keys of steps",
            Self::Token => "encrypted token",
            Self::Close => "close",
            Self::Account => "account",
            Self::Refusal => "refusal",
        }
    }
}

/// What stands before a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) session: SessionId,
    pub(super) sequence: u64,
    pub(super) payload_bytes: u64,
}

impl Header {
    pub(super) fn bytes(&self) -> Vec<u8> {
        [
            &MAGIC[..],
            &PROTOCOL_VERSION.to_le_bytes(),
            &self.kind.number().to_le_bytes(),
            &self.session.0,
            &self.sequence.to_le_bytes(),
            &self.payload_bytes.to_le_bytes(),
        ]
        .concat()
    }

    /// The next header with its bytes; none where the input ends before it.
    ///
    /// # Errors
    /// [`SessionError::Truncated`] where it ends within; [`SessionError::Frame`] for what is no header of this version.
    pub(super) fn read(input: &mut impl Read) -> Result<Option<(Self, Vec<u8>)>, SessionError> {
        let mut bytes = [0; HEADER_BYTES as usize];
        let mut filled = 0;
        while filled < bytes.len() {
            match input.read(&mut bytes[filled..]) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => {
                    return Err(SessionError::Truncated { what: "next", left: (bytes.len() - filled) as u64 });
                }
                Ok(more) => filled += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => (),
                Err(source) => return Err(SessionError::engine("read a frame")(source)),
            }
        }
        let mut rest = &bytes[..];
        let magic = take::<8>(&mut rest);
        if magic != MAGIC {
            let (found, required) = (format!("\"{}\"", magic.escape_ascii()), "\"fhe-talk\"");
            let remedy = "connect the two ends of `fhe-llama chat` and `fhe-llama serve`";
            return Err(SessionError::frame("magic", found, required, remedy));
        }
        let version = u16::from_le_bytes(take(&mut rest));
        if version != PROTOCOL_VERSION {
            let remedy = "use the same release on both sides";
            return Err(SessionError::frame("protocol version", version, PROTOCOL_VERSION, remedy));
        }
        let number = u16::from_le_bytes(take(&mut rest));
        let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.number() == number) else {
            let required = format!("1 to {}", Kind::ALL.len());
            return Err(SessionError::frame("kind", number, required, "use the same release on both sides"));
        };
        let session = SessionId(take(&mut rest));
        let [sequence, payload_bytes] = [take(&mut rest), take(&mut rest)].map(u64::from_le_bytes);
        Ok(Some((Self { kind, session, sequence, payload_bytes }, bytes.to_vec())))
    }
}

/// The first bytes of a header's rest, which is as long as its fields together.
fn take<const COUNT: usize>(rest: &mut &[u8]) -> [u8; COUNT] {
    let Some((first, left)) = rest.split_first_chunk() else { unreachable!("a header has the bytes of its fields") };
    *rest = left;
    *first
}
