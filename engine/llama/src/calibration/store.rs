//! `ranges.toml`: what was seen, on which weights and which text, and the margins to apply.

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::extents::Extents;
use super::margins::Margins;
use super::ranges::ModelRanges;
use super::windows::{Corpus, WindowPlan};
use crate::error::{Error, Result};
use crate::weights::{Rotation, Weights};

/// The version of the file's layout. The first one knew no prefix: its files were measured without.
const FORMAT: u32 = 2;
/// Versions that are read.
const READ: std::ops::RangeInclusive<u32> = 1..=FORMAT;

/// Where ranges come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Provenance {
    format: u32,
    /// Hash of the weights ([`Weights::hash`]).
    pub weights: String,
    /// Hash of the text ([`Corpus::hash`]).
    pub text: String,
    /// Seed of the rotations merged into the weights first, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<u32>,
    /// Tokens of the text that take the prefix's part, or some of it, when a prompt begins with them. No window does, so that their
    /// activations are in the windows only where they come further on.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub sinking_first_tokens: BTreeSet<u32>,
    /// How the text was cut.
    pub plan: WindowPlan,
}

impl Provenance {
    pub(super) fn new(weights: &Weights, corpus: &Corpus, plan: &WindowPlan, sinking: BTreeSet<u32>) -> Self {
        Self {
            format: FORMAT,
            weights: weights.hash().to_owned(),
            text: corpus.hash().to_owned(),
            rotation: weights.rotation().map(Rotation::seed),
            sinking_first_tokens: sinking,
            plan: plan.clone(),
        }
    }
}

/// Calibrated ranges of one model: extents without margins, and the margins beside them, so that either can be judged
/// and the margins changed without running the model again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ranges {
    provenance: Provenance,
    margins: Margins,
    extents: Extents,
}

impl Ranges {
    pub(super) fn new(provenance: Provenance, margins: Margins, extents: Extents) -> Self {
        Self { provenance, margins, extents }
    }

    /// Where the ranges come from.
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// The margins applied by [`Ranges::model`].
    pub fn margins(&self) -> &Margins {
        &self.margins
    }

    /// What was seen, without margins.
    pub fn extents(&self) -> &Extents {
        &self.extents
    }

    /// The same extents under other margins.
    ///
    /// # Errors
    /// [`Error::CalibrationSetting`].
    pub fn with_margins(self, margins: Margins) -> Result<Self> {
        margins.validate()?;
        Ok(Self { margins, ..self })
    }

    /// The same with score windows that cover masked pairs, as products over lanes need them.
    #[must_use]
    pub fn covering_masked_scores(mut self) -> Self {
        self.margins.cover_masked_scores = true;
        self
    }

    /// The windows that the encrypted circuit is built for.
    pub fn model(&self) -> ModelRanges {
        self.placed(self.extents.with_margins(&self.margins))
    }

    /// The same windows of one query head alone, which need not cover those of the others of its layer. `None` if there is no such head.
    pub fn model_of_head(&self, head: usize) -> Option<ModelRanges> {
        let extents = self.extents.of_head(head)?;
        Some(self.placed(extents.with_margins(&self.margins)))
    }

    /// Windows with the public tokens that they were measured after.
    fn placed(&self, windows: ModelRanges) -> ModelRanges {
        let plan = &self.provenance.plan;
        windows.after(&plan.prefix).behind(plan.context).behind_at_least(plan.context_least)
    }

    /// Writes the file whole or not at all: under a temporary name beside it, then renamed.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn save(&self, path: &Path) -> Result<()> {
        let text = toml::to_string(self).expect("ranges hold finite numbers under textual keys");
        let partial = path.with_extension("toml.partial");
        let written = std::fs::write(&partial, text).and_then(|()| std::fs::rename(&partial, path));
        written.map_err(|error| {
            // Nothing half-written stays behind; the first error is the one to report.
            let _ = std::fs::remove_file(&partial);
            Error::file("write", path)(error)
        })
    }

    /// Reads ranges for these weights.
    ///
    /// # Errors
    /// [`Error::File`]; [`Error::Malformed`] for another layout, a missing site or a number that is no bound;
    /// [`Error::RangesOfOtherWeights`]; [`Error::CalibrationSetting`].
    pub fn load(path: &Path, weights: &Weights) -> Result<Self> {
        let malformed = |reason: String| Error::malformed("ranges.toml", path)(reason);
        let text = std::fs::read_to_string(path).map_err(Error::file("read", path))?;
        let ranges: Self = toml::from_str(&text).map_err(|error| malformed(error.to_string()))?;
        let Provenance { format, plan, .. } = &ranges.provenance;
        if !READ.contains(format) {
            return Err(malformed(format!("format {format} found, required: {} to {FORMAT}", READ.start())));
        }
        if *format == 1 && !plan.prefix.is_empty() {
            return Err(malformed(format!("format 1 with a prefix found, required: format {FORMAT}")));
        }
        if ranges.provenance.weights != weights.hash() {
            return Err(Error::RangesOfOtherWeights {
                path: path.to_owned(),
                found: ranges.provenance.weights,
                required: weights.hash().to_owned(),
            });
        }
        ranges.margins.validate()?;
        ranges.extents.defect(weights.config()).map_or(Ok(()), |defect| Err(malformed(defect)))?;
        Ok(ranges)
    }
}
