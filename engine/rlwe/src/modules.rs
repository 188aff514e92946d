//! Between ciphertexts of the main ring and rows of module ciphertexts, at the lowest modulus.
//!
//! Row-module layout (Bae, Cheon, Hanrot, Park, Stehle 2024): with `t` tokens and `r = N/t`, the coefficient of `X^(row + r token)` is the
//! entry of a row at a token. Ring switching to degree `N'` and the stride split of the small ciphertexts turn `r`
//! rows into `r` module ciphertexts of degree `t` and rank `N'/t` without losing a bit; an integer matrix then acts on
//! them by two plaintext matrix products.

use fhe_ring::{Backend, Domain, IntegerMatrix, Poly, ResidueMatrix, module_rows};

use crate::{Ciphertext, KeyId, KeySwitcher, RlweError};

/// Module ciphertexts stacked as matrices: row `i` encrypts a row of the plaintext matrix.
pub struct ModuleRows<B: Backend> {
    b: ResidueMatrix<B>,
    a: ResidueMatrix<B>,
}

impl<B: Backend> ModuleRows<B> {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.b.shape().rows
    }

    /// Degree of each row.
    pub fn tokens(&self) -> usize {
        self.b.shape().columns
    }

    /// `weights * self`: two plaintext products modulo `q_0`; noise grows with the weights, no key is used.
    ///
    /// # Errors
    /// If the weights have another number of columns than there are rows.
    pub fn integer_product(&self, backend: &B, weights: &IntegerMatrix) -> Result<Self, RlweError> {
        Ok(Self { b: self.b.integer_product(backend, weights)?, a: self.a.integer_product(backend, weights)? })
    }
}

impl<B: Backend> KeySwitcher<B> {
    /// Ring switching and module split of ciphertexts at `q_0`: `r = N / tokens` rows each, one key switch each.
    ///
    /// # Errors
    /// [`RlweError::MissingKey`]; inputs above `q_0`; a token count that does not divide the small degree.
    pub fn module_rows(&self, inputs: &[&Ciphertext<B>], tokens: usize) -> Result<ModuleRows<B>, RlweError> {
        let group = self.parameters().ring().degree() / self.parameters().small_ring().degree();
        let mut small = Vec::with_capacity(inputs.len() * group);
        for input in inputs {
            let switched =
                self.switch_lowest(input, KeyId::RingSwitch)?.into_domain(self.backend(), Domain::Coefficient);
            let b = switched.b().stride_split(self.backend(), group)?;
            let a = switched.a().stride_split(self.backend(), group)?;
            small.extend(b.into_iter().zip(a).map(|(b, a)| [b, a]));
        }
        let [b, a] = module_rows(self.backend(), &small, group, tokens)?;
        Ok(ModuleRows { b, a })
    }

    /// Packs all rows into ciphertexts of the main ring, `r = N / tokens` rows each, under the dense secret: as many gadget
    /// products as the rank, one division per ciphertext. Evaluation domain out.
    ///
    /// # Errors
    /// [`RlweError::MissingKey`].
    pub fn pack_rows(&self, rows: &ModuleRows<B>) -> Result<Vec<Ciphertext<B>>, RlweError> {
        let tokens = rows.tokens();
        let per_ciphertext = self.parameters().ring().degree() / tokens;
        (0..rows.rows())
            .step_by(per_ciphertext)
            .map(|first| {
                let (b, blocks): (Poly<B>, Vec<Poly<B>>) =
                    rows.b.gather_rows(self.backend(), &rows.a, first, self.parameters().ring())?;
                let terms = blocks.into_iter().enumerate().map(|(block, a)| (a, KeyId::Packing { tokens, block }));
                self.switch_lowest_sum(b, terms)
            })
            .collect()
    }
}
