//! Public tokens before those of a cache.

use super::CacheLayout;
use crate::error::{Result, refuse};
use crate::public_attention::PublicCache;

/// Keys and values of public tokens in the places of a cache: a **page** is what one ciphertext would hold. Whole pages are multiplied as plaintexts; the
/// tokens of the last one, if others share it, are added to their ciphertext when it is made ([`CacheFill`](super::CacheFill)).
#[derive(Clone, Debug, Default)]
pub struct PublicPages {
    pub(super) tokens: usize,
    pub(super) keys: Vec<Vec<f64>>,
    pub(super) values: Vec<Vec<f64>>,
    /// The tokens of the last page, keys and values, if there are some.
    pub(super) rest: Option<[Vec<f64>; 2]>,
}

impl PublicPages {
    /// No public tokens.
    pub fn none() -> Self {
        Self::default()
    }

    /// Number of tokens.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// Refuses the pages of another cache.
    pub(super) fn check(&self, operation: &'static str, found: usize) -> Result<()> {
        if found == self.tokens {
            return Ok(());
        }
        let remedy = "use the public tokens that the cache was filled behind";
        Err(refuse(operation, "public tokens of the cache", found, self.tokens, remedy))
    }
}

impl CacheLayout {
    /// Keys and values of public tokens in the places of this layout.
    ///
    /// # Errors
    /// If they are of other heads or channels.
    pub fn pages(&self, cache: &PublicCache) -> Result<PublicPages> {
        let (found, required) = ([cache.heads(), cache.head_dim()], [self.key_value_heads, self.head_dim]);
        if found != required {
            let (found, required) = (format!("{found:?}"), format!("{required:?}"));
            let remedy = "compute them with this model";
            return Err(refuse("CacheLayout::pages", "heads and channels", found, required, remedy));
        }
        let tokens = cache.length();
        let page = |number: usize, entry: &dyn Fn(usize, usize, usize) -> f64| {
            let mut page = vec![0.0; self.slots];
            for head in 0..self.key_value_heads {
                for token in number * self.tokens..((number + 1) * self.tokens).min(tokens) {
                    for channel in 0..self.head_dim {
                        page[self.slot(channel, head, token % self.tokens)] = entry(head, token, channel);
                    }
                }
            }
            page
        };
        let (key, value) = (
            |head: usize, token: usize, channel: usize| cache.key(head, token, channel),
            |head: usize, token: usize, channel: usize| cache.value(head, token, channel),
        );
        let whole = self.public_pages(tokens);
        let rest = !tokens.is_multiple_of(self.tokens);
        Ok(PublicPages {
            tokens,
            keys: (0..whole).map(|number| page(number, &key)).collect(),
            values: (0..whole).map(|number| page(number, &value)).collect(),
            rest: rest.then(|| [page(whole, &key), page(whole, &value)]),
        })
    }
}
