//! `fhe-llama approximations`: the polynomials of an experiment's circuits as data, and whether stored ones are still what is derived.
//!
//! One JSON object a line in `results/SUITE/SUITE-approximations.jsonl`: cell, layer, site, function, degree, levels, error, and the coefficients in
//! the Chebyshev basis of [-1, 1], the interval that a half bootstrap returns. Where a circuit undoes the sine of a bootstrap in a polynomial, the
//! function is that of the distorted argument.

use std::path::{Path, PathBuf};

use fhe_model::encrypted::Polynomial;
use serde::{Deserialize, Serialize};

use crate::atomic::{Access, OsDisk, replace};
use crate::error::HarnessError;
use crate::event::ProgressSink;
use crate::execute;
use crate::spec::Suite;
use crate::workspace::Workspace;

/// What a suite's file of polynomials ends with.
pub(crate) const SUFFIX: &str = "-approximations.jsonl";
/// Numbers that differ by less, relative to the largest coefficient, are the same: libraries of elementary functions differ in their last bits.
const TOLERANCE: f64 = 1e-9;

/// One polynomial of one circuit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredPolynomial {
    /// Position of the circuit's cell in its suite.
    pub cell: usize,
    /// Decoder layer; absent for the last norm.
    pub layer: Option<usize>,
    /// Site of the argument.
    pub site: String,
    /// The function that it follows.
    pub function: String,
    /// Degree.
    pub degree: usize,
    /// Levels of its evaluation.
    pub levels: usize,
    /// Error by the criterion it was fitted with.
    pub error: f64,
    /// In the Chebyshev basis; empty of an iteration.
    pub coefficients: Vec<f64>,
}

impl StoredPolynomial {
    fn of(cell: usize, polynomial: Polynomial) -> Self {
        let Polynomial { location, fitted } = polynomial;
        Self {
            cell,
            layer: location.layer,
            site: location.site.to_string(),
            function: fitted.function.into(),
            degree: fitted.degree,
            levels: fitted.levels,
            error: fitted.error,
            coefficients: fitted.coefficients,
        }
    }

    fn is_at_the_place_of(&self, other: &Self) -> bool {
        (self.cell, self.layer, &self.site, &self.function) == (other.cell, other.layer, &other.site, &other.function)
    }

    /// Whether both are the same polynomial up to rounding.
    fn agrees_with(&self, other: &Self) -> bool {
        let largest = self.coefficients.iter().fold(f64::MIN_POSITIVE, |largest, c| largest.max(c.abs()));
        let close = |(a, b): (&f64, &f64)| (a - b).abs() <= TOLERANCE * largest;
        self.is_at_the_place_of(other)
            && (self.degree, self.levels, self.coefficients.len())
                == (other.degree, other.levels, other.coefficients.len())
            && self.coefficients.iter().zip(&other.coefficients).all(close)
    }
}

/// Derives the polynomials of every cell of a suite that a circuit carries, and stores them; returns the file and how many they are.
///
/// # Errors
/// What is wrong with the spec or a model; a refusal if it is that of the only cell; a failed write.
pub fn store(
    workspace: &Workspace,
    suite: &Suite,
    progress: &dyn ProgressSink,
) -> Result<(PathBuf, usize), HarnessError> {
    let derived = derive(workspace, suite, progress)?;
    let mut lines = String::new();
    for polynomial in &derived {
        let line = serde_json::to_string(polynomial);
        lines += &line.map_err(|error| HarnessError::execution("write a polynomial as JSON", error))?;
        lines.push('\n');
    }
    let path = file(workspace, suite);
    replace(&OsDisk, &path, lines.as_bytes(), Access::Shared)?;
    Ok((path, derived.len()))
}

/// Derives them again and holds them against the stored ones; returns how many agree, which is all.
///
/// # Errors
/// As [`store`]; [`HarnessError::NoApproximations`]; [`HarnessError::ApproximationDiffers`] for the first that does.
pub fn check(workspace: &Workspace, suite: &Suite, progress: &dyn ProgressSink) -> Result<usize, HarnessError> {
    let path = file(workspace, suite);
    if !path.is_file() {
        return Err(HarnessError::NoApproximations { path });
    }
    let stored = read(&path)?;
    let derived = derive(workspace, suite, progress)?;
    let differs =
        |found: String, required: String| HarnessError::ApproximationDiffers { path: path.clone(), found, required };
    if stored.len() != derived.len() {
        return Err(differs(format!("{} polynomials", stored.len()), format!("{} polynomials", derived.len())));
    }
    match stored.iter().zip(&derived).find(|(stored, derived)| !stored.agrees_with(derived)) {
        Some((stored, derived)) => Err(differs(name(stored), name(derived))),
        None => Ok(derived.len()),
    }
}

fn name(polynomial: &StoredPolynomial) -> String {
    let StoredPolynomial { cell, layer, site, function, degree, coefficients, .. } = polynomial;
    let layer = layer.map_or("the last norm".into(), |layer| format!("layer {layer}"));
    let first = coefficients.first().copied().unwrap_or(f64::NAN);
    format!("cell {cell}, {layer}, {site}: {function}, degree {degree}, first coefficient {first:.12e}")
}

fn file(workspace: &Workspace, suite: &Suite) -> PathBuf {
    workspace.result(&suite.name, SUFFIX)
}

pub(crate) fn read(path: &Path) -> Result<Vec<StoredPolynomial>, HarnessError> {
    let text = std::fs::read_to_string(path).map_err(|source| HarnessError::io("read", path, source))?;
    let parse = |(number, line): (usize, &str)| {
        serde_json::from_str(line)
            .map_err(|error| HarnessError::execution(format!("read line {} of {}", number + 1, path.display()), error))
    };
    text.lines().enumerate().map(parse).collect()
}

fn derive(
    workspace: &Workspace,
    suite: &Suite,
    progress: &dyn ProgressSink,
) -> Result<Vec<StoredPolynomial>, HarnessError> {
    let mut all = Vec::new();
    for cell in &suite.cells {
        match execute::polynomials(cell, workspace.root(), progress) {
            Ok(polynomials) => {
                all.extend(polynomials.into_iter().map(|polynomial| StoredPolynomial::of(cell.index, polynomial)));
            }
            Err(refusal) if refusal.is_refusal() && suite.cells.len() > 1 => {
                progress.message(format!("cell {}: {refusal}", cell.index));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(all)
}
