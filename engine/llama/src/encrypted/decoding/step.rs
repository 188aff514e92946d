//! The server's part of a step.

use std::borrow::Cow;

use fhe_circuits::{KeyValueCache, PublicPages};
use fhe_ckks::Evaluator;

use super::{DecodingModel, LayerStep};
use crate::encrypted::cache::public_pages;
use crate::encrypted::execution::Execution;
use crate::encrypted::harness::{Harness, Phase};
use crate::encrypted::location::At;
use crate::error::{Error, Result};
use crate::float::Site;

impl DecodingModel {
    /// One decoder layer of a step: the residual after it. The token takes the next place of the layer's cache and is attended to with the
    /// others.
    ///
    /// # Errors
    /// [`Error::LayerOutOfRange`]; [`Error::CacheFull`]; [`Error::ShapeAlone`] for a model without weights on an evaluator with data; those of the
    /// evaluator, with their site.
    pub fn layer<E: Evaluator, H: Harness<E> + ?Sized>(
        &self,
        e: &E,
        index: usize,
        cache: &mut KeyValueCache<E::Slots>,
        residual: &[E::Coefficients],
        harness: &mut H,
    ) -> Result<Vec<E::Coefficients>> {
        if cache.length() >= self.capacity {
            return Err(Error::CacheFull { found: cache.length() + 1, required: self.capacity });
        }
        harness.phase(Phase::Linear);
        let filled = self.filled_layer(e, index)?;
        let LayerStep { attention, feed_forward } = filled.as_ref();
        let public = self.public_pages(e, index)?;
        let mut run = Execution::new(e, harness);
        let residual = attention.run(&mut run, &self.layouts, self.config().rope_theta, (&public, cache), residual)?;
        feed_forward.run(&mut run, &self.layouts, &residual)
    }

    /// Keys and values of the public context in a layer, in the places of the cache; zeros for an evaluator without data.
    fn public_pages<E: Evaluator>(&self, e: &E, layer: usize) -> Result<PublicPages> {
        let known = if e.holds_data() { self.context.cache(layer)? } else { None };
        let pages = public_pages(&self.layouts.cache, known.as_ref(), self.config(), self.context.tokens());
        pages.at(Site::Key.in_layer(layer))
    }

    /// Final norm and LM head: the logits of what follows the token.
    ///
    /// # Errors
    /// [`Error::ShapeAlone`]; those of the evaluator, with their site.
    pub fn head<E: Evaluator, H: Harness<E> + ?Sized>(
        &self,
        e: &E,
        residual: &[E::Coefficients],
        harness: &mut H,
    ) -> Result<Vec<E::Coefficients>> {
        harness.phase(Phase::Linear);
        let head = if e.holds_data() && !self.keeps_weights {
            Cow::Owned(self.head_with_weights()?)
        } else {
            Cow::Borrowed(&self.head)
        };
        let mut run = Execution::new(e, harness);
        let vector = self.final_norm.run(&mut run, &self.layouts, residual)?;
        head.run(&mut run, &vector)
    }

    /// All layers and the head: one step.
    ///
    /// # Errors
    /// [`Error::CachesOfOtherDepth`] for another number of caches than of layers; [`Error::CachesOfOtherLength`] for caches that do not hold the same
    /// tokens, the prompt's among them, as those that a step left halfway; those of [`DecodingModel::layer`] and [`DecodingModel::head`].
    pub fn step<E: Evaluator, H: Harness<E> + ?Sized>(
        &self,
        e: &E,
        caches: &mut [KeyValueCache<E::Slots>],
        mut residual: Vec<E::Coefficients>,
        harness: &mut H,
    ) -> Result<Vec<E::Coefficients>> {
        if caches.len() != self.layers.len() {
            return Err(Error::CachesOfOtherDepth { found: caches.len(), required: self.layers.len() });
        }
        let lengths = || caches.iter().map(KeyValueCache::length);
        let first = lengths().next().unwrap_or(0);
        if let Some(found) = lengths().find(|length| *length != first || *length < self.prompt_length) {
            return Err(Error::CachesOfOtherLength { found, required: first.max(self.prompt_length) });
        }
        for (index, cache) in caches.iter_mut().enumerate() {
            residual = self.layer(e, index, cache, &residual, harness)?;
        }
        self.head(e, &residual, harness)
    }
}
