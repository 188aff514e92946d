//! Between ciphertexts of the main ring and rows of module ciphertexts, at the lowest modulus.
//!
//! Row-module layout (Bae, Cheon, Hanrot, Park, Stehle 2024): with `t` tokens and `r = N/t`, the coefficient of `X^(row + r token)` is the
//! entry of a row at a token. Ring switching to degree `N'` and the stride split of the small ciphertexts turn `r`
//! rows into `r` module ciphertexts of degree `t` and rank `N'/t` without losing a bit; an integer matrix then acts on
//! them by plaintext products with their `b` and `a` parts. The `a` parts of the rows of one small ciphertext are a block-Toeplitz matrix: a
//! product that uses this takes `3t` multiply-adds per weight, one with the matrix written down `N' + t` ([`WeightProduct`]).

use fhe_ring::{Backend, Domain, IntegerMatrix, Poly, ResidueMatrix, module_product, module_rows};

use crate::{Ciphertext, KeyId, KeySwitcher, RlweError};

/// How integer weights meet the rows of ciphertexts. The results are the same, bit for bit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum WeightProduct {
    /// Through short transforms of the weights and of the small ciphertexts, whose rows are never written down.
    #[default]
    Structured,
    /// With the matrix of rows written down, `N'` words a row: one plain product of matrices, which is what libraries are made for.
    Dense,
}

/// Module ciphertexts: row `i` encrypts a row of the plaintext matrix.
pub struct ModuleRows<B: Backend> {
    form: Form<B>,
}

enum Form<B: Backend> {
    /// Stacked as matrices `B` and `A`.
    Dense([ResidueMatrix<B>; 2]),
    /// As the small ciphertexts whose rows they are.
    Structured { ciphertexts: Vec<[Poly<B>; 2]>, group: usize, tokens: usize },
}

impl<B: Backend> ModuleRows<B> {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        match &self.form {
            Form::Dense([b, _]) => b.shape().rows,
            Form::Structured { ciphertexts, tokens, .. } => {
                ciphertexts.iter().map(|[b, _]| b.shape().ring.degree() / tokens).sum()
            }
        }
    }

    /// Degree of each row.
    pub fn tokens(&self) -> usize {
        match &self.form {
            Form::Dense([b, _]) => b.shape().columns,
            Form::Structured { tokens, .. } => *tokens,
        }
    }

    /// How many rows share a ciphertext when they are packed again; `None` of stacked rows.
    pub fn per_ciphertext(&self) -> Option<usize> {
        match &self.form {
            Form::Dense(_) => None,
            Form::Structured { ciphertexts, group, tokens } => {
                ciphertexts.first().map(|[b, _]| group * b.shape().ring.degree() / tokens)
            }
        }
    }

    /// Makes products of these rows be computed on a shard of the backend. Stacked rows stay where they are.
    pub fn place(&self, backend: &B, shard: usize) {
        if let Form::Structured { ciphertexts, .. } = &self.form {
            ciphertexts.iter().flatten().for_each(|half| backend.place(half.operand(), shard));
        }
    }

    /// `weights * self` modulo `q_0`; noise grows with the weights, no key is used. The rows of the result are stacked, whatever the form
    /// of these.
    ///
    /// # Errors
    /// If the weights have another number of columns than there are rows.
    pub fn integer_product(&self, backend: &B, weights: &IntegerMatrix) -> Result<Self, RlweError> {
        let product = match &self.form {
            Form::Dense([b, a]) => [b.integer_product(backend, weights)?, a.integer_product(backend, weights)?],
            Form::Structured { ciphertexts, group, tokens } => {
                module_product(backend, weights, ciphertexts, *group, *tokens)?
            }
        };
        Ok(Self { form: Form::Dense(product) })
    }
}

impl<B: Backend> KeySwitcher<B> {
    /// Ring switching and module split of ciphertexts at `q_0`: `r = N / tokens` rows each, one key switch each. The rows are stacked
    /// only if [`KeySwitcher::weight_product`] asks for it: `N' / tokens` times the memory of the ciphertexts.
    ///
    /// # Errors
    /// [`RlweError::MissingKey`]; inputs above `q_0`; a token count that does not divide the small degree.
    pub fn module_rows(&self, inputs: &[&Ciphertext<B>], tokens: usize) -> Result<ModuleRows<B>, RlweError> {
        if inputs.is_empty() {
            return Err(RlweError::Precondition {
                operation: "module_rows",
                operand: "the number of ciphertexts",
                found: "0".into(),
                required: "at least one".into(),
                remedy: "pass the ciphertexts of a tensor",
            });
        }
        let group = self.parameters().ring().degree() / self.parameters().small_ring().degree();
        let mut small = Vec::with_capacity(inputs.len() * group);
        for input in inputs {
            let switched = self.switch_to_small(input)?.into_domain(self.backend(), Domain::Coefficient);
            let b = switched.b().stride_split(self.backend(), group)?;
            let a = switched.a().stride_split(self.backend(), group)?;
            small.extend(b.into_iter().zip(a).map(|(b, a)| [b, a]));
        }
        let form = match self.weight_product() {
            WeightProduct::Dense => Form::Dense(module_rows(self.backend(), &small, group, tokens)?),
            WeightProduct::Structured => {
                check_tokens(tokens, self.parameters().small_ring().degree())?;
                Form::Structured { ciphertexts: small, group, tokens }
            }
        };
        Ok(ModuleRows { form })
    }

    /// Packs all rows into ciphertexts of the main ring, `r = N / tokens` rows each, under the dense secret: as many gadget
    /// products as the rank, one division per ciphertext. Evaluation domain out.
    ///
    /// # Errors
    /// [`RlweError::MissingKey`].
    pub fn pack_rows(&self, rows: &ModuleRows<B>) -> Result<Vec<Ciphertext<B>>, RlweError> {
        let tokens = rows.tokens();
        let stacked;
        let [b, a] = match &rows.form {
            Form::Dense(matrices) => matrices,
            Form::Structured { ciphertexts, group, tokens } => {
                stacked = module_rows(self.backend(), ciphertexts, *group, *tokens)?;
                &stacked
            }
        };
        let rank = a.shape().columns / tokens;
        let keys: Vec<_> = (0..rank).map(|block| KeyId::Packing { tokens, block }).collect();
        let per_ciphertext = self.parameters().ring().degree() / tokens;
        let firsts: Vec<usize> = (0..rows.rows()).step_by(per_ciphertext).collect();
        let mut packed = Vec::with_capacity(firsts.len());
        for firsts in firsts.chunks(PACKED_TOGETHER) {
            let gather = |&first| b.gather_rows(self.backend(), a, first, self.parameters().ring());
            let batch = firsts.iter().map(gather).collect::<Result<Vec<_>, _>>()?;
            packed.extend(self.switch_lowest_sums(batch, &keys)?);
        }
        Ok(packed)
    }
}

/// Ciphertexts that share each reading of the packing keys, which are as large as the digits of two of them.
const PACKED_TOGETHER: usize = 4;

fn check_tokens(tokens: usize, degree: usize) -> Result<(), RlweError> {
    if tokens.is_power_of_two() && tokens <= degree {
        return Ok(());
    }
    Err(RlweError::Precondition {
        operation: "module_rows",
        operand: "the number of tokens",
        found: tokens.to_string(),
        required: format!("a power of two up to the small degree {degree}"),
        remedy: "pad the tokens to a power of two",
    })
}
