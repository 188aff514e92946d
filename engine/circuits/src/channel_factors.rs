//! What the channels of a projection are multiplied by where a circuit meets them in a plaintext anyway.

use crate::error::{Result, refuse};

/// Factors of the channels of a tensor, head by head: what undoes scales per row
/// ([`WeightScales::PerRow`](crate::WeightScales::PerRow)) at no cost, in a plaintext that is multiplied with all the same.
///
/// The factor belongs to the channel that a value *comes from*: rotary positions add two channels, each with its own.
#[derive(Clone, Debug, PartialEq)]
pub enum ChannelFactors {
    /// The same for all.
    Common(f64),
    /// One each, channels of a head side by side.
    Each(Vec<f64>),
}

impl From<f64> for ChannelFactors {
    fn from(factor: f64) -> Self {
        Self::Common(factor)
    }
}

impl ChannelFactors {
    /// The same factors times `by`.
    #[must_use]
    pub fn times(&self, by: f64) -> Self {
        match self {
            Self::Common(factor) => Self::Common(factor * by),
            Self::Each(factors) => Self::Each(factors.iter().map(|factor| factor * by).collect()),
        }
    }

    /// The factor of a channel.
    pub(crate) fn of(&self, channel: usize) -> f64 {
        match self {
            Self::Common(factor) => *factor,
            Self::Each(factors) => factors[channel],
        }
    }

    /// Refuses factors of another number of channels.
    pub(crate) fn check(&self, operation: &'static str, channels: usize) -> Result<()> {
        match self {
            Self::Each(factors) if factors.len() != channels => {
                let remedy = "pass one factor for each channel of the projection";
                Err(refuse(operation, "channel factors", factors.len(), channels, remedy))
            }
            _ => Ok(()),
        }
    }
}
