//! Which keys meet which queries.

use std::collections::BTreeSet;

use super::heads::HeadLayout;
use crate::error::{Result, refuse};
use crate::layout::RowModule;

/// One product of the queries of a half with keys: replica `g` meets the keys `first_offset + g` tokens before the
/// query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyStep {
    /// Half of the block that the keys are in.
    pub key_half: usize,
    /// Slot token of the query minus slot token of the key, for replica 0; a multiple of the number of replicas.
    pub first_offset: i64,
}

/// The steps of both halves of queries under one block mask.
#[derive(Clone, Debug)]
pub struct KeySchedule {
    module: RowModule,
    replicas: usize,
    steps: [Vec<KeyStep>; 2],
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
        let mut steps = [BTreeSet::new(), BTreeSet::new()];
        for (pair, _) in table.iter().enumerate().filter(|(_, live)| **live) {
            let (half, query) = module.half_and_token(pair / tokens);
            let (key_half, key) = module.half_and_token(pair % tokens);
            let first_offset = (query as i64 - key as i64).div_euclid(replicas as i64) * replicas as i64;
            steps[half].insert(KeyStep { key_half, first_offset });
        }
        Ok(Self { module, replicas, steps: steps.map(|steps| steps.into_iter().collect()), attends: table })
    }

    /// The largest number of different offsets between one half of queries and one half of keys: more replicas would
    /// idle.
    pub(super) fn most_offsets(module: RowModule, attends: impl Fn(usize, usize) -> bool) -> usize {
        let mut offsets: [[BTreeSet<i64>; 2]; 2] = Default::default();
        for query in 0..module.tokens() {
            for key in (0..module.tokens()).filter(|&key| attends(query, key)) {
                let ((half, query), (key_half, key)) = (module.half_and_token(query), module.half_and_token(key));
                offsets[half][key_half].insert(query as i64 - key as i64);
            }
        }
        // Offsets of one pair of halves start at 0 or span the half; replica numbers must reach across the gaps.
        let span = |offsets: &BTreeSet<i64>| match (offsets.first(), offsets.last()) {
            (Some(first), Some(last)) => (last - first + 1) as usize,
            _ => 0,
        };
        offsets.iter().flatten().map(span).max().unwrap_or(0).min(module.half_tokens())
    }

    /// The steps of the queries of one half.
    pub fn steps(&self, half: usize) -> &[KeyStep] {
        &self.steps[half]
    }

    /// All first offsets at which the keys of one half are met.
    pub(super) fn first_offsets(&self, key_half: usize) -> BTreeSet<i64> {
        let steps = self.steps.iter().flatten().filter(|step| step.key_half == key_half);
        steps.map(|step| step.first_offset).collect()
    }

    /// Whether keys of this half are met by queries at lower slot tokens in a way that delayed replicas cannot serve.
    pub(super) fn needs_advanced(&self, key_half: usize) -> bool {
        self.replicas > 1 && self.first_offsets(key_half).first().is_some_and(|&offset| offset < 0)
    }

    /// The number of replicas the schedule was made for.
    pub(super) fn replicas(&self) -> usize {
        self.replicas
    }

    /// Query and key positions that meet in a step at a replica and slot token of the query, if one attends to the
    /// other.
    pub(super) fn pair(&self, half: usize, step: &KeyStep, replica: usize, token: usize) -> Option<(usize, usize)> {
        let half_tokens = self.module.half_tokens();
        let key = usize::try_from(token as i64 - step.first_offset - replica as i64).ok()?;
        if key >= half_tokens {
            return None;
        }
        let (query, key) = (half * half_tokens + token, step.key_half * half_tokens + key);
        self.attends[query * self.module.tokens() + key].then_some((query, key))
    }
}
