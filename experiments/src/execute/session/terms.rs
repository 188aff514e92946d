//! What client and server must agree on before anything secret is encrypted. All of it is public.

use serde::{Deserialize, Serialize};

use super::SessionError;

/// The terms of one session. What the server learns of a prompt is its [`Placement`]; of tokens or text nothing is here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// Name of the parameter set.
    pub parameters: String,
    /// Fingerprint of its primes, degrees, gadgets and secrets, in hexadecimal digits.
    pub fingerprint: String,
    /// Hash of the model's configuration, weights and tokenizer.
    pub model: String,
    /// Hash of the calibrated ranges.
    pub ranges: String,
    /// Hash of the settings of the circuit, of the model, its ranges and the placement, and of the polynomials that follow from them.
    pub circuit: String,
    /// Where the prompt lies.
    pub placement: Placement,
}

/// Where a prompt lies in its block, in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Placement {
    /// Positions of the block: the context.
    pub block: usize,
    /// Of a public prefix, at the first positions.
    pub prefix: usize,
    /// First position of the prompt.
    pub start: usize,
    /// Tokens of the prompt.
    pub tokens: usize,
    /// Most tokens of the answer.
    pub answer: usize,
}

impl Placement {
    /// The longest answer to a prompt of so many tokens, prefix included, in a block of `block`: its last token is never fed back.
    pub fn room(prompt: usize, block: usize) -> usize {
        (block + 1).saturating_sub(prompt)
    }
}

impl Terms {
    /// Refuses terms of a client that are not these, a server's own.
    ///
    /// # Errors
    /// [`SessionError::OtherTerms`] for the first that differ, those that explain most first.
    pub(super) fn check(&self, client: &Self) -> Result<(), SessionError> {
        self.check_model(client)?;
        let [found, required] = [client, self].map(|terms| format!("{:?}", terms.placement));
        differing("the placement of the prompt", &found, &required)?;
        differing("the circuit", &client.circuit, &self.circuit)
    }

    /// As much of it as can be checked before there is a circuit.
    ///
    /// # Errors
    /// [`SessionError::OtherTerms`].
    pub(super) fn check_model(&self, client: &Self) -> Result<(), SessionError> {
        let pairs = [
            ("the parameter set", &client.parameters, &self.parameters),
            ("the fingerprint of the parameters", &client.fingerprint, &self.fingerprint),
            ("the model", &client.model, &self.model),
            ("the calibrated ranges", &client.ranges, &self.ranges),
        ];
        for (what, found, required) in pairs {
            differing(what, found, required)?;
        }
        Ok(())
    }
}

fn differing(what: &'static str, found: &str, required: &str) -> Result<(), SessionError> {
    if found == required {
        return Ok(());
    }
    Err(SessionError::OtherTerms { what, found: found.into(), required: required.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms() -> Terms {
        let placement = Placement { block: 16, prefix: 0, start: 0, tokens: 5, answer: 3 };
        let [parameters, fingerprint, model, ranges, circuit] = ["p", "f", "m", "r", "c"].map(str::to_owned);
        Terms { parameters, fingerprint, model, ranges, circuit, placement }
    }

    #[test]
    fn rejects_other_terms_by_name() {
        let own = terms();
        own.check(&terms()).unwrap();
        type Change = fn(&mut Terms);
        let changes: [(Change, &str); 6] = [
            (|terms| terms.parameters = "q".into(), "the parameter set is q with the client, p with the server"),
            (|terms| terms.fingerprint.clear(), "the fingerprint of the parameters"),
            (|terms| terms.model = "other".into(), "the model is other"),
            (|terms| terms.ranges.clear(), "the calibrated ranges"),
            (|terms| terms.placement.tokens = 6, "the placement of the prompt"),
            (|terms| terms.circuit.clear(), "the circuit"),
        ];
        for (change, expected) in changes {
            let mut client = terms();
            change(&mut client);
            let message = own.check(&client).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn the_last_token_of_an_answer_takes_no_room() {
        assert_eq!([1, 15, 16, 17].map(|prompt| Placement::room(prompt, 16)), [16, 2, 1, 0]);
    }
}
