//! What kernels receive: buffers with their shapes, alone and in the groupings of the fused kernels.

use crate::{GaloisElement, Shape};

/// A buffer together with its shape, as kernels receive it.
pub struct Operand<'a, T> {
    /// The words.
    pub buffer: &'a T,
    /// What they mean.
    pub shape: Shape,
}

impl<T> Clone for Operand<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Operand<'_, T> {}

/// Two halves of a ciphertext or of a row of a switching key.
pub type Pair<'a, T> = [Operand<'a, T>; 2];

/// One ciphertext of a batch that is multiplied with one switching key.
pub struct GadgetInput<'a, T> {
    /// The gadget digits, all of one shape, one for each row of the key handed over.
    pub digits: Vec<Operand<'a, T>>,
    /// Added to the two halves of the product: as they are if they have the special primes of the digits, multiplied by the product of
    /// the special primes if they have none.
    pub addends: [Option<Operand<'a, T>>; 2],
}

/// One ciphertext of a batch that is rotated in several ways, sharing its decomposition.
pub struct HoistedInput<'a, T> {
    /// The gadget digits of the second half.
    pub digits: Vec<Operand<'a, T>>,
    /// The ciphertext itself, without special primes.
    pub ciphertext: Pair<'a, T>,
}

/// An automorphism with the rows of its key, one for each digit; without rows the identity.
pub struct KeyedAutomorphism<'a, T> {
    /// `X -> X^g`.
    pub element: GaloisElement,
    /// The key from `s` to `g^-1(s)`; none for the identity.
    pub rows: Vec<Pair<'a, T>>,
}

/// Plaintext factors of rotated ciphertexts that are summed up: the index of the automorphism, and the factor.
pub type HoistedSum<'a, T> = Vec<(usize, Operand<'a, T>)>;

impl<'a, T> GadgetInput<'a, T> {
    /// The same of other buffers.
    pub fn map<'b, U>(&self, operand: impl Fn(Operand<'a, T>) -> Operand<'b, U>) -> GadgetInput<'b, U> {
        GadgetInput {
            digits: self.digits.iter().map(|&digit| operand(digit)).collect(),
            addends: self.addends.map(|addend| addend.map(&operand)),
        }
    }
}

impl<'a, T> HoistedInput<'a, T> {
    /// The same of other buffers.
    pub fn map<'b, U>(&self, operand: impl Fn(Operand<'a, T>) -> Operand<'b, U>) -> HoistedInput<'b, U> {
        HoistedInput {
            digits: self.digits.iter().map(|&digit| operand(digit)).collect(),
            ciphertext: self.ciphertext.map(&operand),
        }
    }
}

impl<'a, T> KeyedAutomorphism<'a, T> {
    /// The same of other buffers.
    pub fn map<'b, U>(&self, operand: impl Fn(Operand<'a, T>) -> Operand<'b, U>) -> KeyedAutomorphism<'b, U> {
        KeyedAutomorphism { element: self.element, rows: self.rows.iter().map(|row| row.map(&operand)).collect() }
    }
}
