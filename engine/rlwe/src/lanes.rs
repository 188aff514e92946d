//! Products of matrices both of which are encrypted, over slots-in-coefficients.
//!
//! A polynomial of the ring of lanes, of degree `n = d k`, is `sum_(i < d) X^i m_i(X^d)`: `d` **rows**, elements of
//! `R_k = Z[Y]/(Y^k + 1)` with `Y = X^d`, whose `k/2` complex slots are **lanes**. Rows multiply lane by lane, so a matrix over `R_k` is as many
//! complex matrices, one per lane, multiplied by one sequence of operations. A list of ciphertexts encrypts a matrix `M`
//!
//! * **by columns**: ciphertext `j` holds `sum_i X^i M_ij`, with parts `M = B + S A`, or
//! * **by rows**: ciphertext `i` holds `sum_j X^j M_ij`, with parts `M = B + A S^T`,
//!
//! where `S` multiplies by the secret. A left factor by columns and a right one by rows are both numbered by what the product contracts, and the
//! four plain products of their parts give
//!
//! ```text
//! M M' = (C00 + C01 S^T) + S (C10 + C11 S^T)
//! ```
//!
//! two encryptions by rows. Transposed to columns, the second one is multiplied by the secret once more; transposition and
//! relinearisation share one sequence of switches. (Cheon, Kang and Lee, "Fast Batch Matrix Multiplication in Ciphertexts", ePrint
//! 2025/1957; transposes of ciphertexts after Park, Eurocrypt 2025.)
//!
//! Factors stand at `q_0 q_1`, products at `q_0`. No key here exceeds `q_0 q_1` and two special primes: what the smaller degree allows.

use fhe_ring::{Backend, Basis, Domain, GaloisElement, Poly, lane_products};
use rayon::prelude::*;

use crate::{
    Ciphertext, KeyId, KeySwitcher, RlweError,
    raising::WholeSwitch,
    transposition::{Halves, butterfly, shifted},
};

/// Ciphertext primes of a factor.
pub(crate) const FACTOR_PRIMES: usize = 2;
/// Special primes of switches of factors.
const FACTOR_SPECIAL: usize = 2;

impl<B: Backend> KeySwitcher<B> {
    /// Ring switching of a ciphertext of the main ring at `q_0 q_1`: `g = N/n` ciphertexts of the ring of lanes. With the same number of lanes,
    /// row `I` of the argument is row `I div g` of ciphertext `I mod g`. One key switch; coefficient domain out.
    ///
    /// # Errors
    /// [`RlweError::MissingKey`], or if the input has other primes.
    pub fn split_lanes(&self, input: &Ciphertext<B>) -> Result<Vec<Ciphertext<B>>, RlweError> {
        let backend = self.backend();
        require("split_lanes", input, Basis::prefix(FACTOR_PRIMES))?;
        let group = self.parameters().ring().degree() / self.parameters().lane_ring().degree();
        let [b, a] = input.halves().map(|half| half.duplicate(backend));
        let switched = self.switch_factor([Some(b), None], [(a, KeyId::LaneSwitch)])?;
        let switched = switched.into_domain(backend, Domain::Coefficient);
        let [b, a] = switched.halves().map(|half| half.stride_split(backend, group));
        b?.into_iter().zip(a?).map(|(b, a)| Ciphertext::new(b, a)).collect()
    }

    /// The inverse at `q_0`: as many ciphertexts of the ring of lanes as one of the main ring holds, fewer are filled up with zeros. One key switch;
    /// evaluation domain out.
    ///
    /// # Errors
    /// [`RlweError::MissingKey`]; no input, too many, or inputs with other primes.
    pub fn join_lanes(&self, parts: &[Ciphertext<B>]) -> Result<Ciphertext<B>, RlweError> {
        let backend = self.backend();
        let group = self.parameters().ring().degree() / self.parameters().lane_ring().degree();
        let Some(first) = parts.first().filter(|_| parts.len() <= group) else {
            return Err(number_refused("join_lanes", parts.len(), format!("1 to {group}")));
        };
        for part in parts {
            require("join_lanes", part, Basis::prefix(1))?;
        }
        let coefficient = first.shape().with_domain(Domain::Coefficient);
        let [b, a] = [0, 1].map(|half| -> Result<Poly<B>, RlweError> {
            let mut halves: Vec<_> =
                parts.iter().map(|part| part.halves()[half].duplicate(backend).into_coefficient(backend)).collect();
            while halves.len() < group {
                halves.push(Poly::zeros(backend, coefficient)?);
            }
            Ok(Poly::stride_merge(backend, &halves)?)
        });
        let mut joined = self.switch_lowest_sums(vec![(b?, vec![a?])], &[KeyId::LaneReturn])?;
        Ok(joined.pop().unwrap_or_else(|| unreachable!("one result for one input")))
    }

    /// The even and the odd rows of a ciphertext, both in even rows, the others zero: what was put together as `even + X odd`. One key
    /// switch; evaluation domain out.
    ///
    /// # Errors
    /// As [`KeySwitcher::split_lanes`].
    pub fn split_row_parity(&self, ciphertext: &Ciphertext<B>) -> Result<[Ciphertext<B>; 2], RlweError> {
        let backend = self.backend();
        require("split_row_parity", ciphertext, Basis::prefix(FACTOR_PRIMES))?;
        let degree = self.parameters().lane_ring().degree();
        // X -> -X
        let element = self.lane_element(degree as u64 + 1);
        let [b, a] = self.scaled_halves(ciphertext, 2)?;
        let [turned_b, turned_a] = [b.automorphism(backend, element)?, a.automorphism(backend, element)?];
        let turned = self.switch_factor([Some(turned_b), None], [(turned_a, KeyId::LaneGalois(element))])?;
        let half = Ciphertext::new(b.into_evaluation(backend), a.into_evaluation(backend))?;
        let [even, odd] = butterfly(backend, half.into_halves(), turned.halves())?;
        let odd = shifted(backend, &odd, -1)?;
        let [even, odd] = [even, odd].map(|[b, a]| Ciphertext::new(b, a));
        Ok([even?, odd?])
    }

    /// The product of a matrix by columns (`left`) with one by rows (`right`), as many ciphertexts each: the first `count` columns of the result, by columns,
    /// divided by `q_1`. `2 rows - 1` key switches with `rows` divisions; evaluation domain out, at `q_0`.
    ///
    /// # Errors
    /// As [`KeySwitcher::transpose_lanes`]; factors of different lengths.
    pub fn multiply_lanes(
        &self,
        left: &[&Ciphertext<B>],
        right: &[&Ciphertext<B>],
        rows: usize,
        count: usize,
    ) -> Result<Vec<Ciphertext<B>>, RlweError> {
        const OPERATION: &str = "multiply_lanes";
        let backend = self.backend();
        self.check_rows(OPERATION, rows)?;
        if left.is_empty() || left.len() != right.len() {
            return Err(number_refused(OPERATION, right.len(), format!("{} as on the left", left.len().max(1))));
        }
        if count > rows {
            return Err(number_refused(OPERATION, count, format!("at most {rows}")));
        }
        for factor in left.iter().chain(right) {
            require(OPERATION, factor, Basis::prefix(FACTOR_PRIMES))?;
        }
        let coefficients = |factors: &[&Ciphertext<B>]| -> Vec<Ciphertext<B>> {
            factors.iter().map(|x| x.duplicate(backend).into_domain(backend, Domain::Coefficient)).collect()
        };
        let products = {
            let factors = [coefficients(left), coefficients(right)];
            let [left, right] = factors.each_ref().map(|list| list.iter().map(Ciphertext::halves).collect::<Vec<_>>());
            lane_products(backend, &left, &right, rows)?
        };
        let (mut inner, mut outer) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
        for [first, second] in products {
            inner.push(self.scaled(first, rows)?);
            outer.push(self.scaled(second, rows)?);
        }
        let (inner, outer) = (self.turn_rows(inner, rows)?, self.turn_rows(outer, rows)?);
        let pairs = inner.into_iter().zip(outer).collect();
        let switched = each::<B, _, _>(pairs, |index, ([b, a], [outer_b, outer_a])| {
            let element = self.row_element(index, rows);
            let relinearised = (outer_a, KeyId::LaneRelinearisation(element));
            let mut sum = outer_b;
            let switched = if element == GaloisElement::IDENTITY {
                sum.add_assign(backend, &a)?;
                self.switch_factor([Some(b), Some(sum)], [relinearised])
            } else {
                let terms = [(a, KeyId::LaneGalois(element)), relinearised];
                self.switch_factor([Some(b), Some(sum)], terms)
            };
            Ok(switched?.into_halves())
        })?;
        let columns = self.columns(switched, count)?;
        each::<B, _, _>(columns, |_, column| column.map(|half| half.rescale(backend)))
    }

    /// One switch at `q_0 q_1`.
    pub(crate) fn switch_factor<const TERMS: usize>(
        &self,
        addends: [Option<Poly<B>>; 2],
        terms: [(Poly<B>, KeyId); TERMS],
    ) -> Result<Ciphertext<B>, RlweError> {
        let ids = terms.each_ref().map(|(_, id)| *id);
        let terms = terms.into_iter().map(|(a, _)| a).collect();
        let mut switched = self.switch_whole(vec![WholeSwitch { addends, terms }], &ids, FACTOR_SPECIAL)?;
        Ok(switched.pop().unwrap_or_else(|| unreachable!("one result for one input")))
    }

    /// Both halves, divided by a power of two, in the coefficient domain.
    pub(crate) fn scaled_halves(&self, ciphertext: &Ciphertext<B>, divisor: usize) -> Result<Halves<B>, RlweError> {
        let backend = self.backend();
        self.scaled(ciphertext.halves().map(|half| half.duplicate(backend).into_coefficient(backend)), divisor)
    }

    fn scaled(&self, mut halves: Halves<B>, divisor: usize) -> Result<Halves<B>, RlweError> {
        // Powers of two have inverses modulo odd primes.
        let inverses: Vec<u64> = (self.parameters().chain().moduli(halves[0].shape().basis))
            .map(|modulus| modulus.inverse(modulus.reduce(divisor as u64)).unwrap_or_default())
            .collect();
        for half in &mut halves {
            half.scale_residues(self.backend(), &inverses)?;
        }
        Ok(halves)
    }

    pub(crate) fn check_rows(&self, operation: &'static str, rows: usize) -> Result<(), RlweError> {
        let most = self.parameters().lane_ring().degree() / 2;
        if rows.is_power_of_two() && rows <= most {
            return Ok(());
        }
        Err(RlweError::Precondition {
            operation,
            operand: "rows",
            found: rows.to_string(),
            required: format!("a power of two up to {most}"),
            remedy: "pad the matrices",
        })
    }
}

/// An operation on every element, on several threads where there is data: without, the order of allocations must not be a matter of
/// chance.
pub(crate) fn each<B: Backend, T: Send, U: Send>(
    items: Vec<T>,
    operation: impl Fn(usize, T) -> Result<U, RlweError> + Sync,
) -> Result<Vec<U>, RlweError> {
    if B::HOLDS_DATA {
        return items.into_par_iter().enumerate().map(|(index, item)| operation(index, item)).collect();
    }
    items.into_iter().enumerate().map(|(index, item)| operation(index, item)).collect()
}

pub(crate) fn require<B: Backend>(
    operation: &'static str,
    ciphertext: &Ciphertext<B>,
    basis: Basis,
) -> Result<(), RlweError> {
    if ciphertext.basis() == basis {
        return Ok(());
    }
    Err(RlweError::Precondition {
        operation,
        operand: "ciphertext",
        found: format!("at {}", ciphertext.basis()),
        required: format!("at {basis}"),
        remedy: "bring it to this level first",
    })
}

pub(crate) fn number_refused(operation: &'static str, found: usize, required: String) -> RlweError {
    RlweError::Precondition {
        operation,
        operand: "number of ciphertexts",
        found: found.to_string(),
        required,
        remedy: "give as many ciphertexts as the matrices have rows",
    }
}
