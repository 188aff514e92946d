//! Homomorphic evaluation of polynomials in the Chebyshev basis, at optimal depth with few products.
//!
//! Paterson and Stockmeyer (SIAM J. Comput. 1973) split `p = q T_g + r` recursively at powers of two down to linear
//! combinations of a few baby polynomials `T_1 .. T_(m-1)`; in the Chebyshev basis, with `2 T_a T_b = T_(a+b) + T_|a-b|`,
//! as in Chen, Chillotti, Song (EUROCRYPT 2019). A linear combination takes a level of its own. Where that would deepen the
//! critical path, the leaf is split further, down to degree one, as in Bossuat, Mouchet, Troncoso-Pastoriza, Hubaux
//! (EUROCRYPT 2021, section 5): degree `d` always takes `ceil(log2(d + 1))` levels. Only the leaf on the critical path is
//! affected: a polynomial of degree `2^k - 2` takes one product less than one of degree `2^k - 1` at equal depth.
//!
//! Even polynomials are evaluated in `T_2(x)`, with half the degree. In odd ones no even baby is ever needed.
//!
//! Computed are the *doubled* polynomials `C_i = 2 T_i`, with `C_(a+b) = C_a C_b - C_(a-b)` and `C_2a = C_a^2 - 2`: every step
//! adds its rescaling error to numbers twice as large, which is a bit of precision where errors along the chain of doublings
//! dominate, and no product is ever followed by a multiplication by two.
//!
//! Products by degree, at optimal depth: see [`ChebyshevPlan::dense`] and the test that pins the table.

use std::collections::{BTreeMap, BTreeSet};

use crate::{CkksError, Evaluator};

/// `constant + sum_i c_i C_i + sum_j q_j C_(g_j)` with the doubled `C_i = 2 T_i`.
#[derive(Clone, Debug, Default, PartialEq)]
struct Block {
    constant: f64,
    linear: Vec<(usize, f64)>,
    products: Vec<(Block, usize)>,
}

/// How a polynomial will be evaluated: pure data, made from the coefficients alone.
#[derive(Clone, Debug, PartialEq)]
pub struct ChebyshevPlan {
    /// Evaluate in `T_2(x)` instead of `x`.
    even: bool,
    root: Block,
    /// Indices above one of the basis polynomials to compute, ascending.
    basis: BTreeSet<usize>,
    levels: usize,
}

impl ChebyshevPlan {
    /// Fewest products at optimal depth for `sum_k coefficients[k] T_k`; trailing zeros are ignored.
    ///
    /// Refused for a constant polynomial and for coefficients that are not finite.
    pub fn new(coefficients: &[f64]) -> Result<Self, CkksError> {
        Self::with_levels(coefficients, optimal_levels(coefficients))
    }

    /// As [`ChebyshevPlan::new`] with a budget of more levels than necessary, which may save a product.
    pub fn with_levels(coefficients: &[f64], levels: usize) -> Result<Self, CkksError> {
        let refuse = |operand, found, required, remedy| {
            Err(CkksError::Precondition { operation: "ChebyshevPlan::new", operand, found, required, remedy })
        };
        if coefficients.iter().any(|c| !c.is_finite()) {
            return refuse("coefficients", "not finite".into(), "finite numbers".into(), "check the fitted function");
        }
        if degree(coefficients) == 0 {
            let remedy = "encode the constant as a plaintext";
            return refuse("degree", "0".into(), "at least 1".into(), remedy);
        }
        let needed = optimal_levels(coefficients);
        if levels < needed {
            let remedy = "bootstrap earlier or lower the degree";
            return refuse("levels", levels.to_string(), format!("at least {needed}"), remedy);
        }
        let even = is_even(coefficients);
        let halved: Vec<f64> = coefficients.iter().step_by(2).copied().collect();
        let (coefficients, budget) = if even { (&halved[..], levels - 1) } else { (coefficients, levels) };
        // At equal numbers of products the plan whose products come later, on fewer primes, is cheaper.
        let babies = (1..=coefficients.len().ilog2() + 1).map(|log| 1 << log);
        let plans = babies.map(|babies| Self::with_babies(coefficients, even, budget, babies));
        let best = plans.min_by_key(|plan| {
            let earliness: usize = plan.products_per_level().iter().rev().enumerate().map(|(i, n)| i * n).sum();
            (plan.products(), earliness)
        });
        best.map_or_else(|| refuse("degree", "0".into(), "at least 1".into(), "use a constant"), Ok)
    }

    /// The plan of a polynomial of a degree with no symmetry and no vanishing coefficient.
    pub fn dense(degree: usize) -> Result<Self, CkksError> {
        // Square roots of different integers: no coefficient of a quotient or remainder cancels.
        Self::new(&(0..=degree).map(|k| (k as f64 + 2.0).sqrt()).collect::<Vec<_>>())
    }

    fn with_babies(coefficients: &[f64], even: bool, budget: usize, babies: usize) -> Self {
        let root = split(coefficients.to_vec(), budget, babies);
        let mut basis = BTreeSet::new();
        root.collect_basis(&mut basis);
        let levels = root.depth() + usize::from(even);
        Self { even, root, basis, levels }
    }

    /// Levels from the argument to the value.
    pub fn levels(&self) -> usize {
        self.levels
    }

    /// Ciphertext-ciphertext products.
    pub fn products(&self) -> usize {
        self.products_per_level().iter().sum()
    }

    /// Products by the level they consume, the first level first.
    pub fn products_per_level(&self) -> Vec<usize> {
        let mut counts = vec![0; self.levels];
        let offset = usize::from(self.even);
        if self.even {
            counts[0] += 1;
        }
        for &index in &self.basis {
            counts[offset + basis_depth(index) - 1] += 1;
        }
        self.root.count_products(&mut counts[offset..]);
        counts
    }
}

/// Evaluates `sum_k coefficients[k] T_k(x)` at `x` in `[-1, 1]`, consuming the levels of [`ChebyshevPlan::new`].
pub fn evaluate_chebyshev<E: Evaluator + ?Sized>(
    evaluator: &E,
    x: &E::Slots,
    coefficients: &[f64],
) -> Result<E::Slots, CkksError> {
    evaluate_plan(evaluator, x, &ChebyshevPlan::new(coefficients)?)
}

/// Evaluates a planned polynomial at `x` in `[-1, 1]`.
pub fn evaluate_plan<E: Evaluator + ?Sized>(
    evaluator: &E,
    x: &E::Slots,
    plan: &ChebyshevPlan,
) -> Result<E::Slots, CkksError> {
    let level = evaluator.level(x).0;
    if level < plan.levels {
        return Err(CkksError::Precondition {
            operation: "evaluate_chebyshev",
            operand: "level of x",
            found: level.to_string(),
            required: format!("at least {}", plan.levels),
            remedy: "bootstrap to more levels or lower the degree",
        });
    }
    let doubled = evaluator.multiply_integer(x, 2)?;
    let argument = if plan.even { square_minus(evaluator, &doubled, 2.0)? } else { doubled };
    let mut basis = BTreeMap::from([(1, argument)]);
    for &index in &plan.basis {
        let (larger, smaller) = basis_factors(index);
        let value = if larger == smaller {
            square_minus(evaluator, &basis[&larger], 2.0)?
        } else {
            let product = evaluator.multiply(&basis[&larger], &basis[&smaller])?;
            evaluator.subtract(&product, &basis[&(larger - smaller)])?
        };
        basis.insert(index, value);
    }
    plan.root.evaluate(evaluator, &basis)
}

/// `x^2 - constant`, one level: doubles the index of a doubled Chebyshev polynomial, or the angle of a cosine.
pub(crate) fn square_minus<E: Evaluator + ?Sized>(
    evaluator: &E,
    x: &E::Slots,
    constant: f64,
) -> Result<E::Slots, CkksError> {
    evaluator.add_constant(&evaluator.square(x)?, -constant)
}

impl Block {
    fn depth(&self) -> usize {
        let linear = self.linear.iter().map(|&(index, _)| basis_depth(index) + 1);
        let products = self.products.iter().map(|(quotient, giant)| product_depth(quotient, *giant));
        linear.chain(products).max().unwrap_or(0)
    }

    fn count_products(&self, counts: &mut [usize]) {
        for (quotient, giant) in &self.products {
            counts[product_depth(quotient, *giant) - 1] += 1;
            quotient.count_products(counts);
        }
    }

    fn collect_basis(&self, basis: &mut BTreeSet<usize>) {
        self.linear.iter().for_each(|&(index, _)| require(index, basis));
        for (quotient, giant) in &self.products {
            require(*giant, basis);
            quotient.collect_basis(basis);
        }
    }

    fn evaluate<E: Evaluator + ?Sized>(
        &self,
        evaluator: &E,
        basis: &BTreeMap<usize, E::Slots>,
    ) -> Result<E::Slots, CkksError> {
        let terms: Vec<_> = self.linear.iter().map(|(index, coefficient)| (&basis[index], *coefficient)).collect();
        let leaf = if terms.is_empty() {
            None
        } else {
            Some(evaluator.linear_combination(&terms, self.constant)?)
        };
        // From the deepest block to the top: sums at the higher level first, so that fewer of them are lowered.
        let mut sum = leaf;
        for (quotient, giant) in self.products.iter().rev() {
            let product = evaluator.multiply(&quotient.evaluate(evaluator, basis)?, &basis[giant])?;
            sum = Some(match sum {
                Some(sum) => evaluator.add(&product, &sum)?,
                None => evaluator.add_constant(&product, self.constant)?,
            });
        }
        sum.ok_or_else(|| CkksError::Precondition {
            operation: "evaluate_chebyshev",
            operand: "block",
            found: "a constant".into(),
            required: "a polynomial of positive degree".into(),
            remedy: "report a bug in the planner",
        })
    }
}

/// Splits a polynomial of degree below `2^levels` for evaluation within `levels`.
fn split(mut coefficients: Vec<f64>, levels: usize, babies: usize) -> Block {
    let mut block = Block::default();
    loop {
        let degree = degree(&coefficients);
        let giant = 1 << degree.max(1).ilog2();
        if degree == 0 || (degree < babies && basis_depth(degree) < levels) {
            block.constant = coefficients[0];
            let terms = coefficients.iter().enumerate().take(degree + 1).skip(1);
            let halved = terms.map(|(index, coefficient)| (index, 0.5 * coefficient));
            block.linear.extend(halved.filter(|(_, coefficient)| *coefficient != 0.0));
            return block;
        }
        if degree == giant {
            block.linear.push((giant, 0.5 * coefficients[giant]));
            coefficients.truncate(giant);
            continue;
        }
        let mut quotient = vec![0.0; degree - giant + 1];
        // T_(g + i) = 2 T_g T_i - T_(g - i) = C_g T_i - T_(g - i), and T_g = C_g / 2.
        quotient[0] = 0.5 * coefficients[giant];
        for index in giant + 1..=degree {
            quotient[index - giant] = coefficients[index];
            coefficients[2 * giant - index] -= coefficients[index];
        }
        coefficients.truncate(giant);
        block.products.push((split(quotient, levels - 1, babies), giant));
    }
}

/// Adds an index and all that it is computed from.
fn require(index: usize, basis: &mut BTreeSet<usize>) {
    if index > 1 && basis.insert(index) {
        let (larger, smaller) = basis_factors(index);
        for index in [larger, smaller, larger - smaller] {
            require(index, basis);
        }
    }
}

/// `C_index = C_a C_b - C_(a - b)` at least depth; odd indices need odd ones and powers of two only.
fn basis_factors(index: usize) -> (usize, usize) {
    let power = 1 << index.ilog2();
    if index % 2 == 0 { (index / 2, index / 2) } else { (power, index - power) }
}

/// Levels from `T_1` to `T_index`.
fn basis_depth(index: usize) -> usize {
    index.next_power_of_two().ilog2() as usize
}

fn product_depth(quotient: &Block, giant: usize) -> usize {
    1 + quotient.depth().max(basis_depth(giant))
}

/// Index of the last coefficient that is not zero.
fn degree(coefficients: &[f64]) -> usize {
    coefficients.iter().rposition(|&c| c != 0.0).unwrap_or(0)
}

fn is_even(coefficients: &[f64]) -> bool {
    coefficients.iter().skip(1).step_by(2).all(|&c| c == 0.0)
}

fn optimal_levels(coefficients: &[f64]) -> usize {
    let degree = degree(coefficients);
    if is_even(coefficients) { 1 + basis_depth(degree / 2 + 1) } else { basis_depth(degree + 1) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CircuitShape;
    use crate::chebyshev::clenshaw;
    use crate::slot_simulator::SlotSimulator;

    const SLOTS: usize = 64;

    /// Values of a polynomial by homomorphic evaluation, checked against the plan; then products and levels.
    fn run(coefficients: &[f64]) -> (usize, usize) {
        let shape = CircuitShape {
            slots: SLOTS,
            compute_levels: 9,
            slots_to_coefficients_levels: 0,
            full_scale: 1.0,
            message_ratio: 1.0,
        };
        let simulator = SlotSimulator::new(shape, 0.0, 0);
        let x: Vec<f64> = (0..SLOTS).map(|j| 2.0 * j as f64 / (SLOTS - 1) as f64 - 1.0).collect();
        let input = simulator.slots(x.clone(), 9);
        let value = evaluate_chebyshev(&simulator, &input, coefficients).unwrap();
        let size: f64 = coefficients.iter().map(|c| c.abs()).sum();
        for (found, &x) in value.values.iter().zip(&x) {
            assert!((found - clenshaw(coefficients, x)).abs() < 1e-12 * size.max(1.0));
        }
        let plan = ChebyshevPlan::new(coefficients).unwrap();
        let levels = 9 - simulator.level(&value).0;
        assert_eq!((simulator.counts().products as usize, levels), (plan.products(), plan.levels()));
        assert_eq!(plan.products(), plan.products_per_level().iter().sum());
        (plan.products(), levels)
    }

    /// Coefficients with geometric decay, zero where `keep` says no.
    fn coefficients(degree: usize, keep: impl Fn(usize) -> bool) -> Vec<f64> {
        (0..=degree).map(|k| if keep(k) { (k as f64 + 1.0).sin() * 0.95f64.powi(k as i32) } else { 0.0 }).collect()
    }

    #[test]
    fn every_degree_takes_optimal_depth() {
        for degree in 1..130 {
            let (_, levels) = run(&coefficients(degree, |_| true));
            assert_eq!(levels, (degree + 1).next_power_of_two().ilog2() as usize, "degree {degree}");
        }
    }

    #[test]
    fn products_of_dense_polynomials() {
        let found: Vec<_> =
            [7, 14, 15, 30, 31, 62, 63, 64, 126, 127].map(|d| (d, run(&coefficients(d, |_| true)).0)).into();
        let pinned = [(7, 5), (14, 7), (15, 8), (30, 12), (31, 13), (62, 17), (63, 18), (64, 17), (126, 26), (127, 27)];
        assert_eq!(found, pinned);
    }

    #[test]
    fn even_polynomials_go_through_the_double_angle() {
        for degree in (2..64).step_by(2) {
            let (_, levels) = run(&coefficients(degree, |k| k % 2 == 0));
            assert_eq!(levels, (degree + 1).next_power_of_two().ilog2() as usize, "degree {degree}");
        }
        let products_per_level = |degree| {
            ChebyshevPlan::new(&coefficients(degree, |k| k % 2 == 0)).unwrap().products_per_level()
        };
        assert_eq!(products_per_level(28), [1, 1, 2, 2, 2]);
        assert_eq!(products_per_level(30), [1, 1, 3, 2, 2]);
    }

    #[test]
    fn odd_polynomials_skip_even_babies() {
        let products = |degree| (run(&coefficients(degree, |k| k % 2 == 1)).0, run(&coefficients(degree, |_| true)).0);
        for degree in [7, 15, 31, 63, 127] {
            let (odd, dense) = products(degree);
            assert!(odd <= dense, "degree {degree}: {odd} and {dense}");
        }
    }

    #[test]
    fn a_spare_level_saves_a_product() {
        let tight = ChebyshevPlan::dense(15).unwrap();
        let loose = ChebyshevPlan::with_levels(&coefficients(15, |_| true), 5).unwrap();
        assert_eq!((tight.levels(), loose.levels()), (4, 5));
        assert_eq!(loose.products() + 1, tight.products());
    }

    #[test]
    fn rejects_constants_too_few_levels_and_numbers_that_are_not() {
        assert!(ChebyshevPlan::new(&[1.0, 0.0]).is_err());
        assert!(ChebyshevPlan::new(&[]).is_err());
        assert!(ChebyshevPlan::new(&[1.0, f64::NAN]).is_err());
        assert!(ChebyshevPlan::with_levels(&[1.0; 16], 3).is_err());
        let shape = CircuitShape {
            slots: 2,
            compute_levels: 3,
            slots_to_coefficients_levels: 0,
            full_scale: 1.0,
            message_ratio: 1.0,
        };
        let simulator = SlotSimulator::new(shape, 0.0, 0);
        let input = simulator.slots(vec![0.0; 2], 3);
        let error = evaluate_chebyshev(&simulator, &input, &[1.0; 16]).unwrap_err();
        assert!(error.to_string().contains("level"), "{error}");
    }
}
