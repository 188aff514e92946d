//! Sums over the keys of a query, through a half bootstrap of their own in the copies in which the keys lie.
//!
//! Where the keys of a query lie in slots that a sparse SlotsToCoeffs takes for copies of one value, no rotation sums over them: their average passes,
//! and the half bootstrap returns it to all of them, where a function of few values is evaluated once for all ([`crate::slim`]). Elsewhere
//! rotations make the sum, and it crosses as it is ([`SumCrossing`]).

use fhe_ckks::{CircuitShape, Evaluator, PlainVector};

use super::{Crossing, OPERATION, by_sets, crossed};
use crate::crossing::Passage;
use crate::error::{Result, refuse};
use crate::interval::Interval;
use crate::score_layout::{ScoreLayout, Selection, SumCrossing};
use crate::slim::Blocks;
use crate::total::total_of;

/// How the sums of a layout cross, and where blocks lie in which they can be worked on slimly.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyCopies {
    crossing: SumCrossing,
    pub(super) blocks: Option<Blocks>,
}

impl KeyCopies {
    /// Those of a layout; refused if a sparse bootstrap of the ring has no such copies.
    pub(super) fn of<L: ScoreLayout>(layout: &L, shape: &CircuitShape) -> Result<Self> {
        let crossing = layout.sum_crossing();
        let copies = match crossing {
            SumCrossing::Copies(copies) => copies,
            SumCrossing::Rotations(copies) => {
                shape.check_copies(OPERATION, copies)?;
                return Ok(Self { crossing, blocks: None });
            }
        };
        shape.check_copies(OPERATION, copies)?;
        let half = shape.degree / 2;
        let blocks = Blocks::new(half, half / copies.0, layout.blocks_in_use(copies))?;
        Ok(Self { crossing, blocks: Some(blocks) })
    }
}

/// For each set, where its sums arrive.
pub(super) fn arrivals<L: ScoreLayout>(layout: &L) -> Vec<PlainVector> {
    (0..layout.set_lengths().len()).map(|set| layout.arrivals(set)).collect()
}

/// How the sums of a window cross: as their difference from its centre, over its half width.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeySums {
    crossing: SumCrossing,
    /// What is subtracted in every copy.
    centre: f64,
    passage: Passage,
}

impl KeySums {
    /// Sums of which `range` around a centre may return, as [-1, 1], with so many levels.
    pub(super) fn new(keys: KeyCopies, centre: f64, range: f64, levels: usize) -> Self {
        let KeyCopies { crossing, .. } = keys;
        // What crosses of a sum that nobody makes is its average over the copies.
        let (copies, share) = match crossing {
            SumCrossing::Copies(copies) => (copies, 1.0 / copies.0 as f64),
            SumCrossing::Rotations(copies) => (copies, 1.0),
        };
        Self { crossing, centre: centre * share, passage: Passage { copies, range: range * share, levels } }
    }

    /// Sums of a window, which fill the range.
    pub(super) fn of_window(keys: KeyCopies, window: Interval, levels: usize) -> Self {
        Self::new(keys, window.centre(), window.half_width(), levels)
    }

    pub(super) fn passage(&self) -> Passage {
        self.passage
    }

    /// Every term times what `factor` makes of the sum over its keys, as it returns: normalised and distorted. `terms` are zero where no pair is live.
    pub(super) fn times<E: Evaluator, L: ScoreLayout>(
        &self,
        e: &E,
        (layout, arrivals): (&L, &[PlainVector]),
        terms: &[E::Slots],
        crossing: &mut Crossing<'_, E::Slots>,
        factor: impl Fn(&E::Slots) -> Result<E::Slots>,
    ) -> Result<Vec<E::Slots>> {
        let sets = by_sets(layout, terms);
        let sums = sets.iter().zip(arrivals).map(|(set, arrivals)| self.centred(e, layout, set, arrivals));
        let returned = crossed(crossing, sums.collect::<Result<_>>()?, self.passage)?;
        let mut products = Vec::with_capacity(terms.len());
        for (set, sum) in sets.into_iter().zip(&returned) {
            let factor = factor(sum)?;
            for term in set {
                products.push(e.multiply(term, &factor)?);
            }
        }
        Ok(products)
    }

    /// As [`KeySums::times`] of one set, for selections of the terms: each takes a mask on the factor, so that the terms need no level for it.
    pub(super) fn times_selected<E: Evaluator, L: ScoreLayout>(
        &self,
        e: &E,
        (layout, arrivals): (&L, &[PlainVector]),
        (terms, selections): (&[E::Slots], &[Selection]),
        crossing: &mut Crossing<'_, E::Slots>,
        factor: impl Fn(&E::Slots) -> Result<E::Slots>,
    ) -> Result<Vec<E::Slots>> {
        let [arrivals] = arrivals else {
            let remedy = "select from one set of scores";
            return Err(refuse("Softmax::apply_selected", "sets", arrivals.len(), 1, remedy));
        };
        let returned = crossed(crossing, vec![self.centred(e, layout, terms, arrivals)?], self.passage)?;
        let factor = factor(&returned[0])?;
        let select = |Selection { ciphertext, mask }: &Selection| {
            let Some(term) = terms.get(*ciphertext) else {
                let required = format!("below {}", terms.len());
                let remedy = "select by the layout of the scores";
                return Err(refuse("Softmax::apply_selected", "ciphertext", ciphertext, required, remedy));
            };
            Ok(e.multiply(term, &e.plain_combination(&[(&factor, mask)])?)?)
        };
        selections.iter().map(select).collect()
    }

    /// What crosses of the sum over a set, less its part of the window's centre where sums arrive.
    fn centred<E: Evaluator, L: ScoreLayout>(
        &self,
        e: &E,
        layout: &L,
        terms: &[E::Slots],
        arrivals: &PlainVector,
    ) -> Result<E::Slots> {
        let sum = match self.crossing {
            SumCrossing::Rotations(_) => layout.sum_over_keys(e, terms)?,
            SumCrossing::Copies(_) => {
                let remedy = "let every query attend to itself";
                let none = || refuse("Softmax::apply", "ciphertexts of a set", "none", "at least one", remedy);
                total_of(e, terms)?.ok_or_else(none)?
            }
        };
        self.off_centre(e, &sum, arrivals)
    }

    /// A sum less its part of the window's centre where sums arrive.
    fn off_centre<E: Evaluator>(&self, e: &E, sum: &E::Slots, arrivals: &PlainVector) -> Result<E::Slots> {
        Ok(e.add_plain(sum, &arrivals.scaled(-self.centre))?)
    }

    /// Sums that others have made, one a set, as they return: normalised and distorted. Where they cross in copies, their average over these counts.
    pub(super) fn cross<E: Evaluator>(
        &self,
        e: &E,
        sums: &[E::Slots],
        arrivals: &[PlainVector],
        crossing: &mut Crossing<'_, E::Slots>,
    ) -> Result<Vec<E::Slots>> {
        let sums = sums.iter().zip(arrivals).map(|(sum, arrivals)| self.off_centre(e, sum, arrivals));
        crossed(crossing, sums.collect::<Result<_>>()?, self.passage)
    }
}
