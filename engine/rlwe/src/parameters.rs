//! Validated RLWE parameters.

use std::sync::Arc;

use fhe_ring::{Basis, PrimeChain, Ring};

use crate::{
    KeyId, KeyShape, RlweError,
    security::{Distribution, SIGMA, max_log2_modulus},
};

/// Identity of a parameter set, carried by every key and ciphertext on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// First eight hexadecimal digits, for tables.
    pub fn short(&self) -> String {
        self.0[..4].iter().map(|b| format!("{b:02x}")).collect()
    }
}

/// Which secret a key leads from or to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SecretId {
    /// The main secret, dense ternary, of the main ring.
    Dense,
    /// The sparse secret of ModRaise, of the main ring.
    Ephemeral,
    /// The dense ternary secret of the small ring of plaintext-ciphertext products.
    Small,
}

/// Everything that fixes an RLWE instance; validated by [`Parameters::new`].
#[derive(Clone, Debug)]
pub struct ParametersSpec {
    /// Name under which users ask for the set.
    pub name: String,
    /// `log2` of the degree of the main ring.
    pub log_degree: u32,
    /// Ciphertext and special primes.
    pub chain: PrimeChain,
    /// Primes per gadget digit; every special prime is used with it.
    pub gadget_width: usize,
    /// Weight of the ephemeral secret.
    pub ephemeral_weight: usize,
    /// `log2` of the degree of the small ring of plaintext-ciphertext products.
    pub small_log_degree: u32,
    /// Accept keys below 128 bits (small test rings).
    pub insecure: bool,
}

/// A validated RLWE parameter set; cheap to clone.
#[derive(Clone, Debug)]
pub struct Parameters {
    spec: Arc<ParametersSpec>,
    fingerprint: Fingerprint,
}

impl Parameters {
    /// Checks the structure; the security of every key is checked when its shape is known, by [`Parameters::check_key`].
    ///
    /// # Errors
    /// [`RlweError::Precondition`] naming the field.
    pub fn new(spec: ParametersSpec) -> Result<Self, RlweError> {
        let refuse = |operand, found: String, required: String, remedy| {
            Err(RlweError::Precondition { operation: "Parameters::new", operand, found, required, remedy })
        };
        let (ciphertext, special) = (spec.chain.ciphertext_primes().len(), spec.chain.special_primes().len());
        if ciphertext == 0 || ciphertext > 63 {
            return refuse("ciphertext primes", ciphertext.to_string(), "1 to 63".into(), "change the chain");
        }
        if special < 2 {
            return refuse("special primes", special.to_string(), "at least 2".into(), "add special primes");
        }
        if spec.gadget_width == 0 || spec.gadget_width > special {
            return refuse(
                "gadget width",
                spec.gadget_width.to_string(),
                format!("1 to {special}, the number of special primes"),
                "a digit must not exceed the special modulus",
            );
        }
        if spec.log_degree > spec.chain.max_log_degree() || spec.small_log_degree >= spec.log_degree {
            return refuse(
                "degrees",
                format!("2^{} and 2^{}", spec.log_degree, spec.small_log_degree),
                format!("small < main <= 2^{}", spec.chain.max_log_degree()),
                "choose a smaller ring or primes congruent to 1 modulo a higher power of two",
            );
        }
        if spec.ephemeral_weight == 0 || spec.ephemeral_weight > 1 << spec.log_degree {
            return refuse(
                "ephemeral weight",
                spec.ephemeral_weight.to_string(),
                "1 to the degree".into(),
                "choose another weight",
            );
        }
        let fingerprint = fingerprint(&spec);
        Ok(Self { spec: Arc::new(spec), fingerprint })
    }

    /// The fields.
    pub fn spec(&self) -> &ParametersSpec {
        &self.spec
    }

    /// The primes.
    pub fn chain(&self) -> &PrimeChain {
        &self.spec.chain
    }

    /// The main ring.
    pub fn ring(&self) -> Ring {
        Ring::cyclotomic(self.spec.log_degree)
    }

    /// The small ring of plaintext-ciphertext products.
    pub fn small_ring(&self) -> Ring {
        Ring::cyclotomic(self.spec.small_log_degree)
    }

    /// Ring and distribution of a secret.
    pub fn secret(&self, id: SecretId) -> (Ring, Distribution) {
        match id {
            SecretId::Dense => (self.ring(), Distribution::Ternary),
            SecretId::Ephemeral => (self.ring(), Distribution::Sparse(self.spec.ephemeral_weight)),
            SecretId::Small => (self.small_ring(), Distribution::Ternary),
        }
    }

    /// Number of special primes.
    pub fn special_count(&self) -> usize {
        self.spec.chain.special_primes().len()
    }

    /// All ciphertext primes.
    pub fn ciphertext_basis(&self) -> Basis {
        Basis::prefix(self.spec.chain.ciphertext_primes().len())
    }

    /// Identity of the set.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Refuses a key below 128 bits: the modulus that counts is the key's own, the degree that counts is that of the
    /// secret it is encrypted under (an embedded small secret counts as small).
    ///
    /// # Errors
    /// [`RlweError::Insecure`] unless the set was declared insecure.
    pub fn check_key(&self, id: &KeyId, shape: &KeyShape) -> Result<(), RlweError> {
        self.check_modulus(&id.to_string(), id.target(), shape.basis())
    }

    /// The same for encryptions under a secret at the given primes.
    ///
    /// # Errors
    /// [`RlweError::Insecure`] unless the set was declared insecure.
    pub fn check_modulus(&self, what: &str, under: SecretId, basis: Basis) -> Result<(), RlweError> {
        let (ring, distribution) = self.secret(under);
        let (found, allowed) = (self.spec.chain.log2(basis), max_log2_modulus(ring.log_degree, distribution));
        if found <= allowed || self.spec.insecure {
            return Ok(());
        }
        Err(RlweError::Insecure {
            key: what.to_owned(),
            secret: distribution.name(),
            log_degree: ring.log_degree,
            found,
            allowed,
        })
    }
}

fn fingerprint(spec: &ParametersSpec) -> Fingerprint {
    let mut hash = blake3::Hasher::new();
    hash.update(b"fhe-llama parameters 1");
    let mut number = |x: u64| {
        hash.update(&x.to_le_bytes());
    };
    number(spec.log_degree.into());
    number(spec.small_log_degree.into());
    number(spec.gadget_width as u64);
    number(spec.ephemeral_weight as u64);
    number(SIGMA.to_bits());
    for primes in [spec.chain.ciphertext_primes(), spec.chain.special_primes()] {
        number(primes.len() as u64);
        primes.iter().for_each(|p| number(p.value()));
    }
    Fingerprint(*hash.finalize().as_bytes())
}
