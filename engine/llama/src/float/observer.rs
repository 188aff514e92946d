//! The places of the circuit at which a tensor can be looked at.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::matrix::Matrix;
use crate::prompt::PromptBlock;

/// A place of the circuit. Tensors are rows x tokens; the rows are channels unless a variant says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Site {
    /// The residual stream before the first layer.
    Embedding,
    /// Mean square of the residual before attention, without epsilon; one row.
    AttentionMeanSquare,
    /// The residual divided by its root mean square, before gamma.
    AttentionNormalisedInput,
    /// Query projection, before rotary positions.
    Query,
    /// The largest query of each token, every channel divided by the largest weight of its row; one row.
    QueryReach,
    /// Key projection, before rotary positions.
    Key,
    /// The largest key of each token, every channel divided by the largest weight of its row; one row.
    KeyReach,
    /// Value projection.
    Value,
    /// The largest value of each token, every channel divided by the largest weight of its row; one row.
    ValueReach,
    /// Query with rotary positions.
    RotatedQuery,
    /// Key with rotary positions.
    RotatedKey,
    /// `q . k / sqrt(head_dim)` of every query with every key of the public context, shown where there is one. Row `head * m + key` for a
    /// context of `m` tokens, column = query. Calibration counts them as [`Site::Score`]: one SoftMax is over both.
    PublicScore,
    /// `q . k / sqrt(head_dim)` of every pair of block positions, masked or not. Row `head * t + key`, column = query.
    Score,
    /// The scores that the mask removes. The model shows them as part of [`Site::Score`]; calibration tells them apart.
    MaskedScore,
    /// The largest live score of each query, public keys included here and below; one row per query head.
    ScoreRowMaximum,
    /// Natural logarithm of the SoftMax denominator, the sum of `exp(score)` over live keys; one row per query head.
    LogDenominator,
    /// Natural logarithm of the sum of `exp(score / 2)` over live keys, which SoftMax in two rounds normalises first; one row per query head.
    LogHalvedSum,
    /// The same of `exp(score / 4)`, for three rounds.
    LogQuarteredSum,
    /// SoftMax times values, query heads stacked.
    AttentionOutput,
    /// What attention adds to the residual.
    OProjection,
    /// The residual after attention.
    ResidualAfterAttention,
    /// Mean square of the residual before the feed-forward network, without epsilon; one row.
    FfnMeanSquare,
    /// The residual divided by its root mean square, before gamma.
    FfnNormalisedInput,
    /// Gate projection, the argument of SiLU.
    Gate,
    /// The largest gate of each token, every channel divided by the largest weight of its row; one row.
    GateReach,
    /// Up projection.
    Up,
    /// The largest up of each token, every channel divided by the largest weight of its row; one row.
    UpReach,
    /// `silu(gate) * up`.
    GatedProduct,
    /// What the feed-forward network adds to the residual.
    DownProjection,
    /// The residual after the layer.
    ResidualAfterFfn,
    /// Mean square of the residual before the LM head, without epsilon; one row.
    FinalMeanSquare,
    /// The last residual divided by its root mean square, before gamma.
    FinalNormalisedInput,
    /// The logits; one row per token of the vocabulary.
    Logits,
}

impl Site {
    /// This site in one layer.
    pub fn in_layer(self, layer: usize) -> Location {
        Location { layer: Some(layer), site: self }
    }

    /// This site before the first or after the last layer.
    pub fn outside_layers(self) -> Location {
        Location { layer: None, site: self }
    }

    /// Whether ranges calibrated before this site was recorded do without it.
    pub fn is_later(self) -> bool {
        matches!(
            self,
            Self::QueryReach
                | Self::KeyReach
                | Self::ValueReach
                | Self::GateReach
                | Self::UpReach
                | Self::LogHalvedSum
                | Self::LogQuarteredSum
        )
    }

    /// Whether the rows of the tensor belong to query heads: one row each, or one for each key.
    pub fn is_per_head(self) -> bool {
        matches!(
            self,
            Self::PublicScore
                | Self::Score
                | Self::MaskedScore
                | Self::ScoreRowMaximum
                | Self::LogDenominator
                | Self::LogHalvedSum
                | Self::LogQuarteredSum
        )
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Embedding => "embedding",
            Self::AttentionMeanSquare => "attention mean square",
            Self::AttentionNormalisedInput => "attention normalised input",
            Self::Query => "query",
            Self::QueryReach => "query reach",
            Self::Key => "key",
            Self::KeyReach => "key reach",
            Self::Value => "value",
            Self::ValueReach => "value reach",
            Self::RotatedQuery => "rotated query",
            Self::RotatedKey => "rotated key",
            Self::PublicScore => "public score",
            Self::Score => "score",
            Self::MaskedScore => "masked score",
            Self::ScoreRowMaximum => "score row maximum",
            Self::LogDenominator => "log denominator",
            Self::LogHalvedSum => "log sum of halved scores",
            Self::LogQuarteredSum => "log sum of quartered scores",
            Self::AttentionOutput => "attention output",
            Self::OProjection => "o projection",
            Self::ResidualAfterAttention => "residual after attention",
            Self::FfnMeanSquare => "ffn mean square",
            Self::FfnNormalisedInput => "ffn normalised input",
            Self::Gate => "gate",
            Self::GateReach => "gate reach",
            Self::Up => "up",
            Self::UpReach => "up reach",
            Self::GatedProduct => "gated product",
            Self::DownProjection => "down projection",
            Self::ResidualAfterFfn => "residual after ffn",
            Self::FinalMeanSquare => "final mean square",
            Self::FinalNormalisedInput => "final normalised input",
            Self::Logits => "logits",
        })
    }
}

/// A site, in a layer or outside all layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    /// The layer; `None` before the first and after the last.
    pub layer: Option<usize>,
    /// The site.
    pub site: Site,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.layer {
            Some(layer) => write!(f, "layer {layer}, {}", self.site),
            None => self.site.fmt(f),
        }
    }
}

/// Looks at the tensors of a run. The block says which positions are live and which pairs attend.
pub trait Observer {
    /// Called once per location, in the order of the computation.
    fn observe(&mut self, location: Location, tensor: &Matrix, block: &PromptBlock);
}

/// Looks at nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn observe(&mut self, _: Location, _: &Matrix, _: &PromptBlock) {}
}

impl<F: FnMut(Location, &Matrix, &PromptBlock)> Observer for F {
    fn observe(&mut self, location: Location, tensor: &Matrix, block: &PromptBlock) {
        self(location, tensor, block);
    }
}

/// Shows a tensor to an observer, unless it holds an infinity or a NaN: the first location that does is the one to name.
pub(super) fn show(
    observer: &mut dyn Observer,
    location: Location,
    tensor: &Matrix,
    block: &PromptBlock,
) -> Result<()> {
    if let Some(&found) = tensor.data().iter().find(|entry| !entry.is_finite()) {
        return Err(Error::NotFinite { location, found: found.into() });
    }
    observer.observe(location, tensor, block);
    Ok(())
}
