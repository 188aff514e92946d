//! Polynomials whose coefficients differ from slot to slot.
//!
//! Slots fall into classes, each with a polynomial of its own in one argument; coefficients are plaintext vectors. Where a class has none, the
//! value is zero: that is how a mask comes with a polynomial at no level. The plan is that of [`crate::polynomials::plan`], Paterson and
//! Stockmeyer's at optimal depth in the doubled basis `C_i = 2 T_i`, but for two things. It depends on the degree alone, since all
//! classes share it. And a polynomial of degree `2^k` in `k + 1` levels is split at half of its degree, `C_2g = C_g^2 - 2` being a
//! case of `T_(g + i) = C_g T_i - T_(g - i)`: degrees 4, 8 and 16 take 2, 4 and 7 products.

use std::collections::BTreeSet;

use crate::polynomials::evaluation::doubled_basis;
use crate::polynomials::plan::{basis_depth, require};
use crate::{CkksError, Evaluator, PlainVector};

/// One polynomial in the Chebyshev basis of [-1, 1] per class of slots, all of one degree.
#[derive(Clone, Debug, PartialEq)]
pub struct SlotPolynomials {
    root: Block,
    basis: BTreeSet<usize>,
    levels: usize,
}

/// `constant + sum_i c_i C_i + sum_j q_j C_(g_j)`, one number per class.
#[derive(Clone, Debug, Default, PartialEq)]
struct Block {
    constant: Vec<f64>,
    linear: Vec<(usize, Vec<f64>)>,
    products: Vec<(Block, usize)>,
}

impl SlotPolynomials {
    /// The polynomials with these coefficients, `coefficients[class][k]` that of `T_k`, evaluated in the fewest levels: `ceil(log2(degree + 1))`.
    ///
    /// # Errors
    /// Unless there is a class, all have the same degree, at least 1, and coefficients are finite.
    pub fn new(coefficients: &[Vec<f64>]) -> Result<Self, CkksError> {
        let degree = coefficients.first().map_or(0, |class| class.len().saturating_sub(1));
        let alike = coefficients.iter().all(|class| class.len() == degree + 1 && class.iter().all(|c| c.is_finite()));
        if degree == 0 || !alike {
            let lengths: Vec<usize> = coefficients.iter().map(Vec::len).collect();
            return Err(CkksError::Precondition {
                operation: "SlotPolynomials::new",
                operand: "coefficients",
                found: format!("{lengths:?} in the classes"),
                required: "at least two finite ones, equally many in each class".into(),
                remedy: "pad with zeros",
            });
        }
        let levels = degree.ilog2() as usize + 1;
        let babies = (0..=degree.ilog2()).map(|log| 1 << log);
        let plans = babies.map(|babies| {
            let root = split(coefficients.to_vec(), levels, babies);
            let mut basis = BTreeSet::new();
            root.collect_basis(&mut basis);
            Self { root, basis, levels }
        });
        // There is a plan for every number of babies, the smallest being 1.
        let best = plans.min_by_key(|plan| (plan.products(), plan.plaintext_products()));
        best.ok_or_else(|| CkksError::Precondition {
            operation: "SlotPolynomials::new",
            operand: "degree",
            found: degree.to_string(),
            required: "at least 1".into(),
            remedy: "encode a constant as a plaintext",
        })
    }

    /// Levels from the argument to the values.
    pub fn levels(&self) -> usize {
        self.levels
    }

    /// Ciphertext-ciphertext products.
    pub fn products(&self) -> usize {
        self.basis.len() + self.root.count(|block| block.products.len())
    }

    /// Products with plaintext vectors.
    pub fn plaintext_products(&self) -> usize {
        self.root.count(|block| block.linear.len())
    }

    /// The values at `x` in [-1, 1]. `plain` spreads one number per class over the slots, zero where there is none.
    ///
    /// # Errors
    /// If `x` has too few levels; those of the evaluator.
    pub fn evaluate<E: Evaluator>(
        &self,
        e: &E,
        x: &E::Slots,
        plain: &dyn Fn(&[f64]) -> PlainVector,
    ) -> Result<E::Slots, CkksError> {
        let level = e.level(x).0;
        if level < self.levels {
            return Err(CkksError::Precondition {
                operation: "SlotPolynomials::evaluate",
                operand: "level of x",
                found: level.to_string(),
                required: format!("at least {}", self.levels),
                remedy: "bootstrap to more levels or lower the degree",
            });
        }
        e.expect_within_interval(x);
        let basis = doubled_basis(e, e.multiply_integer(x, 2)?, &self.basis)?;
        let value = self.root.evaluate(e, &|index| &basis[&index], plain)?;
        e.add_plain(&value, &plain(&self.root.constant))
    }
}

impl Block {
    fn count(&self, own: impl Fn(&Self) -> usize + Copy) -> usize {
        own(self) + self.products.iter().map(|(quotient, _)| quotient.count(own)).sum::<usize>()
    }

    fn collect_basis(&self, basis: &mut BTreeSet<usize>) {
        self.linear.iter().for_each(|&(index, _)| require(index, basis));
        for (quotient, giant) in &self.products {
            require(*giant, basis);
            quotient.collect_basis(basis);
        }
    }

    /// The value without its constant.
    fn evaluate<'a, E: Evaluator>(
        &self,
        e: &E,
        basis: &dyn Fn(usize) -> &'a E::Slots,
        plain: &dyn Fn(&[f64]) -> PlainVector,
    ) -> Result<E::Slots, CkksError>
    where
        E::Slots: 'a,
    {
        let plains: Vec<PlainVector> = self.linear.iter().map(|(_, numbers)| plain(numbers)).collect();
        let terms: Vec<_> = self.linear.iter().zip(&plains).map(|((index, _), plain)| (basis(*index), plain)).collect();
        let mut sum = if terms.is_empty() { None } else { Some(e.plain_combination(&terms)?) };
        for (quotient, giant) in self.products.iter().rev() {
            let factor = e.add_plain(&quotient.evaluate(e, basis, plain)?, &plain(&quotient.constant))?;
            let product = e.multiply(&factor, basis(*giant))?;
            sum = Some(match sum {
                Some(sum) => e.add(&product, &sum)?,
                None => product,
            });
        }
        sum.ok_or_else(|| CkksError::Precondition {
            operation: "SlotPolynomials::evaluate",
            operand: "block",
            found: "a constant".into(),
            required: "a polynomial of positive degree".into(),
            remedy: "report a bug in the planner",
        })
    }
}

/// Splits polynomials of degree below `2^levels` for evaluation within `levels`.
fn split(mut coefficients: Vec<Vec<f64>>, levels: usize, babies: usize) -> Block {
    let mut block = Block::default();
    let column = |coefficients: &[Vec<f64>], index: usize, factor: f64| -> Vec<f64> {
        coefficients.iter().map(|class| factor * class[index]).collect()
    };
    loop {
        let degree = coefficients[0].len() - 1;
        if degree <= 1 || (degree <= babies && basis_depth(degree) < levels) {
            block.constant = column(&coefficients, 0, 1.0);
            block.linear = (1..=degree).map(|index| (index, column(&coefficients, index, 0.5))).collect();
            return block;
        }
        let giant = degree.next_power_of_two() / 2;
        let quotients = coefficients.iter_mut().map(|class| {
            let mut quotient = class.split_off(giant);
            (1..quotient.len()).for_each(|index| class[giant - index] -= quotient[index]);
            quotient[0] *= 0.5;
            quotient
        });
        let quotients = quotients.collect();
        block.products.push((split(quotients, levels - 1, babies), giant));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::polynomials::chebyshev::clenshaw;
    use crate::polynomials::plan::ChebyshevPlan;
    use crate::{CircuitShape, Clear, Client, NoiseModel, SlotArithmetic};

    const DEGREE: usize = 256;

    fn clear() -> Clear {
        let shape = CircuitShape {
            degree: DEGREE,
            small_degree: DEGREE,
            compute_levels: 9,
            slots_to_coefficients_levels: 0,
            full_scale: (1_u64 << 45) as f64,
            message_ratio: 1e-9,
            lane_degree: 64,
            lane_divisor: 1.0,
        };
        Clear::new(shape, (), NoiseModel::default(), 0).unwrap()
    }

    fn coefficients(degree: usize, class: usize) -> Vec<f64> {
        (0..=degree).map(|k| ((k + 5 * class) as f64 + 1.0).sin() * 0.9_f64.powi(k as i32)).collect()
    }

    /// Three classes, every fourth slot in none, at levels and counts that the plan states.
    fn run(degree: usize) -> SlotPolynomials {
        let e = clear();
        let polynomials: Vec<Vec<f64>> = (0..3).map(|class| coefficients(degree, class)).collect();
        let plan = SlotPolynomials::new(&polynomials).unwrap();
        let x: Vec<f64> = (0..DEGREE).map(|p| 2.0 * p as f64 / (DEGREE - 1) as f64 - 1.0).collect();
        let input = e.half_bootstrap(&[&e.encrypt(&x, e.shape().full_scale).unwrap()], 9).unwrap().remove(0);
        let before = e.counts();
        let plain = |numbers: &[f64]| {
            let spread = (0..DEGREE).map(|slot| numbers.get(slot % 4).copied().unwrap_or(0.0));
            PlainVector::from(spread.collect::<Vec<_>>())
        };
        let values = plan.evaluate(&e, &input, &plain).unwrap();
        let counts = e.counts() - before;
        assert_eq!(9 - e.level(&values).0, plan.levels());
        assert_eq!(counts.products as usize, plan.products());
        assert_eq!(counts.plaintext_products as usize, plan.plaintext_products());
        for (slot, (value, x)) in values.values().iter().zip(input.values()).enumerate() {
            let expected = polynomials.get(slot % 4).map_or(0.0, |class| clenshaw(class, x.re));
            assert!((value.re - expected).abs() < 1e-9, "degree {degree}, slot {slot}: {value}, expected {expected}");
        }
        plan
    }

    #[test]
    fn every_class_has_its_polynomial_at_optimal_depth() {
        for degree in 1..70 {
            assert_eq!(run(degree).levels(), (degree + 1).next_power_of_two().ilog2() as usize, "degree {degree}");
        }
    }

    #[test]
    fn products_of_leaves_and_of_whole_polynomials() {
        let found = [4, 8, 16, 32].map(|degree| (degree, run(degree).products()));
        assert_eq!(found, [(4, 2), (8, 4), (16, 7), (32, 11)]);
        for degree in [7, 15, 31, 63] {
            assert_eq!(run(degree).products(), ChebyshevPlan::dense(degree).unwrap().products());
        }
    }

    #[test]
    fn rejects_classes_of_different_degrees_constants_and_too_few_levels() {
        assert!(SlotPolynomials::new(&[]).is_err());
        assert!(SlotPolynomials::new(&[vec![1.0]]).is_err());
        assert!(SlotPolynomials::new(&[vec![1.0; 4], vec![1.0; 5]]).is_err());
        assert!(SlotPolynomials::new(&[vec![1.0, f64::NAN]]).is_err());
        let e = clear();
        let input = e.half_bootstrap(&[&e.encrypt(&[0.0; DEGREE], 1.0).unwrap()], 2).unwrap().remove(0);
        let plan = SlotPolynomials::new(&[coefficients(8, 0)]).unwrap();
        let refusal = plan.evaluate(&e, &input, &|numbers| vec![numbers[0]; DEGREE].into()).unwrap_err().to_string();
        assert!(refusal.contains("level of x"), "{refusal}");
    }
}
