//! Functions of few values, by slim evaluation in the slots that these leave idle.
//!
//! One number per token (RMSNorm) or per head and query (SoftMax) fills a **block** of slots; the same block repeats through either half of a
//! ciphertext, as a sparse half bootstrap returns it or a sum over rows leaves it. Every block evaluates a leaf of a [`SlimPolynomial`] of its own,
//! then folds bring the leaves together: square, rotate by whole blocks, add, subtract a constant vector (arXiv 2601.18511, section 3.4,
//! algorithm 1).
//!
//! **The ends of the halves.** The two halves hold different tokens, and a rotation that leaves one enters the other. A fold that looks forwards
//! is therefore right except in the last blocks of each half, `2^j - 1` of them after `j` folds; one that looks backwards, except in the first.
//! Where all blocks are needed, the values come in two ciphertexts that share the leaves and the first squaring, to be
//! joined by masks, at a level ([`Folded::joined`]), or by whoever multiplies with them. Where the last blocks idle, as behind scores
//! in slots, forwards is enough.

use fhe_ckks::polynomials::chebyshev::Chebyshev;
use fhe_ckks::polynomials::minimax::minimax_relative;
use fhe_ckks::polynomials::slim::{LARGEST_DEGREE, LEAST_LEAF_DEGREE, SlimPolynomial};
use fhe_ckks::polynomials::slot_polynomials::SlotPolynomials;
use fhe_ckks::{Evaluator, Rotation};

use crate::approximation::{Approximation, Criterion, FittedPolynomial, Target};
use crate::error::{CircuitError, Result, refuse};

/// The degrees tried.
const DEGREES: [usize; 4] = [16, 32, 64, 128];
/// Leaves of degree 8 take four products, and half as many are two products less for one fold more: below this degree that is no gain.
const USUAL_LEAF: usize = 8;
/// Points per degree at which an error is measured.
const POINTS_PER_DEGREE: usize = 16;
/// The normalised variable.
const INTERVAL: (f64, f64) = (-1.0, 1.0);

/// Blocks of slots in which an argument repeats through either half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocks {
    /// Slots of a block.
    length: usize,
    /// Blocks of a half.
    count: usize,
    /// The first so many are those in which the value is needed.
    used: usize,
}

impl Blocks {
    /// Blocks of `length` slots in halves of `half` slots, of which the first `used` are needed.
    ///
    /// # Errors
    /// Unless both lengths are powers of two, a block fits into a half, and there are so many blocks.
    pub fn new(half: usize, length: usize, used: usize) -> Result<Self> {
        if !half.is_power_of_two() || !length.is_power_of_two() || length > half {
            let required = format!("a power of two, at most {half}");
            return Err(refuse("Blocks::new", "length", length, required, "repeat the argument with such a period"));
        }
        let count = half / length;
        if used == 0 || used > count {
            return Err(refuse("Blocks::new", "blocks in use", used, format!("1 to {count}"), "use fewer blocks"));
        }
        Ok(Self { length, count, used })
    }

    /// Folds that can be made: so many that values arrive in all blocks in use, from one side or the other.
    pub fn most_folds(&self) -> usize {
        let fits =
            |folds: usize| (1 << folds) <= self.count && (!self.needs_both(folds) || (2 << folds) <= self.count + 2);
        (0..).take_while(|&folds| fits(folds)).last().unwrap_or(0)
    }

    /// Whether folds from one side leave a block in use without its value.
    fn needs_both(&self, folds: usize) -> bool {
        self.used + (1 << folds) - 1 > self.count
    }

    /// The number of a slot's block in its half.
    fn block(&self, slot: usize) -> usize {
        slot / self.length % self.count
    }

    fn slots(&self) -> usize {
        2 * self.length * self.count
    }

    /// One number per class of blocks, `block mod classes`, over all slots.
    fn plain(&self, numbers: &[f64]) -> Vec<f64> {
        (0..self.slots()).map(|slot| numbers[self.block(slot) % numbers.len()]).collect()
    }

    /// 1 in the first half of the blocks of either half of the slots (or in the others), 0 elsewhere.
    fn side(&self, first: bool) -> Vec<f64> {
        let kept = |slot: &usize| (self.block(*slot) < self.count / 2) == first;
        (0..self.slots()).map(|slot| if kept(&slot) { 1.0 } else { 0.0 }).collect()
    }
}

/// A function on [-1, 1] for slim evaluation, with the error that its polynomial was measured to have.
#[derive(Clone, Debug)]
pub struct SlimApproximation {
    function: &'static str,
    coefficients: Vec<f64>,
    polynomial: SlimPolynomial,
    leaves: SlotPolynomials,
    blocks: Blocks,
    error: f64,
}

/// A function of few values, whichever way it is evaluated.
#[derive(Clone, Debug)]
pub(crate) enum FewValues {
    PatersonStockmeyer(Approximation),
    Slim(Box<SlimApproximation>),
}

/// The values of a slim evaluation.
#[derive(Clone, Debug)]
pub struct Folded<S> {
    blocks: Blocks,
    /// Right in every block in use, or in the first half of all.
    forwards: S,
    /// If there is one: right in the second half of the blocks.
    backwards: Option<S>,
}

impl SlimApproximation {
    /// Fits `f` on [-1, 1]: the smallest degree of 16, 32, 64, 128 that meets the tolerance, or the one that comes nearest, among those that so
    /// many levels carry and that split. `function` and `window` are only named in a refusal.
    ///
    /// # Errors
    /// [`CircuitError::Approximation`] if no degree meets the target's limit; that of the search for a split if none was found; a precondition
    /// if there are too few blocks for any.
    pub fn fit(
        function: &'static str,
        window: &str,
        target: Target,
        blocks: Blocks,
        most_levels: usize,
        f: impl Fn(f64) -> f64,
    ) -> Result<Self> {
        let mut best: Option<Self> = None;
        let mut refusal = None;
        for degree in DEGREES.into_iter().filter(|degree| (degree.ilog2() as usize) < most_levels) {
            let usual = (degree / USUAL_LEAF).ilog2().max(2) as usize;
            let folds = usual.min(blocks.most_folds()).min((degree / LEAST_LEAF_DEGREE).ilog2() as usize);
            if folds == 0 {
                continue;
            }
            let Some((polynomial, error)) = fitted(&f, degree, target) else { continue };
            if best.as_ref().is_some_and(|best| best.error <= error) {
                continue;
            }
            match SlimPolynomial::new(polynomial.coefficients(), folds) {
                Ok(tree) => {
                    let leaves = SlotPolynomials::new(tree.leaves())?;
                    let coefficients = polynomial.coefficients().to_vec();
                    best = Some(Self { function, coefficients, polynomial: tree, leaves, blocks, error });
                }
                Err(refused) => refusal = Some(refused),
            }
            if best.as_ref().is_some_and(|best| best.error <= target.tolerance) {
                break;
            }
        }
        match (best, refusal) {
            (Some(best), _) if best.error <= target.limit => Ok(best),
            (None, Some(refusal)) => Err(refusal.into()),
            (None, None) if blocks.most_folds() == 0 => {
                let remedy = "use Paterson and Stockmeyer";
                Err(refuse("SlimApproximation::fit", "blocks", blocks.count, "enough for a fold", remedy))
            }
            (best, _) => Err(CircuitError::Approximation {
                function,
                degree: LARGEST_DEGREE,
                window: window.to_owned(),
                found: best.map_or(f64::INFINITY, |best| best.error),
                required: target.limit,
            }),
        }
    }

    /// The tree.
    pub fn polynomial(&self) -> &SlimPolynomial {
        &self.polynomial
    }

    /// The polynomial as data, before its split.
    pub fn fitted(&self) -> FittedPolynomial {
        let (levels, coefficients) = (self.joined_levels(), self.coefficients.clone());
        FittedPolynomial { function: self.function, degree: self.degree(), error: self.error, levels, coefficients }
    }

    /// Degree of the polynomial.
    pub fn degree(&self) -> usize {
        self.polynomial.degree()
    }

    /// Error by the criterion it was fitted with.
    pub fn error(&self) -> f64 {
        self.error
    }

    /// Levels from the argument to [`Folded`] values.
    pub fn levels(&self) -> usize {
        self.leaves.levels() + self.polynomial.folds()
    }

    /// Levels to the values of [`Folded::joined`].
    pub fn joined_levels(&self) -> usize {
        self.levels() + usize::from(self.is_two_sided())
    }

    /// Whether values come from both sides, to be joined.
    pub fn is_two_sided(&self) -> bool {
        self.blocks.needs_both(self.polynomial.folds())
    }

    /// Ciphertext-ciphertext products.
    pub fn products(&self) -> usize {
        let folds = self.polynomial.folds();
        self.leaves.products() + folds + if self.is_two_sided() { folds - 1 } else { 0 }
    }

    /// Rotations.
    pub fn rotations(&self) -> usize {
        self.polynomial.folds() * if self.is_two_sided() { 2 } else { 1 }
    }

    /// The function of `x`, which repeats in the blocks. Blocks and slots may idle at any argument inside [-1, 1].
    ///
    /// # Errors
    /// If `x` has other slots than the blocks; those of the evaluator.
    pub fn apply<E: Evaluator>(&self, e: &E, x: &E::Slots) -> Result<Folded<E::Slots>> {
        let slots = e.shape().slots(e.packing(x));
        if slots != self.blocks.slots() {
            let remedy = "prepare it for this ring";
            return Err(refuse("SlimApproximation::apply", "slots", slots, self.blocks.slots(), remedy));
        }
        let leaves = self.leaves.evaluate(e, x, &|numbers| self.blocks.plain(numbers).into())?;
        let two_sided = self.is_two_sided();
        let squares = e.square(&leaves)?;
        let mut sides = vec![(1, squares.clone())];
        if two_sided {
            sides.push((-1, squares));
        }
        for (depth, constants) in self.polynomial.constants().iter().enumerate().rev() {
            let sign = if self.polynomial.is_negated() && depth == 0 { -1.0 } else { 1.0 };
            let minus: Vec<f64> = self.blocks.plain(constants).into_iter().map(|m| -sign * m).collect();
            for (direction, side) in &mut sides {
                if depth + 1 < self.polynomial.folds() {
                    *side = e.square(side)?;
                }
                let rotation = Rotation(*direction * (self.blocks.length << depth) as i64);
                let mut sum = e.add(side, &e.rotate(side, rotation)?)?;
                if sign < 0.0 {
                    sum = e.multiply_integer(&sum, -1)?;
                }
                *side = e.add_plain(&sum, &minus)?;
            }
        }
        let mut sides = sides.into_iter().map(|(_, side)| side);
        let forwards = sides.next().ok_or_else(|| {
            refuse("SlimApproximation::apply", "sides", 0, "at least one", "report a bug in slim evaluation")
        })?;
        Ok(Folded { blocks: self.blocks, forwards, backwards: sides.next() })
    }
}

impl FewValues {
    pub(crate) fn fitted(&self) -> FittedPolynomial {
        match self {
            Self::PatersonStockmeyer(usual) => usual.fitted(),
            Self::Slim(slim) => slim.fitted(),
        }
    }

    pub(crate) fn degree(&self) -> usize {
        match self {
            Self::PatersonStockmeyer(usual) => usual.degree(),
            Self::Slim(slim) => slim.degree(),
        }
    }

    pub(crate) fn error(&self) -> f64 {
        match self {
            Self::PatersonStockmeyer(usual) => usual.error(),
            Self::Slim(slim) => slim.error(),
        }
    }

    /// Levels from the argument to values in one ciphertext.
    pub(crate) fn joined_levels(&self) -> usize {
        match self {
            Self::PatersonStockmeyer(usual) => usual.levels(),
            Self::Slim(slim) => slim.joined_levels(),
        }
    }

    /// The values in one ciphertext.
    pub(crate) fn apply_joined<E: Evaluator>(&self, e: &E, x: &E::Slots) -> Result<E::Slots> {
        match self {
            Self::PatersonStockmeyer(usual) => usual.apply(e, x),
            Self::Slim(slim) => slim.apply(e, x)?.joined(e),
        }
    }
}

impl<S> Folded<S> {
    /// The values in all blocks in use of one ciphertext: one level if they come from two sides, none otherwise. The other blocks hold numbers
    /// of no meaning, no larger than the squares of the function's size.
    ///
    /// # Errors
    /// Those of the evaluator.
    pub fn joined<E: Evaluator<Slots = S>>(self, e: &E) -> Result<S> {
        match self.backwards {
            None => Ok(self.forwards),
            Some(backwards) => {
                let sides = [true, false].map(|first| self.blocks.side(first));
                Ok(e.plain_combination(&[(&self.forwards, &sides[0]), (&backwards, &sides[1])])?)
            }
        }
    }

    /// `x` times the values: one level below the values, with two products and the masks on `x` if they come from two sides.
    ///
    /// # Errors
    /// Those of the evaluator.
    pub fn times<E: Evaluator<Slots = S>>(&self, e: &E, x: &S) -> Result<S> {
        let product = match &self.backwards {
            None => return Ok(e.multiply(x, &self.forwards)?),
            Some(backwards) => {
                // x f + (x masked) (b - f): the mask is taken just above the values.
                let above = e.level(backwards).0 + 1;
                let lowered = e.lower(x, fhe_ckks::Level(above.min(e.level(x).0)))?;
                let masked = e.plain_combination(&[(&lowered, &self.blocks.side(false))])?;
                e.multiply(&masked, &e.subtract(backwards, &self.forwards)?)?
            }
        };
        Ok(e.add(&e.multiply(x, &self.forwards)?, &product)?)
    }
}

/// The better of interpolation and the best fit in relative error, where that is asked for, with its error.
fn fitted(f: &impl Fn(f64) -> f64, degree: usize, target: Target) -> Option<(Chebyshev, f64)> {
    let measured = |polynomial: Chebyshev| {
        let error = target.criterion.measure(polynomial.fit_error(f, POINTS_PER_DEGREE * degree));
        (!error.is_nan()).then_some((polynomial, error))
    };
    let interpolated = Chebyshev::interpolate(f, INTERVAL, degree).ok().and_then(measured);
    let enough = interpolated.as_ref().is_some_and(|(_, error)| *error <= target.tolerance);
    if enough || target.criterion != Criterion::Relative {
        return interpolated;
    }
    let levelled = minimax_relative(f, INTERVAL, degree).ok().and_then(measured);
    interpolated.into_iter().chain(levelled).min_by(|a, b| a.1.total_cmp(&b.1))
}
