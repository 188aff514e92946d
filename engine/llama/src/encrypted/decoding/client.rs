//! The client's part of a step: the token that it sends, the logits that it gets.

use fhe_ckks::{Client, Evaluator};

use super::DecodingModel;
use crate::encrypted::location::At;
use crate::error::Result;
use crate::float::Site;
use crate::weights::ModelSource;

impl DecodingModel {
    /// The client's part before a step: the embedding of one token, encrypted. Of a shape alone zeros, with which only an evaluator without
    /// data goes on.
    ///
    /// # Errors
    /// [`Error::TokenOutOfVocabulary`]; those of [`Client::encrypt`].
    pub fn embed<E: Evaluator, C: Client<E> + ?Sized>(&self, client: &C, token: u32) -> Result<Vec<E::Coefficients>> {
        let site = Site::Embedding.outside_layers();
        let embedded = match &self.source {
            ModelSource::Weights(weights) => weights.embed(&[token])?.data().iter().map(|&x| f64::from(x)).collect(),
            ModelSource::Shape(_) => vec![0.0; self.config().hidden_size],
        };
        let packed = self.layouts.residual.pack(&embedded).at(site)?;
        packed.iter().map(|vector| client.encrypt(vector, self.residual_unit).at(site)).collect()
    }

    /// The client's part after a step: the logits of every token of the vocabulary; `None` if the execution holds no data.
    ///
    /// # Errors
    /// Those of [`Client::decrypt`].
    pub fn logits<E: Evaluator, C: Client<E> + ?Sized>(
        &self,
        client: &C,
        logits: &[E::Coefficients],
    ) -> Result<Option<Vec<f32>>> {
        let revealed = self.head.reveal::<E, C>(client, logits).at(Site::Logits.outside_layers())?;
        Ok(revealed.map(|column| column.data().to_vec()))
    }
}
