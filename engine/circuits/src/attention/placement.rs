//! Turning and moving projections into place: rotary positions (Su et al., arXiv 2104.09864) and the shift of the
//! replicas.

use fhe_ckks::{Evaluator, Rotation};

use super::SlotAttention;
use super::heads::{HeadEntry, HeadLayout};
use crate::channel_factors::ChannelFactors;
use crate::error::{Result, refuse};
use crate::prefix_rows::PrefixRows;

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

    pub(crate) fn angle(&self, position: usize, pair: usize) -> f64 {
        self.positions[position] as f64 * self.frequencies[pair]
    }

    /// The channel of a head that a channel is turned with.
    pub(crate) fn partner(&self, channel: usize) -> usize {
        let pairs = self.frequencies.len();
        if channel < pairs { channel + pairs } else { channel - pairs }
    }

    /// What a turned channel has of itself and of its partner.
    pub(crate) fn turn(&self, position: usize, channel: usize) -> [f64; 2] {
        let pairs = self.frequencies.len();
        let (sine, cosine) = self.angle(position, channel % pairs).sin_cos();
        [cosine, if channel < pairs { -sine } else { sine }]
    }

    /// Refuses angles for another block or head.
    pub(crate) fn check(&self, tokens: usize, head_dim: usize) -> Result<()> {
        let (found, required) = ((self.positions.len(), self.frequencies.len()), (tokens, head_dim / 2));
        if found == required {
            return Ok(());
        }
        let remedy = "make the angles for this block and head";
        let (found, required) = (format!("{found:?}"), format!("{required:?}"));
        Err(refuse("rotary positions", "positions and channel pairs", found, required, remedy))
    }
}

/// Keys or values, ready to be moved by whole numbers of replicas.
#[derive(Clone, Debug)]
pub struct Movable<S> {
    /// Replica `g` holds at each token the entry of the token `g` places before.
    pub(super) delayed: Vec<S>,
    /// With `A` replicas, replica `g` holds at each token the entry of the token `A - g` places after. Delayed replicas
    /// have lost the last tokens of their half, which queries before them need: these serve negative offsets, where a
    /// prompt straddles the two halves. Empty where there are none.
    pub(super) advanced: Vec<S>,
}

/// Factors by query head: heads that share keys share their factors.
struct HeadFactors {
    factors: ChannelFactors,
    head_dim: usize,
    shared: usize,
}

impl HeadFactors {
    /// Factors of a projection to as many heads as there are query heads, or else to a divisor of them.
    fn new(operation: &'static str, factors: ChannelFactors, heads: &HeadLayout, queries: bool) -> Result<Self> {
        let (head_dim, all) = (heads.head_dim(), heads.heads());
        let own = match &factors {
            ChannelFactors::Each(factors) if !queries => factors.len() / head_dim,
            _ => all,
        };
        // Of no divisor of the heads there is a projection: then as many as queries are asked for.
        let own = if own > 0 && all.is_multiple_of(own) { own } else { all };
        factors.check(operation, own * head_dim)?;
        Ok(Self { factors, head_dim, shared: all / own })
    }

    fn of(&self, query_head: usize, channel: usize) -> f64 {
        self.factors.of(query_head / self.shared * self.head_dim + channel)
    }
}

/// One term of a plain combination: the argument rotated, and what it is multiplied by.
struct Term {
    rotation: Rotation,
    plain: Vec<f64>,
}

impl SlotAttention {
    /// Levels that every placement consumes.
    pub const PLACEMENT_LEVELS: usize = 1;

    /// Queries with rotary positions, multiplied by their `ranges` so that slots `x / range` become true values. One level.
    ///
    /// # Errors
    /// If the projection, the ranges or the positions have another size; those of the evaluator.
    pub fn place_queries<E: Evaluator>(
        &self,
        e: &E,
        angles: &RotaryAngles,
        projection: &[E::Slots],
        ranges: impl Into<ChannelFactors>,
    ) -> Result<Vec<E::Slots>> {
        self.check_angles(angles)?;
        self.check_ciphertexts(projection.len())?;
        let ranges = HeadFactors::new("place_queries", ranges.into(), &self.heads, true)?;
        let terms = |ciphertext: usize| self.turned(ciphertext, &ranges, angles, 0, |_, _| true);
        projection.iter().enumerate().map(|(ciphertext, x)| combine(e, x, &terms(ciphertext))).collect()
    }

    /// Keys with rotary positions, ready to be moved, multiplied by their `ranges`, of as many heads as there are keys. Those of `prefix` take
    /// the place of the first positions'. One level.
    ///
    /// # Errors
    /// As [`SlotAttention::place_queries`], and for a prefix of another size.
    pub fn place_keys<E: Evaluator>(
        &self,
        e: &E,
        angles: &RotaryAngles,
        projection: &[E::Slots],
        ranges: impl Into<ChannelFactors>,
        prefix: &PrefixRows,
    ) -> Result<Movable<E::Slots>> {
        self.check_angles(angles)?;
        self.check_ciphertexts(projection.len())?;
        let ranges = HeadFactors::new("place_keys", ranges.into(), &self.heads, false)?;
        self.movable(e, projection, prefix, |ciphertext, shift, replica| {
            let encrypted = |entry: HeadEntry, source| {
                entry.replica == replica && !prefix.covers(self.position(entry.half, source))
            };
            self.turned(ciphertext, &ranges, angles, shift, encrypted)
        })
    }

    /// Values, ready to be moved, likewise without positions. One level.
    ///
    /// # Errors
    /// As [`SlotAttention::place_keys`].
    pub fn place_values<E: Evaluator>(
        &self,
        e: &E,
        projection: &[E::Slots],
        ranges: impl Into<ChannelFactors>,
        prefix: &PrefixRows,
    ) -> Result<Movable<E::Slots>> {
        self.check_ciphertexts(projection.len())?;
        let ranges = HeadFactors::new("place_values", ranges.into(), &self.heads, false)?;
        self.movable(e, projection, prefix, |ciphertext, shift, replica| {
            let range = |entry: HeadEntry, source| {
                let encrypted = entry.replica == replica && !prefix.covers(self.position(entry.half, source));
                let channel = self.heads.channel(entry.channel_row).filter(|_| encrypted)?;
                Some(ranges.of(entry.head, channel))
            };
            vec![self.term(ciphertext, shift, 0, range)]
        })
    }

    /// Block position of a slot token in a half.
    fn position(&self, half: usize, slot_token: usize) -> usize {
        half * self.heads.module().half_tokens() + slot_token
    }

    fn check_angles(&self, angles: &RotaryAngles) -> Result<()> {
        angles.check(self.heads.module().tokens(), self.heads.head_dim())
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
        projection: &[E::Slots],
        prefix: &PrefixRows,
        terms: impl Fn(usize, i64, usize) -> Vec<Term>,
    ) -> Result<Movable<E::Slots>> {
        self.check_prefix(prefix)?;
        let replicas = self.heads.replicas();
        let place = |first_shift: i64| {
            let place = |(ciphertext, x): (usize, &E::Slots)| {
                let all = (0..replicas).flat_map(|replica| terms(ciphertext, first_shift - replica as i64, replica));
                let placed = combine(e, x, &all.collect::<Vec<_>>())?;
                if prefix.is_empty() {
                    return Ok(placed);
                }
                Ok(e.add_plain(&placed, &self.prefix_plain(ciphertext, first_shift, prefix))?)
            };
            projection.iter().enumerate().map(place).collect::<Result<Vec<_>>>()
        };
        let advanced = if self.schedule.needs_advanced() { place(replicas as i64)? } else { Vec::new() };
        Ok(Movable { delayed: place(0)?, advanced })
    }

    /// Refuses a prefix whose heads these query heads cannot share evenly.
    fn check_prefix(&self, prefix: &PrefixRows) -> Result<()> {
        let (heads, head_dim) = (self.heads.heads(), self.heads.head_dim());
        let key_heads = prefix.channels() / head_dim;
        let shared = key_heads > 0 && heads.is_multiple_of(key_heads);
        let channels = if shared { key_heads } else { heads } * head_dim;
        prefix.check("placement", channels, self.heads.module().tokens())
    }

    /// Rows of the prefix in the replicas of placed keys or values: replica `g` has moved by `first_shift - g` tokens.
    fn prefix_plain(&self, ciphertext: usize, first_shift: i64, prefix: &PrefixRows) -> Vec<f64> {
        let heads = &self.heads;
        let shared = heads.heads() * heads.head_dim() / prefix.channels();
        heads.plain(ciphertext, |entry| {
            let source = self.source(entry, first_shift - entry.replica as i64)?;
            let position = Some(self.position(entry.half, source)).filter(|&position| prefix.covers(position))?;
            let channel = heads.channel(entry.channel_row)?;
            Some(prefix.at(entry.head / shared * heads.head_dim() + channel, position))
        })
    }

    /// Slot token `shift` tokens after an entry's, if its half has it.
    fn source(&self, entry: HeadEntry, shift: i64) -> Option<usize> {
        let source = usize::try_from(entry.token as i64 + shift).ok()?;
        (source < self.heads.module().half_tokens()).then_some(source)
    }

    /// Rotary positions for the entries and sources of `which`, and `shift` tokens to the left: the term of each channel and those of
    /// the partners, which first channels have further up and second ones further down.
    fn turned(
        &self,
        ciphertext: usize,
        ranges: &HeadFactors,
        angles: &RotaryAngles,
        shift: i64,
        which: impl Fn(HeadEntry, usize) -> bool,
    ) -> Vec<Term> {
        let pairs = self.heads.head_dim() / 2;
        // Angle and channel.
        let turn = |entry: HeadEntry, source: usize| {
            let channel = self.heads.channel(entry.channel_row).filter(|_| which(entry, source))?;
            Some((angles.angle(self.position(entry.half, source), channel % pairs), channel))
        };
        let cosine = |entry: HeadEntry, source| {
            turn(entry, source).map(|(angle, channel)| ranges.of(entry.head, channel) * angle.cos())
        };
        // What comes from the partner comes at the partner's range.
        let sine = |of_first: bool, sign: f64| {
            let turn = &turn;
            move |entry: HeadEntry, source| {
                let (angle, channel) = turn(entry, source).filter(|&(_, channel)| (channel < pairs) == of_first)?;
                let partner = if of_first { channel + pairs } else { channel - pairs };
                Some(sign * ranges.of(entry.head, partner) * angle.sin())
            }
        };
        let partner_rows = self.heads.module().rows() as i64 / 2;
        vec![
            self.term(ciphertext, shift, 0, cosine),
            self.term(ciphertext, shift, partner_rows, sine(true, -1.0)),
            self.term(ciphertext, shift, -partner_rows, sine(false, 1.0)),
        ]
    }

    /// A term that brings, from `rows` rows away, the entry of slot token `source`, which is `shift` tokens after its
    /// own.
    fn term(&self, ciphertext: usize, shift: i64, rows: i64, factor: impl Fn(HeadEntry, usize) -> Option<f64>) -> Term {
        let plain = self.heads.plain(ciphertext, |entry| factor(entry, self.source(entry, shift)?));
        Term { rotation: Rotation(self.heads.module().rotate_rows(rows).0 + shift), plain }
    }
}

fn combine<E: Evaluator>(e: &E, x: &E::Slots, terms: &[Term]) -> Result<E::Slots> {
    let rotations: Vec<Rotation> = terms.iter().map(|term| term.rotation).collect();
    let rotated = e.rotate_hoisted(x, &rotations)?;
    let terms: Vec<_> = rotated.iter().zip(terms).map(|(x, term)| (x, term.plain.as_slice())).collect();
    Ok(e.plain_combination(&terms)?)
}
