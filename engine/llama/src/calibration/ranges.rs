//! The windows that the encrypted circuit is built for, margins applied.

use super::extents::{Extents, SiteExtents};
use super::interval::Interval;
use super::margins::Margins;
use crate::error::{Error, Result};
use crate::float::{Location, Site};
use crate::prompt::Prefix;

/// The windows of a whole model. Bounds of a single number are on the absolute value.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelRanges {
    /// Residual before the first layer: the largest entry of the embedding, exact for every prompt.
    pub embedding: f64,
    /// One per decoder layer.
    pub layers: Vec<LayerRanges>,
    /// Mean square before the LM head, without epsilon.
    pub final_mean_square: Interval,
    /// The last residual over its root mean square, before gamma.
    pub normalised_final_input: f64,
    /// Logits.
    pub logits: f64,
    /// Whether the score windows cover masked pairs.
    pub covers_masked_scores: bool,
    /// The public prefix that they hold after: of a block, or the first tokens of its public context.
    pub prefix: Prefix,
    /// Most public tokens, prefix included, that a block may lie behind; 0 for blocks without a public context.
    pub context: usize,
    /// Fewest public tokens that it must lie behind.
    pub context_least: usize,
}

/// The windows of one decoder layer. Bounds of a single number are on the absolute value.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerRanges {
    /// Mean square of the residual before attention, without epsilon.
    pub attention_mean_square: Interval,
    /// Mean square of the residual before the feed-forward network, without epsilon.
    pub ffn_mean_square: Interval,
    /// The residual over its root mean square before attention, before gamma.
    pub normalised_attention_input: f64,
    /// The residual over its root mean square before the feed-forward network, before gamma.
    pub normalised_ffn_input: f64,
    /// Query projection before rotary positions.
    pub query: f64,
    /// The same over the largest weight of its row; infinite where it was not measured.
    pub query_reach: f64,
    /// Key projection before rotary positions.
    pub key: f64,
    /// The same over the largest weight of its row; infinite where it was not measured.
    pub key_reach: f64,
    /// Value projection.
    pub value: f64,
    /// The same over the largest weight of its row; infinite where it was not measured.
    pub value_reach: f64,
    /// Query with rotary positions.
    pub rotated_query: f64,
    /// Key with rotary positions.
    pub rotated_key: f64,
    /// Per query head, the shift c of the scores: the middle of its row maxima, moved by the same for all heads.
    pub score_centre: Vec<f64>,
    /// Half width w, common to all heads: every score of head h lies in `[c_h - w, c_h + w]`.
    pub score_half_width: f64,
    /// The SoftMax denominator, the sum over live keys of `exp(score - c_h - w)`, over all heads.
    pub denominator: Interval,
    /// The sum over live keys of `exp((score - c_h - w) / 2)`, over all heads; none if calibration did not record it.
    pub halved_sum: Option<Interval>,
    /// The same of `exp((score - c_h - w) / 4)`.
    pub quartered_sum: Option<Interval>,
    /// SoftMax times values.
    pub attention_output: f64,
    /// Residual after attention.
    pub residual_after_attention: f64,
    /// Gate projection, the argument of SiLU.
    pub gate: f64,
    /// The same over the largest weight of its row; infinite where it was not measured.
    pub gate_reach: f64,
    /// Up projection.
    pub up: f64,
    /// The same over the largest weight of its row; infinite where it was not measured.
    pub up_reach: f64,
    /// `silu(gate) * up`.
    pub gated: f64,
    /// Residual after the layer.
    pub residual_after_ffn: f64,
}

impl Extents {
    /// The windows for what was seen, widened; [`ModelRanges::after`] and [`ModelRanges::behind`] say after which tokens it was. The extents are complete, as
    /// calibration and loading leave them.
    pub fn with_margins(&self, margins: &Margins) -> ModelRanges {
        let outside = Widened { sites: self.outside(), margins };
        ModelRanges {
            embedding: outside.seen(Site::Embedding).magnitude(),
            layers: self.layers().iter().map(|sites| Widened { sites, margins }.layer()).collect(),
            final_mean_square: outside.mean_square(Site::FinalMeanSquare),
            normalised_final_input: outside.linear(Site::FinalNormalisedInput),
            logits: outside.linear(Site::Logits),
            covers_masked_scores: margins.cover_masked_scores,
            prefix: Prefix::none(),
            context: 0,
            context_least: 0,
        }
    }
}

/// The sites of one layer seen through margins.
struct Widened<'a> {
    sites: &'a SiteExtents,
    margins: &'a Margins,
}

impl Widened<'_> {
    fn heads(&self, site: Site) -> &[Interval] {
        self.sites.get(&site).map_or(&[], Vec::as_slice)
    }

    fn seen(&self, site: Site) -> Interval {
        self.heads(site).iter().fold(Interval::EMPTY, |all, &one| all.hull(one))
    }

    fn linear(&self, site: Site) -> f64 {
        self.seen(site).magnitude() * self.margins.linear
    }

    fn reach(&self, site: Site) -> f64 {
        if self.sites.contains_key(&site) { self.linear(site) } else { f64::INFINITY }
    }

    fn mean_square(&self, site: Site) -> Interval {
        let Interval { lo, hi } = self.seen(site);
        Interval::new(lo / self.margins.mean_square_lower, hi * self.margins.mean_square_upper)
    }

    /// Centre of each head and the common half width, margin applied. Heads are aligned at the middle of their row maxima, which keeps their
    /// denominators together; the window reaches as far up and as far down from there as any head does, which is not as far.
    fn scores(&self) -> (Vec<f64>, f64) {
        let covered = |head: usize, live: Interval| match self.heads(Site::MaskedScore).get(head) {
            Some(&masked) if self.margins.cover_masked_scores => live.hull(masked),
            _ => live,
        };
        let middles: Vec<f64> = self.heads(Site::ScoreRowMaximum).iter().map(|head| head.centre()).collect();
        let scores = self.heads(Site::Score).iter().zip(&middles).enumerate();
        let [up, down] = scores.fold([0.0_f64; 2], |[up, down], (head, (&live, middle))| {
            let Interval { lo, hi } = covered(head, live);
            [up.max(hi - middle), down.max(middle - lo)]
        });
        let centres = middles.iter().map(|middle| middle + (up - down) / 2.0).collect();
        (centres, (up + down) / 2.0 * self.margins.score_factor + self.margins.score_addend)
    }

    /// A sum of roots of exponentials. An excess at its upper end explodes.
    fn root_sum(&self, site: Site, root: f64, centres: &[f64], half_width: f64) -> Option<Interval> {
        let seen = self.heads(site).iter().zip(centres).fold(Interval::EMPTY, |all, (log, centre)| {
            let shift = (centre + half_width) / root;
            all.hull(Interval::new((log.lo - shift).exp(), (log.hi - shift).exp()))
        });
        let window = Interval::new(seen.lo / self.margins.first_sum_lower, seen.hi * self.margins.first_sum_upper);
        (!seen.is_empty()).then_some(window)
    }

    fn denominator(&self, centres: &[f64], half_width: f64) -> Interval {
        let shifted =
            self.heads(Site::LogDenominator).iter().zip(centres).fold(Interval::EMPTY, |all, (log, centre)| {
                let shift = centre + half_width;
                all.hull(Interval::new((log.lo - shift).exp(), (log.hi - shift).exp()))
            });
        Interval::new(shifted.lo / self.margins.denominator_lower, shifted.hi * self.margins.denominator_upper)
    }

    fn layer(&self) -> LayerRanges {
        let (score_centre, score_half_width) = self.scores();
        LayerRanges {
            attention_mean_square: self.mean_square(Site::AttentionMeanSquare),
            ffn_mean_square: self.mean_square(Site::FfnMeanSquare),
            normalised_attention_input: self.linear(Site::AttentionNormalisedInput),
            normalised_ffn_input: self.linear(Site::FfnNormalisedInput),
            query: self.linear(Site::Query),
            query_reach: self.reach(Site::QueryReach),
            key: self.linear(Site::Key),
            key_reach: self.reach(Site::KeyReach),
            value: self.linear(Site::Value),
            value_reach: self.reach(Site::ValueReach),
            rotated_query: self.linear(Site::RotatedQuery),
            rotated_key: self.linear(Site::RotatedKey),
            denominator: self.denominator(&score_centre, score_half_width),
            halved_sum: self.root_sum(Site::LogHalvedSum, 2.0, &score_centre, score_half_width),
            quartered_sum: self.root_sum(Site::LogQuarteredSum, 4.0, &score_centre, score_half_width),
            score_centre,
            score_half_width,
            attention_output: self.linear(Site::AttentionOutput),
            residual_after_attention: self.linear(Site::ResidualAfterAttention),
            gate: self.seen(Site::Gate).magnitude() * self.margins.silu,
            gate_reach: self.reach(Site::GateReach),
            up: self.linear(Site::Up),
            up_reach: self.reach(Site::UpReach),
            gated: self.linear(Site::GatedProduct),
            residual_after_ffn: self.linear(Site::ResidualAfterFfn),
        }
    }
}

impl ModelRanges {
    /// Refuses a model of another depth.
    ///
    /// # Errors
    /// [`Error::RangesOfOtherDepth`].
    pub(crate) fn check_depth(&self, layers: usize) -> Result<()> {
        if self.layers.len() == layers {
            return Ok(());
        }
        Err(Error::RangesOfOtherDepth { found: self.layers.len(), required: layers })
    }

    /// The largest entry of the residual anywhere.
    pub(crate) fn largest_residual(&self) -> f64 {
        self.layers.iter().fold(self.embedding, |largest, layer| {
            largest.max(layer.residual_after_attention).max(layer.residual_after_ffn)
        })
    }

    /// The largest entry of the residual before every layer, and after the last.
    pub(crate) fn entering(&self) -> Vec<f64> {
        let left = self.layers.iter().map(|layer| layer.residual_after_ffn);
        std::iter::once(self.embedding).chain(left).collect()
    }

    /// The window of a site (of one query head, for the sites of the scores); `None` where nothing is required.
    pub fn allowed(&self, location: Location, head: usize) -> Option<Interval> {
        let Some(layer) = location.layer else {
            return match location.site {
                Site::Embedding => Some(Interval::symmetric(self.embedding)),
                Site::FinalMeanSquare => Some(self.final_mean_square),
                Site::FinalNormalisedInput => Some(Interval::symmetric(self.normalised_final_input)),
                Site::Logits => Some(Interval::symmetric(self.logits)),
                _ => None,
            };
        };
        if location.site == Site::MaskedScore && !self.covers_masked_scores {
            return None;
        }
        self.layers.get(layer)?.allowed(location.site, head)
    }
}

impl LayerRanges {
    fn root_sum_window(&self, window: Interval, root: f64, centre: f64) -> Interval {
        let shift = (centre + self.score_half_width) / root;
        Interval::new(window.lo.ln() + shift, window.hi.ln() + shift)
    }

    fn allowed(&self, site: Site, head: usize) -> Option<Interval> {
        let centre = || self.score_centre.get(head).copied();
        let known = |reach: f64| reach.is_finite().then(|| Interval::symmetric(reach));
        Some(match site {
            Site::AttentionMeanSquare => self.attention_mean_square,
            Site::FfnMeanSquare => self.ffn_mean_square,
            Site::AttentionNormalisedInput => Interval::symmetric(self.normalised_attention_input),
            Site::FfnNormalisedInput => Interval::symmetric(self.normalised_ffn_input),
            Site::Query => Interval::symmetric(self.query),
            Site::QueryReach => known(self.query_reach)?,
            Site::Key => Interval::symmetric(self.key),
            Site::KeyReach => known(self.key_reach)?,
            Site::Value => Interval::symmetric(self.value),
            Site::ValueReach => known(self.value_reach)?,
            Site::RotatedQuery => Interval::symmetric(self.rotated_query),
            Site::RotatedKey => Interval::symmetric(self.rotated_key),
            Site::PublicScore | Site::Score | Site::MaskedScore => Interval::around(centre()?, self.score_half_width),
            Site::LogDenominator => {
                let shift = centre()? + self.score_half_width;
                Interval::new(self.denominator.lo.ln() + shift, self.denominator.hi.ln() + shift)
            }
            Site::LogHalvedSum => self.root_sum_window(self.halved_sum?, 2.0, centre()?),
            Site::LogQuarteredSum => self.root_sum_window(self.quartered_sum?, 4.0, centre()?),
            Site::AttentionOutput => Interval::symmetric(self.attention_output),
            Site::ResidualAfterAttention => Interval::symmetric(self.residual_after_attention),
            Site::Gate => Interval::symmetric(self.gate),
            Site::GateReach => known(self.gate_reach)?,
            Site::Up => Interval::symmetric(self.up),
            Site::UpReach => known(self.up_reach)?,
            Site::GatedProduct => Interval::symmetric(self.gated),
            Site::ResidualAfterFfn => Interval::symmetric(self.residual_after_ffn),
            // Their sum with the residual is what the circuit carries; row maxima are scores.
            Site::OProjection | Site::DownProjection | Site::ScoreRowMaximum => return None,
            Site::Embedding | Site::FinalMeanSquare | Site::FinalNormalisedInput | Site::Logits => return None,
        })
    }
}
