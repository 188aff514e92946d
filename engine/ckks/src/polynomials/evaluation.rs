//! Homomorphic evaluation of polynomials in the Chebyshev basis over any [`SlotArithmetic`].
//!
//! [`crate::polynomials::plan`] decides what to compute; this module computes it: first the doubled basis polynomials of the
//! plan in ascending order, then the blocks from the inside out.

use std::collections::{BTreeMap, BTreeSet};

use crate::polynomials::chebyshev::Chebyshev;
use crate::polynomials::plan::{Block, ChebyshevPlan, basis_factors};
use crate::{CkksError, SlotArithmetic};

/// Evaluates `sum_k coefficients[k] T_k(x)` at `x` in `[-1, 1]`, consuming the levels of [`ChebyshevPlan::new`].
pub fn evaluate_chebyshev<E: SlotArithmetic + ?Sized>(
    evaluator: &E,
    x: &E::Slots,
    coefficients: &[f64],
) -> Result<E::Slots, CkksError> {
    evaluate_plan(evaluator, x, &ChebyshevPlan::new(coefficients)?)
}

/// Evaluates a planned polynomial at `x` in `[-1, 1]`.
pub fn evaluate_plan<E: SlotArithmetic + ?Sized>(
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
    let basis = doubled_basis(evaluator, argument, &plan.basis)?;
    evaluate_block(&plan.root, evaluator, &basis)
}

/// The doubled polynomials `C_i = 2 T_i` of ascending indices above one, from `C_1`.
pub(crate) fn doubled_basis<E: SlotArithmetic + ?Sized>(
    evaluator: &E,
    argument: E::Slots,
    indices: &BTreeSet<usize>,
) -> Result<BTreeMap<usize, E::Slots>, CkksError> {
    let mut basis = BTreeMap::from([(1, argument)]);
    for &index in indices {
        let (larger, smaller) = basis_factors(index);
        let value = if larger == smaller {
            square_minus(evaluator, &basis[&larger], 2.0)?
        } else {
            let product = evaluator.multiply(&basis[&larger], &basis[&smaller])?;
            evaluator.subtract(&product, &basis[&(larger - smaller)])?
        };
        basis.insert(index, value);
    }
    Ok(basis)
}

/// Evaluates a polynomial at `x` in its own interval: one level more than [`evaluate_chebyshev`], for the map to `[-1, 1]`.
///
/// Fold that map into an earlier linear step where there is one.
pub fn evaluate_on_interval<E: SlotArithmetic + ?Sized>(
    evaluator: &E,
    x: &E::Slots,
    polynomial: &Chebyshev,
) -> Result<E::Slots, CkksError> {
    let (lo, hi) = polynomial.interval();
    let normalised = evaluator.linear_combination(&[(x, 2.0 / (hi - lo))], -(lo + hi) / (hi - lo))?;
    evaluate_chebyshev(evaluator, &normalised, polynomial.coefficients())
}

/// `x^2 - constant`, one level: doubles the index of a doubled Chebyshev polynomial, or the angle of a cosine.
pub(crate) fn square_minus<E: SlotArithmetic + ?Sized>(
    evaluator: &E,
    x: &E::Slots,
    constant: f64,
) -> Result<E::Slots, CkksError> {
    evaluator.add_constant(&evaluator.square(x)?, -constant)
}

/// Value of one block, given the doubled basis polynomials that it needs.
fn evaluate_block<E: SlotArithmetic + ?Sized>(
    block: &Block,
    evaluator: &E,
    basis: &BTreeMap<usize, E::Slots>,
) -> Result<E::Slots, CkksError> {
    let terms: Vec<_> = block.linear.iter().map(|(index, coefficient)| (&basis[index], *coefficient)).collect();
    let leaf = if terms.is_empty() { None } else { Some(evaluator.linear_combination(&terms, block.constant)?) };
    // From the deepest block to the top: sums at the higher level first, so that fewer of them are lowered.
    let mut sum = leaf;
    for (quotient, giant) in block.products.iter().rev() {
        let product = evaluator.multiply(&evaluate_block(quotient, evaluator, basis)?, &basis[giant])?;
        sum = Some(match sum {
            Some(sum) => evaluator.add(&product, &sum)?,
            None => evaluator.add_constant(&product, block.constant)?,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CircuitShape;
    use crate::bootstrapping::slot_simulator::SlotSimulator;
    use crate::polynomials::chebyshev::clenshaw;

    const SLOTS: usize = 64;

    fn simulator() -> SlotSimulator {
        let shape = CircuitShape {
            degree: SLOTS,
            small_degree: SLOTS,
            compute_levels: 9,
            slots_to_coefficients_levels: 0,
            full_scale: 1.0,
            message_ratio: 1.0,
            lane_degree: 1,
            lane_divisor: 1.0,
        };
        SlotSimulator::new(shape, 0.0, 0)
    }

    /// Values of a polynomial by homomorphic evaluation, checked against the plan; then products and levels.
    fn run(coefficients: &[f64]) -> (usize, usize) {
        let simulator = simulator();
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
        let degrees = [7, 14, 15, 30, 31, 62, 63, 64, 126, 127];
        let found = degrees.map(|degree| (degree, run(&coefficients(degree, |_| true)).0));
        assert_eq!(ChebyshevPlan::dense(63).unwrap().products(), 18);
        let pinned = [(7, 5), (14, 7), (15, 8), (30, 12), (31, 13), (62, 17), (63, 18), (64, 17), (126, 26), (127, 27)];
        assert_eq!(found, pinned);
    }

    #[test]
    fn even_polynomials_go_through_the_double_angle() {
        for degree in (2..64).step_by(2) {
            let (_, levels) = run(&coefficients(degree, |k| k % 2 == 0));
            assert_eq!(levels, (degree + 1).next_power_of_two().ilog2() as usize, "degree {degree}");
        }
        let products_per_level =
            |degree| ChebyshevPlan::new(&coefficients(degree, |k| k % 2 == 0)).unwrap().products_per_level();
        assert_eq!(products_per_level(28), [1, 1, 2, 2, 2]);
        assert_eq!(products_per_level(30), [1, 1, 3, 2, 2]);
    }

    #[test]
    fn odd_polynomials_skip_even_babies() {
        let products = [7, 15, 31, 63, 127].map(|degree| run(&coefficients(degree, |k| k % 2 == 1)).0);
        assert_eq!(products, [5, 8, 12, 17, 23]);
    }

    #[test]
    fn a_spare_level_saves_a_product() {
        let tight = ChebyshevPlan::dense(15).unwrap();
        let loose = ChebyshevPlan::with_levels(&coefficients(15, |_| true), 5).unwrap();
        assert_eq!((tight.levels(), loose.levels()), (4, 5));
        assert_eq!(loose.products() + 1, tight.products());
    }

    #[test]
    fn an_interval_of_its_own_takes_one_level_more() {
        let polynomial = Chebyshev::interpolate(f64::exp, (-3.0, 1.0), 15).unwrap();
        let simulator = simulator();
        let x: Vec<f64> = (0..SLOTS).map(|j| j as f64 / 16.0 - 3.0).collect();
        let value = evaluate_on_interval(&simulator, &simulator.slots(x.clone(), 9), &polynomial).unwrap();
        assert_eq!(simulator.level(&value).0, 9 - 5);
        assert!(value.values.iter().zip(&x).all(|(found, x)| (found - x.exp()).abs() < 1e-9));
    }

    #[test]
    fn rejects_constants_too_few_levels_and_numbers_that_are_not() {
        assert!(ChebyshevPlan::new(&[1.0, 0.0]).is_err());
        assert!(ChebyshevPlan::new(&[]).is_err());
        assert!(ChebyshevPlan::new(&[1.0, f64::NAN]).is_err());
        assert!(ChebyshevPlan::with_levels(&[1.0; 16], 3).is_err());
        let simulator = simulator();
        let input = simulator.slots(vec![0.0; SLOTS], 3);
        let error = evaluate_chebyshev(&simulator, &input, &[1.0; 16]).unwrap_err();
        assert!(error.to_string().contains("level"), "{error}");
    }
}
