//! Sparse linear maps of slots: what moves the channels of a vector from where one circuit leaves them to where the next one wants them.
//!
//! A number that moves from one slot to another takes a rotation, which all that move as far share, and a mask. How many rotations a map
//! takes is a matter of which channel lies where on both sides. From the product with a vector to the input of the next one
//! ([`crate::vector_product`]) natural order is best: most bits of the slot agree, and fifteen rotations move 4096 channels. Elsewhere the
//! rows of the weight matrix can be in another order, and [`fewest_rotations`] looks for one in which the product lands as conveniently
//! as it can: queries reach their places in a cache ([`crate::CacheLayout`]) by sixteen rotations.
//!
//! Where two fields of the slot move independently of each other, distances are all sums of one of either's. A map **in steps** ([`SparseMap::in_steps`]) takes
//! the distances of one field first, masks, and those of the other last: their sum of rotations, and of keys, instead of their product.

use std::collections::{BTreeMap, BTreeSet};

use fhe_ckks::{Evaluator, PlainVector, Rotation};

use crate::error::{Result, refuse};
use crate::total::total;

/// A slot of one of the ciphertexts of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SlotPlace {
    /// Which ciphertext.
    pub ciphertext: usize,
    /// Which slot.
    pub slot: usize,
}

/// An entry of a map: `factor` times the number in one place, added to another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SlotEntry {
    /// From here.
    pub from: SlotPlace,
    /// To here.
    pub to: SlotPlace,
    /// So many times.
    pub factor: f64,
}

/// A ciphertext and a rotation of it.
type Turned = (usize, i64);

/// What a map does, with plaintexts `P` between its rotations: for each rotation of a source, what goes on by which rotation into a target.
type Terms<P> = BTreeMap<Turned, BTreeMap<Turned, P>>;

/// A sparse linear map between the slots of two tensors. Its plaintexts are embedded once, however often it is applied ([`PlainVector`]).
#[derive(Clone, Debug)]
pub struct SparseMap {
    /// By source ciphertext and its rotation, then by target ciphertext and the rotation into it: the factors in between.
    terms: Terms<PlainVector>,
    sources: usize,
    targets: usize,
}

impl SparseMap {
    /// The map with these entries between ciphertexts of `slots` slots, by one rotation for each distance.
    ///
    /// # Errors
    /// If there is no entry, a slot lies outside, or a ciphertext up to the last one gets nothing.
    pub fn new(slots: usize, entries: impl IntoIterator<Item = SlotEntry>) -> Result<Self> {
        let entries: Vec<SlotEntry> = entries.into_iter().collect();
        Self::of_steps(slots, &entries, |distance| [distance, 0])
    }

    /// The same by at most two rotations for each distance, the first of them one of `first`, so that few are left for the second.
    ///
    /// # Errors
    /// As [`SparseMap::new`]; if there is nothing to choose from.
    pub fn in_steps(slots: usize, entries: impl IntoIterator<Item = SlotEntry>, first: &[i64]) -> Result<Self> {
        let entries: Vec<SlotEntry> = entries.into_iter().collect();
        let shorter = |steps: i64| shorter_way(steps, slots);
        let mut open: BTreeSet<i64> = entries.iter().map(|entry| distance(entry, slots)).collect();
        let mut steps = BTreeMap::new();
        while let Some(&some) = open.first() {
            // Of the second steps that complete a distance, the one that completes most others.
            let completed = |second: i64| {
                let of_first = first.iter().map(move |&first| (shorter(first + second), first));
                of_first.filter(|(distance, _)| open.contains(distance)).collect::<Vec<_>>()
            };
            let seconds = first.iter().map(|&first| shorter(some - first));
            let Some(second) = seconds.max_by_key(|&second| (completed(second).len(), std::cmp::Reverse(second.abs())))
            else {
                let remedy = "give it the distances of one field";
                return Err(refuse("SparseMap::in_steps", "first steps", "none", "at least one", remedy));
            };
            for (distance, first) in completed(second) {
                steps.entry(distance).or_insert([first, second]);
            }
            open.retain(|distance| !steps.contains_key(distance));
        }
        Self::of_steps(slots, &entries, |distance| steps[&distance])
    }

    /// The map with a rotation of the source and one into the target for each distance.
    fn of_steps(slots: usize, entries: &[SlotEntry], steps: impl Fn(i64) -> [i64; 2]) -> Result<Self> {
        const OPERATION: &str = "SparseMap::new";
        let mut terms: Terms<Vec<f64>> = BTreeMap::new();
        let (mut sources, mut reached) = (0, Vec::new());
        for entry in entries {
            let SlotEntry { from, to, factor } = *entry;
            if from.slot.max(to.slot) >= slots {
                let required = format!("below {slots}");
                return Err(refuse(OPERATION, "slot", from.slot.max(to.slot), required, "use further ciphertexts"));
            }
            let [first, second] = steps(distance(entry, slots));
            let between = (to.slot as i64 + second).rem_euclid(slots as i64) as usize;
            let targets = terms.entry((from.ciphertext, first)).or_default();
            targets.entry((to.ciphertext, second)).or_insert_with(|| vec![0.0; slots])[between] += factor;
            sources = sources.max(from.ciphertext + 1);
            reached.resize(reached.len().max(to.ciphertext + 1), false);
            reached[to.ciphertext] = true;
        }
        if reached.is_empty() {
            return Err(refuse(OPERATION, "entries", "none", "at least one", "leave the map out"));
        }
        if let Some(empty) = reached.iter().position(|&reached| !reached) {
            let remedy = "number the ciphertexts of the target without gaps";
            return Err(refuse(OPERATION, "a ciphertext of the target", empty, "one with entries", remedy));
        }
        let kept = |targets: BTreeMap<Turned, Vec<f64>>| {
            targets.into_iter().map(|(target, factors)| (target, factors.into())).collect()
        };
        let terms = terms.into_iter().map(|(rotated, targets)| (rotated, kept(targets))).collect();
        Ok(Self { terms, sources, targets: reached.len() })
    }

    /// Rotations that it takes, those of different ciphertexts counted apart.
    pub fn rotations(&self) -> usize {
        let seconds: BTreeSet<_> = self.terms.values().flat_map(BTreeMap::keys).collect();
        let firsts = self.terms.keys().filter(|(_, steps)| *steps != 0).count();
        firsts + seconds.iter().filter(|(_, steps)| *steps != 0).count()
    }

    /// Applies the map: one level, the first rotations of each ciphertext hoisted. Slots that no entry leads to become zero.
    ///
    /// # Errors
    /// If there are fewer ciphertexts than the map has sources; those of the evaluator.
    pub fn apply<E: Evaluator>(&self, e: &E, tensor: &[E::Slots]) -> Result<Vec<E::Slots>> {
        if tensor.len() < self.sources {
            let remedy = "use the tensor that the map was made for";
            return Err(refuse("SparseMap::apply", "ciphertexts", tensor.len(), self.sources, remedy));
        }
        let mut rotated = Vec::with_capacity(self.terms.len());
        for (number, x) in tensor.iter().enumerate().take(self.sources) {
            let rotations: Vec<Rotation> = self
                .terms
                .range((number, i64::MIN)..=(number, i64::MAX))
                .map(|((_, steps), _)| Rotation(*steps))
                .collect();
            rotated.extend(e.rotate_hoisted(x, &rotations)?);
        }
        let mut by_second: BTreeMap<Turned, Vec<_>> = BTreeMap::new();
        for (x, targets) in rotated.iter().zip(self.terms.values()) {
            for (target, plain) in targets {
                by_second.entry(*target).or_default().push((x, plain));
            }
        }
        let arrive = |number: usize| {
            let moved = by_second.range((number, i64::MIN)..=(number, i64::MAX)).map(|((_, steps), terms)| {
                let between = e.plain_combination(terms)?;
                Ok(if *steps == 0 { between } else { e.rotate(&between, Rotation(*steps))? })
            });
            let none = || refuse("SparseMap::apply", "terms of a target", 0, "at least one", "report this");
            total(e, moved)?.ok_or_else(none)
        };
        (0..self.targets).map(arrive).collect()
    }
}

/// The rotation that brings the number of an entry to its place.
fn distance(entry: &SlotEntry, slots: usize) -> i64 {
    shorter_way(entry.from.slot as i64 - entry.to.slot as i64, slots)
}

/// The same rotation the shorter way round, so that a map and its inverse use rotations of one size.
fn shorter_way(steps: i64, slots: usize) -> i64 {
    let steps = steps.rem_euclid(slots as i64);
    if 2 * steps > slots as i64 { steps - slots as i64 } else { steps }
}

/// Which of `from` should move to each of `to`, as many: pairs that share few distances, found greedily in time that grows with the product of
/// both numbers, for every rotation. Returns indices into `from`.
///
/// # Errors
/// If there are more targets than sources.
pub fn fewest_rotations(slots: usize, from: &[SlotPlace], to: &[SlotPlace]) -> Result<Vec<usize>> {
    if to.len() > from.len() {
        let remedy = "give every target a source";
        return Err(refuse("fewest_rotations", "sources", from.len(), format!("at least {}", to.len()), remedy));
    }
    // By ciphertext and slot, the source that is still free.
    let ciphertexts = from.iter().map(|place| place.ciphertext + 1).max().unwrap_or(0);
    let mut free: Vec<Option<usize>> = vec![None; ciphertexts * slots];
    for (index, place) in from.iter().enumerate() {
        free[place.ciphertext * slots + place.slot % slots] = Some(index);
    }
    let mut chosen: Vec<Option<usize>> = vec![None; to.len()];
    while let Some(first) = chosen.iter().position(Option::is_none) {
        let open: Vec<usize> = (first..to.len()).filter(|&target| chosen[target].is_none()).collect();
        let source = |target: usize, ciphertext: usize, steps: usize| {
            free[ciphertext * slots + (to[target].slot + steps) % slots]
        };
        // Of the distances that serve the first target, the one that serves most others.
        let distances = free
            .iter()
            .flatten()
            .map(|&index| (from[index].ciphertext, (from[index].slot + slots - to[first].slot % slots) % slots));
        let best = distances.max_by_key(|&(ciphertext, steps)| {
            let served = open.iter().filter(|&&target| source(target, ciphertext, steps).is_some()).count();
            (served, std::cmp::Reverse((ciphertext, steps)))
        });
        let Some((ciphertext, steps)) = best else { break };
        for target in open {
            // Targets in one slot of different tensors compete for a source.
            if let Some(index) = free[ciphertext * slots + (to[target].slot + steps) % slots].take() {
                chosen[target] = Some(index);
            }
        }
    }
    Ok(chosen.into_iter().flatten().collect())
}
