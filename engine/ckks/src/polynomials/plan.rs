//! Plans of polynomial evaluation in the Chebyshev basis: optimal depth, few products.
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
//! Products at optimal depth, no symmetry: 5, 8, 13, 18, 27 for degrees 7, 15, 31, 63, 127; one less for degrees 14, 30, 62, 126.

use std::collections::BTreeSet;

use crate::CkksError;

/// `constant + sum_i c_i C_i + sum_j q_j C_(g_j)` with the doubled `C_i = 2 T_i`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Block {
    pub(crate) constant: f64,
    pub(crate) linear: Vec<(usize, f64)>,
    pub(crate) products: Vec<(Block, usize)>,
}

/// How a polynomial will be evaluated: pure data, made from the coefficients alone.
#[derive(Clone, Debug, PartialEq)]
pub struct ChebyshevPlan {
    /// Evaluate in `T_2(x)` instead of `x`.
    pub(crate) even: bool,
    pub(crate) root: Block,
    /// Indices above one of the basis polynomials to compute, ascending.
    pub(crate) basis: BTreeSet<usize>,
    pub(crate) levels: usize,
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
        // T_(g + i) = 2 T_g T_i - T_(g - i) = C_g T_i - T_(g - i), and T_g = C_g / 2.
        let mut quotient = coefficients.split_off(giant);
        for (index, coefficient) in quotient.iter().enumerate().take(degree - giant + 1).skip(1) {
            coefficients[giant - index] -= coefficient;
        }
        quotient[0] *= 0.5;
        block.products.push((split(quotient, levels - 1, babies), giant));
    }
}

/// Adds an index and all that it is computed from.
pub(crate) fn require(index: usize, basis: &mut BTreeSet<usize>) {
    if index > 1 && basis.insert(index) {
        let (larger, smaller) = basis_factors(index);
        for index in [larger, smaller, larger - smaller] {
            require(index, basis);
        }
    }
}

/// `C_index = C_a C_b - C_(a - b)` at least depth; odd indices need odd ones and powers of two only.
pub(crate) fn basis_factors(index: usize) -> (usize, usize) {
    let power = 1 << index.ilog2();
    if index.is_multiple_of(2) { (index / 2, index / 2) } else { (power, index - power) }
}

/// Levels from `T_1` to `T_index`.
pub(crate) fn basis_depth(index: usize) -> usize {
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
