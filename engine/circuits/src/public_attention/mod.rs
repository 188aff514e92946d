//! Products of encrypted queries with thousands of public keys and values.
//!
//! The tokens before the encrypted block are public, and so are their keys and values: matrices of plaintexts. What makes these
//! products different is their width. A hundred queries are a handful of ciphertexts, and so is what attention makes of them, but the
//! scores in between are hundreds: whatever is done to each of them counts. There are two ways ([`PublicProducts`]):
//!
//! * [`PublicProducts::Slots`] stays in slots and takes one level for each product ([`SlotProducts`]). The matrix product is made
//!   of diagonals, plaintexts that multiply rotated inputs. Rotations are few, since they are taken where ciphertexts are few: of the
//!   queries before the first product, of the outputs after the second one. The plaintexts are many, and encoding them would be all
//!   of the work, if they were not periodic: what they depend on (channel, key, head of keys) lies in the low slots, and what they
//!   do not depend on (query heads of one head of keys, half of the tokens) above. So they lie in a small subring, where they are
//!   encoded hundreds at a time ([`PeriodicMatrix`](fhe_ckks::PeriodicMatrix)).
//! * [`PublicProducts::Weights`] treats keys and values as the weights of a product at the lowest modulus ([`WeightProducts`]): no plaintext
//!   is encoded, no level used, but every ciphertext of scores is half-bootstrapped, and brought down again for the second product.
//!
//! In both, all public keys precede all queries: no mask is needed, except where the last block of keys is not full. Keys that pad it
//! are zero, scores of them are what the caller asks for, and they neither count in the sum over keys (a mask) nor move the result
//! (their values are zero). With `e` the slot-wise function of a SoftMax, [`KeyRows::normaliser`] gives the sum over all public keys of
//! `e`, for every query head and token: what joins with that of the encrypted keys.
//!
//! Source of the split into public and encrypted keys, and of products that take one level: arXiv 2601.18511, section 4. There the columns
//! of an operand are shifted beforehand, so that all diagonals of a matrix are permutations of one plaintext; plain diagonals need no
//! shift, and here no two of them have to be alike.

mod cache;
mod joint_sums;
mod key_rows;
mod layout;
mod placement;
mod slots;
mod weight_layout;
mod weight_products;

pub use cache::PublicCache;
pub use joint_sums::JointSums;
pub use key_rows::KeyRows;
pub use layout::PublicLayout;
pub use slots::SlotProducts;
pub use weight_layout::WeightLayout;
pub use weight_products::WeightProducts;

/// The ways to multiply encrypted queries with public keys, and what SoftMax makes of them with public values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PublicProducts {
    /// Diagonals in slots, one level for each product.
    #[default]
    Slots,
    /// Integer weights at the lowest modulus, a half bootstrap for each ciphertext of scores.
    Weights,
}
