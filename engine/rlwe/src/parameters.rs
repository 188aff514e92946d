//! Validated RLWE parameters.

use std::sync::Arc;

use fhe_ring::{Basis, PrimeChain, Ring, RingKind};

use crate::{
    Gadget, KeyId, KeyShape, RlweError,
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
    /// The dense ternary secret of the conjugate-invariant ring of the same degree.
    Real,
    /// The sparse secret of ModRaise, of the main ring.
    Ephemeral,
    /// The dense ternary secret of the small ring of plaintext-ciphertext products.
    Small,
    /// The dense ternary secret of the ring of lanes, where ciphertexts are multiplied as matrices.
    Lanes,
}

/// Where fewer special primes suffice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LowRegion {
    /// The region: the first so many ciphertext primes.
    pub primes: usize,
    /// Special primes used there.
    pub special: usize,
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
    /// The groups of ciphertext primes that gadget digits are made of, a partition; every special prime is used with them.
    pub gadget_groups: Vec<Basis>,
    /// Special primes that suffice for ciphertexts over the first so many ciphertext primes, which are one digit: below, fewer
    /// primes make a switch cheaper. `None`: all are always used.
    pub low_region: Option<LowRegion>,
    /// Weight of the ephemeral secret.
    pub ephemeral_weight: usize,
    /// `log2` of the degree of the small ring of plaintext-ciphertext products.
    pub small_log_degree: u32,
    /// `log2` of the degree of the ring of lanes, where ciphertexts are multiplied as matrices.
    pub lane_log_degree: u32,
    /// Accept keys below 128 bits (small test rings).
    pub insecure: bool,
}

/// The cut of an integer `a` below `q_0` into `low + base high`: `high` is `2^shift a` over the first special prime, rounded, and the base that
/// prime over `2^shift`, rounded, near the root of `q_0`. Both digits are then below that root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Halving {
    /// Bits of the factor before the division.
    pub shift: u32,
    /// What the higher digit counts.
    pub base: u64,
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
        if special < 2 {
            return refuse("special primes", special.to_string(), "at least 2".into(), "add special primes");
        }
        let everything = Basis::prefix(ciphertext);
        let covered = spec.gadget_groups.iter().fold(Basis::default(), |all, group| all.union(*group));
        let members: usize = spec.gadget_groups.iter().map(|group| group.len()).sum();
        let vacant = spec.gadget_groups.iter().any(|group| group.is_empty());
        if covered != everything || members != ciphertext || vacant {
            return refuse(
                "gadget groups",
                format!("{members} primes that make up {covered}"),
                format!("every prime of {everything} once"),
                "put every ciphertext prime into one group, and none of them empty",
            );
        }
        let special_bits = spec.chain.log2(Basis::default().with_special(special));
        let widest = spec.gadget_groups.iter().map(|group| spec.chain.log2(*group)).fold(0.0, f64::max);
        if widest > special_bits + 1.0 {
            return refuse(
                "gadget groups",
                format!("a digit of {widest:.1} bits"),
                format!("at most the {special_bits:.1} bits of the special modulus"),
                "make the groups smaller, or add special primes",
            );
        }
        if let Some(LowRegion { primes, special: few }) = spec.low_region {
            let region = Basis::prefix(primes.min(ciphertext));
            let margin = spec.chain.log2(Basis::default().with_special(few.min(special))) - spec.chain.log2(region);
            if primes > ciphertext || few > special || region.digits(&spec.gadget_groups).count() != 1 || margin < 8.0 {
                return refuse(
                    "low region",
                    format!("{primes} primes with {few} special ones, a margin of {margin:.1} bits"),
                    "one digit, at least 8 bits below its special modulus".into(),
                    "make the region smaller, or use more special primes in it",
                );
            }
        }
        let smaller = spec.small_log_degree.max(spec.lane_log_degree);
        if spec.log_degree > spec.chain.max_log_degree() || smaller >= spec.log_degree || spec.lane_log_degree < 2 {
            return refuse(
                "degrees",
                format!("2^{}, 2^{} and 2^{}", spec.log_degree, spec.small_log_degree, spec.lane_log_degree),
                format!("small and lanes < main <= 2^{}, lanes >= 2^2", spec.chain.max_log_degree()),
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

    /// The conjugate-invariant ring of the same degree: real slots.
    pub fn real_ring(&self) -> Ring {
        Ring::conjugate_invariant(self.spec.log_degree)
    }

    /// The ring of that kind and the degree of the main ring.
    pub fn ring_of(&self, kind: RingKind) -> Ring {
        Ring { kind, log_degree: self.spec.log_degree }
    }

    /// The ring that a key lives in.
    pub fn key_ring(&self, id: &KeyId) -> Ring {
        match id {
            KeyId::SmallGalois(_) => self.small_ring(),
            KeyId::LaneGalois(_) | KeyId::LaneRelinearisation(_) => self.lane_ring(),
            _ => self.ring_of(id.ring()),
        }
    }

    /// The small ring of plaintext-ciphertext products.
    pub fn small_ring(&self) -> Ring {
        Ring::cyclotomic(self.spec.small_log_degree)
    }

    /// The ring of lanes, where ciphertexts are multiplied as matrices.
    pub fn lane_ring(&self) -> Ring {
        Ring::cyclotomic(self.spec.lane_log_degree)
    }

    /// Ring and distribution of a secret.
    pub fn secret(&self, id: SecretId) -> (Ring, Distribution) {
        match id {
            SecretId::Dense => (self.ring(), Distribution::Ternary),
            SecretId::Real => (self.real_ring(), Distribution::Ternary),
            SecretId::Ephemeral => (self.ring(), Distribution::Sparse(self.spec.ephemeral_weight)),
            SecretId::Small => (self.small_ring(), Distribution::Ternary),
            SecretId::Lanes => (self.lane_ring(), Distribution::Ternary),
        }
    }

    /// Number of special primes.
    pub fn special_count(&self) -> usize {
        self.spec.chain.special_primes().len()
    }

    /// Number of special primes that switches at these primes use.
    pub fn special_for(&self, basis: Basis) -> usize {
        match self.spec.low_region {
            Some(region) if Basis::prefix(region.primes).contains(basis.without_special()) => region.special,
            _ => self.special_count(),
        }
    }

    /// The gadget that switches at these primes with such a key call for.
    pub fn gadget(&self, id: &KeyId, basis: Basis) -> Gadget {
        if *id == KeyId::RingSwitch {
            return Gadget::Halves;
        }
        if !id.in_groups() {
            return Gadget::Whole;
        }
        Gadget::Groups(basis.digits(&self.spec.gadget_groups).last().map_or(0, |(index, _)| index + 1))
    }

    /// How a polynomial at `q_0` is cut into digits of half its bits.
    pub fn halving(&self) -> Halving {
        let [q, p] =
            [self.spec.chain.ciphertext_primes(), self.spec.chain.special_primes()].map(|primes| primes[0].value());
        let shift = ((p as f64).log2() - (q as f64).log2() / 2.0).round() as u32;
        Halving { shift, base: (p + (1 << shift >> 1)) >> shift }
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
    hash.update(b"fhe-llama parameters 3");
    let mut number = |x: u64| {
        hash.update(&x.to_le_bytes());
    };
    number(spec.log_degree.into());
    number(spec.small_log_degree.into());
    number(spec.lane_log_degree.into());
    number(spec.gadget_groups.len() as u64);
    for group in &spec.gadget_groups {
        number(group.ciphertext_indices().fold(0, |mask, index| mask | 1 << index));
    }
    number(spec.ephemeral_weight as u64);
    number(SIGMA.to_bits());
    number(spec.low_region.map_or(0, |region| region.primes as u64));
    number(spec.low_region.map_or(0, |region| region.special as u64));
    for primes in [spec.chain.ciphertext_primes(), spec.chain.special_primes()] {
        number(primes.len() as u64);
        primes.iter().for_each(|p| number(p.value()));
    }
    Fingerprint(*hash.finalize().as_bytes())
}
