//! Keys and values of public tokens at the first positions of a block.

use crate::error::{Result, refuse};

/// Rows of keys, with rotary positions, or of values that stand in plaintext at the first positions of a block.
///
/// What the encrypted projection holds there is multiplied by zero where it is placed, which takes a plaintext anyway, and these
/// numbers are added: no level, no key switch, and whatever the projection holds does not matter.
#[derive(Clone, Debug, PartialEq)]
pub struct PrefixRows {
    positions: usize,
    /// Channels x positions.
    numbers: Vec<f64>,
}

impl PrefixRows {
    /// No such rows.
    pub const fn none() -> Self {
        Self { positions: 0, numbers: Vec::new() }
    }

    /// Rows for the first `positions` of a block: `numbers`, channels of all key and value heads x positions, are what slots of the
    /// placed tensor are to hold, its factor included.
    ///
    /// # Errors
    /// Unless there are as many numbers for each position, all of them finite.
    pub fn new(positions: usize, numbers: Vec<f64>) -> Result<Self> {
        const OPERATION: &str = "PrefixRows::new";
        if !numbers.len().is_multiple_of(positions) {
            let required = format!("a multiple of {positions} positions");
            return Err(refuse(OPERATION, "numbers", numbers.len(), required, "give every channel every position"));
        }
        if let Some(bad) = numbers.iter().find(|number| !number.is_finite()) {
            return Err(refuse(OPERATION, "number", bad, "finite numbers", "check the weights"));
        }
        Ok(Self { positions, numbers })
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.positions == 0
    }

    /// Whether a block position is one of these rows.
    pub(crate) fn covers(&self, position: usize) -> bool {
        position < self.positions
    }

    /// Number of rows.
    pub(crate) fn positions(&self) -> usize {
        self.positions
    }

    /// The number of a channel of a row.
    pub(crate) fn at(&self, channel: usize, position: usize) -> f64 {
        self.numbers[channel * self.positions + position]
    }

    /// Channels of all key and value heads.
    pub(crate) fn channels(&self) -> usize {
        self.numbers.len().checked_div(self.positions).unwrap_or(0)
    }

    /// Refuses rows of another number of channels, or more than there are positions.
    pub(crate) fn check(&self, operation: &'static str, channels: usize, tokens: usize) -> Result<()> {
        if self.is_empty() || (self.channels() == channels && self.positions <= tokens) {
            return Ok(());
        }
        let found = format!("{} and {}", self.channels(), self.positions);
        let required = format!("{channels} and at most {tokens}");
        let remedy = "compute the prefix for this model and block";
        Err(refuse(operation, "channels and positions of the prefix", found, required, remedy))
    }
}
