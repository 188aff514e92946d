//! Turning and moving projections into place: rotary positions (Su et al., arXiv 2104.09864) and the shift of the
//! replicas.

use fhe_ckks::{Evaluator, Rotation};

use super::SlotAttention;
use super::heads::HeadEntry;
use crate::crossing::Halves;
use crate::error::{Result, refuse};

/// Rotary angles of every block position.
#[derive(Clone, Debug)]
pub struct RotaryAngles {
    frequencies: Vec<f64>,
    positions: Vec<usize>,
}

impl RotaryAngles {
    /// Angle `position * base^(-2 pair / head_dim)`, with the rotary position of every block position.
    pub fn new(base: f64, head_dim: usize, positions: Vec<usize>) -> Self {
        let frequency = |pair| base.powf(-2.0 * pair as f64 / head_dim as f64);
        Self { frequencies: (0..head_dim / 2).map(frequency).collect(), positions }
    }

    fn angle(&self, position: usize, pair: usize) -> f64 {
        self.positions[position] as f64 * self.frequencies[pair]
    }
}

/// Keys or values, ready to be moved by whole numbers of replicas.
#[derive(Clone, Debug)]
pub struct Movable<S> {
    /// Replica `g` holds at each token the entry of the token `g` places before.
    pub(super) delayed: Vec<Halves<S>>,
    /// With `A` replicas, replica `g` holds at each token the entry of the token `A - g` places after. Delayed replicas
    /// have lost the last tokens of their half, which queries before them need: these serve negative offsets, where a
    /// prompt straddles the two halves.
    pub(super) advanced: Vec<Halves<Option<S>>>,
}

/// One term of a plain combination: the argument rotated, and what it is multiplied by.
struct Term {
    rotation: Rotation,
    plain: Vec<f64>,
}

impl SlotAttention {
    /// Levels that every placement consumes.
    pub const PLACEMENT_LEVELS: usize = 1;

    /// Queries with rotary positions, multiplied by `range` so that slots `x / range` become true values. One level.
    ///
    /// # Errors
    /// If the projection or the positions have another size; those of the evaluator.
    pub fn place_queries<E: Evaluator>(
        &self,
        e: &E,
        angles: &RotaryAngles,
        projection: &[Halves<E::Slots>],
        range: f64,
    ) -> Result<Vec<Halves<E::Slots>>> {
        self.check_angles(angles)?;
        self.check_ciphertexts(projection.len())?;
        let place = |(ciphertext, x): (usize, &Halves<E::Slots>)| {
            Ok([0, 1].map(|half| self.turned(ciphertext, half, range, angles, 0, |_| true)))
                .and_then(|[first, second]| Ok([combine(e, &x[0], &first)?, combine(e, &x[1], &second)?]))
        };
        projection.iter().enumerate().map(place).collect()
    }

    /// Keys with rotary positions, ready to be moved, multiplied by `range`. One level.
    ///
    /// # Errors
    /// As [`SlotAttention::place_queries`].
    pub fn place_keys<E: Evaluator>(
        &self,
        e: &E,
        angles: &RotaryAngles,
        projection: &[Halves<E::Slots>],
        range: f64,
    ) -> Result<Movable<E::Slots>> {
        self.check_angles(angles)?;
        self.check_ciphertexts(projection.len())?;
        self.movable(e, projection, |ciphertext, half, shift, replica| {
            self.turned(ciphertext, half, range, angles, shift, |other| other == replica)
        })
    }

    /// Values, ready to be moved, multiplied by `range`. One level.
    ///
    /// # Errors
    /// As [`SlotAttention::place_queries`].
    pub fn place_values<E: Evaluator>(
        &self,
        e: &E,
        projection: &[Halves<E::Slots>],
        range: f64,
    ) -> Result<Movable<E::Slots>> {
        self.check_ciphertexts(projection.len())?;
        self.movable(e, projection, |ciphertext, _, shift, replica| {
            vec![self.term(ciphertext, shift, 0, |entry, _| (entry.replica == replica).then_some(range))]
        })
    }

    fn check_angles(&self, angles: &RotaryAngles) -> Result<()> {
        let found = (angles.positions.len(), angles.frequencies.len());
        let required = (self.heads.module().tokens(), self.heads.head_dim() / 2);
        if found == required {
            return Ok(());
        }
        let remedy = "make the angles for this block and head";
        let (found, required) = (format!("{found:?}"), format!("{required:?}"));
        Err(refuse("rotary positions", "positions and channel pairs", found, required, remedy))
    }

    fn check_ciphertexts(&self, found: usize) -> Result<()> {
        let required = self.heads.ciphertexts();
        if found == required {
            return Ok(());
        }
        Err(refuse("placement", "ciphertexts", found, required, "use the layout of the heads"))
    }

    fn movable<E: Evaluator>(
        &self,
        e: &E,
        projection: &[Halves<E::Slots>],
        terms: impl Fn(usize, usize, i64, usize) -> Vec<Term>,
    ) -> Result<Movable<E::Slots>> {
        let replicas = self.heads.replicas();
        let place = |ciphertext: usize, half: usize, first_shift: i64| {
            let all: Vec<Term> = (0..replicas)
                .flat_map(|replica| terms(ciphertext, half, first_shift - replica as i64, replica))
                .collect();
            combine(e, &projection[ciphertext][half], &all)
        };
        let (mut delayed, mut advanced) = (Vec::new(), Vec::new());
        for ciphertext in 0..projection.len() {
            delayed.push([place(ciphertext, 0, 0)?, place(ciphertext, 1, 0)?]);
            let advance = |half: usize| {
                let needed = self.schedule.needs_advanced(half);
                needed.then(|| place(ciphertext, half, replicas as i64)).transpose()
            };
            advanced.push([advance(0)?, advance(1)?]);
        }
        Ok(Movable { delayed, advanced })
    }

    /// Rotary positions for the replicas of `which`, and `shift` tokens to the left: the term of each channel and that
    /// of its partner.
    fn turned(
        &self,
        ciphertext: usize,
        half: usize,
        range: f64,
        angles: &RotaryAngles,
        shift: i64,
        which: impl Fn(usize) -> bool,
    ) -> Vec<Term> {
        let pairs = self.heads.head_dim() / 2;
        let first_position = half * self.heads.module().half_tokens();
        let turn = |entry: HeadEntry, source: usize| {
            let channel = self.heads.channel(entry.channel_row).filter(|_| which(entry.replica))?;
            Some((angles.angle(first_position + source, channel % pairs), channel < pairs))
        };
        let cosine = |entry, source| turn(entry, source).map(|(angle, _)| range * angle.cos());
        let sine = |entry, source| {
            turn(entry, source).map(|(angle, first)| if first { -range * angle.sin() } else { range * angle.sin() })
        };
        let partner_rows = self.heads.module().rows() / 2;
        vec![self.term(ciphertext, shift, 0, cosine), self.term(ciphertext, shift, partner_rows, sine)]
    }

    /// A term that brings, from `rows` rows away, the entry of slot token `source`, which is `shift` tokens after its
    /// own.
    fn term(
        &self,
        ciphertext: usize,
        shift: i64,
        rows: usize,
        factor: impl Fn(HeadEntry, usize) -> Option<f64>,
    ) -> Term {
        let half_tokens = self.heads.module().half_tokens();
        let plain = self.heads.plain(ciphertext, |entry| {
            let source = usize::try_from(entry.token as i64 + shift).ok().filter(|&source| source < half_tokens)?;
            factor(entry, source)
        });
        Term { rotation: Rotation(self.heads.module().rotate_rows(rows).0 + shift), plain }
    }
}

fn combine<E: Evaluator>(e: &E, x: &E::Slots, terms: &[Term]) -> Result<E::Slots> {
    let rotations: Vec<Rotation> = terms.iter().map(|term| term.rotation).collect();
    let rotated = e.rotate_hoisted(x, &rotations)?;
    let terms: Vec<_> = rotated.iter().zip(terms).map(|(x, term)| (x, term.plain.as_slice())).collect();
    Ok(e.plain_combination(&terms)?)
}
