//! Slim polynomials: sums of squares of squares, for arguments that leave slots idle.
//!
//! A polynomial of even degree `n` with a positive leading coefficient is `P = U^2 + V^2 - m` with `U`, `V` of degree `n / 2`, and if their leading
//! coefficients are positive too, so are they (arXiv 2601.18511, section 3.4, lemma 1). Cut after `j` levels, that leaves `2^j` **leaves** of degree
//! `n / 2^j` and a constant at every node above them:
//!
//! ```text
//! node_i = node_i'^2 + node_(i + 2^l)'^2 - m_i        at depth l, the primed nodes one deeper
//! ```
//!
//! Where an argument repeats in `2^j` blocks of slots, every block evaluates its own leaf, all of them at once with plaintext vectors for
//! coefficients; then `j` times the ciphertext is squared and a rotation of it added. Degree 64 takes 7 products where Paterson and Stockmeyer
//! take 17, for one level more than the least.
//!
//! What a split costs is precision: each adds squares of numbers that may be larger than their sum. The numerical search in `split`
//! keeps every constant small, which bounds the leaves ([`SlimPolynomial::amplification`] has what is left: one to two bits). Polynomials that it
//! cannot split well are refused; the caller then evaluates them by Paterson and Stockmeyer ([`crate::polynomials::plan`]).

mod roots;
mod split;

use crate::CkksError;
use crate::polynomials::chebyshev::{clenshaw, cosine_grid, larger_or_nan};

/// Smallest degree of a leaf.
pub const LEAST_LEAF_DEGREE: usize = 4;
/// Largest degree of a slim polynomial.
pub const LARGEST_DEGREE: usize = 128;

/// A leading coefficient below this fraction of the largest value is rounding noise.
const NOISE: f64 = 1e-14;
/// Largest constant, values being at most 1: beyond it, leaves and the squares of them are too large to be of use.
const LARGEST_CONSTANT: f64 = 2.0;
/// Largest error of the whole tree in double precision, values being at most 1.
const RESIDUAL: f64 = 1e-8;
/// Points at which the tree is checked.
const CHECKED: usize = 1001;

/// A polynomial on [-1, 1] as a tree of sums of squares.
#[derive(Clone, Debug, PartialEq)]
pub struct SlimPolynomial {
    degree: usize,
    leaves: Vec<Vec<f64>>,
    constants: Vec<Vec<f64>>,
    negated: bool,
    largest_constant: f64,
}

impl SlimPolynomial {
    /// Splits `sum_k coefficients[k] T_k` so many times. A negative leading coefficient is that of the negated tree.
    ///
    /// # Errors
    /// Unless the degree is a power of two from 8 to [`LARGEST_DEGREE`] and leaves of at least [`LEAST_LEAF_DEGREE`] remain; if the leading
    /// coefficient vanishes among rounding errors, or the search finds no split with small constants.
    pub fn new(coefficients: &[f64], folds: usize) -> Result<Self, CkksError> {
        let degree = coefficients.len().saturating_sub(1);
        if !degree.is_power_of_two() || !(2 * LEAST_LEAF_DEGREE..=LARGEST_DEGREE).contains(&degree) {
            let required = format!("a power of two from {} to {LARGEST_DEGREE}", 2 * LEAST_LEAF_DEGREE);
            return Err(refuse("degree", degree, required, "fit another degree"));
        }
        let most = (degree / LEAST_LEAF_DEGREE).ilog2() as usize;
        if !(1..=most).contains(&folds) {
            return Err(refuse("folds", folds, format!("1 to {most}"), "leave leaves of degree 4 or more"));
        }
        if coefficients.iter().any(|c| !c.is_finite()) {
            return Err(refuse("coefficients", "not finite", "finite numbers", "check the fitted function"));
        }
        let largest = largest_value(coefficients);
        let leading = coefficients[degree] / largest;
        if leading.is_nan() || leading.abs() <= NOISE {
            let found = format!("{leading:.1e} of the largest value");
            return Err(refuse("leading coefficient", found, format!("above {NOISE:.0e}"), "fit a lower degree"));
        }
        let sign = leading.signum();
        let normalised: Vec<f64> = coefficients.iter().map(|c| sign * c / largest).collect();

        let (mut nodes, mut constants) = (vec![normalised.clone()], Vec::with_capacity(folds));
        for depth in 0..folds {
            let splits = nodes.iter().map(|node| split::split(node));
            let splits: Vec<split::Split> = splits.collect::<Result<_, String>>().map_err(|found| {
                let found = format!("{found} at depth {depth}");
                refuse("polynomial", found, "a sum of two squares", "use Paterson and Stockmeyer, or a lower degree")
            })?;
            constants.push(splits.iter().map(|split| split.constant).collect::<Vec<f64>>());
            let (left, right): (Vec<_>, Vec<_>) = splits.into_iter().map(|split| (split.left, split.right)).unzip();
            nodes = left.into_iter().chain(right).collect();
        }
        let largest_constant = constants.iter().flatten().fold(0.0, |largest: f64, &m| largest.max(m));
        let slim = Self { degree, leaves: nodes, constants, negated: sign < 0.0, largest_constant };
        let wrong = cosine_grid(CHECKED).map(|y| (sign * slim.evaluate(y) - clenshaw(&normalised, y)).abs());
        let wrong = wrong.fold(0.0, larger_or_nan);
        if largest_constant > LARGEST_CONSTANT || wrong.is_nan() || wrong > RESIDUAL {
            let found = format!("constants up to {largest_constant:.1e}, error {wrong:.1e}");
            let required = format!("constants up to {LARGEST_CONSTANT}, error below {RESIDUAL:.0e}");
            return Err(refuse("split", found, required, "use Paterson and Stockmeyer, or fewer folds"));
        }
        Ok(slim.scaled(largest))
    }

    /// The tree of `factor` times the polynomial. A node at depth `l` takes the `2^l`-th root, so that no product follows.
    fn scaled(mut self, factor: f64) -> Self {
        let at_depth = |depth: usize| factor.powf(1.0 / (1_u64 << depth) as f64);
        for (depth, constants) in self.constants.iter_mut().enumerate() {
            constants.iter_mut().for_each(|m| *m *= at_depth(depth));
        }
        let leaf = at_depth(self.constants.len());
        self.leaves.iter_mut().flatten().for_each(|c| *c *= leaf);
        self
    }

    /// Degree of the whole polynomial.
    pub fn degree(&self) -> usize {
        self.degree
    }

    /// Chebyshev coefficients of the leaves, in the order of the blocks that evaluate them.
    pub fn leaves(&self) -> &[Vec<f64>] {
        &self.leaves
    }

    /// What is subtracted at every node, by depth: one number at depth 0, and `2^l` at depth `l`, that of node `i` in the blocks whose
    /// number is `i` modulo `2^l`.
    pub fn constants(&self) -> &[Vec<f64>] {
        &self.constants
    }

    /// Whether the tree is the negated polynomial.
    pub fn is_negated(&self) -> bool {
        self.negated
    }

    /// Number of folds, `j`.
    pub fn folds(&self) -> usize {
        self.constants.len()
    }

    /// Levels of an evaluation: one more than the least that its degree needs, since coefficients are plaintext vectors.
    pub fn levels(&self) -> usize {
        self.degree.ilog2() as usize + 1
    }

    /// The largest constant of the tree of the polynomial divided by its largest value.
    pub fn largest_constant(&self) -> f64 {
        self.largest_constant
    }

    /// Value at `y`, by the tree.
    pub fn evaluate(&self, y: f64) -> f64 {
        let mut nodes: Vec<f64> = self.leaves.iter().map(|leaf| clenshaw(leaf, y)).collect();
        for constants in self.constants.iter().rev() {
            let (left, right) = nodes.split_at(constants.len());
            let folded = left.iter().zip(right).zip(constants).map(|((u, v), m)| u * u + v * v - m);
            nodes = folded.collect();
        }
        if self.negated { -nodes[0] } else { nodes[0] }
    }

    /// Standard deviation of the error of a value, at the worst of many points and at their mean square, for independent errors of
    /// deviation 1 in every leaf and after every squaring. Evaluation of the leaves themselves is not counted.
    pub fn amplification(&self) -> Amplification {
        let variances = cosine_grid(CHECKED).map(|y| {
            let mut nodes: Vec<(f64, f64)> = self.leaves.iter().map(|leaf| (clenshaw(leaf, y), 1.0)).collect();
            for constants in self.constants.iter().rev() {
                let squared = |(value, variance): (f64, f64)| (value * value, 4.0 * value * value * variance + 1.0);
                let (left, right) = nodes.split_at(constants.len());
                let folded = left.iter().zip(right).zip(constants).map(|((&u, &v), m)| {
                    let ((u, of_u), (v, of_v)) = (squared(u), squared(v));
                    (u + v - m, of_u + of_v)
                });
                nodes = folded.collect();
            }
            nodes[0].1
        });
        let (sum, worst) =
            variances.fold((0.0, 0.0_f64), |(sum, worst), variance| (sum + variance, worst.max(variance)));
        Amplification { mean: (sum / CHECKED as f64).sqrt(), worst: worst.sqrt() }
    }
}

/// By how much a tree amplifies independent errors of its nodes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Amplification {
    /// Root mean square over [-1, 1], dense towards the ends.
    pub mean: f64,
    /// At the worst point.
    pub worst: f64,
}

fn largest_value(coefficients: &[f64]) -> f64 {
    cosine_grid(CHECKED).fold(0.0, |largest, y| largest.max(clenshaw(coefficients, y).abs()))
}

fn refuse(operand: &'static str, found: impl ToString, required: impl ToString, remedy: &'static str) -> CkksError {
    let (found, required) = (found.to_string(), required.to_string());
    CkksError::Precondition { operation: "SlimPolynomial::new", operand, found, required, remedy }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::polynomials::chebyshev::Chebyshev;
    use crate::polynomials::minimax::minimax_relative;

    fn argument(ratio: f64, y: f64) -> f64 {
        let low = 1.0 / ratio;
        0.5 * ((1.0 - low) * y + 1.0 + low)
    }

    /// Power of `x` on `[1 / ratio, 1]`, divided by its largest value: its truncated series.
    fn truncated(power: f64, ratio: f64, degree: usize) -> Vec<f64> {
        let function = |y| (ratio * argument(ratio, y)).powf(power);
        let series = Chebyshev::interpolate(function, (-1.0, 1.0), 4 * degree - 1).unwrap();
        series.coefficients()[..=degree].to_vec()
    }

    fn check(coefficients: &[f64], folds: usize) -> SlimPolynomial {
        let slim = SlimPolynomial::new(coefficients, folds).unwrap();
        assert_eq!((slim.folds(), slim.leaves().len()), (folds, 1 << folds));
        let size = largest_value(coefficients);
        for k in 0..997 {
            let y = (k as f64 * 0.618_033_988_75).fract() * 2.0 - 1.0;
            assert!((slim.evaluate(y) - clenshaw(coefficients, y)).abs() < 2e-8 * size);
        }
        slim
    }

    /// Largest constants and losses (bits, mean square) that the numerical prototype found: of its 1/x and 1/sqrt(x) on [1/30, 1].
    #[test]
    fn constants_are_as_small_as_those_of_the_prototype() {
        let pinned = [
            (-1.0, 30.0, 16, 2, 0.06, 0.9),
            (-1.0, 30.0, 32, 2, 0.02, 0.9),
            (-1.0, 30.0, 64, 3, 0.02, 1.2),
            (-0.5, 30.0, 16, 2, 0.03, 1.0),
            (-0.5, 30.0, 32, 2, 0.02, 1.0),
            (-0.5, 30.0, 64, 3, 0.02, 1.4),
            (-1.0, 128.0, 64, 3, 0.24, 0.9),
            (-0.5, 128.0, 64, 3, 0.32, 1.1),
            (-1.0, 1000.0, 64, 3, 0.37, 0.6),
            (-0.5, 1000.0, 64, 3, 0.56, 0.9),
        ];
        for (power, ratio, degree, folds, constant, loss) in pinned {
            let slim = check(&truncated(power, ratio, degree), folds);
            let found = (slim.largest_constant(), slim.amplification().mean.log2());
            assert!(found.0 < 1.5 * constant + 0.05, "{power} {ratio} {degree}: {found:?}, expected {constant}");
            assert!(found.1 < loss + 0.6, "{power} {ratio} {degree}: {found:?}, expected {loss}");
            assert_eq!(slim.levels(), degree.ilog2() as usize + 1);
        }
    }

    /// The windows of SoftMax and RMSNorm, fitted in relative error.
    #[test]
    fn levelled_fits_of_wide_windows_split_as_well() {
        for (power, ratio, degree, folds) in [
            (-1.0, 140.0, 64, 3),
            (-1.0, 300.0, 128, 3),
            (-0.5, 880.0, 128, 3),
            (-0.5, 880.0, 128, 4),
            (-1.0, 1500.0, 128, 4),
        ] {
            let function = |y| argument(ratio, y).powf(power);
            let fit = minimax_relative(function, (-1.0, 1.0), degree).unwrap();
            let slim = check(fit.coefficients(), folds);
            let size = largest_value(fit.coefficients());
            let loss = (slim.amplification().worst / size).log2();
            assert!(loss < 6.0, "{power} {ratio} {degree} {folds}: {loss}, constants {}", slim.largest_constant());
        }
    }

    #[test]
    fn a_negative_leading_coefficient_is_that_of_the_negated_tree() {
        let negative: Vec<f64> = truncated(-1.0, 30.0, 16).iter().map(|c| -3.0 * c).collect();
        assert!(check(&negative, 2).is_negated());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn the_tree_is_the_polynomial(log_ratio in 1.0_f64..6.0, root: bool, log_degree in 3_u32..7, spare in 0_usize..2) {
            let degree = 1_usize << log_degree;
            let folds = (log_degree as usize - 2).saturating_sub(spare).max(1);
            let coefficients = truncated(if root { -0.5 } else { -1.0 }, log_ratio.exp(), degree);
            // A narrow window leaves nothing but rounding errors for a high degree.
            prop_assume!(coefficients[degree].abs() > 1e-12 * largest_value(&coefficients));
            check(&coefficients, folds);
        }
    }

    #[test]
    fn rejects_degrees_folds_and_coefficients_of_no_use() {
        let refusal = |coefficients: &[f64], folds| SlimPolynomial::new(coefficients, folds).unwrap_err().to_string();
        assert!(refusal(&[1.0; 16], 2).contains("degree is 15"));
        assert!(refusal(&[1.0; 257], 2).contains("degree is 256"));
        let good = truncated(-1.0, 30.0, 16);
        assert!(refusal(&good, 0).contains("folds"));
        assert!(refusal(&good, 3).contains("folds"));
        let mut bad = good.clone();
        bad[3] = f64::NAN;
        assert!(refusal(&bad, 2).contains("not finite"));
        bad = good.clone();
        bad[16] = 0.0;
        assert!(refusal(&bad, 2).contains("leading coefficient"));
    }

    #[test]
    fn rejects_splits_with_large_constants() {
        // Deeply negative between its roots: T_16 with a leading coefficient that makes it fall to a thousand times its size outside.
        let mut coefficients = vec![0.0; 17];
        (coefficients[16], coefficients[14]) = (1e-6, -1.0);
        let refusal = SlimPolynomial::new(&coefficients, 2).unwrap_err().to_string();
        assert!(refusal.contains("Paterson and Stockmeyer"), "{refusal}");
    }
}
