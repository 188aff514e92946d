//! The cache of keys and values, and how it grows.

use fhe_ckks::{Evaluator, Level, Rotation};

use super::CacheLayout;
use crate::error::{Result, refuse};

/// Keys and values of the tokens so far, from which no server learns more than their number.
///
/// Behind public tokens ([`PublicPages`](super::PublicPages)) the ciphertexts begin with the first that has an encrypted token; public ones that share it are
/// plaintexts that were added to it.
#[derive(Clone, Debug)]
pub struct KeyValueCache<S> {
    pub(super) keys: Vec<S>,
    pub(super) values: Vec<S>,
    pub(super) length: usize,
    /// How many of the tokens are public.
    pub(super) public: usize,
}

impl<S> Default for KeyValueCache<S> {
    fn default() -> Self {
        Self { keys: Vec::new(), values: Vec::new(), length: 0, public: 0 }
    }
}

impl<S> KeyValueCache<S> {
    /// Number of tokens, public ones included.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Number of public tokens before the others.
    pub fn public(&self) -> usize {
        self.public
    }

    /// Ciphertexts of keys.
    pub fn keys(&self) -> &[S] {
        &self.keys
    }

    /// Ciphertexts of values.
    pub fn values(&self) -> &[S] {
        &self.values
    }

    /// Number of ciphertexts of keys, and of values.
    pub fn ciphertexts(&self) -> usize {
        self.keys.len()
    }
}

impl CacheLayout {
    /// The cache of tokens that are there already: token `i` in token `i mod tokens` of ciphertext `i div tokens`, zero elsewhere.
    ///
    /// # Errors
    /// Unless there are as many ciphertexts of keys and of values as so many tokens take.
    pub fn cache<S>(&self, keys: Vec<S>, values: Vec<S>, length: usize) -> Result<KeyValueCache<S>> {
        self.cache_behind(keys, values, 0, length)
    }

    /// The same behind so many public tokens, which count in `length`.
    ///
    /// # Errors
    /// As [`CacheLayout::cache`], for [`CacheLayout::encrypted_pages`] ciphertexts.
    pub fn cache_behind<S>(
        &self,
        keys: Vec<S>,
        values: Vec<S>,
        public: usize,
        length: usize,
    ) -> Result<KeyValueCache<S>> {
        let required = self.encrypted_pages(public, length);
        if keys.len() != required || values.len() != required {
            let found = format!("{} of keys and {} of values", keys.len(), values.len());
            return Err(refuse("CacheLayout::cache", "ciphertexts", found, required, "fill them by this layout"));
        }
        Ok(KeyValueCache { keys, values, length, public })
    }

    /// Ciphertexts of keys, and of values, of a cache of so many tokens, the first of them public.
    pub fn encrypted_pages(&self, public: usize, length: usize) -> usize {
        length.div_ceil(self.tokens).saturating_sub(self.public_pages(public))
    }

    /// Ciphertexts' worth of tokens that are all public.
    pub(super) fn public_pages(&self, public: usize) -> usize {
        public / self.tokens
    }

    /// Adds a token to the cache: its keys and values in the places of [`CacheLayout::key_slot`] and [`CacheLayout::value_slot`], zero elsewhere. No level; a
    /// rotation of each for every bit of the distance to the token's place.
    ///
    /// # Errors
    /// If keys or values are at a lower level than those before; those of the evaluator.
    pub fn append<E: Evaluator>(
        &self,
        e: &E,
        cache: &mut KeyValueCache<E::Slots>,
        keys: &E::Slots,
        values: &E::Slots,
    ) -> Result<()> {
        let token = cache.length % self.tokens;
        let [key_token, value_token] = self.new_tokens();
        let moved = [
            self.appended(e, "keys", cache.keys.last(), (keys, key_token), token)?,
            self.appended(e, "values", cache.values.last(), (values, value_token), token)?,
        ];
        for (known, new) in [&mut cache.keys, &mut cache.values].into_iter().zip(moved) {
            match known.last_mut() {
                Some(last) if token > 0 => *last = new,
                _ => known.push(new),
            }
        }
        cache.length += 1;
        Ok(())
    }

    /// What the ciphertext of a new token becomes: moved to its token, at the level of the last ciphertext, and added to it unless it
    /// begins another one.
    fn appended<E: Evaluator>(
        &self,
        e: &E,
        operand: &'static str,
        last: Option<&E::Slots>,
        (new, from): (&E::Slots, usize),
        token: usize,
    ) -> Result<E::Slots> {
        let mut moved = new.clone();
        let (distance, towards) = (token.abs_diff(from), if token > from { -1 } else { 1 });
        for bit in (0..self.tokens.trailing_zeros()).filter(|bit| distance >> bit & 1 == 1) {
            moved = e.rotate(&moved, Rotation(towards << bit))?;
        }
        let Some(last) = last else { return Ok(moved) };
        let (Level(found), Level(required)) = (e.level(&moved), e.level(last));
        if found < required {
            let (found, required) = (format!("at level {found}"), format!("at {required} or above"));
            return Err(refuse("append", operand, found, required, "give new tokens as many levels as the cache has"));
        }
        let moved = e.lower(&moved, Level(required))?;
        Ok(if token == 0 { moved } else { e.add(last, &moved)? })
    }
}
