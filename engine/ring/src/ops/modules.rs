//! Strided maps between a ring and its subrings, and matrices of module rows. All in the coefficient domain, without special
//! primes, matrices modulo `q_0`; all plain gathers that need no key and add no noise (MLWE views of RLWE ciphertexts).

use super::checks::Check;
use crate::{Backend, Basis, Domain, IntegerMatrix, MatrixShape, Operand, Poly, Ring, RingError, Shape};

impl<B: Backend> Poly<B> {
    /// `p(X) = sum_j X^j p_j(X^parts)`: the `parts` polynomials `p_j` of the subring. Cyclotomic ring, coefficient
    /// domain, no special primes.
    pub fn stride_split(&self, backend: &B, parts: usize) -> Result<Vec<Self>, RingError> {
        let check = Check("stride_split");
        let shape = self.shape();
        strided(check, "the polynomial", shape)?;
        let most = shape.ring.degree() / 2;
        check.power_of_two("the number of parts", parts, 1..=most, "a part has at least two coefficients")?;
        let target = Shape { ring: shape.ring.subring(parts), ..shape };
        let parts = backend.stride_split(self.operand(), parts);
        Ok(parts.into_iter().map(|buffer| Self::from_parts(buffer, target)).collect())
    }

    /// Inverse of [`Poly::stride_split`].
    pub fn stride_merge(backend: &B, parts: &[Self]) -> Result<Self, RingError> {
        let check = Check("stride_merge");
        let most = 1 << backend.primes().max_log_degree();
        check.power_of_two("the number of parts", parts.len(), 1..=most, "split into a power of two")?;
        let part = parts[0].shape();
        strided(check, "the first part", part)?;
        for other in parts {
            check.same_shape("a part", other.shape(), part)?;
        }
        let log_degree = part.ring.log_degree + parts.len().trailing_zeros();
        let target = Shape { ring: Ring { log_degree, ..part.ring }, ..part };
        check.well_formed("the merged polynomial", target, backend.primes())?;
        let operands: Vec<_> = parts.iter().map(Poly::operand).collect();
        Ok(Self::from_parts(backend.stride_merge(&operands), target))
    }
}

/// What strided maps and products over a subring ask of a polynomial.
pub(super) fn strided(check: Check, operand: &'static str, shape: Shape) -> Result<(), RingError> {
    check.cyclotomic(operand, shape.ring)?;
    check.domain(operand, shape.domain, Domain::Coefficient)?;
    check.no_special_primes(operand, shape.basis)
}

/// A matrix of residues modulo `q_0`, row-major, held by a backend.
pub struct ResidueMatrix<B: Backend> {
    buffer: B::Buffer,
    shape: MatrixShape,
}

/// Stacks the module rows of RLWE ciphertexts `(b, a)` of one small ring of degree `n`, coefficient domain, prime `q_0`.
///
/// The ciphertexts come in groups of `group`, each group the stride split of one big ciphertext. With the rank
/// `k = n / tokens`, row `C*group*k + j + group*i` is row `i` of ciphertext `j` of group `C`. Returns `B`, whose rows have
/// `tokens` columns, and `A`, whose rows have `n` columns: `k` blocks of `tokens`, block `j` of row `i` being `a_(i-j)`,
/// or `Y a_(k+i-j)` where `j > i`.
pub fn module_rows<B: Backend>(
    backend: &B,
    ciphertexts: &[[Poly<B>; 2]],
    group: usize,
    tokens: usize,
) -> Result<[ResidueMatrix<B>; 2], RingError> {
    let degree = whole_groups(Check("module_rows"), ciphertexts, group, tokens)?;
    let [b, a] = backend.module_rows(&operands(ciphertexts), group, tokens);
    let [shape_b, shape_a] = MatrixShape::of_module_rows(ciphertexts.len(), degree, tokens);
    Ok([ResidueMatrix { buffer: b, shape: shape_b }, ResidueMatrix { buffer: a, shape: shape_a }])
}

/// `[weights * B, weights * A]` modulo `q_0`, exactly, for the matrices that [`module_rows`] would stack of the same ciphertexts, which
/// are not written down.
pub fn module_product<B: Backend>(
    backend: &B,
    weights: &IntegerMatrix,
    ciphertexts: &[[Poly<B>; 2]],
    group: usize,
    tokens: usize,
) -> Result<[ResidueMatrix<B>; 2], RingError> {
    let check = Check("module_product");
    let degree = whole_groups(check, ciphertexts, group, tokens)?;
    let [shape_b, _] = MatrixShape::of_module_rows(ciphertexts.len(), degree, tokens);
    fitting_weights::<B>(check, weights, shape_b.rows)?;
    let [b, a] = backend.module_product(weights, &operands(ciphertexts), group, tokens);
    let result = |buffer, columns| ResidueMatrix { buffer, shape: MatrixShape { rows: weights.shape().rows, columns } };
    Ok([result(b, tokens), result(a, degree)])
}

fn operands<B: Backend>(ciphertexts: &[[Poly<B>; 2]]) -> Vec<[Operand<'_, B::Buffer>; 2]> {
    ciphertexts.iter().map(|[b, a]| [b.operand(), a.operand()]).collect()
}

/// Checks the ciphertexts of module rows and returns their degree.
fn whole_groups<B: Backend>(
    check: Check,
    ciphertexts: &[[Poly<B>; 2]],
    group: usize,
    tokens: usize,
) -> Result<usize, RingError> {
    check.number("the number of ciphertexts", ciphertexts.len(), 1..=usize::MAX, "give at least one ciphertext")?;
    check.number("the group size", group, 1..=ciphertexts.len(), "a group is the split of one ciphertext")?;
    if !ciphertexts.len().is_multiple_of(group) {
        return Err(RingError::LengthMismatch {
            operation: check.0,
            operand: "the list of ciphertexts",
            found: ciphertexts.len(),
            required: ciphertexts.len().next_multiple_of(group),
            remedy: "give whole groups",
        });
    }
    let shape = Shape::coefficient(ciphertexts[0][0].shape().ring, Basis::prefix(1));
    check.cyclotomic("the first ciphertext", shape.ring)?;
    for [b, a] in ciphertexts {
        check.same_shape("the b part of a ciphertext", b.shape(), shape)?;
        check.same_shape("the a part of a ciphertext", a.shape(), shape)?;
    }
    let degree = shape.ring.degree();
    check.power_of_two("the number of tokens", tokens, 1..=degree, "pad the tokens to a power of two")?;
    Ok(degree)
}

/// Checks weights that meet so many rows.
fn fitting_weights<B: Backend>(check: Check, weights: &IntegerMatrix, rows: usize) -> Result<(), RingError> {
    let remedy = "pad the weights with zero columns or the matrix with zero rows";
    check.length("a row of weights", weights.shape().columns, rows, remedy)?;
    if B::HOLDS_DATA && !weights.is_filled() {
        let remedy = "fill the weights, or run on a backend without data";
        check.length("the weight matrix", weights.entries().len(), weights.shape().words(), remedy)?;
    }
    Ok(())
}

impl<B: Backend> ResidueMatrix<B> {
    /// Joins a buffer with the shape it was made for.
    pub fn from_parts(buffer: B::Buffer, shape: MatrixShape) -> Self {
        Self { buffer, shape }
    }

    /// Rows and columns.
    pub fn shape(&self) -> MatrixShape {
        self.shape
    }

    /// The opaque words.
    pub fn buffer(&self) -> &B::Buffer {
        &self.buffer
    }

    /// `weights * self` modulo `q_0`, exactly.
    pub fn integer_product(&self, backend: &B, weights: &IntegerMatrix) -> Result<Self, RingError> {
        fitting_weights::<B>(Check("integer_product"), weights, self.shape.rows)?;
        let shape = MatrixShape { rows: weights.shape().rows, columns: self.shape.columns };
        Ok(Self { buffer: backend.integer_product(weights, &self.buffer, self.shape), shape })
    }

    /// Gathers rows `first .. first + r` of `B` (`self`) and `A`, `r = ring.degree() / tokens`, into polynomials of
    /// `ring`: `b = sum_row X^row B_row(X^r)` and, for each of the `rank` blocks of `A`, `a_j = sum_row X^row A_(row,j)(X^r)`.
    /// Rows past the end are zero. Coefficient domain, prime `q_0`.
    pub fn gather_rows(
        &self,
        backend: &B,
        a: &Self,
        first: usize,
        ring: Ring,
    ) -> Result<(Poly<B>, Vec<Poly<B>>), RingError> {
        let check = Check("gather_rows");
        let target = Shape::coefficient(ring, Basis::prefix(1));
        check.cyclotomic("the target", ring)?;
        check.well_formed("the target", target, backend.primes())?;
        let tokens = self.shape.columns;
        check.power_of_two("the number of columns of B", tokens, 1..=ring.degree(), "choose a larger ring")?;
        check.length(
            "the A matrix (rows)",
            a.shape.rows,
            self.shape.rows,
            "gather matrices of the same ciphertexts",
        )?;
        let columns = a.shape.columns.next_multiple_of(tokens).max(tokens);
        check.length("a row of the A matrix", a.shape.columns, columns, "gather matrices of the same ciphertexts")?;
        let last = self.shape.rows.saturating_sub(1);
        check.number("the first row", first, 0..=last, "start within the matrix")?;
        let (b, a) = backend.gather_rows((&self.buffer, self.shape), (&a.buffer, a.shape), first, ring);
        let a = a.into_iter().map(|buffer| Poly::from_parts(buffer, target)).collect();
        Ok((Poly::from_parts(b, target), a))
    }
}
