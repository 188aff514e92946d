//! Public tokens before the encrypted block.

use super::{CircuitKind, InputSection, is_default, schema};
use fhe_circuits::PublicProducts;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Public tokens that the one prompt goes on from: their keys and values are computed in the clear.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ContextSection {
    /// A text that begins with them. What is prepended comes before it. A metered run of `input.tokens` needs none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<PathBuf>,
    /// So many, those that are prepended included. With 0 there is no context, so that a sweep may begin there.
    #[serde(skip_serializing_if = "is_default")]
    #[schemars(extend("default" = 0))]
    pub tokens: usize,
    /// How encrypted queries are multiplied with public keys, and what SoftMax makes of them with public values.
    #[serde(skip_serializing_if = "is_default")]
    #[schemars(schema_with = "schema::choices::<PublicProducts>", extend("default" = PublicProducts::default()))]
    pub products: PublicProducts,
}

impl ContextSection {
    /// The section as a cell of this circuit and input has it; `None` where there is no context.
    ///
    /// # Errors
    /// What is wrong with it in such a cell: a key and its problem.
    pub(super) fn resolved(
        self,
        circuit: CircuitKind,
        input: &InputSection,
    ) -> Result<Option<Self>, (&'static str, String)> {
        let Self { text, tokens, products } = self;
        if tokens == 0 {
            return Ok(None);
        }
        let refused = |problem: &str| Err(("context.tokens", format!("is {tokens}, but {problem}")));
        if circuit != CircuitKind::Decoder {
            return refused("only a whole decoder goes on from a context; leave `circuit` out");
        }
        if input.text.is_some() {
            return refused("windows of a text stand at its beginning; name one prompt by input.prompts");
        }
        if input.tokens.is_some() {
            // What is only counted has no text.
            return Ok(Some(Self { text: None, tokens, products }));
        }
        if text.is_none() {
            return Err(("context.text", "is missing: name the text whose first tokens are public".into()));
        }
        Ok(Some(Self { text, tokens, products }))
    }
}
