//! What became of windows of a text, and how wide the ranges are that their circuit was made for.

use serde::{Deserialize, Serialize};

use super::nan_if_null;

/// Windows of a text, each a block of its own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WindowsSummary {
    /// Windows run in float.
    pub windows: usize,
    /// Those whose values in float leave the calibrated ranges: what a pre-flight refuses. None of them ran in the circuit.
    pub outside: Excursions,
    /// Of these, windows whose first token leaves the ranges by itself: without a prefix each is as wild as the next, and behind one a few tokens
    /// draw attention as the prefix does.
    #[serde(default)]
    pub by_first_token: usize,
    /// Of the others, those that left an interval inside the circuit. They are in no agreement.
    pub invalid: Excursions,
}

impl WindowsSummary {
    /// Windows that ran to their end inside all ranges: those that the agreement is about.
    pub fn valid(&self) -> usize {
        self.windows - self.outside.windows - self.invalid.windows
    }
}

/// Windows that left a range.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Excursions {
    /// How many.
    pub windows: usize,
    /// Ranges left through their upper end, over layers, heads and windows.
    pub above: usize,
    /// Ranges left through their lower end.
    pub below: usize,
    /// Layer, site and value of the first, and of which window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<String>,
}

/// The values of one site over all layers, without margins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SiteRange {
    /// The site.
    pub site: String,
    /// Smallest value.
    #[serde(deserialize_with = "nan_if_null")]
    pub low: f64,
    /// Largest value.
    #[serde(deserialize_with = "nan_if_null")]
    pub high: f64,
    /// Largest ratio of the ends of one layer's range, of sites that are positive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio: Option<f64>,
}

/// The degree that a polynomial needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NeededDegree {
    /// The function, such as `inverse root of a mean square`.
    pub function: String,
    /// The layer with the widest range; absent for the last norm.
    pub layer: Option<usize>,
    /// The smallest of `2^k - 1` that meets the circuit's tolerance; absent where even the largest one tried does not.
    pub degree: Option<usize>,
    /// The largest degree tried.
    pub largest_tried: usize,
    /// Levels of that degree, or of the largest tried.
    pub levels: usize,
}
