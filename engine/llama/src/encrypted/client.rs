//! The client's part of a run: what it encrypts before, what it decrypts after.

use fhe_ckks::{Client, Evaluator};

use super::EncryptedModel;
use super::location::At;
use crate::error::{Error, Result};
use crate::float::Site;
use crate::matrix::Matrix;
use crate::prompt::PromptBlock;

impl EncryptedModel {
    /// The client's part before: embeds the tokens of the block and encrypts the residual that they start with. Of a shape alone these are
    /// zeros, with which only an evaluator without data goes on.
    ///
    /// # Errors
    /// Those of [`Client::encrypt`].
    pub fn embed<E: Evaluator, C: Client<E> + ?Sized>(&self, client: &C) -> Result<Vec<E::Coefficients>> {
        self.encrypt_embedded(client, self.embedded.as_ref())
    }

    /// The same for the tokens of another block whose prompts lie as in this one's, behind the same public tokens: all else that the circuit knows
    /// of a block is where its prompts lie.
    ///
    /// # Errors
    /// [`Error::OtherBlock`] for one that lies otherwise; [`Error::ShapeAlone`]; those of [`Client::encrypt`].
    pub fn embed_block<E: Evaluator, C: Client<E> + ?Sized>(
        &self,
        client: &C,
        block: &PromptBlock,
    ) -> Result<Vec<E::Coefficients>> {
        let lie_alike = block.size() == self.block.size() && block.prompts() == self.block.prompts();
        let same_public = block.prefix() == self.block.prefix() && block.context() == self.block.context();
        if !lie_alike || !same_public {
            return Err(Error::OtherBlock { found: block.outline(), required: self.block.outline() });
        }
        let weights = self.source.weights("the embedding of a block")?;
        let embedded = weights.embed(&block.embedded().tokens().collect::<Vec<_>>())?;
        self.encrypt_embedded(client, Some(&embedded))
    }

    fn encrypt_embedded<E: Evaluator, C: Client<E> + ?Sized>(
        &self,
        client: &C,
        embedded: Option<&Matrix>,
    ) -> Result<Vec<E::Coefficients>> {
        let site = Site::Embedding.outside_layers();
        let mut tensor = vec![0.0; self.config().hidden_size * self.block.size()];
        if let Some(embedded) = embedded {
            for position in 0..self.block.size() {
                for (channel, &value) in embedded.row(position).iter().enumerate() {
                    tensor[channel * self.block.size() + position] = value.into();
                }
            }
        }
        let packed = self.residual.layout.pack(&tensor).at(site)?;
        packed.iter().map(|vector| client.encrypt(vector, self.residual.unit).at(site)).collect()
    }

    /// The client's part after: the logits, vocabulary x block positions; `None` if the execution holds no data.
    ///
    /// # Errors
    /// Those of [`Client::decrypt`].
    pub fn logits<E: Evaluator, C: Client<E> + ?Sized>(
        &self,
        client: &C,
        logits: &[E::Coefficients],
    ) -> Result<Option<Matrix>> {
        self.head.reveal::<E, C>(client, logits).at(Site::Logits.outside_layers())
    }
}
