//! The cache that a block of tokens leaves for the steps that follow it.

use fhe_circuits::{
    CacheFill, CacheLayout, ChannelFactors, CircuitError, KeyValueCache, PrefixRows, PublicCache, PublicPages,
    RotaryAngles,
};
use fhe_ckks::Evaluator;

use super::Preparation;
use super::decoding::sequence_length;
use super::execution::Execution;
use super::harness::{Harness, Phase};
use super::location::At;
use super::projection::{Fill, OutputRange, Projection};
use super::tensors::{LayerTensors, Tensor, WeightBytes};
use crate::calibration::LayerRanges;
use crate::config::Config;
use crate::error::Result;
use crate::float::Site;

/// Levels of keys and values after the correction of the sine.
const LEVELS: usize = CacheLayout::PLACEMENT_LEVELS + CacheLayout::KEPT_LEVELS;

/// Keys and values of one layer once more, in the order of a cache.
#[derive(Clone, Debug)]
pub(super) struct CacheTurn {
    layer: usize,
    fill: CacheFill,
    keys: Projection,
    values: Projection,
    factors: [ChannelFactors; 2],
    angles: RotaryAngles,
    prefix: [PrefixRows; 2],
    /// Public tokens before the block, those of them that share a ciphertext with its own.
    public: PublicPages,
}

impl CacheTurn {
    /// For normalised inputs at `input_unit`.
    pub(super) fn prepare(
        preparation: &Preparation<'_>,
        layer: usize,
        weights: &LayerTensors,
        ranges: &LayerRanges,
        input_unit: f64,
    ) -> Result<Self> {
        let Preparation { config, block, shape, module, residual, options, .. } = *preparation;
        let at = |site: Site| site.in_layer(layer);
        let cache = CacheLayout::new(shape, config.num_attention_heads, config.num_key_value_heads, config.head_dim)
            .at(at(Site::Key))?;
        let context = block.context().len();
        let fill = CacheFill::new(&cache, module, context, sequence_length(block)? - context).at(at(Site::Key))?;
        let public = public_pages(&cache, None, config, context).at(at(Site::Key))?;
        let project = |site, matrix: &Tensor, range| {
            let (output, scales) = (fill.projection(), options.weight_scales);
            let mut projection =
                Projection::prepare(preparation, at(site), matrix, output, &residual.layout, scales, range)?;
            projection.scale_output(input_unit, Fill::Range);
            Ok::<_, crate::Error>(projection)
        };
        let keys = project(Site::Key, &weights.k, OutputRange { bound: ranges.key, reach: ranges.key_reach })?;
        let values = project(Site::Value, &weights.v, OutputRange { bound: ranges.value, reach: ranges.value_reach })?;
        let factors = [&keys, &values].map(|projection| projection.channel_factors(shape));
        let prefix = [
            preparation.prefix.rows(at(Site::RotatedKey), 1.0, ranges.rotated_key)?,
            preparation.prefix.rows(at(Site::Value), 1.0, ranges.value)?,
        ];
        Ok(Self { layer, fill, keys, values, factors, angles: preparation.angles(), prefix, public })
    }

    /// The same with the integers of its matrices, and with the keys and values of the public context, if there is one.
    pub(super) fn filled(&self, keys: Tensor, values: Tensor, context: Option<&PublicCache>) -> Result<Self> {
        let pages = context.map(|context| self.fill.cache().pages(context).at(Site::Key.in_layer(self.layer)));
        let public = pages.transpose()?.unwrap_or_else(|| self.public.clone());
        Ok(Self { keys: self.keys.filled(keys)?, values: self.values.filled(values)?, public, ..self.clone() })
    }

    /// Bytes of the weights while it runs.
    pub(super) fn weight_bytes(&self) -> WeightBytes {
        [self.keys.weight_bytes(), self.values.weight_bytes()].into_iter().sum()
    }

    /// The cache of the tokens of rows of a normalised residual.
    pub(super) fn run<E: Evaluator, H: Harness<E> + ?Sized>(
        &self,
        run: &mut Execution<'_, E, H>,
        rows: &E::Rows,
    ) -> Result<KeyValueCache<E::Slots>> {
        let at = |site: Site| site.in_layer(self.layer);
        let mut projected = self.keys.product(run, rows)?;
        let count = projected.len();
        projected.extend(self.values.product(run, rows)?);
        let raised = run.climb_corrected(at(Site::Key), &projected, LEVELS)?;
        run.work(Phase::NonLinear, at(Site::RotatedKey), |e| {
            let tensors = [&raised[..count], &raised[count..]];
            let known = (self.prefix.each_ref(), &self.public);
            self.fill.fill(e, tensors, &self.angles, self.factors.each_ref(), known)
        })
    }
}

/// Keys and values of so many public tokens in the places of a cache; those that nobody knows are zeros.
pub(super) fn public_pages(
    layout: &CacheLayout,
    known: Option<&PublicCache>,
    config: &Config,
    tokens: usize,
) -> Result<PublicPages, CircuitError> {
    match known {
        _ if tokens == 0 => Ok(PublicPages::none()),
        Some(cache) => layout.pages(cache),
        None => layout.pages(&PublicCache::unknown(config.num_key_value_heads, config.head_dim, tokens)?),
    }
}
