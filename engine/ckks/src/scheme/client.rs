//! The client's side of CKKS: encryption and decryption of coefficients and slots.

use std::io::Write;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use fhe_ring::{Backend, Basis, Poly, Seed};
use fhe_rlwe::{Ciphertext, KeyRequests, KeyStore, client::ClientSecrets};
use num_complex::Complex64;
use zeroize::Zeroizing;

use super::{CkksServer, CoefficientCiphertext, SlotCiphertext, encoder::Encoder, slots::scaled};
use crate::{CkksError, Client, Level, Packing, Parameters};

/// Holder of the secrets. Everything it decrypts stays with it (IND-CPA-D: approximate decryptions are not to be shared).
pub struct CkksClient<B: Backend> {
    backend: Arc<B>,
    parameters: Parameters,
    secrets: ClientSecrets,
    encoder: Encoder,
    encryptions: AtomicU64,
}

impl<B: Backend> CkksClient<B> {
    /// Draws the secrets from `seed`: from the operating system, unless a run must be reproducible.
    ///
    /// # Errors
    /// If the parameters' secrets cannot be drawn.
    pub fn new(backend: Arc<B>, parameters: Parameters, seed: &Seed) -> Result<Self, CkksError> {
        let secrets = ClientSecrets::generate(parameters.rlwe(), seed)?;
        let log_degree = parameters.set().log_degree;
        Ok(Self { backend, parameters, secrets, encoder: Encoder::new(log_degree)?, encryptions: AtomicU64::new(0) })
    }

    pub(super) fn secrets(&self) -> &ClientSecrets {
        &self.secrets
    }

    /// Generates the keys that a plan requested, reporting how many are done.
    ///
    /// # Errors
    /// If a key would be below 128 bits and the parameters do not admit it.
    pub fn evaluation_keys(&self, requests: &KeyRequests, done: impl Fn(usize)) -> Result<KeyStore<B>, CkksError> {
        Ok(self.secrets.evaluation_keys_with_progress(self.backend.as_ref(), requests, done)?)
    }

    /// Generates the keys that a plan requested straight onto the wire, one in memory at a time: the message that [`KeyStore::read`] reads,
    /// of [`KeyRequests::wire_bytes`]. Reports how many are done.
    ///
    /// # Errors
    /// As [`CkksClient::evaluation_keys`]; if the output fails.
    pub fn write_evaluation_keys(
        &self,
        requests: &KeyRequests,
        out: &mut impl Write,
        done: impl Fn(usize),
    ) -> Result<(), CkksError> {
        Ok(self.secrets.write_evaluation_keys(self.backend.as_ref(), requests, out, done)?)
    }

    /// Encrypts `N` real slots at a compute level, at its canonical scale.
    ///
    /// # Errors
    /// If the number of slots or the level does not fit.
    pub fn encrypt_slots(&self, slots: &[f64], level: Level) -> Result<SlotCiphertext<B>, CkksError> {
        let (basis, scale) = self.compute_level(level)?;
        let plain = self.encoder.real(self.backend.as_ref(), Packing::Real, basis, slots.into(), scale)?;
        let nonce = self.nonce(slots.iter().map(|value| value.to_bits()).chain([level.0 as u64]));
        Ok(SlotCiphertext::new(self.secrets.encrypt(self.backend.as_ref(), plain, nonce)?, level, None))
    }

    /// Encrypts `N/2` complex slots at a compute level, at its canonical scale.
    ///
    /// # Errors
    /// If the number of slots or the level does not fit.
    pub fn encrypt_complex_slots(&self, slots: &[Complex64], level: Level) -> Result<SlotCiphertext<B>, CkksError> {
        let (basis, scale) = self.compute_level(level)?;
        let plain = self.encoder.complex(self.backend.as_ref(), basis, slots, scale)?;
        let words = slots.iter().flat_map(|value| [value.re.to_bits(), value.im.to_bits()]);
        let nonce = self.nonce(words.chain([level.0 as u64]));
        Ok(SlotCiphertext::new(self.secrets.encrypt(self.backend.as_ref(), plain, nonce)?, level, None))
    }

    fn compute_level(&self, level: Level) -> Result<(Basis, f64), CkksError> {
        let top = self.parameters.shape().top_level();
        if level.0 <= top {
            return Ok((self.parameters.basis(level, None), self.parameters.scale(level, None)));
        }
        Err(CkksError::Precondition {
            operation: "encrypt_slots",
            operand: "level",
            found: level.0.to_string(),
            required: format!("at most {top}"),
            remedy: "encrypt at a compute level",
        })
    }

    /// Decrypts real slots; `None` without data.
    ///
    /// # Errors
    /// If the slots are complex.
    pub fn decrypt_slots(&self, x: &SlotCiphertext<B>) -> Result<Option<Vec<f64>>, CkksError> {
        let Some(coefficients) = self.slot_coefficients(x, Packing::Real)? else { return Ok(None) };
        let scale = self.parameters.scale(x.level, x.landing);
        Ok(Some(self.encoder.embedding().decode_conjugate_invariant(&coefficients, scale)?))
    }

    /// Decrypts complex slots; `None` without data.
    ///
    /// # Errors
    /// If the slots are real.
    pub fn decrypt_complex_slots(&self, x: &SlotCiphertext<B>) -> Result<Option<Vec<Complex64>>, CkksError> {
        let Some(coefficients) = self.slot_coefficients(x, Packing::Complex)? else { return Ok(None) };
        Ok(Some(self.encoder.embedding().decode(&coefficients, self.parameters.scale(x.level, x.landing))?))
    }

    fn slot_coefficients(&self, x: &SlotCiphertext<B>, required: Packing) -> Result<Option<Vec<f64>>, CkksError> {
        if x.packing() != required {
            return Err(CkksError::Precondition {
                operation: "decrypt_slots",
                operand: "packing",
                found: format!("{:?}", x.packing()),
                required: format!("{required:?}"),
                remedy: "decrypt real and complex slots each by their own function",
            });
        }
        // The two lowest primes hold any message of the compute region; fewer limbs, less work.
        let basis = Basis::prefix(x.ciphertext.basis().ciphertext_count().min(2));
        let ciphertext = x.ciphertext.map(|half| half.restrict(&self.backend, basis))?;
        Ok(self.phase(&ciphertext)?.map(|words| self.centred(&words, basis)))
    }

    /// Residues of the phase, which is wiped from the backend: with the ciphertext it gives the secret away.
    fn phase(&self, ciphertext: &Ciphertext<B>) -> Result<Option<Zeroizing<Vec<u64>>>, CkksError> {
        let mut phase: Poly<B> = self.secrets.decrypt(self.backend.as_ref(), ciphertext)?;
        let words = phase.download(&self.backend).map(Zeroizing::new);
        phase.scale_integer(&self.backend, 0);
        Ok(words)
    }

    /// Names the randomness of one encryption after its message and its number: a client rebuilt from the same seed, which counts from
    /// zero again, repeats a ciphertext for the same message but never a mask for another one.
    fn nonce(&self, message: impl Iterator<Item = u64>) -> u64 {
        let mut hash = blake3::Hasher::new_derive_key("fhe-llama 2026 nonce of an encryption");
        hash.update(&self.encryptions.fetch_add(1, Ordering::Relaxed).to_le_bytes());
        for word in message {
            hash.update(&word.to_le_bytes());
        }
        let digest = hash.finalize();
        digest.as_bytes().iter().take(8).fold(0, |nonce, &byte| nonce << 8 | u64::from(byte))
    }

    /// Centred representatives of limb-major residues modulo one or two primes.
    fn centred(&self, words: &[u64], basis: Basis) -> Vec<f64> {
        let degree = self.parameters.shape().degree;
        let primes = self.parameters.rlwe().chain().ciphertext_primes();
        let (low, high) = words.split_at(degree);
        let first = primes[0].value();
        let centre = |value: u128, modulus: u128| {
            if value > modulus / 2 { -((modulus - value) as f64) } else { value as f64 }
        };
        if basis.len() == 1 {
            return low.iter().map(|&w| centre(w.into(), first.into())).collect();
        }
        let second = &primes[1];
        let inverse = second.inverse(first % second.value()).unwrap_or_default();
        let product = u128::from(first) * u128::from(second.value());
        low.iter()
            .zip(high)
            .map(|(&a, &b)| {
                let difference = (b + second.value() - a % second.value()) % second.value();
                let digit = u128::from(difference) * u128::from(inverse) % u128::from(second.value());
                centre(u128::from(a) + u128::from(first) * digit, product)
            })
            .collect()
    }
}

impl<B: Backend> Client<CkksServer<B>> for CkksClient<B> {
    fn encrypt(&self, coefficients: &[f64], unit: f64) -> Result<CoefficientCiphertext<B>, CkksError> {
        let required = self.parameters.shape().degree;
        if coefficients.len() != required {
            return Err(CkksError::Precondition {
                operation: "encrypt",
                operand: "number of coefficients",
                found: coefficients.len().to_string(),
                required: required.to_string(),
                remedy: "pad with zeros",
            });
        }
        let half_modulus = self.parameters.prime(0) / 2.0;
        let integers = coefficients
            .iter()
            .map(|&value| {
                let integer = scaled("encrypt", value, unit)?;
                if (integer as f64).abs() < half_modulus {
                    return Ok(integer as i64);
                }
                Err(CkksError::Precondition {
                    operation: "encrypt",
                    operand: "coefficient",
                    found: format!("{value:e} at unit 2^{:.1}", unit.log2()),
                    required: "an integer below q_0 / 2".into(),
                    remedy: "use a smaller unit",
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let message = self.encoder.integers(self.backend.as_ref(), Packing::Complex, Basis::prefix(1), &integers)?;
        let nonce = self.nonce(integers.iter().map(|&integer| integer as u64));
        let ciphertext = self.secrets.encrypt_seeded(self.backend.as_ref(), message, nonce)?;
        Ok(CoefficientCiphertext::fresh(ciphertext, unit))
    }

    fn decrypt(&self, ciphertext: &CoefficientCiphertext<B>) -> Result<Option<Vec<f64>>, CkksError> {
        let Some(words) = self.phase(ciphertext.ciphertext())? else { return Ok(None) };
        let centred = self.centred(&words, Basis::prefix(1));
        Ok(Some(centred.into_iter().map(|c| c / ciphertext.unit).collect()))
    }
}
