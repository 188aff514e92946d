//! Sparse linear maps of slots: what moves the channels of a vector from where one circuit leaves them to where the next one wants them.
//!
//! A number that moves from one slot to another takes a rotation, which all that move as far share, and a mask. How many rotations a map
//! takes is a matter of which channel lies where on both sides. From the product with a vector to the input of the next one
//! ([`crate::vector_product`]) natural order is best: most bits of the slot agree, and fifteen rotations move 4096 channels. Elsewhere the
//! rows of the weight matrix can be in another order, and [`fewest_rotations`] looks for one in which the product lands as conveniently
//! as it can: queries reach their places in a cache ([`crate::CacheLayout`]) by sixteen rotations.

use std::collections::BTreeMap;

use fhe_ckks::{Evaluator, PlainVector, Rotation};

use crate::error::{Result, refuse};

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

/// A sparse linear map between the slots of two tensors. Its plaintexts are embedded once, however often it is applied ([`PlainVector`]).
#[derive(Clone, Debug)]
pub struct SparseMap {
    /// By source ciphertext and rotation, then by target ciphertext: the factors where the numbers arrive.
    terms: BTreeMap<(usize, i64), BTreeMap<usize, PlainVector>>,
    sources: usize,
    targets: usize,
}

impl SparseMap {
    /// The map with these entries between ciphertexts of `slots` slots.
    ///
    /// # Errors
    /// If there is no entry, a slot lies outside, or a ciphertext up to the last one gets nothing.
    pub fn new(slots: usize, entries: impl IntoIterator<Item = SlotEntry>) -> Result<Self> {
        const OPERATION: &str = "SparseMap::new";
        let mut terms: BTreeMap<(usize, i64), BTreeMap<usize, Vec<f64>>> = BTreeMap::new();
        let (mut sources, mut reached) = (0, Vec::new());
        for SlotEntry { from, to, factor } in entries {
            if from.slot.max(to.slot) >= slots {
                let required = format!("below {slots}");
                return Err(refuse(OPERATION, "slot", from.slot.max(to.slot), required, "use further ciphertexts"));
            }
            let steps = (from.slot + slots - to.slot) % slots;
            // The shorter way round, so that a map and its inverse use rotations of one size.
            let steps = if 2 * steps > slots { steps as i64 - slots as i64 } else { steps as i64 };
            let targets = terms.entry((from.ciphertext, steps)).or_default();
            targets.entry(to.ciphertext).or_insert_with(|| vec![0.0; slots])[to.slot] += factor;
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
        let kept = |targets: BTreeMap<usize, Vec<f64>>| {
            targets.into_iter().map(|(target, factors)| (target, factors.into())).collect()
        };
        let terms = terms.into_iter().map(|(rotated, targets)| (rotated, kept(targets))).collect();
        Ok(Self { terms, sources, targets: reached.len() })
    }

    /// Rotations that it takes, those of different ciphertexts counted apart.
    pub fn rotations(&self) -> usize {
        self.terms.keys().filter(|(_, steps)| *steps != 0).count()
    }

    /// Applies the map: one level, the rotations of each ciphertext hoisted. Slots that no entry leads to become zero.
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
        let target = |number: usize| {
            let terms: Vec<(&E::Slots, &PlainVector)> = (rotated.iter().zip(self.terms.values()))
                .filter_map(|(x, targets)| Some((x, targets.get(&number)?)))
                .collect();
            Ok(e.plain_combination(&terms)?)
        };
        (0..self.targets).map(target).collect()
    }
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
