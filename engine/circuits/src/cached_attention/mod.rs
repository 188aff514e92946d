//! Attention of one new token with a cache of keys and values, all encrypted.
//!
//! The slots of a cache ciphertext are `[channel row | key and value head | token]`, channel row highest, each field padded to a power
//! of two; so many tokens as fit share a ciphertext. The query heads that share a key and value head are its *group*: member `m` has
//! its queries, and later its output, in token `m`.
//!
//! Scores come in rows: row `G b + m` of channel rows has the scores of member `m` with the tokens of cache ciphertext `b`, where `G` is
//! the size of a group, padded; further rows in further ciphertexts. The rows in use, a power of two, are repeated in all others.
//!
//! The channel rows are the highest field of one cycle of rotations ([`Packing::Real`]): whole rows that leave it at one end come back at the
//! other. So a product's sum over channels takes two steps of rotations. The first sums blocks of as many rows as are in use, in
//! the row of each block that the product's scores are to lie in; masks put those rows of all products into one ciphertext; and the
//! second, now once for all of them, sums the blocks. On the way back a row of every block is spread over its block alone. Tokens are the lowest
//! field, where a rotation drags entries of the next row in; what is spread over tokens is zero but for one token before, and what is
//! summed over tokens is wanted in one token only, which a mask picks.
//!
//! **Public tokens** before the others take places of the cache like them, but as plaintexts ([`PublicPages`]): a product with a page of theirs is one with a
//! plaintext, and everything else is as it was.
//!
//! What leads there: [`CacheLayout::projection`] is the order of rows in which one product with a token's vector gives queries, keys and values, and
//! [`CacheLayout::placement`] the map to their places; [`CacheFill`] does the same for a block of tokens at once. [`CachedScores`] are the scores as SoftMax
//! sees them, and [`CacheLayout::output`] is the way from weighted values to the next product.
//!
//! [`Packing::Real`]: fhe_ckks::Packing::Real

mod cache;
mod field;
mod layout;
mod masks;
mod placement;
mod products;
mod public_pages;
mod scores;

pub use cache::KeyValueCache;
pub use layout::{CacheLayout, ScorePlace};
pub use placement::CacheFill;
pub use public_pages::PublicPages;
pub use scores::CachedScores;
