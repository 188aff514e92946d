//! What a prepared model has of its block's public context: the tokens, and their keys and values once they are known.

use std::sync::Arc;

use fhe_circuits::PublicCache;

use crate::error::{Error, Result};
use crate::float::ContextTensors;
use crate::prompt::{PromptBlock, PublicContext};
use crate::weights::ModelSource;

/// A public context, and its keys and values once somebody has computed them.
#[derive(Clone, Debug)]
pub(super) struct Context {
    public: PublicContext,
    tensors: Option<Arc<ContextTensors>>,
}

impl Context {
    /// That of a block, of which nothing is known but the tokens.
    pub(super) fn of(block: &PromptBlock) -> Self {
        Self { public: block.context().clone(), tensors: None }
    }

    /// The same with its keys and values.
    ///
    /// # Errors
    /// [`Error::OtherContext`] for those of another context; [`Error::ContextOfOtherWeights`]; [`Error::ShapeAlone`].
    pub(super) fn known(self, tensors: Arc<ContextTensors>, source: &ModelSource) -> Result<Self> {
        if *tensors.context() != self.public {
            return Err(Error::OtherContext { found: tensors.context().clone(), required: self.public });
        }
        tensors.check_weights(source.weights("a public context")?)?;
        Ok(Self { tensors: Some(tensors), ..self })
    }

    /// Number of public tokens.
    pub(super) fn tokens(&self) -> usize {
        self.public.len()
    }

    /// Keys and values of a layer, if there is a context.
    ///
    /// # Errors
    /// [`Error::OtherContext`] if they are not known.
    pub(super) fn cache(&self, layer: usize) -> Result<Option<PublicCache>> {
        match &self.tensors {
            _ if self.public.is_empty() => Ok(None),
            Some(tensors) => tensors.layer(layer)?.to_public_cache(layer).map(Some),
            None => Err(Error::OtherContext { found: PublicContext::none(), required: self.public.clone() }),
        }
    }
}
