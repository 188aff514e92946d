//! Which keys meet which queries.

use std::collections::BTreeSet;

use super::heads::HeadLayout;
use crate::error::{Result, refuse};
use crate::layout::RowModule;

/// One product of the queries of both halves with keys: replica `g` meets the keys `first_offset + g` tokens before the
/// query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyStep {
    /// Whether the keys are those of the other half.
    pub swapped: bool,
    /// Slot token of the query minus slot token of the key, for replica 0; a multiple of the number of replicas.
    pub first_offset: i64,
}

/// The steps under one block mask.
#[derive(Clone, Debug)]
pub struct KeySchedule {
    module: RowModule,
    replicas: usize,
    steps: Vec<KeyStep>,
    /// Query by key, block positions.
    attends: Vec<bool>,
}

impl KeySchedule {
    /// All steps at which some query attends to some key.
    ///
    /// # Errors
    /// If a query attends to no key: its SoftMax would divide by zero.
    pub fn new(heads: &HeadLayout, attends: impl Fn(usize, usize) -> bool) -> Result<Self> {
        let module = heads.module();
        let tokens = module.tokens();
        let table: Vec<bool> = (0..tokens * tokens).map(|pair| attends(pair / tokens, pair % tokens)).collect();
        if let Some(query) = table.chunks(tokens).position(|keys| !keys.contains(&true)) {
            let remedy = "let idle positions attend to themselves";
            return Err(refuse("KeySchedule::new", "mask", format!("empty for query {query}"), "a key", remedy));
        }
        let replicas = heads.replicas();
        let live = (0..table.len()).filter(|&pair| table[pair]);
        let steps: BTreeSet<KeyStep> = live
            .map(|pair| {
                let (swapped, offset) = meeting(module, pair / tokens, pair % tokens);
                KeyStep { swapped, first_offset: offset.div_euclid(replicas as i64) * replicas as i64 }
            })
            .collect();
        Ok(Self { module, replicas, steps: steps.into_iter().collect(), attends: table })
    }

    /// The largest number of different offsets between queries and the keys of one half: more replicas would idle.
    pub(super) fn most_offsets(module: RowModule, attends: impl Fn(usize, usize) -> bool) -> usize {
        let mut offsets = [BTreeSet::new(), BTreeSet::new()];
        for query in 0..module.tokens() {
            for key in (0..module.tokens()).filter(|&key| attends(query, key)) {
                let (swapped, offset) = meeting(module, query, key);
                offsets[usize::from(swapped)].insert(offset);
            }
        }
        // Offsets start at 0 or span the half; replica numbers must reach across the gaps.
        let span = |offsets: &BTreeSet<i64>| match (offsets.first(), offsets.last()) {
            (Some(first), Some(last)) => (last - first + 1) as usize,
            _ => 0,
        };
        offsets.iter().map(span).max().unwrap_or(0).min(module.half_tokens())
    }

    /// The steps in order; each serves the queries of both halves.
    pub fn steps(&self) -> &[KeyStep] {
        &self.steps
    }

    /// Whether some step needs advanced replicas: keys later than the query, which delayed replicas have lost.
    pub(super) fn needs_advanced(&self) -> bool {
        self.replicas > 1 && self.steps.iter().any(|step| step.first_offset < 0)
    }

    /// The number of replicas the schedule was made for.
    pub(super) fn replicas(&self) -> usize {
        self.replicas
    }

    /// Query and key positions that meet in a step at a replica, half and slot token of the query, if one attends to the
    /// other.
    pub(super) fn pair(&self, step: &KeyStep, replica: usize, half: usize, token: usize) -> Option<(usize, usize)> {
        let half_tokens = self.module.half_tokens();
        let key = usize::try_from(token as i64 - step.first_offset - replica as i64).ok()?;
        if key >= half_tokens {
            return None;
        }
        let key_half = if step.swapped { 1 - half } else { half };
        let (query, key) = (half * half_tokens + token, key_half * half_tokens + key);
        self.attends[query * self.module.tokens() + key].then_some((query, key))
    }
}

/// Whether a query and a key lie in different halves, and slot token of the query minus that of the key.
fn meeting(module: RowModule, query: usize, key: usize) -> (bool, i64) {
    let ((half, query), (key_half, key)) = (module.half_and_token(query), module.half_and_token(key));
    (half != key_half, query as i64 - key as i64)
}
