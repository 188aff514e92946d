//! What was made last for one key, for the next who asks for the same.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// Public plaintexts that depend on a key, as the position of a token: made by the first of many layers, found by the others, gone when another key
/// comes. Clones share it; it is no part of what it belongs to, so that all are equal.
pub struct Latest<K, V>(Arc<Mutex<Known<K, V>>>);

/// The last key, and what belongs to it.
type Known<K, V> = Option<(K, Arc<V>)>;

impl<K, V> Default for Latest<K, V> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K, V> Clone for Latest<K, V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K, V> fmt::Debug for Latest<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Latest")
    }
}

impl<K, V> PartialEq for Latest<K, V> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl<K, V> Eq for Latest<K, V> {}

impl<K: PartialEq, V> Latest<K, V> {
    /// What belongs to `key`, made if the last key was another.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn of<E>(&self, key: K, make: impl FnOnce() -> Result<V, E>) -> Result<Arc<V>, E> {
        // What is there is whole.
        let mut latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, value)) = latest.as_ref().filter(|(known, _)| *known == key) {
            return Ok(Arc::clone(value));
        }
        let value = Arc::new(make()?);
        *latest = Some((key, Arc::clone(&value)));
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_is_made_once_and_shared_by_clones() {
        let latest = Latest::default();
        let made = |key: usize| latest.clone().of(key, || Ok::<_, ()>(vec![key])).unwrap();
        let first = made(3);
        assert!(Arc::ptr_eq(&first, &made(3)));
        assert_eq!(*made(4), [4]);
        assert!(!Arc::ptr_eq(&first, &made(3)), "another key came between");
        assert!(latest.of(5, || Err(())).is_err());
        assert_eq!(latest.of(3, || Err(())).unwrap(), first, "a failure leaves what was there");
    }
}
