//! The contract between the scheme and whoever executes its arithmetic.

use crate::{
    Basis, GadgetInput, GaloisElement, HoistedInput, HoistedSum, IntegerMatrix, KeyedAutomorphism, MatrixShape,
    Operand, Pair, PrimeChain, Ring, Seed, Shape, uniform_limbs,
};

#[doc = include_str!("../BACKEND.md")]
pub trait Backend: Sized + Send + Sync + 'static {
    /// The words of a polynomial or of a residue matrix.
    type Buffer: Send + Sync;

    /// Whether buffers carry values; `false` lets callers skip preparing data that nobody would read.
    const HOLDS_DATA: bool;

    /// The primes, shared by every ring degree.
    fn primes(&self) -> &PrimeChain;

    // --- where --------------------------------------------------------------------------------------------------

    /// How many devices compute: one, but for backends that are made of several.
    fn shards(&self) -> usize {
        1
    }
    /// Makes a polynomial lie on one of the [`Backend::shards`], counted from 0, and so what is computed from it: kernels run where their
    /// first operand lies. No word of any result depends on it. A backend of several shards panics if there is none of this number.
    fn place(&self, polynomial: Operand<'_, Self::Buffer>, shard: usize) {
        let _ = (polynomial, shard);
    }

    // --- storage -------------------------------------------------------------------------------------------------

    /// A zero polynomial.
    fn zeros(&self, shape: Shape) -> Self::Buffer;
    /// A polynomial whose residues `fill` writes (limb-major, reduced). A backend without data never calls `fill`.
    fn upload(&self, shape: Shape, fill: &mut dyn FnMut(&mut [u64])) -> Self::Buffer;
    /// The uniform polynomial that a public seed stands for: limb by limb what [`uniform_limbs`] gives, read in the shape's domain. A backend without
    /// data need not expand it.
    fn uniform(&self, shape: Shape, seed: &Seed) -> Self::Buffer {
        self.upload(shape, &mut |words| {
            let expanded = uniform_limbs(seed, self.primes(), shape.basis, shape.ring.degree(), words);
            expanded.unwrap_or_else(|error| unreachable!("the shape is checked: {error}"));
        })
    }
    /// A polynomial, coefficient domain, whose coefficients are these integers modulo each prime: one for each power of `X`. A backend
    /// without data never looks at them.
    fn upload_signed(&self, shape: Shape, coefficients: &[i64]) -> Self::Buffer;
    /// The residues, limb-major; `None` where there is no data.
    fn download(&self, source: Operand<'_, Self::Buffer>) -> Option<Vec<u64>>;
    /// A copy restricted to the primes of `target.basis`, a subset of the source's.
    fn restrict(&self, source: Operand<'_, Self::Buffer>, target: Shape) -> Self::Buffer;

    // --- transforms ----------------------------------------------------------------------------------------------

    /// Coefficient to evaluation domain, in place. `shape` is the shape before.
    fn forward(&self, buffer: &mut Self::Buffer, shape: Shape);
    /// Evaluation to coefficient domain, in place, normalised. `shape` is the shape before.
    fn inverse(&self, buffer: &mut Self::Buffer, shape: Shape);

    // --- element-wise --------------------------------------------------------------------------------------------

    /// `target += other`.
    fn add_assign(&self, target: &mut Self::Buffer, other: Operand<'_, Self::Buffer>);
    /// `target -= other`.
    fn subtract_assign(&self, target: &mut Self::Buffer, other: Operand<'_, Self::Buffer>);
    /// `target = -target`.
    fn negate(&self, target: &mut Self::Buffer, shape: Shape);
    /// `left * right`, evaluation domain.
    fn multiply(&self, left: Operand<'_, Self::Buffer>, right: Operand<'_, Self::Buffer>) -> Self::Buffer;
    /// `target += left * right`, evaluation domain. `right` may have more primes than `left`; `target` has `left`'s.
    fn multiply_accumulate(
        &self,
        target: &mut Self::Buffer,
        left: Operand<'_, Self::Buffer>,
        right: Operand<'_, Self::Buffer>,
    );
    /// `sum_i terms[i].0 * terms[i].1[limb]` with a constant per limb of `target` (reduced); either domain, kept. Terms may have
    /// more primes than `target`.
    fn linear_combination(&self, terms: &[(Operand<'_, Self::Buffer>, Vec<u64>)], target: Shape) -> Self::Buffer;
    /// Ciphertexts times a matrix of factors from a subring: for every sum `o` and both halves `sum_i factors[o][i] * inputs[i]`,
    /// evaluation domain. Inputs have one shape. Factors are elements `f(X^(N/n))`, given by `f` in the ring of the same kind and
    /// degree `n`, over the inputs' primes; each sum has one for every input.
    fn subring_sums(
        &self,
        inputs: &[Pair<'_, Self::Buffer>],
        factors: &[Vec<Operand<'_, Self::Buffer>>],
    ) -> Vec<[Self::Buffer; 2]>;
    /// The product of two ciphertexts as a polynomial in the secret: `[b b', b a' + a b', a a']`, evaluation domain.
    /// The right ciphertext may have more primes than the left one.
    fn tensor(&self, left: Pair<'_, Self::Buffer>, right: Pair<'_, Self::Buffer>) -> [Self::Buffer; 3];
    /// Multiplies limb i by `constants[i]` (reduced).
    fn scale(&self, target: &mut Self::Buffer, shape: Shape, constants: &[u64]);
    /// Adds `constants[i]` to every value of limb i (evaluation domain: the constant polynomial).
    fn add_constant(&self, target: &mut Self::Buffer, shape: Shape, constants: &[u64]);
    /// `p(X) -> p(X^g)`, either domain.
    fn automorphism(&self, source: Operand<'_, Self::Buffer>, element: GaloisElement) -> Self::Buffer;
    /// `target += p(X^g)`, evaluation domain.
    fn automorphism_accumulate(
        &self,
        target: &mut Self::Buffer,
        source: Operand<'_, Self::Buffer>,
        element: GaloisElement,
    );
    /// `X^exponent * p(X)` in the cyclotomic ring, either domain, exponent modulo `2N`.
    fn multiply_monomial(&self, source: Operand<'_, Self::Buffer>, exponent: usize) -> Self::Buffer;

    // --- between the two rings -----------------------------------------------------------------------------------

    /// The trace `f(X) + f(1/X)` to the conjugate-invariant ring of `f = A(X^2) + X B(X^2)`, with `A` (`even`) and `B` (`odd`) in the
    /// cyclotomic ring of the same degree; of `X^N f` if `turned`. Evaluation domain in and out.
    fn trace(&self, even: Operand<'_, Self::Buffer>, odd: Operand<'_, Self::Buffer>, turned: bool) -> Self::Buffer;
    /// `[A, B]` in the cyclotomic ring with `p = A(X^2) + X B(X^2)`, for `p` in the conjugate-invariant ring of the same degree;
    /// evaluation domain in and out.
    fn parity_split(&self, source: Operand<'_, Self::Buffer>) -> [Self::Buffer; 2];

    // --- base conversion -----------------------------------------------------------------------------------------

    /// Splits a ciphertext polynomial (evaluation domain, no special primes) into gadget digits ([`Basis::digits`]): each holds
    /// the residues by the primes of its group that are present, lifted centred (to the representative of least absolute value,
    /// up to one unit of the digit's modulus at the boundary) to the source's primes and the first `special` special
    /// primes, evaluation domain. Returns the number of each digit's group with it, ascending.
    fn mod_up(&self, source: Operand<'_, Self::Buffer>, groups: &[Basis], special: usize)
    -> Vec<(usize, Self::Buffer)>;
    /// For every input and both halves `h`: `sum_i digits[i] * rows[i][h] + addends[h]`, evaluation domain, over the primes of the
    /// digits. Rows may have more primes. Every word of the key is read once for the whole batch.
    fn gadget_product(
        &self,
        inputs: &[GadgetInput<'_, Self::Buffer>],
        rows: &[Pair<'_, Self::Buffer>],
    ) -> Vec<[Self::Buffer; 2]>;
    /// The inner part of a double-hoisted linear transform: for every input, every sum and both halves, over the primes of
    /// the digits,
    ///
    /// ```text
    /// sum_(g, factor) factor * g( sum_i digits[i] * rows_g[i] + P (b, 0) )        P (b, a) for the identity
    /// ```
    ///
    /// with `P` the product of the special primes. Every word of keys and factors is read once for the whole batch and
    /// no rotated ciphertext is stored.
    fn hoisted_sums(
        &self,
        inputs: &[HoistedInput<'_, Self::Buffer>],
        automorphisms: &[KeyedAutomorphism<'_, Self::Buffer>],
        sums: &[HoistedSum<'_, Self::Buffer>],
    ) -> Vec<Vec<[Self::Buffer; 2]>>;
    /// Multiplies by the product of the first `special` special primes and appends that many limbs, which are zero:
    /// the inverse of [`Backend::mod_down`]. Evaluation domain; the source has no special primes.
    fn extend(&self, source: Operand<'_, Self::Buffer>, special: usize) -> Self::Buffer;
    /// Divides by all special primes of the shape, and by the highest ciphertext prime too if `rescale`, with centred
    /// rounding; evaluation domain in and out.
    fn mod_down(&self, source: Operand<'_, Self::Buffer>, rescale: bool) -> Self::Buffer;
    /// Divides by the highest ciphertext prime with centred rounding; no special primes; either domain (kept).
    fn rescale(&self, source: Operand<'_, Self::Buffer>) -> Self::Buffer;
    /// Lifts a polynomial without special primes (coefficient domain), centred, to `target.basis`; evaluation domain out. From
    /// one prime the representative is exact, from several as in [`Backend::mod_up`].
    fn raise(&self, source: Operand<'_, Self::Buffer>, target: Shape) -> Self::Buffer;

    // --- products with weight polynomials (evaluation domain, one prime) -----------------------------------------

    /// Products of an integer matrix `W` with a vector that lies in the first `block` coefficients of each of some ciphertexts of a
    /// small cyclotomic ring of degree `n`, in order. With `v = n / block` and `h` the number of rows of `W` over `v`, rounded up,
    /// for both halves and every `o < h`
    ///
    /// ```text
    /// sum_J inputs[J] * sum_(i < v) X^(block i) sum_(c < block) W[o + h i, block J + c] X^-c
    /// ```
    ///
    /// where entries beyond the matrix are zero: the coefficient of `X^(block i)` is row `o + h i` times the vector. Evaluation domain in
    /// and out, modulo the inputs' one prime.
    fn weight_products(
        &self,
        weights: &IntegerMatrix,
        inputs: &[Pair<'_, Self::Buffer>],
        block: usize,
    ) -> Vec<[Self::Buffer; 2]>;

    // --- over a subring (coefficient domain, no special primes) --------------------------------------------------

    /// `p(X) = sum_j X^j p_j(X^parts)`: the `parts` polynomials `p_j` of the subring.
    fn stride_split(&self, source: Operand<'_, Self::Buffer>, parts: usize) -> Vec<Self::Buffer>;
    /// Inverse of [`Backend::stride_split`].
    fn stride_merge(&self, parts: &[Operand<'_, Self::Buffer>]) -> Self::Buffer;
    /// Matrix products of ciphertexts `(b, a)` over the subring of the powers of `Y = X^rows`. With the row `i` of a polynomial,
    /// `p[i]` in `p(X) = sum_i X^i p[i](X^rows)`, the result's entry `i` holds for every half `x` of the left and `y` of the right
    /// ciphertexts, at `[x][y]`,
    ///
    /// ```text
    /// sum_j X^j C_ij(X^rows)        C_ij = sum_c left_c[x][i] * right_c[y][j]
    /// ```
    fn lane_products(
        &self,
        left: &[Pair<'_, Self::Buffer>],
        right: &[Pair<'_, Self::Buffer>],
        rows: usize,
    ) -> Vec<[[Self::Buffer; 2]; 2]>;

    // --- modules (coefficient domain, prime `q_0`) ---------------------------------------------------------------

    /// Module rows of RLWE ciphertexts `(b, a)` of a small ring of degree `n`, given in groups of `group` that are
    /// the stride split of one big ciphertext. With rank `k = n / tokens`: row `C*group*k + j + group*i` is row `i` of
    /// ciphertext `j` of group `C`; `B[row]` has `tokens` columns (`b[i::k]`), `A[row]` has `n` columns, blocks
    /// `A_(i,j) = a_(i-j)` for `j <= i`, `Y * a_(k+i-j)` for `j > i`, with `a_i = a[i::k]` and `Y^tokens = -1`.
    fn module_rows(
        &self,
        ciphertexts: &[[Operand<'_, Self::Buffer>; 2]],
        group: usize,
        tokens: usize,
    ) -> [Self::Buffer; 2];
    /// `[weights * B, weights * A]` modulo `q_0`, exactly, with `B` and `A` as [`Backend::module_rows`] would stack them. Meant not to
    /// write `A` down: it consists of block-Toeplitz matrices with few different blocks.
    fn module_product(
        &self,
        weights: &IntegerMatrix,
        ciphertexts: &[[Operand<'_, Self::Buffer>; 2]],
        group: usize,
        tokens: usize,
    ) -> [Self::Buffer; 2];
    /// `weights * matrix` modulo `q_0`, exactly.
    fn integer_product(&self, weights: &IntegerMatrix, matrix: &Self::Buffer, shape: MatrixShape) -> Self::Buffer;
    /// Rows `first .. first + r` (`r = ring.degree() / tokens`; rows past the end are zero) of the matrices of
    /// [`Backend::module_rows`] as polynomials of `ring`: `b = sum_row X^row B_row(X^r)` and, for each of the
    /// `rank` blocks, `a_j = sum_row X^row A_(row,j)(X^r)`; coefficient domain, prime `q_0`.
    fn gather_rows(
        &self,
        b: (&Self::Buffer, MatrixShape),
        a: (&Self::Buffer, MatrixShape),
        first: usize,
        ring: Ring,
    ) -> (Self::Buffer, Vec<Self::Buffer>);
}
