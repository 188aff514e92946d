//! Half bootstrapping: from coefficients at `q_0` to real slots at the top of the compute region.
//!
//! ```text
//! coefficients at q_0 --ModRaise with the first CoeffsToSlots factor--> --CoeffsToSlots--> real slots --EvalMod--> top level
//! ```
//!
//! The last factor of CoeffsToSlots leads into the conjugate-invariant ring, where one EvalMod reduces all `N` coefficients modulo `q_0`
//! by a scaled sine (Cheon et al., Eurocrypt 2018; cosine with double angles: Han and Ki, CT-RSA 2020).

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use fhe_ring::Backend;
use fhe_rlwe::{Ciphertext, KeySwitcher};

use super::{
    CkksServer, CoefficientCiphertext, SlotCiphertext,
    ascent::{Ascent, AscentEncoder},
    encoder::Encoder,
    sharding::on_all_shards,
    together::Together,
};
use crate::{
    CkksError, Copies, Level, Parameters,
    bootstrapping::sine::{SineParameters, SinePolynomial, evaluate_sine},
};

/// Ciphertexts that are worked on together: enough to hide the reading of keys behind arithmetic.
const BATCH: usize = 4;

/// Encoded factors of CoeffsToSlots, and the sine.
pub(super) struct AscendingTables<B: Backend> {
    /// The factors for dense slots.
    pub(super) dense: Arc<Ascent<B>>,
    /// Those for slots in copies, made when first needed.
    sparse: Mutex<BTreeMap<Copies, Arc<Ascent<B>>>>,
    /// The sine by landing level, which decides its amplitude.
    sines: Mutex<BTreeMap<Level, Arc<SinePolynomial>>>,
}

impl<B: Backend> AscendingTables<B> {
    pub(super) fn new(
        switcher: &KeySwitcher<B>,
        parameters: &Parameters,
        encoder: &Encoder,
    ) -> Result<Self, CkksError> {
        let dense = Arc::new(AscentEncoder { switcher, parameters, encoder }.ascent(Copies::ONE, None)?);
        Ok(Self { dense, sparse: Mutex::default(), sines: Mutex::default() })
    }

    /// Words of all factors that are encoded now.
    pub(super) fn words(&self) -> usize {
        self.dense.words(None) + self.sparse().values().map(|ascent| ascent.words(Some(&self.dense))).sum::<usize>()
    }

    fn sparse(&self) -> MutexGuard<'_, BTreeMap<Copies, Arc<Ascent<B>>>> {
        // Factors are whole before they are inserted.
        self.sparse.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Copies whose factors are encoded.
    pub(super) fn copies(&self) -> Vec<Copies> {
        self.sparse().keys().copied().collect()
    }

    pub(super) fn of(&self, copies: Copies, server: &CkksServer<B>) -> Result<Arc<Ascent<B>>, CkksError> {
        if copies == Copies::ONE {
            return Ok(Arc::clone(&self.dense));
        }
        let mut sparse = self.sparse();
        if let Some(ascent) = sparse.get(&copies) {
            return Ok(Arc::clone(ascent));
        }
        let CkksServer { switcher, parameters, encoder, .. } = server;
        let ascent = Arc::new(AscentEncoder { switcher, parameters, encoder }.ascent(copies, Some(&self.dense))?);
        sparse.insert(copies, Arc::clone(&ascent));
        Ok(ascent)
    }

    pub(super) fn sine(&self, parameters: &Parameters, landing: Level) -> Result<Arc<SinePolynomial>, CkksError> {
        let mut sines = self.sines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sine) = sines.get(&landing) {
            return Ok(Arc::clone(sine));
        }
        let set = parameters.set();
        let standard = SineParameters::sparse_secret_32(parameters.shape().message_ratio, set.cosine_degree);
        let sine = Arc::new(SinePolynomial::new(&SineParameters {
            range: set.range as usize,
            double_angles: set.double_angles,
            amplitude: standard.amplitude * parameters.landing_amplitude(landing),
            ..standard
        })?);
        sines.insert(landing, Arc::clone(&sine));
        Ok(sine)
    }
}

impl<B: Backend> CkksServer<B> {
    /// Half bootstrapping of all inputs, a few at a time on each shard.
    pub(super) fn ascend(
        &self,
        inputs: &[&CoefficientCiphertext<B>],
        copies: Copies,
        levels: usize,
    ) -> Result<Vec<SlotCiphertext<B>>, CkksError> {
        self.parameters.shape().check_copies("half_bootstrap", copies)?;
        let landing = self.landing(levels)?;
        let ascent = self.ascending.of(copies, self)?;
        on_all_shards(self.backend(), inputs, |inputs| {
            let mut results = Vec::with_capacity(inputs.len());
            for batch in inputs.chunks(BATCH) {
                let mut level = Level(landing.0 + self.parameters.bootstrap_levels());
                let (raised, steps) = self.raise_and_transform(batch, &ascent, level, landing)?;
                level.0 -= steps + 1;
                let real = self.transform_to_real(&raised, &ascent.last)?;
                drop(raised);
                let slots = real.into_iter().map(|x| SlotCiphertext::new(x, level, Some(landing))).collect();
                results.extend(self.eval_mod(slots, landing)?);
                self.count(|c| {
                    c.half_bootstraps += batch.len() as u64;
                    c.levels_restored += (levels * batch.len()) as u64;
                });
            }
            Ok(results)
        })
    }

    /// The level where EvalMod lands.
    pub(super) fn landing(&self, levels: usize) -> Result<Level, CkksError> {
        let shape = self.parameters.shape();
        if levels <= shape.compute_levels {
            return Ok(Level(levels + shape.slots_to_coefficients_levels));
        }
        Err(CkksError::Precondition {
            operation: "half_bootstrap",
            operand: "levels",
            found: levels.to_string(),
            required: format!("at most {}", shape.compute_levels),
            remedy: "split the circuit with one more bootstrap",
        })
    }

    /// ModRaise and all factors of CoeffsToSlots but the last, and how many levels they took.
    pub(super) fn raise_and_transform(
        &self,
        batch: &[&CoefficientCiphertext<B>],
        ascent: &Ascent<B>,
        level: Level,
        landing: Level,
    ) -> Result<(Vec<Ciphertext<B>>, usize), CkksError> {
        let ciphertexts: Vec<_> = batch.iter().map(|input| input.ciphertext()).collect();
        let basis = self.parameters.basis(level, Some(landing));
        let mut raised = self.switcher.raise(&ciphertexts, basis, &ascent.raise)?;
        for factor in &ascent.factors {
            raised = self.transform(&raised, factor)?;
        }
        Ok((raised, ascent.factors.len()))
    }

    /// The scaled sine, ending at the landing level with the message ratio divided away by reading the scale anew.
    pub(super) fn eval_mod(
        &self,
        slots: Vec<SlotCiphertext<B>>,
        landing: Level,
    ) -> Result<Vec<SlotCiphertext<B>>, CkksError> {
        let polynomial = self.ascending.sine(&self.parameters, landing)?;
        let sines = evaluate_sine(&Together(self), &slots, &polynomial)?;
        (sines.into_iter())
            .map(|sine| {
                if sine.level != landing {
                    return Err(CkksError::Precondition {
                        operation: "EvalMod",
                        operand: "level after the double angles",
                        found: sine.level.0.to_string(),
                        required: landing.0.to_string(),
                        remedy: "report this: the level budget of the parameter set and the polynomial disagree",
                    });
                }
                Ok(SlotCiphertext { ciphertext: sine.ciphertext, level: landing, landing: None })
            })
            .collect()
    }
}
