//! Gadget digits, the gadget product and sums of rotations.

use super::checks::Check;
use crate::{
    Backend, Basis, Domain, GadgetInput, GaloisElement, HoistedInput, KeyedAutomorphism, Poly, PrimeChain, RingError,
    Shape,
};

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
        Self::separate(vec![digit])
    }

    /// Polynomials (evaluation domain, one shape) that each meet a row of their own.
    pub fn separate(digits: Vec<Poly<B>>) -> Result<Self, RingError> {
        let check = Check("separate digits");
        check.number("the number of digits", digits.len(), 1..=usize::MAX, "give at least one polynomial")?;
        let shape = digits[0].shape();
        check.domain("the first digit", shape.domain, Domain::Evaluation)?;
        digits.iter().try_for_each(|digit| check.same_shape("a digit", digit.shape(), shape))?;
        Ok(Self { digits: digits.into_iter().enumerate().collect(), shape })
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

    /// The rows of a key that the digits meet, checked to cover them.
    fn rows<'a>(&self, check: Check, key: &[&'a [Poly<B>; 2]]) -> Result<Vec<&'a [Poly<B>; 2]>, RingError> {
        let row = |(index, _): (usize, &Poly<B>)| {
            let Some(&row) = key.get(index) else {
                let remedy = "use a key with a row for every digit";
                return Err(check.too_short("the switching key", key.len(), index + 1, remedy));
            };
            for half in row {
                check.same_ring("the switching key", half.shape().ring, self.shape.ring)?;
                check.domain("the switching key", half.shape().domain, Domain::Evaluation)?;
                check.contains("the switching key", half.shape().basis, self.shape.basis)?;
            }
            Ok(row)
        };
        self.iter().map(row).collect()
    }

    /// All digits of a batch have one shape and the same indices, so that one key serves them.
    fn alike(&self, check: Check, other: &Self) -> Result<(), RingError> {
        let remedy = "decompose all inputs of a batch with the same groups of primes";
        check.same_shape("the digits of another input", other.shape, self.shape)?;
        check.length("the digits of another input", other.len(), self.len(), remedy)?;
        (self.iter().zip(other.iter())).try_for_each(|((required, _), (found, _))| {
            check.number("the index of another input's digit", found, required..=required, remedy)
        })
    }
}

/// One ciphertext of a batch of gadget products.
pub struct GadgetFactor<'a, B: Backend> {
    /// Its digits.
    pub digits: &'a Digits<B>,
    /// Added to both halves of the product: polynomials over the primes of the digits, or without special primes, and then
    /// multiplied by the product of the special primes.
    pub addends: [Option<&'a Poly<B>>; 2],
}

/// For every ciphertext and both halves `h`: `sum_d digits[d] * rows[d][h] + addends[h]`.
///
/// `rows` are all rows of the key in order; digit `d` takes row `d`. Key rows may have more primes than the digits.
pub fn gadget_product<B: Backend>(
    backend: &B,
    batch: &[GadgetFactor<'_, B>],
    rows: &[&[Poly<B>; 2]],
) -> Result<Vec<[Poly<B>; 2]>, RingError> {
    let check = Check("gadget_product");
    let Some(first) = batch.first() else { return Ok(Vec::new()) };
    let shape = first.digits.shape();
    for factor in batch {
        first.digits.alike(check, factor.digits)?;
        for addend in factor.addends.into_iter().flatten() {
            check.addend("an addend", addend.shape(), shape)?;
        }
    }
    let selected = first.digits.rows(check, rows)?;
    let selected: Vec<_> = selected.iter().map(|row| row.each_ref().map(Poly::operand)).collect();
    let inputs: Vec<_> = (batch.iter())
        .map(|factor| GadgetInput {
            digits: factor.digits.iter().map(|(_, digit)| digit.operand()).collect(),
            addends: factor.addends.map(|addend| addend.map(Poly::operand)),
        })
        .collect();
    let products = backend.gadget_product(&inputs, &selected);
    Ok(products.into_iter().map(|halves| halves.map(|half| Poly::from_parts(half, shape))).collect())
}

/// One ciphertext of a batch that is rotated: the digits of its second half, and both halves.
pub struct HoistedFactor<'a, B: Backend> {
    /// The digits of the second half.
    pub digits: &'a Digits<B>,
    /// Both halves, without special primes.
    pub ciphertext: [&'a Poly<B>; 2],
}

/// A rotation with the rows of its key; the identity has none.
pub struct KeyedRotation<'a, B: Backend> {
    /// `X -> X^g`.
    pub element: GaloisElement,
    /// All rows of the key from `s` to `g^-1(s)`.
    pub rows: Vec<&'a [Poly<B>; 2]>,
}

/// For every ciphertext, every sum and both halves: the sum of rotated ciphertexts times factors, over the primes of the
/// digits and multiplied by the product of the special primes; what [`Backend::hoisted_sums`] says.
///
/// A sum names its rotations by index. Factors and key rows may have more primes than the digits.
pub fn hoisted_sums<B: Backend>(
    backend: &B,
    batch: &[HoistedFactor<'_, B>],
    rotations: &[KeyedRotation<'_, B>],
    sums: &[Vec<(usize, &Poly<B>)>],
) -> Result<Vec<Vec<[Poly<B>; 2]>>, RingError> {
    let check = Check("hoisted_sums");
    let Some(first) = batch.first() else { return Ok(Vec::new()) };
    let shape = first.digits.shape();
    let unextended = shape.with_basis(shape.basis.without_special());
    for factor in batch {
        first.digits.alike(check, factor.digits)?;
        for half in factor.ciphertext {
            check.same_shape("the ciphertext", half.shape(), unextended)?;
        }
    }
    for (rotation, factor) in sums.iter().flatten() {
        let remedy = "name a rotation of the list by its index";
        check.index("the index of a rotation", *rotation, rotations.len(), remedy)?;
        check.same_ring("a factor", factor.shape().ring, shape.ring)?;
        check.domain("a factor", factor.shape().domain, Domain::Evaluation)?;
        check.contains("a factor", factor.shape().basis, shape.basis)?;
    }
    let automorphisms = (rotations.iter())
        .map(|rotation| {
            first.ciphertext_element(check, rotation.element)?;
            let rows = match rotation.element {
                GaloisElement::IDENTITY => Vec::new(),
                _ => first.digits.rows(check, &rotation.rows)?,
            };
            let rows = rows.iter().map(|row| row.each_ref().map(Poly::operand)).collect();
            Ok(KeyedAutomorphism { element: rotation.element, rows })
        })
        .collect::<Result<Vec<_>, RingError>>()?;
    let inputs: Vec<_> = (batch.iter())
        .map(|factor| HoistedInput {
            digits: factor.digits.iter().map(|(_, digit)| digit.operand()).collect(),
            ciphertext: factor.ciphertext.map(Poly::operand),
        })
        .collect();
    let sums: Vec<Vec<_>> =
        sums.iter().map(|terms| terms.iter().map(|(index, factor)| (*index, factor.operand())).collect()).collect();
    let results = backend.hoisted_sums(&inputs, &automorphisms, &sums);
    let poly = |half| Poly::from_parts(half, shape);
    Ok(results.into_iter().map(|sums| sums.into_iter().map(|halves| halves.map(poly)).collect()).collect())
}

impl<B: Backend> HoistedFactor<'_, B> {
    fn ciphertext_element(&self, check: Check, element: GaloisElement) -> Result<(), RingError> {
        self.ciphertext[0].check_element(check, element)
    }
}

impl<B: Backend> Poly<B> {
    /// Splits into gadget digits, one for each group of primes of which one is present ([`Basis::digits`]), lifted to the
    /// polynomial's primes and the first `special` special primes. Evaluation domain in and out, no special primes in.
    /// Each digit is a small integer polynomial: at most half of the product of its primes in absolute value.
    ///
    /// The groups are disjoint and cover the polynomial's primes.
    pub fn mod_up(&self, backend: &B, groups: &[Basis], special: usize) -> Result<Digits<B>, RingError> {
        let check = Check("mod_up");
        let shape = self.shape();
        check.domain("the polynomial", shape.domain, Domain::Evaluation)?;
        check.no_special_primes("the polynomial", shape.basis)?;
        let covered = groups.iter().fold(Basis::default(), |all, group| all.union(*group));
        check.contains("the union of the groups", covered, shape.basis)?;
        let primes = groups.iter().map(|group| group.ciphertext_count()).sum::<usize>();
        let remedy = "put every prime into one group";
        check.length("the groups, whose primes are not distinct", primes, covered.ciphertext_count(), remedy)?;
        check.number("the number of groups", groups.len(), 1..=PrimeChain::MAX_CIPHERTEXT_PRIMES, "merge groups")?;
        let available = backend.primes().special_primes().len();
        check.number(
            "the number of special primes",
            special,
            0..=available,
            "make a chain with more special primes",
        )?;
        let extended = shape.extended(special);
        let digits = (backend.mod_up(self.operand(), groups, special).into_iter())
            .map(|(index, buffer)| (index, Poly::from_parts(buffer, extended)))
            .collect();
        Ok(Digits { digits, shape: extended })
    }
}
