//! The wire format: what client and server send each other, and what is kept on disk.
//!
//! A message is a header, a payload and a checksum. Integers are little-endian. A message says how long it is, so
//! that messages can follow one another on one connection; where a message must stand alone, [`expect_end`] refuses
//! what follows it.
//!
//! | field | bytes | meaning |
//! |---|---|---|
//! | magic | 8 | `fhe-rlwe` |
//! | format version | 2 | [`FORMAT_VERSION`]; another one is refused, never guessed at |
//! | kind | 2 | [`Kind`]: 1 ciphertext, 2 public key, 3 switching key, 4 key set |
//! | parameter fingerprint | 32 | [`crate::Parameters::fingerprint`] of the sender |
//! | payload length | 8 | implied by what follows; a disagreement is refused before anything is allocated |
//! | payload | | as below |
//! | checksum | 32 | BLAKE3 of everything before |
//!
//! A **limb** is `N` residues modulo one prime, `bits` bits each (the prime's own width) without gaps, least
//! significant bit first, the last byte filled up with zeros: `ceil(N bits / 8)` bytes. A **polynomial** is its limbs
//! in the order of [`fhe_ring::Basis::indices`]. A **seed** is 32 bytes from which the receiver expands a uniform
//! polynomial.
//!
//! | ciphertext, public key | bytes | meaning |
//! |---|---|---|
//! | form | 1 | [`CiphertextForm`]: 0 both halves, 1 seeded; a public key is always seeded |
//! | domain | 1 | 0 coefficients, 1 evaluations; seeded: always 1 |
//! | ring kind | 1 | 0 cyclotomic, 1 conjugate-invariant |
//! | ring degree | 1 | its binary logarithm, that of the main or the small ring |
//! | ciphertext primes | 8 | bit `i` set: `q_i` is present |
//! | special primes | 1 | how many, from `p_0` on |
//! | b | polynomial | the half that carries the message |
//! | a | polynomial or seed | the half that multiplies the secret |
//!
//! | name and shape of a switching key | bytes | meaning |
//! |---|---|---|
//! | name | 1 | [`crate::KeyId`]: 1 relinearisation, 2 Galois, 3 dense to ephemeral, 4 raise, 5 ring switch, 6 packing, 7 to real, 8 to complex, 13 small Galois |
//! | first index | 8 | Galois, raise, to complex, small Galois: exponent; packing: tokens; else 0 |
//! | second index | 8 | relinearisation, Galois: ring kind; to real: 0 real, 1 imaginary part; to complex: 0 even, 1 odd; packing: block; else 0 |
//! | ciphertext primes | 8 | bit `i` set: `q_i` is covered |
//! | special primes | 1 | how many, from `p_0` on |
//! | gadget | 1 | 0 whole, one row; 255 halves, two rows; else the number of digit groups, which is that of rows |
//!
//! | switching key | bytes | meaning |
//! |---|---|---|
//! | name and shape | 27 | as above |
//! | rows | polynomial + 32 each | per row the half `b`, then the seed of the half `a` |
//!
//! | key set | bytes | meaning |
//! |---|---|---|
//! | count | 4 | number of keys |
//! | directory | 27 each | names and shapes, ascending in the order of [`crate::KeyId`], then by special primes |
//! | rows | | of all keys in the order of the directory |
//!
//! **What is checked.** Everything is compared with the receiver's parameters before memory is taken for it: nothing
//! that a message says can make the receiver allocate more than its own parameters allow for one polynomial ahead of
//! the bytes that have arrived. Residues are below their prime, or the message is refused. Keys are held against the
//! security table again. The checksum finds damage, not forgery: who sent a message is for the connection to establish.
//!
//! **What is revealed.** Seeds on the wire are public by construction; no secret, and no seed that a secret or an
//! error was drawn from, has a representation here.

mod ciphertext;
mod header;
mod key_set;
mod message;
mod public_key;
mod residues;
mod switching_key;

pub use ciphertext::{CiphertextForm, ciphertext_wire_bytes};
pub use header::{FORMAT_VERSION, Kind};
pub use message::expect_end;

use crate::RlweError;

/// What to do about bytes that were damaged or cut short.
const TRANSFER_AGAIN: &str = "transfer the message again";
/// What to do about a message that its own sender's parameters forbid.
const SENDER_AT_FAULT: &str = "write it with this crate under the same parameters";

fn refused<T>(
    what: &'static str,
    found: impl Into<String>,
    required: impl Into<String>,
    remedy: &'static str,
) -> Result<T, RlweError> {
    Err(RlweError::Wire { what, found: found.into(), required: required.into(), remedy })
}
