//! Transposes of matrices of ciphertexts: row `i` of ciphertext `j` becomes row `j` of ciphertext `i`.
//!
//! With `w = X^(2k)`, of order `d`, and `sigma_u: X -> X^(2 k u + 1)`, the `d` automorphisms that fix `R_k`, entry `M_ij` is
//! `1/d sum_u sigma_u(X^-j m_i)`. Over all `i` and `j` that is
//!
//! ```text
//! transform over the ciphertexts X^i m_i / d,   sigma_u of the value at u^-1,   a key switch,   the inverse transform,   times X^-j
//! ```
//!
//! with transforms whose roots are monomials: they multiply nothing. `d - 1` switches in all, of as many keys (Cheon, Kang and Lee, ePrint
//! 2025/1957; Park, Eurocrypt 2025).

use fhe_ring::{Backend, Basis, GaloisElement, Poly};

use crate::{
    Ciphertext, KeyId, KeySwitcher, RlweError,
    lanes::{FACTOR_PRIMES, each, number_refused, require},
};

/// Both halves of a ciphertext, on its way through a transposition.
pub(crate) type Halves<B> = [Poly<B>; 2];

impl<B: Backend> KeySwitcher<B> {
    /// From an encryption by rows to one by columns, or back: the first `count` ciphertexts of the transposed `rows x rows` matrix. Missing
    /// inputs are zero. `rows - 1` key switches with as many keys; evaluation domain out.
    ///
    /// # Errors
    /// [`RlweError::MissingKey`]; more inputs or outputs than rows, rows that do not divide the degree, inputs with other primes.
    pub fn transpose_lanes(
        &self,
        inputs: &[&Ciphertext<B>],
        rows: usize,
        count: usize,
    ) -> Result<Vec<Ciphertext<B>>, RlweError> {
        const OPERATION: &str = "transpose_lanes";
        self.check_rows(OPERATION, rows)?;
        if inputs.is_empty() || inputs.len().max(count) > rows {
            return Err(number_refused(OPERATION, inputs.len().max(count), format!("1 to {rows}")));
        }
        for input in inputs {
            require(OPERATION, input, Basis::prefix(FACTOR_PRIMES))?;
        }
        let halves =
            (inputs.iter()).map(|input| self.scaled_halves(input, rows)).collect::<Result<Vec<_>, RlweError>>()?;
        let turned = self.turn_rows(halves, rows)?;
        let switched = each::<B, _, _>(turned, |index, [b, a]| {
            let element = self.row_element(index, rows);
            if element == GaloisElement::IDENTITY {
                return Ok([b, a].map(|half| half.into_evaluation(self.backend())));
            }
            let terms = [(a, KeyId::LaneGalois(element))];
            Ok(self.switch_factor([Some(b), None], terms)?.into_halves())
        })?;
        self.columns(switched, count)
    }

    /// The first half of a transposition: `sigma_u` of the transform over the ciphertexts, for `u^-1` of every `u`; coefficient domain. The inputs carry
    /// the factor `1/rows` already: after a switch it would blow up its noise.
    pub(crate) fn turn_rows(&self, inputs: Vec<Halves<B>>, rows: usize) -> Result<Vec<Halves<B>>, RlweError> {
        let backend = self.backend();
        let mut inputs = each::<B, _, _>(inputs, |index, halves| shifted(backend, &halves, index as i64))?;
        while inputs.len() < rows {
            let shape = inputs[0][0].shape();
            inputs.push([Poly::zeros(backend, shape)?, Poly::zeros(backend, shape)?]);
        }
        let transformed = transform(backend, inputs, 1)?;
        each::<B, _, _>((0..rows).collect(), |_, index| {
            let element = self.row_element(index, rows);
            let [b, a] = &transformed[self.inverse_index(element, rows)];
            Ok([b.automorphism(backend, element)?, a.automorphism(backend, element)?])
        })
    }

    /// The second half of a transposition, after the key switches.
    pub(crate) fn columns(&self, switched: Vec<Halves<B>>, count: usize) -> Result<Vec<Ciphertext<B>>, RlweError> {
        let backend = self.backend();
        let mut transformed = transform(backend, switched, -1)?;
        transformed.truncate(count);
        each::<B, _, _>(transformed, |index, halves| {
            let [b, a] = shifted(backend, &halves, -(index as i64))?;
            Ciphertext::new(b, a)
        })
    }

    /// The automorphism number `index` of those that fix `R_k`: `X -> X^(2 k index + 1)`.
    pub(crate) fn row_element(&self, index: usize, rows: usize) -> GaloisElement {
        let step = 2 * self.parameters().lane_ring().degree() / rows;
        self.lane_element((step * index + 1) as u64)
    }

    /// The number of the inverse of such an automorphism.
    fn inverse_index(&self, element: GaloisElement, rows: usize) -> usize {
        let ring = self.parameters().lane_ring();
        (element.inverse(ring).exponent() as usize - 1) / (2 * ring.degree() / rows)
    }

    pub(crate) fn lane_element(&self, exponent: u64) -> GaloisElement {
        GaloisElement::from_exponent(self.parameters().lane_ring(), exponent)
            .unwrap_or_else(|| unreachable!("odd exponents only"))
    }
}

/// `X^exponent` times both halves.
pub(crate) fn shifted<B: Backend>(backend: &B, halves: &Halves<B>, exponent: i64) -> Result<Halves<B>, RlweError> {
    let order = 2 * halves[0].shape().ring.degree() as i64;
    let exponent = exponent.rem_euclid(order) as usize;
    let [b, a] = halves.each_ref().map(|half| half.multiply_monomial(backend, exponent));
    Ok([b?, a?])
}

/// Sum and difference.
pub(crate) fn butterfly<B: Backend>(
    backend: &B,
    left: Halves<B>,
    right: [&Poly<B>; 2],
) -> Result<[Halves<B>; 2], RlweError> {
    let mut sum = left.each_ref().map(|half| half.duplicate(backend));
    let mut difference = left;
    for ((sum, difference), right) in sum.iter_mut().zip(&mut difference).zip(right) {
        sum.add_assign(backend, right)?;
        difference.subtract_assign(backend, right)?;
    }
    Ok([sum, difference])
}

/// `u_t = sum_i X^(+-2 k t i) v_i` over ciphertexts, `2 k` twice the degree by their number: the transform of which monomials are the roots, so that it
/// multiplies nothing.
fn transform<B: Backend>(backend: &B, values: Vec<Halves<B>>, sign: i64) -> Result<Vec<Halves<B>>, RlweError> {
    let count = values.len();
    if count == 1 {
        return Ok(values);
    }
    let step = sign * 2 * values[0][0].shape().ring.degree() as i64 / count as i64;
    let (mut even, mut odd) = (Vec::with_capacity(count / 2), Vec::with_capacity(count / 2));
    for (index, value) in values.into_iter().enumerate() {
        if index % 2 == 0 { even.push(value) } else { odd.push(value) }
    }
    let (even, odd) = (transform(backend, even, sign)?, transform(backend, odd, sign)?);
    let pairs = each::<B, _, _>(even.into_iter().zip(odd).collect(), |t, (even, odd)| {
        butterfly(backend, even, shifted(backend, &odd, step * t as i64)?.each_ref())
    })?;
    let (sums, differences): (Vec<_>, Vec<_>) = pairs.into_iter().map(|[sum, difference]| (sum, difference)).unzip();
    Ok(sums.into_iter().chain(differences).collect())
}
