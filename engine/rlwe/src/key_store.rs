//! Where the server finds its keys.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use fhe_ring::{Backend, Poly, Ring, Shape};

use crate::{KeyId, KeyRequests, KeyShape, Parameters, RlweError, SwitchingKey};

/// By name and number of special primes.
type Keys<B> = HashMap<(KeyId, usize), Arc<SwitchingKey<B>>>;

/// Evaluation keys by name; or, while planning, a recorder of the keys that a circuit asks for.
pub struct KeyStore<B: Backend> {
    keys: Mutex<Keys<B>>,
    requests: Option<Mutex<KeyRequests>>,
}

impl<B: Backend> KeyStore<B> {
    /// A store of the keys that the client generated.
    pub fn new(keys: impl IntoIterator<Item = SwitchingKey<B>>) -> Self {
        let keys = keys.into_iter().map(|key| ((key.id, key.shape.special), Arc::new(key))).collect();
        Self { keys: Mutex::new(keys), requests: None }
    }

    /// A store that answers every request with an empty key and remembers it.
    pub fn planning() -> Self {
        Self { keys: Mutex::default(), requests: Some(Mutex::default()) }
    }

    /// Whether this store only remembers what is asked for.
    pub fn is_planning(&self) -> bool {
        self.requests.is_some()
    }

    /// What was asked for so far; empty for a store of real keys.
    pub fn requests(&self) -> KeyRequests {
        self.requests
            .as_ref()
            .map(|requests| requests.lock().unwrap_or_else(PoisonError::into_inner).clone())
            .unwrap_or_default()
    }

    /// Bytes of all keys held.
    pub fn bytes(&self, parameters: &Parameters) -> usize {
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.values().map(|key| 8 * key.shape.words(parameters.key_ring(&key.id).degree())).sum()
    }

    /// Every key held, in the order of names.
    pub(crate) fn held(&self) -> Vec<Arc<SwitchingKey<B>>> {
        let mut held: Vec<_> = self.keys.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        held.sort_by_key(|key| (key.id, key.shape.special));
        held
    }

    /// The key `id`, covering at least `required`.
    ///
    /// # Errors
    /// [`RlweError::MissingKey`] if it is absent or covers less.
    pub fn get(
        &self,
        backend: &B,
        ring: Ring,
        id: KeyId,
        required: KeyShape,
    ) -> Result<Arc<SwitchingKey<B>>, RlweError> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let name = (id, required.special);
        let known = keys.get(&name);
        if let Some(key) = known.filter(|key| key.shape.serves(&required)) {
            return Ok(Arc::clone(key));
        }
        let Some(requests) = &self.requests else {
            return Err(RlweError::MissingKey {
                key: id.to_string(),
                found: known.map_or("absent".into(), |key| format!("{:?}", key.shape)),
                required: format!("{required:?}"),
            });
        };
        let mut requests = requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests.add(id, required);
        let mut requested = requests.iter().filter(|(known, shape)| (**known, shape.special) == name);
        let shape = requested.next().map_or(required, |(_, shape)| *shape);
        let poly = Shape::evaluation(ring, shape.basis());
        let row = || Ok::<_, RlweError>([Poly::zeros(backend, poly)?, Poly::zeros(backend, poly)?]);
        let rows = (0..shape.rows()).map(|_| row()).collect::<Result<_, _>>()?;
        let key = Arc::new(SwitchingKey { id, shape, seeds: Vec::new(), rows });
        keys.insert(name, Arc::clone(&key));
        Ok(key)
    }
}
