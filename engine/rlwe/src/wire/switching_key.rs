//! Switching keys: name, shape, and per row a public seed and one half.

use std::io::{Read, Write};

use fhe_ring::{Backend, GaloisElement, Poly, Ring, RingKind, Shape};

use super::{
    Kind, SENDER_AT_FAULT,
    message::{Incoming, Outgoing, message_bytes, receive, send},
    refused,
    residues::{check_basis, poly_bytes},
};
use crate::{Gadget, KeyId, KeyShape, Parameters, Parity, Part, RlweError, SwitchingKey};

/// Name and shape of one key.
pub(super) const DESCRIPTION_BYTES: u64 = 1 + 8 + 8 + 8 + 1 + 1;
const SEED_BYTES: u64 = 32;
/// The gadget of two digits of half the bits; other numbers count groups of primes.
const HALVES: u8 = 255;

/// Bytes of all rows of a key of a checked shape.
pub(super) fn rows_bytes(id: &KeyId, shape: &KeyShape, parameters: &Parameters) -> u64 {
    shape.rows() as u64 * (SEED_BYTES + poly_bytes(parameters, row_shape(id, shape, parameters)))
}

fn row_shape(id: &KeyId, shape: &KeyShape, parameters: &Parameters) -> Shape {
    Shape::evaluation(parameters.key_ring(id), shape.basis())
}

/// Refuses a key that no circuit under these parameters could use, or that the security table forbids.
pub(super) fn check(id: &KeyId, shape: &KeyShape, parameters: &Parameters) -> Result<(), RlweError> {
    check_name(id, parameters)?;
    let (special, most) = (shape.special, parameters.special_count());
    if !(1..=most).contains(&special) || shape.ciphertext.special_count() != 0 {
        let found = (special + shape.ciphertext.special_count()).to_string();
        return refused("special primes", found, format!("1 to {most}"), SENDER_AT_FAULT);
    }
    if shape.ciphertext.is_empty() {
        return refused("ciphertext primes", "none", "at least one", SENDER_AT_FAULT);
    }
    check_basis(parameters, shape.basis())?;
    let gadget = parameters.gadget(id, shape.ciphertext);
    if shape.gadget != gadget {
        return refused("gadget", format!("{:?}", shape.gadget), format!("{gadget:?} for this key"), SENDER_AT_FAULT);
    }
    parameters.check_key(id, shape)
}

fn check_name(id: &KeyId, parameters: &Parameters) -> Result<(), RlweError> {
    let small = parameters.small_ring().degree();
    let exponent = |element: GaloisElement| {
        let order = order(parameters.key_ring(id));
        if element.exponent() < order {
            return Ok(());
        }
        refused("Galois exponent", element.exponent().to_string(), format!("below {order}"), SENDER_AT_FAULT)
    };
    match *id {
        KeyId::Galois(_, element)
        | KeyId::Raise(element)
        | KeyId::ToComplex(_, element)
        | KeyId::SmallGalois(element)
        | KeyId::LaneGalois(element)
        | KeyId::LaneRelinearisation(element) => exponent(element),
        KeyId::Packing { tokens, .. } if !tokens.is_power_of_two() || tokens > small => {
            let required = format!("a power of two up to {small}");
            refused("packing tokens", tokens.to_string(), required, SENDER_AT_FAULT)
        }
        KeyId::Packing { tokens, block } if block >= small / tokens => {
            refused("packing block", block.to_string(), format!("below {}", small / tokens), SENDER_AT_FAULT)
        }
        _ => Ok(()),
    }
}

/// What exponents of automorphisms of a ring are below.
fn order(ring: Ring) -> u64 {
    match ring.kind {
        RingKind::Cyclotomic => 2 * ring.degree() as u64,
        RingKind::ConjugateInvariant => 4 * ring.degree() as u64,
    }
}

/// Numbers of rings and parities on the wire.
const RINGS: [RingKind; 2] = [RingKind::Cyclotomic, RingKind::ConjugateInvariant];

impl<B: Backend> SwitchingKey<B> {
    /// Bytes of a key's message, header and checksum included:
    /// `111 + rows * (32 + sum over its primes of ceil(N bits / 8))`, with `N` the degree of the key's own ring.
    ///
    /// # Errors
    /// [`RlweError::Wire`] if there is no such key under these parameters.
    pub fn wire_bytes(id: &KeyId, shape: &KeyShape, parameters: &Parameters) -> Result<u64, RlweError> {
        check(id, shape, parameters)?;
        Ok(message_bytes(DESCRIPTION_BYTES + rows_bytes(id, shape, parameters)))
    }

    /// Writes the key by its seeds; see [`crate::wire`] for the format.
    ///
    /// # Errors
    /// [`RlweError::Precondition`] for a backend without data or of another chain; [`RlweError::Wire`] for an empty
    /// key of a plan, or if the output fails.
    pub fn write(&self, backend: &B, parameters: &Parameters, out: &mut impl Write) -> Result<(), RlweError> {
        check(&self.id, &self.shape, parameters)?;
        let payload_bytes = DESCRIPTION_BYTES + rows_bytes(&self.id, &self.shape, parameters);
        send(backend, parameters, out, (Kind::SwitchingKey, payload_bytes), |message| {
            message.key_description(&self.id, &self.shape)?;
            message.key_rows(self)
        })
    }

    /// Reads a key and expands its uniform halves.
    ///
    /// # Errors
    /// [`RlweError::Wire`] naming the field that does not fit; [`RlweError::Insecure`] for a key below 128 bits,
    /// unless the set was declared insecure; [`RlweError::Precondition`] for a backend without data or of another
    /// chain.
    pub fn read(backend: &B, parameters: &Parameters, input: &mut impl Read) -> Result<Self, RlweError> {
        receive(backend, parameters, input, Kind::SwitchingKey, |message| {
            let (id, shape) = message.key_description()?;
            message.expect_payload_left(rows_bytes(&id, &shape, parameters))?;
            message.key_rows(id, shape)
        })
    }
}

impl<B: Backend, W: Write> Outgoing<'_, B, W> {
    pub(super) fn key_description(&mut self, id: &KeyId, shape: &KeyShape) -> Result<(), RlweError> {
        let (name, first, second) = match *id {
            KeyId::Relinearisation(ring) => (1, 0, ring_number(ring)),
            KeyId::Galois(ring, element) => (2, element.exponent(), ring_number(ring)),
            KeyId::DenseToEphemeral => (3, 0, 0),
            KeyId::Raise(element) => (4, element.exponent(), 0),
            KeyId::ToReal(part) => (7, 0, part as u64),
            KeyId::ToComplex(parity, element) => (8, element.exponent(), parity as u64),
            KeyId::RingSwitch => (5, 0, 0),
            KeyId::Packing { tokens, block } => (6, tokens as u64, block as u64),
            KeyId::SmallGalois(element) => (9, element.exponent(), 0),
            KeyId::LaneSwitch => (10, 0, 0),
            KeyId::LaneGalois(element) => (11, element.exponent(), 0),
            KeyId::LaneRelinearisation(element) => (12, element.exponent(), 0),
            KeyId::LaneReturn => (13, 0, 0),
        };
        self.bytes(&[name])?;
        self.bytes(&first.to_le_bytes())?;
        self.bytes(&second.to_le_bytes())?;
        self.basis(shape.basis())?;
        self.bytes(&[match shape.gadget {
            Gadget::Whole => 0,
            Gadget::Halves => HALVES,
            Gadget::Groups(rows) => rows as u8,
        }])
    }

    pub(super) fn key_rows(&mut self, key: &SwitchingKey<B>) -> Result<(), RlweError> {
        let (found, required) = (key.seeds.len(), key.shape.rows());
        if found != required || key.rows.len() != required {
            let remedy = "write keys that a client generated, not those of a plan";
            return refused("public seeds", found.to_string(), format!("{required}, one per row"), remedy);
        }
        for (seed, [b, _]) in key.seeds.iter().zip(&key.rows) {
            self.poly(b)?;
            self.public_seed(seed)?;
        }
        Ok(())
    }
}

impl<B: Backend, R: Read> Incoming<'_, B, R> {
    /// Name and shape of a key, checked against the parameters.
    pub(super) fn key_description(&mut self) -> Result<(KeyId, KeyShape), RlweError> {
        let [name] = self.array("key name")?;
        let first = u64::from_le_bytes(self.array("first index")?);
        let second = u64::from_le_bytes(self.array("second index")?);
        let id = match (name, first, second) {
            (1, 0, ring @ 0..=1) => KeyId::Relinearisation(RINGS[ring as usize]),
            (2, exponent, ring @ 0..=1) => {
                let ring = RINGS[ring as usize];
                KeyId::Galois(ring, self.galois_element(self.parameters.ring_of(ring), exponent)?)
            }
            (3, 0, 0) => KeyId::DenseToEphemeral,
            (4, exponent, 0) => KeyId::Raise(self.galois_element(self.parameters.ring(), exponent)?),
            (7, 0, part @ 0..=1) => KeyId::ToReal(Part::BOTH[part as usize]),
            (8, exponent, parity @ 0..=1) => {
                let element = self.galois_element(self.parameters.ring(), exponent)?;
                KeyId::ToComplex(Parity::BOTH[parity as usize], element)
            }
            (5, 0, 0) => KeyId::RingSwitch,
            (6, tokens, block) => KeyId::Packing { tokens: index(tokens)?, block: index(block)? },
            (9, exponent, 0) => KeyId::SmallGalois(self.galois_element(self.parameters.small_ring(), exponent)?),
            (10, 0, 0) => KeyId::LaneSwitch,
            (11, exponent, 0) => KeyId::LaneGalois(self.galois_element(self.parameters.lane_ring(), exponent)?),
            (12, exponent, 0) => {
                KeyId::LaneRelinearisation(self.galois_element(self.parameters.lane_ring(), exponent)?)
            }
            (13, 0, 0) => KeyId::LaneReturn,
            _ => {
                let found = format!("{name} with the indices {first} and {second}");
                return refused("key name", found, "1 to 13 with zero for indices it does not have", SENDER_AT_FAULT);
            }
        };
        let basis = self.basis()?;
        let [rows] = self.array("gadget")?;
        let gadget = match rows {
            0 => Gadget::Whole,
            HALVES => Gadget::Halves,
            groups => Gadget::Groups(groups.into()),
        };
        let shape = KeyShape { ciphertext: basis.without_special(), special: basis.special_count(), gadget };
        check(&id, &shape, self.parameters)?;
        Ok((id, shape))
    }

    fn galois_element(&self, ring: Ring, exponent: u64) -> Result<GaloisElement, RlweError> {
        let canonical = exponent < order(ring);
        match GaloisElement::from_exponent(ring, exponent) {
            Some(element) if canonical => Ok(element),
            _ => {
                let required = format!("odd and below {}", order(ring));
                refused("Galois exponent", exponent.to_string(), required, SENDER_AT_FAULT)
            }
        }
    }

    /// The rows of a described key.
    pub(super) fn key_rows(&mut self, id: KeyId, shape: KeyShape) -> Result<SwitchingKey<B>, RlweError> {
        let row = row_shape(&id, &shape, self.parameters);
        let mut seeds = Vec::with_capacity(shape.rows());
        let mut rows = Vec::with_capacity(shape.rows());
        for _ in 0..shape.rows() {
            let b = self.poly(row)?;
            let seed = self.public_seed()?;
            rows.push([b, Poly::uniform(self.backend, row, &seed)?]);
            seeds.push(seed);
        }
        Ok(SwitchingKey { id, shape, seeds, rows })
    }
}

fn ring_number(ring: RingKind) -> u64 {
    RINGS.iter().position(|known| *known == ring).unwrap_or_default() as u64
}

/// An index that this machine can count to; [`check_name`] narrows it further.
fn index(value: u64) -> Result<usize, RlweError> {
    usize::try_from(value)
        .or_else(|_| refused("packing index", value.to_string(), format!("at most {}", usize::MAX), SENDER_AT_FAULT))
}
