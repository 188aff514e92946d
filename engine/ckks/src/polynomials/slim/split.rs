//! One split `P = U^2 + V^2 - m`, with a small `m` for `U` and `V` as well.
//!
//! With `m` above the depth of `P` below zero, the roots of `P + m` are pairs `a_i`, `conj a_i`. For real `y`, one root of each pair gives
//!
//! ```text
//! W(y) = sqrt(P(y) + m) exp(i (theta + sum_i s_i arg(y - a_i))),    s_i = +-1: which one,    U = Re W, V = Im W
//! ```
//!
//! `U` and `V` are bounded by `sqrt(P + m)`. What has to be sought is a choice whose own depths are small, *everywhere on the real line*:
//! just outside [-1, 1] `W` grows like `y^(n/2)`, so the phase must stay between 0 and a right angle wherever `W` is large. Roots sorted
//! by their real parts take alternating signs, so that the phase returns to `theta` at both infinities; then `theta` is scanned, and
//! pairs of opposite signs are exchanged as long as that helps. Taking all roots from one half plane, which is also a split, gives depths of
//! `1e34` at degree 64.

use std::f64::consts::{FRAC_PI_2, FRAC_PI_4, PI, TAU};

use num_complex::Complex64;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::roots::{derivative, roots};
use crate::polynomials::chebyshev::{clenshaw, cosine_grid, larger_or_nan};

/// What `m` exceeds the depth of the polynomial by, its largest value in [-1, 1] being 1: keeps the roots simple.
const MARGIN: f64 = 0.02;
/// Largest error of the identity in [-1, 1].
const RESIDUAL: f64 = 1e-10;
/// Points at which the identity is checked.
const CHECKED: usize = 4001;
/// Values of `theta` scanned inside a right angle.
const ANGLES: usize = 24;
/// A choice this good is not improved.
const GOOD_ENOUGH: f64 = 1e-3;
/// Smallest improvement that counts.
const IMPROVEMENT: f64 = 1e-6;
/// Choices of signs to begin with: two regular ones, the others random.
const BEGINNINGS: usize = 6;
/// Exchanges tried of those that rank best.
const EXCHANGES: usize = 12;
/// A root this near the real line, relative to its size, is a critical point.
const REAL: f64 = 1e-6;

/// `P = left^2 + right^2 - constant`.
#[derive(Clone, Debug)]
pub(super) struct Split {
    pub(super) left: Vec<f64>,
    pub(super) right: Vec<f64>,
    pub(super) constant: f64,
}

/// Splits a polynomial of even degree at least 4 and of size about 1, whose leading coefficient is positive.
///
/// # Errors
/// What was found and what would be needed.
pub(super) fn split(coefficients: &[f64]) -> Result<Split, String> {
    let degree = coefficients.len() - 1;
    let depth = -real_minimum(coefficients).ok_or("the iteration for critical points did not come to rest")?;
    let constant = depth + MARGIN;
    let mut raised = coefficients.to_vec();
    raised[0] += constant;
    let mut upper: Vec<Complex64> = roots(&raised)
        .ok_or("the iteration for roots did not come to rest")?
        .into_iter()
        .filter(|a| a.im > 0.0)
        .collect();
    if upper.len() != degree / 2 {
        return Err(format!("{} of {} roots above the real line", upper.len(), degree / 2));
    }
    upper.sort_by(|a, b| a.re.total_cmp(&b.re));

    let (choice, theta) = Search::new(&raised, &upper).best();
    let (left, right) = interpolate(&raised, &upper, &choice, theta);
    let residual = cosine_grid(CHECKED).fold(0.0_f64, |worst, y| {
        let [left, right, whole] = [&left, &right, &raised].map(|c| clenshaw(c, y));
        larger_or_nan(worst, (left * left + right * right - whole).abs())
    });
    if residual.is_nan() || residual > RESIDUAL {
        return Err(format!("an error of {residual:.1e} in the identity"));
    }
    let leading = left[degree / 2].min(right[degree / 2]);
    if leading <= 0.0 {
        return Err(format!("a leading coefficient of {leading:.1e}"));
    }
    Ok(Split { left, right, constant })
}

/// The smallest value on the whole real line.
fn real_minimum(coefficients: &[f64]) -> Option<f64> {
    let critical = roots(&derivative(coefficients))?;
    let real = critical.iter().filter(|root| root.im.abs() < REAL * (1.0 + root.norm())).map(|root| root.re);
    Some(real.chain([-1.0, 1.0]).map(|y| clenshaw(coefficients, y)).fold(f64::INFINITY, f64::min))
}

/// Points that stand for the real line: dense inside [-1, 1] and just outside, sparse further out.
fn real_line() -> Vec<f64> {
    const CORE: usize = 700;
    const TAIL: usize = 220;
    const EDGE: f64 = 1.02;
    const NEAREST: f64 = 1e-3;
    const FARTHEST: f64 = 60.0;
    let tail = |k: usize| EDGE + NEAREST * (FARTHEST / NEAREST).powf(k as f64 / (TAIL - 1) as f64);
    let core = cosine_grid(CORE).map(|y| EDGE * y);
    (0..TAIL).rev().map(|k| -tail(k)).chain(core).chain((0..TAIL).map(tail)).collect()
}

/// The search for signs and an angle.
struct Search {
    /// `sqrt(P + m)` along the real line.
    magnitude: Vec<f64>,
    /// `arg(y - a_i)` along the real line for each root.
    phases: Vec<Vec<f64>>,
}

/// Signs of the phases, the angle, and the worse depth of the two children with some weight on both.
#[derive(Clone)]
struct Choice {
    signs: Vec<f64>,
    theta: f64,
    depth: f64,
}

impl Search {
    fn new(raised: &[f64], upper: &[Complex64]) -> Self {
        let line = real_line();
        let magnitude = line.iter().map(|&y| clenshaw(raised, y).max(0.0).sqrt()).collect();
        let phases = upper.iter().map(|a| line.iter().map(|&y| (y - a).arg()).collect()).collect();
        Self { magnitude, phases }
    }

    /// The best signs and angle found.
    fn best(&self) -> (Vec<f64>, f64) {
        let mut random = ChaCha8Rng::seed_from_u64(5);
        let mut best: Option<Choice> = None;
        let count = self.phases.len();
        let mut signs: Vec<f64> = (0..count).map(|i| if i % 2 == 1 { 1.0 } else { -1.0 }).collect();
        for beginning in 0..BEGINNINGS {
            match beginning {
                0 => (),
                1 => signs = (0..count).map(|i| if (i / 2 + i) % 2 == 1 { 1.0 } else { -1.0 }).collect(),
                _ => signs.shuffle(&mut random),
            }
            let found = self.improved(signs.clone());
            if best.as_ref().is_none_or(|best| found.depth < best.depth) {
                best = Some(found);
            }
            if best.as_ref().is_some_and(|best| best.depth < GOOD_ENOUGH) {
                break;
            }
        }
        best.map_or((signs, FRAC_PI_4), |best| (best.signs, best.theta))
    }

    /// Exchanges pairs of opposite signs as long as the depth falls.
    fn improved(&self, signs: Vec<f64>) -> Choice {
        let mut phase = self.phase(&signs);
        let (depth, theta) = self.depth(&phase);
        let mut choice = Choice { signs, theta, depth };
        while choice.depth > GOOD_ENOUGH {
            let mut candidates = Vec::new();
            for i in 0..choice.signs.len() {
                for j in i + 1..choice.signs.len() {
                    if choice.signs[i] != choice.signs[j] {
                        candidates.push((self.excess(self.exchanged(&phase, &choice.signs, i, j)), i, j));
                    }
                }
            }
            candidates.sort_by(|a, b| a.0.total_cmp(&b.0));
            let tried = candidates.into_iter().take(EXCHANGES).find_map(|(_, i, j)| {
                let exchanged: Vec<f64> = self.exchanged(&phase, &choice.signs, i, j).collect();
                let (depth, theta) = self.depth(&exchanged);
                (depth < choice.depth - IMPROVEMENT).then_some((exchanged, depth, theta, i, j))
            });
            let Some((exchanged, depth, theta, i, j)) = tried else { break };
            choice.signs.swap(i, j);
            (phase, choice.depth, choice.theta) = (exchanged, depth, theta);
        }
        choice
    }

    /// `sum_i s_i arg(y - a_i)` along the real line.
    fn phase(&self, signs: &[f64]) -> Vec<f64> {
        let mut sum = vec![0.0; self.magnitude.len()];
        for (phases, sign) in self.phases.iter().zip(signs) {
            sum.iter_mut().zip(phases).for_each(|(sum, phase)| *sum += sign * phase);
        }
        sum
    }

    /// The phase with two opposite signs exchanged.
    fn exchanged<'a>(&'a self, phase: &'a [f64], signs: &[f64], i: usize, j: usize) -> impl Iterator<Item = f64> + 'a {
        let (of_i, of_j) = (2.0 * signs[i], 2.0 * signs[j]);
        phase.iter().zip(&self.phases[i]).zip(&self.phases[j]).map(move |((p, a), b)| p - of_i * a - of_j * b)
    }

    /// How far a phase leaves a right angle around zero, weighed by the magnitude: ranks exchanges.
    fn excess(&self, phase: impl Iterator<Item = f64>) -> f64 {
        let excess = phase.zip(&self.magnitude).map(|(phase, magnitude)| {
            let turned = phase - TAU * (phase / TAU).round();
            magnitude * (turned.abs() - FRAC_PI_4).max(0.0)
        });
        excess.fold(0.0, f64::max)
    }

    /// The least of the worse depths of `U` and `V` over the scanned angles.
    fn depth(&self, phase: &[f64]) -> (f64, f64) {
        let parts: Vec<(f64, f64)> = phase
            .iter()
            .zip(&self.magnitude)
            .map(|(phase, magnitude)| (magnitude * phase.cos(), magnitude * phase.sin()))
            .collect();
        let scanned = (1..=ANGLES).map(|k| {
            let theta = FRAC_PI_2 * k as f64 / (ANGLES + 1) as f64;
            let (sine, cosine) = theta.sin_cos();
            let least = parts.iter().fold((0.0_f64, 0.0_f64), |(u, v), (re, im)| {
                (u.min(re * cosine - im * sine), v.min(re * sine + im * cosine))
            });
            let (u, v) = (-least.0, -least.1);
            (u.max(v) + 0.1 * (u + v), theta)
        });
        scanned.min_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or((f64::INFINITY, FRAC_PI_4))
    }
}

/// `U` and `V` by interpolation at Chebyshev nodes, twice as many as needed.
fn interpolate(raised: &[f64], upper: &[Complex64], signs: &[f64], theta: f64) -> (Vec<f64>, Vec<f64>) {
    let (degree, nodes) = (upper.len(), 4 * upper.len());
    let angle = |node: usize| PI * (node as f64 + 0.5) / nodes as f64;
    let values: Vec<Complex64> = (0..nodes)
        .map(|node| {
            let y = angle(node).cos();
            let phase: f64 = upper.iter().zip(signs).map(|(a, sign)| sign * (y - a).arg()).sum();
            Complex64::from_polar(clenshaw(raised, y).max(0.0).sqrt(), theta + phase)
        })
        .collect();
    let coefficients: Vec<Complex64> = (0..=degree)
        .map(|k| {
            let terms = values.iter().enumerate().map(|(node, value)| value * (k as f64 * angle(node)).cos());
            terms.sum::<Complex64>() * if k == 0 { 1.0 } else { 2.0 } / nodes as f64
        })
        .collect();
    (coefficients.iter().map(|c| c.re).collect(), coefficients.iter().map(|c| c.im).collect())
}
