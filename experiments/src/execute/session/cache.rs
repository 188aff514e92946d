//! Keys and values that a prompt left, tied to where it left them.

use std::fmt;

use fhe_circuits::KeyValueCache;

use super::frame::SessionId;
use super::{SessionError, Terms};

/// Where a cache was filled: the session, and in its terms model, parameters, ranges, circuit and placement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    session: SessionId,
    terms: Terms,
}

impl Origin {
    /// That of a session.
    pub fn new(session: SessionId, terms: Terms) -> Self {
        Self { session, terms }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Terms { parameters, model, circuit, .. } = &self.terms;
        write!(f, "session {}, model {model}, parameters {parameters}, circuit {circuit}", self.session)
    }
}

/// The caches of all layers.
///
/// They open for steps of their own origin alone: behind another model the numbers would be read as something else, and under the keys of
/// another session they are noise. Nothing in a ciphertext would tell.
pub struct Caches<S> {
    origin: Origin,
    layers: Vec<KeyValueCache<S>>,
}

impl<S> Caches<S> {
    /// What a prompt left.
    pub fn new(origin: Origin, layers: Vec<KeyValueCache<S>>) -> Self {
        Self { origin, layers }
    }

    /// The caches, for a step.
    ///
    /// # Errors
    /// [`SessionError::OtherCache`].
    pub fn of(&mut self, origin: &Origin) -> Result<&mut [KeyValueCache<S>], SessionError> {
        if self.origin == *origin {
            return Ok(&mut self.layers);
        }
        Err(SessionError::OtherCache { found: self.origin.to_string(), required: origin.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Placement;
    use super::*;

    fn origin(session: u8, model: &str, parameters: &str) -> Origin {
        let placement = Placement { block: 16, prefix: 0, start: 0, tokens: 5, answer: 3 };
        let [fingerprint, ranges, circuit] = ["f", "r", "c"].map(str::to_owned);
        let (parameters, model) = (parameters.into(), model.into());
        Origin::new(SessionId([session; 16]), Terms { parameters, fingerprint, model, ranges, circuit, placement })
    }

    #[test]
    fn rejects_a_cache_of_another_model_session_or_parameters() {
        let mut caches = Caches::<()>::new(origin(1, "tiny", "n13-toy"), Vec::new());
        assert!(caches.of(&origin(1, "tiny", "n13-toy")).is_ok());
        let others = [origin(1, "other", "n13-toy"), origin(2, "tiny", "n13-toy"), origin(1, "tiny", "n11-toy")];
        for other in others {
            let error = caches.of(&other).unwrap_err();
            assert!(matches!(error, SessionError::OtherCache { .. }));
            let message = error.to_string();
            assert!(message.contains("model tiny") && message.contains(&other.to_string()), "{message}");
        }
    }
}
