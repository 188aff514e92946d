//! Scores of one token's queries with the cache, and its values weighted.

use fhe_ckks::{Evaluator, Rotation};

use super::field::Field;
use super::masks::ScoreRow;
use super::{CacheLayout, KeyValueCache, PublicPages};
use crate::attention::ScoreMap;
use crate::error::{Result, refuse};
use crate::score_layout::Selection;
use crate::total::total;

/// Keys or values of a page of tokens.
enum Page<'a, S> {
    Public(&'a [f64]),
    Encrypted(&'a S),
}

impl<S> Page<'_, S> {
    fn times<E: Evaluator<Slots = S>>(&self, e: &E, x: &S) -> Result<S> {
        Ok(match self {
            Self::Public(page) => e.plain_combination(&[(x, *page)])?,
            Self::Encrypted(page) => e.multiply(x, page)?,
        })
    }
}

/// Pages in the order of their tokens.
fn pages_of<'a, S>(public: &'a [Vec<f64>], encrypted: &'a [S]) -> impl Iterator<Item = Page<'a, S>> {
    public.iter().map(|page| Page::Public(page)).chain(encrypted.iter().map(Page::Encrypted))
}

impl CacheLayout {
    /// `scale * (q . k) - centre` for every query head and cached token, zero elsewhere: [`CacheLayout::score_ciphertexts`] of them.
    /// Consumes [`CacheLayout::QUERY_LEVELS`] levels of the queries, whose keys are best one level below.
    ///
    /// For every member of a group one selection and `log2 tokens` rotations; for every member and ciphertext of keys one product and `log2` rotations
    /// of the rows in use; and as many rotations as the other bits of a row once for all of them.
    ///
    /// # Errors
    /// If the cache is empty or the map has not a centre for every head; those of the evaluator.
    pub fn scores<E: Evaluator>(
        &self,
        e: &E,
        queries: &E::Slots,
        (public, cache): (&PublicPages, &KeyValueCache<E::Slots>),
        map: &ScoreMap,
    ) -> Result<Vec<E::Slots>> {
        const OPERATION: &str = "scores";
        if cache.length == 0 {
            return Err(refuse(OPERATION, "the cache", "empty", "one token or more", "append the query's own token"));
        }
        if map.centres.len() != self.heads {
            let remedy = "calibrate this model";
            return Err(refuse(OPERATION, "centres", map.centres.len(), self.heads, remedy));
        }
        public.check(OPERATION, cache.public)?;
        let (used, masks) = (self.used_rows(cache.length), self.masks(cache.length));
        let pages = public.keys.len() + cache.keys.len();
        let mut products = Vec::with_capacity(masks.rows.len());
        for ((member, mask), rows) in masks.members.iter().enumerate().zip(masks.rows.chunks(pages)) {
            let selected = e.plain_combination(&[(queries, mask)])?;
            let spread = self.token_field().spread(e, selected, member)?;
            for (page, ScoreRow { row, .. }) in pages_of(&public.keys, &cache.keys).zip(rows) {
                products.push(self.rows(used).sum(e, page.times(e, &spread)?, row % used)?);
            }
        }
        let ciphertext = |number: usize| {
            let rows = products.iter().zip(&masks.rows);
            let own = rows.filter(|(_, ScoreRow { selection, .. })| selection.ciphertext == number);
            let scaled: Vec<_> =
                own.map(|(x, ScoreRow { selection, .. })| (x, selection.mask.scaled(map.scale))).collect();
            let terms: Vec<_> = scaled.iter().map(|(x, mask)| (*x, mask)).collect();
            let scores = self.sum_rows(e, e.plain_combination(&terms)?, used, self.channel_rows)?;
            Ok(e.add_plain(&scores, &self.score_plain(cache.length, number, |head| -map.centres[head]))?)
        };
        (0..self.score_ciphertexts(cache.length)).map(ciphertext).collect()
    }

    /// The sum over so many cached tokens of each head, in the places of all of its scores: over entries in the places of the scores, which
    /// must be zero elsewhere. One level.
    ///
    /// # Errors
    /// If there is no ciphertext; those of the evaluator.
    pub fn sum_over_keys<E: Evaluator>(&self, e: &E, scores: &[E::Slots], length: usize) -> Result<E::Slots> {
        let Some((first, others)) = scores.split_first() else {
            let remedy = "append the query's own token";
            return Err(refuse("sum_over_keys", "ciphertexts", "none", "at least one", remedy));
        };
        let mut sum = first.clone();
        for other in others {
            sum = e.add(&sum, other)?;
        }
        let sum = self.sum_rows(e, sum, self.group_rows(), self.used_rows(length))?;
        let sum = self.token_field().sum(e, sum, 0)?;
        let first = e.plain_combination(&[(&sum, &self.masks(length).members[0])])?;
        self.token_field().spread(e, first, 0)
    }

    /// The selections that [`CacheLayout::weighted_values`] are made of: for every member of a group, ciphertext by ciphertext of values, its row of
    /// probabilities in the places of the scores.
    pub fn selections(&self, length: usize) -> Vec<Selection> {
        self.masks(length).rows.iter().map(|ScoreRow { selection, .. }| selection.clone()).collect()
    }

    /// Selections of probabilities that lie in the places of the scores, over `range`, and are zero elsewhere. One level.
    ///
    /// # Errors
    /// If there are more or fewer ciphertexts of probabilities than of scores; those of the evaluator.
    pub fn select<E: Evaluator>(
        &self,
        e: &E,
        probabilities: &[E::Slots],
        range: f64,
        length: usize,
    ) -> Result<Vec<E::Slots>> {
        let required = self.score_ciphertexts(length);
        if probabilities.len() != required || required == 0 {
            let required = format!("{required}, and at least one");
            let remedy = "use the layout of the scores with this cache";
            return Err(refuse("select", "ciphertexts of probabilities", probabilities.len(), required, remedy));
        }
        let select = |Selection { ciphertext, mask }: Selection| {
            Ok(e.plain_combination(&[(&probabilities[ciphertext], &mask.scaled(range))])?)
        };
        self.selections(length).into_iter().map(select).collect()
    }

    /// The sum over cached tokens of probability times value: a ciphertext for every member of a group, with its output in the places of its queries
    /// and numbers of no meaning elsewhere. Probabilities come as [`CacheLayout::selections`]; they and the values lose a level.
    ///
    /// For every selection one product and `log2` rotations of the rows in use; for every member `log2 tokens` rotations.
    ///
    /// # Errors
    /// If there are more or fewer selections; those of the evaluator.
    pub fn weighted_values<E: Evaluator>(
        &self,
        e: &E,
        selected: &[E::Slots],
        (public, cache): (&PublicPages, &KeyValueCache<E::Slots>),
    ) -> Result<Vec<E::Slots>> {
        const OPERATION: &str = "weighted_values";
        public.check(OPERATION, cache.public)?;
        let pages = public.values.len() + cache.values.len();
        let required = self.group() * pages;
        if selected.len() != required || required == 0 {
            let required = format!("{required}, and at least one");
            let remedy = "select probabilities for this cache";
            return Err(refuse(OPERATION, "selections", selected.len(), required, remedy));
        }
        let used = self.used_rows(cache.length);
        let output = |(member, selected): (usize, &[E::Slots])| {
            let pages = selected.iter().zip(pages_of(&public.values, &cache.values)).enumerate();
            let products = pages.map(|(number, (selected, values))| {
                let row = number * self.group_rows() + member;
                values.times(e, &self.rows(used).spread(e, selected.clone(), row % used)?)
            });
            let sum = total(e, products)?
                .ok_or_else(|| refuse(OPERATION, "the cache", "empty", "one token or more", "append one"))?;
            self.token_field().sum(e, sum, member)
        };
        selected.chunks(pages).enumerate().map(output).collect()
    }

    /// The sum over every `step`-th row, up to `period` rows, in every row of what repeats after `period` rows; all rows are a period.
    fn sum_rows<E: Evaluator>(&self, e: &E, mut x: E::Slots, step: usize, period: usize) -> Result<E::Slots> {
        let mut rows = step;
        while rows < period {
            x = e.add(&x, &e.rotate(&x, Rotation((rows * self.row()) as i64))?)?;
            rows *= 2;
        }
        Ok(x)
    }

    /// The tokens of a row.
    fn token_field(&self) -> Field {
        Field { stride: 1, length: self.tokens }
    }

    /// Rows of a block of so many.
    fn rows(&self, used: usize) -> Field {
        Field { stride: self.row(), length: used }
    }
}
