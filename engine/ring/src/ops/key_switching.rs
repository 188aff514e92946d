//! Gadget digits, the gadget product, divisions by primes and the raise.

use super::checks::Check;
use crate::{Backend, Basis, Domain, GaloisElement, Poly, PrimeChain, RingError, Shape};

/// The gadget decomposition of a polynomial: digits with their index, all of one shape in the evaluation domain.
///
/// Digit `d` meets row `d` of a switching key. Digits all of whose primes are absent do not appear, so indices ascend
/// but may have gaps.
pub struct Digits<B: Backend> {
    digits: Vec<(usize, Poly<B>)>,
    shape: Shape,
}

impl<B: Backend> Digits<B> {
    /// A polynomial (evaluation domain) as the only digit, for a key of one row.
    pub fn single(digit: Poly<B>) -> Result<Self, RingError> {
        Check("single digit").domain("the digit", digit.shape().domain, Domain::Evaluation)?;
        let shape = digit.shape();
        Ok(Self { digits: vec![(0, digit)], shape })
    }

    /// The common shape of the digits.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Number of digits.
    pub fn len(&self) -> usize {
        self.digits.len()
    }

    /// Whether there is no digit; never the case.
    pub fn is_empty(&self) -> bool {
        self.digits.is_empty()
    }

    /// The digits with their indices, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &Poly<B>)> {
        self.digits.iter().map(|(index, digit)| (*index, digit))
    }

    /// The digits of `p(X^g)`: automorphisms commute with the decomposition, which is what hoisting rests on.
    pub fn automorphism(&self, backend: &B, element: GaloisElement) -> Result<Self, RingError> {
        let digits = (self.digits.iter())
            .map(|(index, digit)| Ok((*index, digit.automorphism(backend, element)?)))
            .collect::<Result<_, RingError>>()?;
        Ok(Self { digits, shape: self.shape })
    }
}

/// `target[h] += sum_d digits[d] * rows[d][h]` for both halves `h`.
///
/// `rows` are all rows of the key in order; digit `d` takes row `d`. The targets have the shape of the digits; key
/// rows may have more primes.
pub fn gadget_product<B: Backend>(
    backend: &B,
    target: &mut [Poly<B>; 2],
    digits: &Digits<B>,
    rows: &[[Poly<B>; 2]],
) -> Result<(), RingError> {
    let check = Check("gadget_product");
    let shape = digits.shape();
    check.same_shape("the first target", target[0].shape(), shape)?;
    check.same_shape("the second target", target[1].shape(), shape)?;
    let mut factors = Vec::with_capacity(digits.len());
    let mut selected = Vec::with_capacity(digits.len());
    for (index, digit) in digits.iter() {
        let Some([left, right]) = rows.get(index) else {
            let remedy = "use a key with a row for every digit";
            return Err(RingError::LengthMismatch {
                operation: check.0,
                operand: "the switching key",
                found: rows.len(),
                required: index + 1,
                remedy,
            });
        };
        for half in [left, right] {
            check.same_ring("the switching key", half.shape().ring, shape.ring)?;
            check.domain("the switching key", half.shape().domain, Domain::Evaluation)?;
            check.contains("the switching key", half.shape().basis, shape.basis)?;
        }
        factors.push(digit.operand());
        selected.push([left.operand(), right.operand()]);
    }
    let [first, second] = target;
    backend.gadget_product([first.buffer_mut(), second.buffer_mut()], &factors, &selected);
    Ok(())
}

impl<B: Backend> Poly<B> {
    /// Splits into gadget digits of `width` consecutive primes each, lifted to the polynomial's primes and the first
    /// `special` special primes. Evaluation domain in and out, no special primes in. Each digit is a small integer
    /// polynomial: at most half of the product of its primes in absolute value.
    pub fn mod_up(&self, backend: &B, width: usize, special: usize) -> Result<Digits<B>, RingError> {
        let check = Check("mod_up");
        let shape = self.shape();
        check.domain("the polynomial", shape.domain, Domain::Evaluation)?;
        check.no_special_primes("the polynomial", shape.basis)?;
        let widths = 1..=PrimeChain::MAX_CIPHERTEXT_PRIMES;
        check.number("the digit width", width, widths, "a digit has one prime or more")?;
        let available = backend.primes().special_primes().len();
        check.number(
            "the number of special primes",
            special,
            0..=available,
            "make a chain with more special primes",
        )?;
        let extended = shape.extended(special);
        let digits = (backend.mod_up(self.operand(), width, special).into_iter())
            .map(|(index, buffer)| (index, Poly::from_parts(buffer, extended)))
            .collect();
        Ok(Digits { digits, shape: extended })
    }

    /// `P p` over the primes of `p` and the first `special` special primes, `P` their product: what `mod_down` divides
    /// away again, so that a term can join a sum that has not been divided yet.
    pub fn extend_by_special(&self, backend: &B, special: usize) -> Result<Self, RingError> {
        let check = Check("extend_by_special");
        let shape = self.shape();
        check.domain("the polynomial", shape.domain, Domain::Evaluation)?;
        check.no_special_primes("the polynomial", shape.basis)?;
        let available = backend.primes().special_primes().len();
        check.number(
            "the number of special primes",
            special,
            1..=available,
            "make a chain with more special primes",
        )?;
        let target = shape.extended(special);
        Ok(Self::from_parts(backend.extend(self.operand(), special), target))
    }

    /// Divides by all special primes, and by the highest ciphertext prime too if `rescale`, with centred rounding.
    /// Evaluation domain in and out.
    pub fn mod_down(&self, backend: &B, rescale: bool) -> Result<Self, RingError> {
        let check = Check("mod_down");
        let shape = self.shape();
        check.domain("the polynomial", shape.domain, Domain::Evaluation)?;
        if shape.basis.special_count() == 0 {
            let remedy = "there is nothing to divide by: leave the polynomial as it is, or rescale it";
            return Err(check.primes_unsupported("the polynomial", shape.basis, "at least one special prime", remedy));
        }
        check.ciphertext_primes("the polynomial", shape.basis, 1 + usize::from(rescale))?;
        Ok(Self::from_parts(backend.mod_down(self.operand(), rescale), shape.divided(rescale)))
    }

    /// Divides by the highest ciphertext prime with centred rounding, in the domain of the polynomial; no special
    /// primes. Consumes that prime.
    pub fn rescale(&self, backend: &B) -> Result<Self, RingError> {
        let check = Check("rescale");
        let shape = self.shape();
        check.no_special_primes("the polynomial", shape.basis)?;
        check.ciphertext_primes("the polynomial", shape.basis, 2)?;
        Ok(Self::from_parts(backend.rescale(self.operand()), shape.divided(true)))
    }

    /// Lifts a polynomial with a single prime (coefficient domain), centred, to the primes of `basis`; evaluation
    /// domain out.
    pub fn raise(&self, backend: &B, basis: Basis) -> Result<Self, RingError> {
        let check = Check("raise");
        let shape = self.shape();
        check.domain("the polynomial", shape.domain, Domain::Coefficient)?;
        check.single_prime("the polynomial", shape.basis)?;
        let target = Shape::evaluation(shape.ring, basis);
        check.well_formed("the target", target, backend.primes())?;
        Ok(Self::from_parts(backend.raise(self.operand(), target), target))
    }
}
