//! A prompt and the tokens behind it between two processes: a client with the secrets, a server with the weights.
//!
//! Both read the same spec and model ([`Common`]); the circuit follows from these and from how many tokens there are, never from which.
//! They talk in frames over any two streams ([`Line`]):
//!
//! | frame | from | payload |
//! |---|---|---|
//! | opening terms | client | [`Terms`] as JSON: parameters, model, ranges, circuit, and where the prompt lies |
//! | welcome | server | its own terms, which are the same |
//! | keys of the prompt | client | a key set of the wire format |
//! | encrypted prompt | client | fresh ciphertexts: of each its unit and a seeded message of the wire format |
//! | encrypted logits | server | seconds and half bootstraps, then ciphertexts of both halves |
//! | keys of steps | client | a key set, in place of the first |
//! | encrypted token, then encrypted logits | client, server | likewise, for every token but the last |
//! | close, then account | client, server | nothing; what the server received as JSON |
//! | refusal | server | why nothing follows |
//!
//! A frame is a header of 44 bytes, its payload, and 32 bytes of checksum (BLAKE3 of everything before). The header: `fhe-talk`, protocol version (2
//! bytes, little-endian as all numbers), kind (2), session (16), sequence (8), payload length (8). A session is named by 16 random bytes and each of
//! its frames, in each direction, by its number; a line may carry one session after another.
//!
//! **What is refused.** A frame of another protocol, session, number or kind; one that is truncated, damaged, or longer or shorter than what it must
//! hold; a session that was there before; other terms; ciphertexts and keys of other parameters; a cache under another [`Origin`]; a token more than the
//! context has. What a checksum finds is damage: who is at the other end is for the connection to establish, and here it is a pipe to a process that
//! the client started.
//!
//! **Who knows what.** The server: weights, ranges, terms, evaluation keys, ciphertexts, when each came. The client alone: secrets, tokens, text,
//! logits, how it chooses among them. A session has secrets of its own. [`Server`] has no place for a secret, and secrets have no representation that a
//! frame could carry.

mod cache;
mod client;
mod common;
mod device;
mod error;
mod frame;
mod ledger;
mod line;
mod messages;
mod server;
mod terms;
#[cfg(test)]
mod tests;

pub use cache::{Caches, Origin};
pub use client::{Answer, Client, Luggage};
pub use common::Common;
pub use device::serve;
pub use error::SessionError;
pub use frame::{PROTOCOL_VERSION, SessionId};
pub use ledger::{Entry, Ledger};
pub use line::Line;
pub use messages::Effort;
pub use server::Server;
pub use terms::{Placement, Terms};
