//! What the server computes on. All are immutable and cheap to clone.

use std::sync::Arc;

use fhe_ring::Backend;
use fhe_rlwe::{Ciphertext, ModuleRows};

use crate::Level;

/// Complex slots at a level, at the canonical scale of that level.
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
}

impl<B: Backend> Clone for SlotCiphertext<B> {
    fn clone(&self) -> Self {
        Self { ciphertext: Arc::clone(&self.ciphertext), level: self.level, landing: self.landing }
    }
}

/// Integer coefficients `value * unit` at `q_0`, under the dense secret.
pub struct CoefficientCiphertext<B: Backend> {
    pub(super) ciphertext: Arc<Ciphertext<B>>,
    pub(super) unit: f64,
}

impl<B: Backend> CoefficientCiphertext<B> {
    pub(super) fn new(ciphertext: Ciphertext<B>, unit: f64) -> Self {
        Self { ciphertext: Arc::new(ciphertext), unit }
    }
}

impl<B: Backend> Clone for CoefficientCiphertext<B> {
    fn clone(&self) -> Self {
        Self { ciphertext: Arc::clone(&self.ciphertext), unit: self.unit }
    }
}

/// Module rows with entries `value * unit`.
pub struct EncryptedRows<B: Backend> {
    pub(super) rows: ModuleRows<B>,
    pub(super) unit: f64,
}
