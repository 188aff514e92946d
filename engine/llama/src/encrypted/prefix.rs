//! Keys and values of the public prefix.
//!
//! The rows of a prefix depend on the weights and on the prefix alone, so whoever has the model computes them in the clear,
//! once. They enter the two products of attention as plaintext rows; nothing else of the prefix enters the circuit.

use std::collections::BTreeMap;

use fhe_circuits::PrefixRows;

use super::location::At;
use crate::calibration::{Interval, OutOfRange};
use crate::config::Config;
use crate::error::Result;
use crate::float::{FloatModel, Location, Site};
use crate::matrix::Matrix;
use crate::prompt::{Prefix, PromptBlock};
use crate::weights::ModelSource;

/// What sums in another order may differ by from those that ranges were measured on.
const ROUNDING: f64 = 1.0 / 4096.0;

/// Keys with rotary positions, and values, of every layer: channels x positions of the prefix.
#[derive(Clone, Debug)]
pub(super) struct PrefixTensors {
    positions: usize,
    tensors: BTreeMap<Location, Vec<f64>>,
    /// Channels of rows that nobody knows: zeros, for evaluators without data.
    unknown: Option<usize>,
}

impl PrefixTensors {
    /// Runs the float model over the prefix alone. Of a shape the rows are zeros.
    pub(super) fn compute(source: &ModelSource, prefix: &Prefix) -> Result<Self> {
        let mut tensors = BTreeMap::new();
        let unknown = match source {
            ModelSource::Shape(_) if !prefix.is_empty() => Some(source.config().key_value_width()),
            _ => None,
        };
        if let (ModelSource::Weights(weights), false) = (source, prefix.is_empty()) {
            let block = Self::block(prefix, weights.config())?;
            let positions = block.prompts()[0].positions();
            let mut keep = |location: Location, tensor: &Matrix, _: &PromptBlock| {
                if matches!(location.site, Site::RotatedKey | Site::Value) {
                    let rows = (0..tensor.rows()).flat_map(|row| &tensor.row(row)[positions.clone()]);
                    tensors.insert(location, rows.map(|&number| number.into()).collect());
                }
            };
            FloatModel::new(weights).observe(&block, &mut keep)?;
        }
        Ok(Self { positions: prefix.len(), tensors, unknown })
    }

    /// The prefix as a prompt of its own.
    fn block(prefix: &Prefix, config: &Config) -> Result<PromptBlock> {
        PromptBlock::new(&[prefix.tokens().to_vec()], prefix.len().next_power_of_two().max(2), config)
    }

    /// The rows of a layer's keys or values, in units in which `bound` is 1.
    ///
    /// # Errors
    /// [`Error::OutOfRange`](crate::Error::OutOfRange) for rows beyond `window`, which ranges measured after this prefix cover.
    pub(super) fn rows(&self, location: Location, bound: f64, window: f64) -> Result<PrefixRows> {
        if let Some(channels) = self.unknown {
            return PrefixRows::new(self.positions, vec![0.0; channels * self.positions]).at(location);
        }
        let Some(numbers) = self.tensors.get(&location) else { return Ok(PrefixRows::none()) };
        if let Some(&found) = numbers.iter().find(|number| number.abs() > window * (1.0 + ROUNDING)) {
            return Err(OutOfRange { location, head: None, found, allowed: Interval::symmetric(window) }.into());
        }
        PrefixRows::new(self.positions, numbers.iter().map(|number| number / bound).collect()).at(location)
    }
}
