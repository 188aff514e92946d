//! How hard a model's activations are on a circuit.

use serde::{Deserialize, Serialize};

/// The largest of what makes layers hard to compute with, over all layers and live positions of the float model of the stored weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Extremes {
    /// Largest minus smallest score of a head, live pairs alone.
    pub score_span: f64,
    /// Largest minus smallest maximum of a row of a head's scores.
    pub row_maximum_width: f64,
    /// Largest magnitude of SiLU's argument.
    pub silu_input: f64,
    /// Largest over smallest mean square of a token before a norm.
    pub mean_square_ratio: f64,
    /// Largest channel of a token's residual over its root mean square.
    pub residual_peak: f64,
    /// Largest magnitude of what a feed-forward network adds to the residual.
    pub down_output: f64,
}
