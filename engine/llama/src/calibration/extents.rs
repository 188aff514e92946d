//! What was seen: the interval of values of every site, without any margin.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::interval::Interval;
use crate::config::Config;
use crate::float::{Location, Observer, Site};
use crate::matrix::Matrix;
use crate::prompt::PromptBlock;

/// One interval per site, or one per query head for the sites of the scores.
pub(super) type SiteExtents = BTreeMap<Site, Vec<Interval>>;

const OUTSIDE: [Site; 4] = [Site::Embedding, Site::FinalMeanSquare, Site::FinalNormalisedInput, Site::Logits];

const IN_LAYER: [Site; 28] = [
    Site::AttentionMeanSquare,
    Site::AttentionNormalisedInput,
    Site::Query,
    Site::QueryReach,
    Site::Key,
    Site::KeyReach,
    Site::Value,
    Site::ValueReach,
    Site::RotatedQuery,
    Site::RotatedKey,
    Site::Score,
    Site::MaskedScore,
    Site::ScoreRowMaximum,
    Site::LogDenominator,
    Site::LogHalvedSum,
    Site::LogQuarteredSum,
    Site::AttentionOutput,
    Site::OProjection,
    Site::ResidualAfterAttention,
    Site::FfnMeanSquare,
    Site::FfnNormalisedInput,
    Site::Gate,
    Site::GateReach,
    Site::Up,
    Site::UpReach,
    Site::GatedProduct,
    Site::DownProjection,
    Site::ResidualAfterFfn,
];

/// The interval of values seen at every site of a model, padding positions included. [`Site::Score`] holds live pairs
/// only, [`Site::MaskedScore`] the others. Scores of public keys, which are all live, count as [`Site::Score`]: SoftMax is over both, and has one
/// window.
///
/// Positions of a public prefix are left out: the circuit carries none of their activations. Only their keys with rotary
/// positions and their values enter it, as plaintext, and the scores of other positions' queries with these keys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Extents {
    outside: SiteExtents,
    layers: Vec<SiteExtents>,
}

impl Extents {
    /// Nothing seen yet.
    pub fn empty(config: &Config) -> Self {
        let heads = |site: Site| if site.is_per_head() { config.num_attention_heads } else { 1 };
        let empty = |site: Site| (site, vec![Interval::EMPTY; heads(site)]);
        let layer: SiteExtents = IN_LAYER.into_iter().map(empty).collect();
        Self { outside: OUTSIDE.into_iter().map(empty).collect(), layers: vec![layer; config.num_hidden_layers] }
    }

    /// What was seen at a location: one interval, or one per query head; `None` if the model has no such location.
    pub fn at(&self, location: Location) -> Option<&[Interval]> {
        let sites = match location.layer {
            Some(layer) => self.layers.get(layer)?,
            None => &self.outside,
        };
        sites.get(&location.site).map(Vec::as_slice)
    }

    /// Every location with its intervals, in the order of the computation within a layer.
    pub fn iter(&self) -> impl Iterator<Item = (Location, &[Interval])> {
        let outside = self.outside.iter().map(|(site, intervals)| (site.outside_layers(), intervals.as_slice()));
        let layers = self.layers.iter().enumerate().flat_map(|(layer, sites)| {
            sites.iter().map(move |(site, intervals)| (site.in_layer(layer), intervals.as_slice()))
        });
        // What precedes the layers, the layers, what follows them.
        let (before, after): (Vec<_>, Vec<_>) = outside.partition(|(location, _)| location.site == Site::Embedding);
        before.into_iter().chain(layers).chain(after)
    }

    /// What was seen of one query head: its interval alone at the sites of the scores, everything at the others. `None` if there is no such head.
    pub fn of_head(&self, head: usize) -> Option<Self> {
        let mut layers = self.layers.clone();
        for (_, intervals) in layers.iter_mut().flatten().filter(|(site, _)| site.is_per_head()) {
            *intervals = vec![*intervals.get(head)?];
        }
        Some(Self { outside: self.outside.clone(), layers })
    }

    /// The hull of both, location by location. Both belong to models of one configuration.
    pub(super) fn merge(&mut self, other: &Self) {
        for (location, intervals) in other.iter() {
            for (row, &interval) in intervals.iter().enumerate() {
                self.widen(location, row, interval);
            }
        }
    }

    /// Widens one interval; a location that the model does not have is no business of its ranges.
    pub(super) fn widen(&mut self, location: Location, row: usize, by: Interval) {
        let sites = match location.layer {
            Some(layer) => self.layers.get_mut(layer),
            None => Some(&mut self.outside),
        };
        if let Some(interval) = sites.and_then(|sites| sites.get_mut(&location.site)).and_then(|all| all.get_mut(row)) {
            *interval = interval.hull(by);
        }
    }

    /// The sites of every layer.
    pub(super) fn layers(&self) -> &[SiteExtents] {
        &self.layers
    }

    /// The sites before and after the layers.
    pub(super) fn outside(&self) -> &SiteExtents {
        &self.outside
    }

    /// What keeps these extents from describing a model of this configuration, if anything.
    pub(super) fn defect(&self, config: &Config) -> Option<String> {
        let (found, required) = (self.layers.len(), config.num_hidden_layers);
        if found != required {
            return Some(format!("it has {found} layers, the model has {required}"));
        }
        let complete = Self::empty(config);
        let locations = complete.iter().map(|(location, intervals)| (location, intervals.len()));
        for (location, required) in locations {
            match self.at(location) {
                None if location.site.is_later() => (),
                None => return Some(format!("{location} is missing")),
                Some(found) if found.len() != required => {
                    return Some(format!("{location} has {} intervals, required: {required}", found.len()));
                }
                Some(found) => {
                    let usable = |interval: &Interval| !interval.is_empty() && interval.magnitude().is_finite();
                    if let Some(bad) = found.iter().find(|interval| !usable(interval)) {
                        return Some(format!("{location} is {bad}, required: finite with the lower end first"));
                    }
                }
            }
        }
        None
    }
}

/// An observer that records extents.
#[derive(Clone, Debug)]
pub struct Recorder {
    extents: Extents,
    public: bool,
}

impl Recorder {
    /// Has seen nothing yet.
    pub fn new(config: &Config) -> Self {
        Self { extents: Extents::empty(config), public: false }
    }

    /// Looks at blocks all of whose tokens are public, as it does at a public prefix: at keys with rotary positions and values alone.
    pub(super) fn of_public_tokens(config: &Config) -> Self {
        Self { public: true, ..Self::new(config) }
    }

    /// What it has seen.
    pub fn extents(&self) -> &Extents {
        &self.extents
    }
}

impl Observer for Recorder {
    fn observe(&mut self, location: Location, tensor: &Matrix, block: &PromptBlock) {
        if self.public && !matches!(location.site, Site::RotatedKey | Site::Value) {
            return;
        }
        let carried = |row: usize| match location.site {
            Site::RotatedKey | Site::Value => tensor.row(row),
            _ => &tensor.row(row)[block.prefix().len()..],
        };
        if location.site == Site::PublicScore {
            let live = Location { site: Site::Score, ..location };
            for (head, scores) in tensor.data().chunks(block.context().len() * block.size()).enumerate() {
                self.extents.widen(live, head, Interval::of(scores));
            }
        } else if location.site == Site::Score {
            let (live, masked) = (location, Location { site: Site::MaskedScore, ..location });
            for (head, scores) in tensor.data().chunks(block.size() * block.size()).enumerate() {
                let (attended, removed) = score_extents(scores, block);
                self.extents.widen(live, head, attended);
                self.extents.widen(masked, head, removed);
            }
        } else if location.site.is_per_head() {
            for head in 0..tensor.rows() {
                self.extents.widen(location, head, Interval::of(carried(head)));
            }
        } else {
            let all = (0..tensor.rows()).fold(Interval::EMPTY, |all, row| all.hull(Interval::of(carried(row))));
            self.extents.widen(location, 0, all);
        }
    }
}

/// The extents of one head's live and of its masked scores, keys x queries; those of the prefix's queries are left out.
fn score_extents(scores: &[f32], block: &PromptBlock) -> (Interval, Interval) {
    let (mut attended, mut removed) = (Interval::EMPTY, Interval::EMPTY);
    for (key, row) in scores.chunks(block.size()).enumerate() {
        for (query, &score) in row.iter().enumerate().skip(block.prefix().len()) {
            let side = if block.attends(query, key) { &mut attended } else { &mut removed };
            *side = side.including(score.into());
        }
    }
    (attended, removed)
}
