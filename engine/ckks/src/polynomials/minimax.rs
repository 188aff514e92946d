//! Best polynomial fits in a weighted maximum norm, by the exchange algorithm.
//!
//! For `1/sqrt(x)` or `1/x` on a window whose ends differ by orders of magnitude, an absolute error small at the upper end is
//! useless: what counts is `|p - f| / |f|`, an absolute error with weight `1/|f|`. Remez's second algorithm (E. Remez, 1934;
//! Cheney: *Introduction to Approximation Theory*, 1966, chapter 3) works on any finite set of points, so that one
//! implementation serves dense grids and the scattered neighbourhoods of integers of [`crate::bootstrapping::sine`].

use crate::CkksError;
use crate::polynomials::chebyshev::{Chebyshev, check_interval, clenshaw, cosine_grid, denormalised};

/// One point of a weighted fit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WeightedSample {
    /// Argument in `[-1, 1]`.
    pub argument: f64,
    /// Value to be fitted.
    pub value: f64,
    /// Positive weight of the error.
    pub weight: f64,
}

/// Exchange steps; quadratic convergence needs about ten.
const MAXIMAL_STEPS: usize = 60;
/// Largest error over the levelled error of the last reference that counts as converged.
const ACCEPTED_EXCESS: f64 = 1.01;
/// Error relative to the largest weighted value below which rounding errors may keep the exchange from converging.
const ROUNDING_FLOOR: f64 = 1e-10;
/// Grid points per alternation: the true maximum exceeds that on the grid by less than 0.2 per cent.
const POINTS_PER_ALTERNATION: usize = 24;

/// The polynomial of a degree with the smallest largest relative error `|p - f| / |f|` on an interval where `f` does not vanish.
pub fn minimax_relative(
    function: impl Fn(f64) -> f64,
    interval: (f64, f64),
    degree: usize,
) -> Result<Chebyshev, CkksError> {
    check_interval("minimax_relative", interval)?;
    let sample = |argument| {
        let value = function(denormalised(interval, argument));
        WeightedSample { argument, value, weight: 1.0 / value.abs() }
    };
    let samples: Vec<_> = cosine_grid((degree + 2) * POINTS_PER_ALTERNATION).map(sample).collect();
    Chebyshev::new(interval, minimax_coefficients(&samples, degree)?)
}

/// Chebyshev coefficients of the polynomial with the smallest `max weight * |p(argument) - value|` over finitely many samples,
/// of which there have to be at least `degree + 2` with different arguments.
pub fn minimax_coefficients(samples: &[WeightedSample], degree: usize) -> Result<Vec<f64>, CkksError> {
    let mut samples = samples.to_vec();
    samples.sort_by(|a, b| a.argument.total_cmp(&b.argument));
    samples.dedup_by(|a, b| a.argument == b.argument);
    let usable =
        |s: &WeightedSample| s.argument.is_finite() && s.value.is_finite() && s.weight.is_finite() && s.weight > 0.0;
    if samples.len() < degree + 2 || !samples.iter().all(usable) {
        return Err(CkksError::Precondition {
            operation: "minimax_coefficients",
            operand: "samples",
            found: format!("{} different, {} usable", samples.len(), samples.iter().filter(|s| usable(s)).count()),
            required: format!("at least {}, all finite and of positive weight", degree + 2),
            remedy: "sample more densely; for relative errors keep away from zeros and poles of the function",
        });
    }
    let mut reference = nearest_to_extrema(&samples, degree + 2);
    let mut best = (f64::INFINITY, Vec::new());
    let mut converged = false;
    for _ in 0..MAXIMAL_STEPS {
        let Some((coefficients, levelled)) = levelled_fit(&samples, &reference, degree) else { break };
        let errors: Vec<f64> =
            samples.iter().map(|s| s.weight * (clenshaw(&coefficients, s.argument) - s.value)).collect();
        let largest = errors.iter().fold(0.0f64, |largest, error| largest.max(error.abs()));
        if largest < best.0 {
            best = (largest, coefficients);
        }
        converged = largest <= levelled.abs() * ACCEPTED_EXCESS;
        if largest <= levelled.abs() * (1.0 + 1e-9) {
            break;
        }
        let Some(exchanged) = alternating_extrema(&errors, degree + 2) else { break };
        reference = exchanged;
    }
    // Errors at the level of rounding no longer alternate, and need not.
    let largest_value = samples.iter().fold(0.0f64, |largest, s| largest.max(s.weight * s.value.abs()));
    let exact = best.0 <= ROUNDING_FLOOR * largest_value;
    if !converged && !exact {
        return Err(CkksError::Precondition {
            operation: "minimax_coefficients",
            operand: "samples",
            found: format!("no convergence, largest error {:.1e}", best.0),
            required: "well separated arguments and weights of similar size".into(),
            remedy: "spread the samples or lower the degree",
        });
    }
    Ok(best.1)
}

/// Indices of `count` different samples near the extrema of a Chebyshev polynomial, ascending.
fn nearest_to_extrema(samples: &[WeightedSample], count: usize) -> Vec<usize> {
    let mut reference: Vec<usize> = cosine_grid(count)
        .map(|extremum| {
            let above = samples.partition_point(|s| s.argument < extremum).clamp(1, samples.len() - 1);
            let nearer_below = extremum - samples[above - 1].argument < samples[above].argument - extremum;
            if nearer_below { above - 1 } else { above }
        })
        .collect();
    for k in 1..count {
        reference[k] = reference[k].max(reference[k - 1] + 1);
    }
    for (k, index) in reference.iter_mut().enumerate() {
        *index = (*index).min(samples.len() - count + k);
    }
    reference
}

/// Coefficients whose weighted errors on the reference have one magnitude and alternating signs, and that magnitude.
fn levelled_fit(samples: &[WeightedSample], reference: &[usize], degree: usize) -> Option<(Vec<f64>, f64)> {
    let unknowns = degree + 2;
    let mut system: Vec<Vec<f64>> = Vec::with_capacity(unknowns);
    for (row, &index) in reference.iter().enumerate() {
        let WeightedSample { argument, value, weight } = samples[index];
        let mut equation = Vec::with_capacity(unknowns + 1);
        let (mut current, mut next) = (1.0, argument);
        for _ in 0..=degree {
            equation.push(weight * current);
            (current, next) = (next, 2.0 * argument * next - current);
        }
        equation.push(if row % 2 == 0 { 1.0 } else { -1.0 });
        equation.push(weight * value);
        system.push(equation);
    }
    let mut solution = solve(system)?;
    let levelled = solution.pop()?;
    Some((solution, levelled))
}

/// Gaussian elimination with partial pivoting of an augmented matrix; `None` if it is singular.
fn solve(mut system: Vec<Vec<f64>>) -> Option<Vec<f64>> {
    let size = system.len();
    for column in 0..size {
        let pivot = (column..size).max_by(|&a, &b| system[a][column].abs().total_cmp(&system[b][column].abs()))?;
        system.swap(column, pivot);
        let (done, below) = system.split_at_mut(column + 1);
        let pivot_row = &done[column];
        if pivot_row[column] == 0.0 || !pivot_row[column].is_finite() {
            return None;
        }
        for row in below {
            let factor = row[column] / pivot_row[column];
            row[column..].iter_mut().zip(&pivot_row[column..]).for_each(|(entry, pivot)| *entry -= factor * pivot);
        }
    }
    let mut solution = vec![0.0; size];
    for row in (0..size).rev() {
        let known: f64 = (row + 1..size).map(|column| system[row][column] * solution[column]).sum();
        solution[row] = (system[row][size] - known) / system[row][row];
    }
    Some(solution)
}

/// `count` indices with alternating signs of the error, the largest one among them; `None` if it alternates less often.
fn alternating_extrema(errors: &[f64], count: usize) -> Option<Vec<usize>> {
    let mut extrema: Vec<usize> = Vec::new();
    for (index, error) in errors.iter().enumerate() {
        match extrema.last_mut() {
            Some(last) if (errors[*last] > 0.0) == (*error > 0.0) => {
                if error.abs() > errors[*last].abs() {
                    *last = index;
                }
            }
            _ => extrema.push(index),
        }
    }
    let magnitude = |extrema: &[usize], position: usize| errors[extrema[position]].abs();
    while extrema.len() > count {
        let end = extrema.len() - 1;
        let smallest = if extrema.len() == count + 1 {
            // A single surplus point can only go at an end without breaking the alternation.
            if magnitude(&extrema, 0) < magnitude(&extrema, end) { 0 } else { end }
        } else {
            (0..=end).min_by(|&a, &b| magnitude(&extrema, a).total_cmp(&magnitude(&extrema, b)))?
        };
        extrema.remove(smallest);
        if smallest > 0 && smallest < end {
            // Its neighbours now have one sign: keep the larger.
            let smaller =
                if magnitude(&extrema, smallest - 1) < magnitude(&extrema, smallest) { smallest - 1 } else { smallest };
            extrema.remove(smaller);
        }
    }
    (extrema.len() == count).then_some(extrema)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The best `p` makes `1 - x p(x)` the Chebyshev polynomial of degree `n + 1` on the interval, one at zero.
    #[test]
    fn reciprocal_reaches_the_error_known_in_closed_form() {
        for (ratio, degree) in [(10.0f64, 7), (100.0, 31), (1000.0, 127), (10.0, 15)] {
            let fit = minimax_relative(|x| 1.0 / x, (1.0, ratio), degree).unwrap();
            let found = fit.fit_error(|x| 1.0 / x, 40_000).relative;
            let exact = 1.0 / ((degree + 1) as f64 * ((ratio + 1.0) / (ratio - 1.0)).acosh()).cosh();
            assert!(found > exact * 0.999 && found < exact * 1.004, "ratio {ratio}: {found:e}, exact {exact:e}");
        }
    }

    #[test]
    fn inverse_root_on_the_widest_normalisation_window_is_good_enough() {
        let inverse_root = |x: f64| 1.0 / x.sqrt();
        let bits = |ratio: f64, degree| {
            let fit = minimax_relative(inverse_root, (1.0, ratio), degree).unwrap();
            fit.fit_error(inverse_root, 40_000).relative.log2()
        };
        assert!(bits(884.0, 128) < -13.5, "{}", bits(884.0, 128));
        assert!(bits(120.0, 64) < bits(884.0, 64) - 5.0);
    }

    #[test]
    fn minimax_beats_interpolation_in_its_own_norm() {
        let function = |x: f64| 1.0 / x.sqrt();
        let error = |fit: Chebyshev| fit.fit_error(function, 20_000).relative;
        let best = error(minimax_relative(function, (0.01, 4.0), 31).unwrap());
        let plain = error(Chebyshev::interpolate(function, (0.01, 4.0), 31).unwrap());
        assert!(best < plain / 1.5, "{best:e} against {plain:e}");
    }

    #[test]
    fn polynomials_are_reproduced_up_to_rounding() {
        let quadratic = |x: f64| 1.0 + x * x;
        let fit = minimax_relative(quadratic, (-1.0, 2.0), 5).unwrap();
        assert!(fit.fit_error(quadratic, 1000).relative < 1e-13);
    }

    #[test]
    fn rejects_zeros_poles_and_too_few_samples() {
        assert!(minimax_relative(|x| x, (0.0, 1.0), 3).is_err());
        assert!(minimax_relative(|x| 1.0 / x, (0.0, 1.0), 3).is_err());
        assert!(minimax_relative(|x| x, (1.0, 0.0), 3).is_err());
        let sample = WeightedSample { argument: 0.0, value: 1.0, weight: 1.0 };
        assert!(minimax_coefficients(&[sample; 9], 1).is_err());
    }
}
