//! What the server computes on. All are immutable and cheap to clone.

use std::sync::Arc;

use fhe_ring::{Backend, RingKind};
use fhe_rlwe::{Ciphertext, ModuleRows, SeededCiphertext, VectorParts};

use crate::{Level, Packing};

/// Slots at a level, at the canonical scale of that level; the ring decides whether they are real or complex.
pub struct SlotCiphertext<B: Backend> {
    pub(super) ciphertext: Arc<Ciphertext<B>>,
    pub(super) level: Level,
    /// Where EvalMod will land, for ciphertexts above the compute region.
    pub(super) landing: Option<Level>,
}

impl<B: Backend> SlotCiphertext<B> {
    pub(super) fn new(ciphertext: Ciphertext<B>, level: Level, landing: Option<Level>) -> Self {
        Self { ciphertext: Arc::new(ciphertext), level, landing }
    }

    /// The ciphertext that holds them.
    pub fn ciphertext(&self) -> &Ciphertext<B> {
        &self.ciphertext
    }

    /// What the slots are.
    pub fn packing(&self) -> Packing {
        packing_of(self.ciphertext.shape().ring.kind)
    }
}

/// The slots of ciphertexts in a ring.
pub(super) fn packing_of(kind: RingKind) -> Packing {
    match kind {
        RingKind::Cyclotomic => Packing::Complex,
        RingKind::ConjugateInvariant => Packing::Real,
    }
}

impl<B: Backend> Clone for SlotCiphertext<B> {
    fn clone(&self) -> Self {
        Self { ciphertext: Arc::clone(&self.ciphertext), level: self.level, landing: self.landing }
    }
}

/// Integer coefficients `value * unit` at `q_0`, under the dense secret.
pub struct CoefficientCiphertext<B: Backend> {
    pub(super) halves: Halves<B>,
    pub(super) unit: f64,
}

/// Two halves, or one and the public seed of the other.
pub(super) enum Halves<B: Backend> {
    /// As its owner encrypted it: the seed is what has to travel.
    Fresh(Arc<SeededCiphertext<B>>),
    /// As anything else leaves it.
    Both(Arc<Ciphertext<B>>),
}

impl<B: Backend> CoefficientCiphertext<B> {
    pub(super) fn new(ciphertext: Ciphertext<B>, unit: f64) -> Self {
        Self { halves: Halves::Both(Arc::new(ciphertext)), unit }
    }

    pub(super) fn fresh(ciphertext: SeededCiphertext<B>, unit: f64) -> Self {
        Self { halves: Halves::Fresh(Arc::new(ciphertext)), unit }
    }

    pub(super) fn ciphertext(&self) -> &Ciphertext<B> {
        match &self.halves {
            Halves::Fresh(seeded) => seeded.ciphertext(),
            Halves::Both(ciphertext) => ciphertext,
        }
    }
}

impl<B: Backend> Clone for CoefficientCiphertext<B> {
    fn clone(&self) -> Self {
        let halves = match &self.halves {
            Halves::Fresh(seeded) => Halves::Fresh(Arc::clone(seeded)),
            Halves::Both(ciphertext) => Halves::Both(Arc::clone(ciphertext)),
        };
        Self { halves, unit: self.unit }
    }
}

/// Rows of lanes with numbers `value * unit`, under the secret of lanes, coefficient or evaluation domain.
pub struct LaneCiphertext<B: Backend> {
    pub(super) ciphertext: Arc<Ciphertext<B>>,
    pub(super) unit: f64,
}

impl<B: Backend> LaneCiphertext<B> {
    pub(super) fn new(ciphertext: Ciphertext<B>, unit: f64) -> Self {
        Self { ciphertext: Arc::new(ciphertext), unit }
    }
}

impl<B: Backend> Clone for LaneCiphertext<B> {
    fn clone(&self) -> Self {
        Self { ciphertext: Arc::clone(&self.ciphertext), unit: self.unit }
    }
}

/// Module rows with entries `value * unit`.
pub struct EncryptedRows<B: Backend> {
    pub(super) rows: ModuleRows<B>,
    pub(super) unit: f64,
}

/// Parts of a vector with entries `value * unit`.
pub struct EncryptedVector<B: Backend> {
    pub(super) parts: VectorParts<B>,
    pub(super) unit: f64,
}
