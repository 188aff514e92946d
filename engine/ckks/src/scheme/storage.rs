//! Slot ciphertexts as bytes: the level, then the message of the wire format.

use fhe_ring::{Backend, Domain, Shape};
use fhe_rlwe::Ciphertext;

use super::{CkksServer, SlotCiphertext};
use crate::{CkksError, Level};

fn refuse(operand: &'static str, found: String, required: String) -> CkksError {
    let remedy = "restore bytes that were saved in the compute region under the same parameters";
    CkksError::Precondition { operation: "restore_slots", operand, found, required, remedy }
}

impl<B: Backend> CkksServer<B> {
    /// Of ciphertexts in the compute region, where a level says all there is to say about a scale.
    pub(super) fn save_in_region(&self, a: &SlotCiphertext<B>) -> Result<Vec<u8>, CkksError> {
        if let Some(landing) = a.landing {
            return Err(CkksError::Precondition {
                operation: "save_slots",
                operand: "ciphertext",
                found: format!("on its way to level {}", landing.0),
                required: "in the compute region".into(),
                remedy: "finish the half bootstrap first",
            });
        }
        let mut bytes = (a.level.0 as u64).to_le_bytes().to_vec();
        a.ciphertext.write(self.backend(), self.parameters.rlwe(), &mut bytes)?;
        Ok(bytes)
    }

    pub(super) fn restore_in_region(&self, bytes: &[u8]) -> Result<SlotCiphertext<B>, CkksError> {
        let Some((level, mut message)) = bytes.split_first_chunk::<8>() else {
            return Err(refuse("length", format!("{} bytes", bytes.len()), "8 bytes of a level at least".into()));
        };
        let level = Level(u64::from_le_bytes(*level) as usize);
        let top = self.parameters.shape().top_level();
        if level.0 > top {
            return Err(refuse("level", level.0.to_string(), format!("up to {top}")));
        }
        let ciphertext = Ciphertext::read(self.backend(), self.parameters.rlwe(), &mut message)?;
        let required =
            Shape { basis: self.parameters.basis(level, None), domain: Domain::Evaluation, ..ciphertext.shape() };
        if ciphertext.shape() != required || !message.is_empty() {
            let found = format!("{:?} and {} bytes more", ciphertext.shape(), message.len());
            return Err(refuse("ciphertext", found, format!("{required:?} of level {}", level.0)));
        }
        Ok(SlotCiphertext::new(ciphertext, level, None))
    }
}
