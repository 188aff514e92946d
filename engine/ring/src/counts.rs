//! What work costs, as exact integers that depend on shapes alone.
//!
//! [`Counts`] is what [`crate::Counting`] and [`crate::Meter`] accumulate; the functions here say what one kernel adds.
//! The unit of a multiply-add (MAC) is one word times one word. A decomposition of `l` limbs into digits of `w` limbs
//! with `k` special primes takes `l` inverse transforms (a digit's own limbs are reused as they are) and, for each digit,
//! `l + k - w` forward ones: with `d` digits `d (l + k)` in all.

use std::ops::{Add, AddAssign, Sub};

use crate::{
    Basis, Domain, GadgetInput, HoistedInput, HoistedSum, KeyedAutomorphism, MatrixShape, Operand, Pair, Shape,
};

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Work done or asked for. Sums and differences are field by field.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        pub struct Counts { $($(#[$doc])* pub $name: u64,)* }

        impl Counts {
            /// Names and values, in order of declaration: for tables and records.
            pub fn entries(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name)),*].into_iter()
            }

            /// Mutable access in the same order.
            fn values_mut(&mut self) -> impl Iterator<Item = &mut u64> {
                [$(&mut self.$name),*].into_iter()
            }
        }
    };
}

counts! {
    /// Limbs transformed from coefficients to values, those inside decompositions and divisions included.
    forward_transforms,
    /// Limbs transformed from values to coefficients, likewise.
    inverse_transforms,
    /// Butterflies of all transforms: `N/2 log2 N` each, so that transforms of different degrees can be added; over a subring of
    /// degree `k` only `N/2 log2 k`; the short ones of structured products included.
    butterflies,
    /// MACs of base conversions: source words times target limbs.
    base_conversion_macs,
    /// MACs of gadget products.
    gadget_macs,
    /// MACs of point-wise products of polynomials, and of sums with constant factors.
    product_macs,
    /// Words of sums, negations, scalings, added constants and products with monomials.
    elementwise_words,
    /// Words copied by restrictions, strided maps, gathers of module rows and automorphisms of their own.
    copied_words,
    /// Gadget decompositions.
    decompositions,
    /// Gadget products: key switches.
    gadget_products,
    /// Divisions by the special primes, one per polynomial.
    mod_downs,
    /// Divisions by a ciphertext prime, one per polynomial, those merged into a `mod_down` included.
    rescales,
    /// Polynomials raised to a larger modulus.
    raises,
    /// Automorphisms, one per polynomial.
    automorphisms,
    /// Limbs permuted by automorphisms.
    automorphism_limbs,
    /// MACs of integer matrix products.
    integer_product_macs,
    /// MACs of matrix products of ciphertexts over a subring, at its points.
    lane_product_macs,
    /// MACs of structured matrix products, whose weights are transformed: residues times residues.
    structured_product_macs,
    /// Bytes of switching keys read.
    key_bytes,
    /// Bytes of stored factors, plaintexts mostly, read by multiply-accumulate.
    plaintext_bytes,
    /// Bytes of polynomials that kernels read and write beside keys and stored factors, each operand and result once.
    polynomial_bytes,
    /// Bytes of polynomials handed to the backend, those that it expands from a seed included.
    uploaded_bytes,
}

/// Bytes of a word.
pub(crate) const WORD: usize = size_of::<u64>();

/// Bytes of so many limbs of a shape's degree.
fn bytes(shape: Shape, limbs: usize) -> u64 {
    (limbs * shape.ring.degree() * WORD) as u64
}

impl Counts {
    /// Limbs transformed in either direction.
    pub fn transforms(&self) -> u64 {
        self.forward_transforms + self.inverse_transforms
    }

    /// Bytes of keys, stored factors and polynomials between kernels and memory.
    pub fn moved_bytes(&self) -> u64 {
        self.key_bytes + self.plaintext_bytes + self.polynomial_bytes
    }

    fn transforms_at(shape: Shape, forward: usize, inverse: usize) -> Self {
        Self::transforms_of_layers(shape, shape.ring.log_degree as usize, forward, inverse)
    }

    /// Transforms of so many layers of butterflies.
    fn transforms_of_layers(shape: Shape, layers: usize, forward: usize, inverse: usize) -> Self {
        let butterflies = (shape.ring.degree() / 2) * layers;
        Self {
            forward_transforms: forward as u64,
            inverse_transforms: inverse as u64,
            butterflies: ((forward + inverse) * butterflies) as u64,
            ..Self::default()
        }
    }

    /// The same work, which reads and writes so many limbs beside keys and stored factors.
    fn moving(self, shape: Shape, limbs: usize) -> Self {
        Self { polynomial_bytes: bytes(shape, limbs), ..self }
    }

    /// A forward transform of every limb.
    pub fn forward(shape: Shape) -> Self {
        let limbs = shape.basis.len();
        Self::transforms_at(shape, limbs, 0).moving(shape, 2 * limbs)
    }

    /// An inverse transform of every limb.
    pub fn inverse(shape: Shape) -> Self {
        let limbs = shape.basis.len();
        Self::transforms_at(shape, 0, limbs).moving(shape, 2 * limbs)
    }

    /// An upload.
    pub fn upload(shape: Shape) -> Self {
        let limbs = shape.basis.len();
        Self { uploaded_bytes: bytes(shape, limbs), ..Self::default() }.moving(shape, limbs)
    }

    /// A sum, difference, negation, scaling, added constant or product with a monomial.
    pub fn elementwise(shape: Shape) -> Self {
        Self { elementwise_words: shape.words() as u64, ..Self::default() }.moving(shape, 3 * shape.basis.len())
    }

    /// A restriction, strided map, matrix of module rows or gather that produces `words` words.
    pub fn copy(words: usize) -> Self {
        Self { copied_words: words as u64, polynomial_bytes: (2 * words * WORD) as u64, ..Self::default() }
    }

    /// A product of two polynomials.
    pub fn multiply(shape: Shape) -> Self {
        Self { product_macs: shape.words() as u64, ..Self::default() }.moving(shape, 3 * shape.basis.len())
    }

    /// A product with a stored factor, of which the limbs of `shape` are read, added to an accumulator.
    pub fn multiply_accumulate(shape: Shape) -> Self {
        Self { plaintext_bytes: bytes(shape, shape.basis.len()), ..Self::multiply(shape) }
    }

    /// An automorphism.
    pub fn automorphism(shape: Shape) -> Self {
        let limbs = shape.basis.len();
        Self { automorphisms: 1, automorphism_limbs: limbs as u64, ..Self::copy(shape.words()) }
    }

    /// A gadget decomposition of a polynomial of `shape` into digits by groups of primes, lifted to `special` special ones.
    pub fn mod_up(shape: Shape, groups: &[Basis], special: usize) -> Self {
        let limbs = shape.basis.len();
        let (mut forward, mut macs) = (0, 0);
        for (_, digit) in shape.basis.digits(groups) {
            let others = limbs + special - digit.len();
            forward += others;
            macs += digit.len() * others;
        }
        let work = Self {
            decompositions: 1,
            base_conversion_macs: (macs * shape.ring.degree()) as u64,
            ..Self::transforms_at(shape, forward, limbs)
        };
        // The source is read, every limb of every digit written.
        work.moving(shape, 2 * limbs + forward)
    }

    /// Gadget products of a batch of ciphertexts with one key, so many digits each of `shape`.
    pub fn gadget_product(shape: Shape, digits: usize, batch: usize) -> Self {
        let words = 2 * digits * shape.words();
        Self {
            gadget_products: batch as u64,
            gadget_macs: (batch * words) as u64,
            key_bytes: (words * WORD) as u64,
            ..Self::default()
        }
        .moving(shape, batch * (digits + 3) * shape.basis.len())
    }

    /// So many sums of rotations of a batch of ciphertexts: so many of the rotations have a key, and so many products with factors
    /// are summed up.
    pub fn hoisted_sums(shape: Shape, digits: usize, batch: usize, keyed: usize, sums: usize, factors: usize) -> Self {
        let keys = Self::gadget_product(shape, digits, batch);
        let products = (2 * batch * factors * shape.words()) as u64;
        let rotations = (2 * batch * keyed) as u64;
        Self {
            gadget_products: keys.gadget_products * keyed as u64,
            gadget_macs: keys.gadget_macs * keyed as u64,
            key_bytes: keys.key_bytes * keyed as u64,
            product_macs: products,
            plaintext_bytes: (factors * shape.words() * WORD) as u64,
            automorphisms: rotations,
            automorphism_limbs: rotations * shape.basis.len() as u64,
            ..Self::default()
        }
        .moving(shape, batch * (digits + 2 + 2 * sums) * shape.basis.len())
    }

    /// So many sums of as many ciphertexts of `shape` as there are inputs, times factors from a subring of degree `points`.
    pub fn subring_sums(shape: Shape, points: usize, inputs: usize, sums: usize) -> Self {
        let limbs = shape.basis.len();
        Self {
            lane_product_macs: (2 * inputs * sums * shape.words()) as u64,
            plaintext_bytes: (inputs * sums * limbs * points * WORD) as u64,
            ..Self::default()
        }
        .moving(shape, 2 * (inputs + sums) * limbs)
    }

    /// The product of two ciphertexts in three parts.
    pub fn tensor(shape: Shape) -> Self {
        Self { product_macs: 4 * shape.words() as u64, ..Self::default() }.moving(shape, 7 * shape.basis.len())
    }

    /// A sum of so many polynomials with constant factors.
    pub fn linear_combination(target: Shape, terms: usize) -> Self {
        let products = Self { product_macs: (terms * target.words()) as u64, ..Self::default() };
        products.moving(target, (terms + 1) * target.basis.len())
    }

    /// A division of a polynomial of `shape` by its special primes, and by the highest ciphertext prime if `rescale`.
    pub fn mod_down(shape: Shape, rescale: bool) -> Self {
        let dropped = shape.basis.special_count() + usize::from(rescale);
        let kept = shape.basis.len() - dropped;
        Self {
            mod_downs: 1,
            rescales: u64::from(rescale),
            base_conversion_macs: (dropped * kept * shape.ring.degree()) as u64,
            ..Self::transforms_at(shape, kept, dropped)
        }
        .moving(shape, dropped + 2 * kept)
    }

    /// A division of a polynomial of `shape` by its highest ciphertext prime.
    pub fn rescale(shape: Shape) -> Self {
        let kept = shape.basis.len() - 1;
        let transforms = match shape.domain {
            Domain::Evaluation => Self::transforms_at(shape, kept, 1),
            Domain::Coefficient => Self::default(),
        };
        Self { rescales: 1, base_conversion_macs: (kept * shape.ring.degree()) as u64, ..transforms }
            .moving(shape, 2 * kept + 1)
    }

    /// A raise from the primes of `source` to those of `target`.
    pub fn raise(source: Basis, target: Shape) -> Self {
        let macs = source.len() * target.words();
        let limbs = target.basis.len();
        Self { raises: 1, base_conversion_macs: macs as u64, ..Self::transforms_at(target, limbs, 0) }
            .moving(target, source.len() + limbs)
    }

    /// Products of integer weights with a vector in so many ciphertexts of `shape`, in so many results: every weight polynomial is
    /// written, transformed, and multiplied with both halves of its input.
    pub fn weight_products(weights: MatrixShape, shape: Shape, inputs: usize, results: usize) -> Self {
        let words = inputs * results * shape.words();
        Self {
            product_macs: 2 * words as u64,
            copied_words: words as u64,
            plaintext_bytes: (weights.words() * size_of::<i16>()) as u64,
            ..Self::transforms_at(shape, inputs * results, 0)
        }
        .moving(shape, 2 * (inputs + results))
    }

    /// A product of an integer matrix with `rows` rows and the module rows of ciphertexts of a ring of degree `degree`, which are not
    /// written down: with the rank `k`, every ciphertext, weight row of a ciphertext and row of the result is transformed at length
    /// `2k`, and `2k` products of matrices meet in between.
    pub fn module_product(rows: usize, ciphertexts: usize, degree: usize, tokens: usize) -> Self {
        let rank = degree / tokens;
        let transforms = ciphertexts * tokens + rows * ciphertexts + rows * tokens;
        let [b, _] = MatrixShape::of_module_rows(ciphertexts, degree, tokens);
        Self {
            butterflies: (transforms * rank * (2 * rank).ilog2() as usize) as u64,
            structured_product_macs: (2 * rank * rows * ciphertexts * tokens) as u64,
            polynomial_bytes: ((ciphertexts + rows) * degree * WORD) as u64,
            ..Self::default()
        } + Self::copy(b.words())
            + Self::integer_product(rows, b)
    }

    /// A product of an integer matrix with `rows` rows and a residue matrix.
    pub fn integer_product(rows: usize, matrix: MatrixShape) -> Self {
        Self {
            integer_product_macs: (rows * matrix.rows * matrix.columns) as u64,
            polynomial_bytes: ((rows + matrix.rows) * matrix.columns * WORD) as u64,
            ..Self::default()
        }
    }

    /// Matrix products of so many pairs of ciphertexts with halves of `shape`, in so many rows over a subring: four products of
    /// matrices at each of its points, between transforms of the halves and of the results.
    pub fn lane_products(shape: Shape, rows: usize, pairs: usize) -> Self {
        let limbs = shape.basis.len();
        let layers = (shape.ring.degree() / rows).ilog2() as usize;
        let (halves, results) = (4 * pairs * limbs, 4 * rows * limbs);
        Self {
            lane_product_macs: (4 * pairs * rows * shape.words()) as u64,
            ..Self::transforms_of_layers(shape, layers, halves, results)
        }
        .moving(shape, halves + results)
    }
}

/// The work of a gadget product with these operands.
pub(crate) fn gadget_counts<T>(inputs: &[GadgetInput<'_, T>]) -> Counts {
    let Some(input) = inputs.first() else { return Counts::default() };
    input
        .digits
        .first()
        .map_or(Counts::default(), |digit| Counts::gadget_product(digit.shape, input.digits.len(), inputs.len()))
}

/// The work of products with weight polynomials with these operands, and the words of each half of as many results.
pub(crate) fn weight_counts<T>(weights: MatrixShape, inputs: &[Pair<'_, T>], block: usize) -> (Counts, usize, usize) {
    let Some([b, _]) = inputs.first() else { return (Counts::default(), 0, 0) };
    let results = weights.polynomials(b.shape.ring.degree(), block);
    (Counts::weight_products(weights, b.shape, inputs.len(), results), b.shape.words(), results)
}

/// The work of sums of rotations with these operands.
pub(crate) fn hoisted_counts<T>(
    inputs: &[HoistedInput<'_, T>],
    automorphisms: &[KeyedAutomorphism<'_, T>],
    sums: &[HoistedSum<'_, T>],
) -> Counts {
    let Some(input) = inputs.first() else { return Counts::default() };
    let keyed = automorphisms.iter().filter(|automorphism| !automorphism.rows.is_empty()).count();
    let factors = sums.iter().map(Vec::len).sum();
    input.digits.first().map_or(Counts::default(), |digit| {
        Counts::hoisted_sums(digit.shape, input.digits.len(), inputs.len(), keyed, sums.len(), factors)
    })
}

/// The work of matrix products of these ciphertexts.
pub(crate) fn lane_counts<T>(left: &[Pair<'_, T>], rows: usize) -> Counts {
    left.first().map_or(Counts::default(), |[half, _]| Counts::lane_products(half.shape, rows, left.len()))
}

/// The work of sums of these ciphertexts with these factors from a subring.
pub(crate) fn subring_counts<T>(inputs: &[Pair<'_, T>], factors: &[Vec<Operand<'_, T>>]) -> Counts {
    let factor = factors.iter().flatten().next();
    inputs.first().zip(factor).map_or(Counts::default(), |([half, _], factor)| {
        Counts::subring_sums(half.shape, factor.shape.ring.degree(), inputs.len(), factors.len())
    })
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        for (value, (_, addend)) in self.values_mut().zip(other.entries()) {
            *value += addend;
        }
    }
}

impl Add for Counts {
    type Output = Self;
    fn add(mut self, other: Self) -> Self {
        self += other;
        self
    }
}

/// The work between two readings of a counter, `later - earlier`.
impl Sub for Counts {
    type Output = Self;
    fn sub(mut self, other: Self) -> Self {
        for (value, (_, subtrahend)) in self.values_mut().zip(other.entries()) {
            *value -= subtrahend;
        }
        self
    }
}

impl std::iter::Sum for Counts {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), Add::add)
    }
}
