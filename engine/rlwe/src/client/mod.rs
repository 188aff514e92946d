//! The data owner's side: secrets, key generation, encryption and decryption. Nothing outside this module ever holds a
//! secret, and no type of the server can be made from one except through the evaluation keys generated here.

mod encryption;
mod key_generation;
mod noise;
mod parts;
mod secret;

pub use encryption::PublicKey;
pub use secret::ClientSecrets;
