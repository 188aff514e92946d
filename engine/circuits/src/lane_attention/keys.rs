//! Keys and values: from dense ciphertexts to copies for the query heads that share them.

use std::collections::BTreeMap;

use fhe_ckks::{Evaluator, Rotation};

use super::LaneAttention;
use super::layout::KeyCopy;
use crate::attention::RotaryAngles;
use crate::channel_factors::ChannelFactors;
use crate::error::{CircuitError, Result, refuse};
use crate::prefix_rows::PrefixRows;
use crate::window::Window;

/// What keys or values go through on the way to their place.
struct Placement<'a> {
    /// Of keys.
    angles: Option<&'a RotaryAngles>,
    factors: ChannelFactors,
    prefix: &'a PrefixRows,
}

/// Sources by ciphertext and slots between source and target, each with what it is multiplied by.
type Terms = BTreeMap<(usize, i64), Vec<f64>>;

impl LaneAttention {
    /// Keys with rotary positions, multiplied by their `factors`, repeated for the query heads that share them, in the order of factors over lanes. Corrected slots in
    /// the layout [`LaneLayout::keys`](super::LaneLayout::keys) in; [`LaneAttention::KEY_LEVELS`] levels. Those of `prefix` take the place of the
    /// first positions'.
    ///
    /// # Errors
    /// If the projection, the factors, the positions or the prefix have another size; those of the evaluator.
    pub fn place_keys<E: Evaluator>(
        &self,
        e: &E,
        angles: &RotaryAngles,
        projection: &[E::Slots],
        factors: impl Into<ChannelFactors>,
        prefix: &PrefixRows,
    ) -> Result<Vec<E::Slots>> {
        angles.check(self.layout.module().tokens(), self.layout.head_dim())?;
        self.place_copies(e, projection, &Placement { angles: Some(angles), factors: factors.into(), prefix })
    }

    /// Values, likewise without positions.
    ///
    /// # Errors
    /// As [`LaneAttention::place_keys`].
    pub fn place_values<E: Evaluator>(
        &self,
        e: &E,
        projection: &[E::Slots],
        factors: impl Into<ChannelFactors>,
        prefix: &PrefixRows,
    ) -> Result<Vec<E::Slots>> {
        self.place_copies(e, projection, &Placement { angles: None, factors: factors.into(), prefix })
    }

    fn place_copies<E: Evaluator>(
        &self,
        e: &E,
        projection: &[E::Slots],
        placement: &Placement<'_>,
    ) -> Result<Vec<E::Slots>> {
        let channels = self.layout.key_value_heads() * self.layout.head_dim();
        placement.factors.check("place_keys", channels)?;
        placement.prefix.check("place_keys", channels, self.layout.module().tokens())?;
        let required = self.layout.key_sets() * self.layout.key_ciphertexts();
        if projection.len() != required {
            let remedy = "use the layout of the keys";
            return Err(refuse("place_keys", "ciphertexts", projection.len(), required, remedy));
        }
        let exchanged = self.exchange(e, projection)?;
        let mut copies = Vec::new();
        for (set, dense) in exchanged.chunks(self.layout.key_ciphertexts()).enumerate() {
            for copy in self.layout.key_copies() {
                copies.push(self.copied(e, set, dense, copy, placement)?);
            }
        }
        Ok(copies)
    }

    fn copied<E: Evaluator>(
        &self,
        e: &E,
        set: usize,
        dense: &[E::Slots],
        copy: KeyCopy,
        placement: &Placement<'_>,
    ) -> Result<E::Slots> {
        let layout = &self.layout;
        let half = |half| {
            let terms = self.half_terms(set, copy, half, placement);
            let rotated = (terms.keys())
                .map(|&(source, slots)| Ok(e.rotate(&dense[source], Rotation(slots))?))
                .collect::<Result<Vec<_>>>()?;
            let terms: Vec<_> = rotated.iter().zip(terms.values().map(Vec::as_slice)).collect();
            let part = e.plain_combination(&terms)?;
            Ok::<_, CircuitError>(e.rotate(&part, Rotation(layout.half_rotation(half, copy.parity)))?)
        };
        let sum = e.add(&half(0)?, &half(1)?)?;
        // Every lane of a place looks at all places around it, of which only this one is not zero.
        let copies = layout.copies();
        let window = Window { stride: layout.key_lanes(), length: copies, before: copies - 1 - copy.place };
        let copied = window.sum_by(e, Rotation, sum)?;
        if placement.prefix.is_empty() {
            return Ok(copied);
        }
        Ok(e.add_plain(&copied, &self.prefix_plain(set, copy, placement.prefix))?)
    }

    /// Rows of the prefix where a copy holds them: in all lanes that share a head.
    fn prefix_plain(&self, set: usize, copy: KeyCopy, prefix: &PrefixRows) -> Vec<f64> {
        let layout = &self.layout;
        let mut plain = vec![0.0; layout.module().slots()];
        for channel in layout.channels_of(copy) {
            for (head, lane) in layout.keys_of_set(set) {
                for position in 0..prefix.positions() {
                    let number = prefix.at(head * layout.head_dim() + channel, position);
                    for repeated in 0..layout.copies() {
                        plain[layout.copied_slot(channel, position, lane + repeated * layout.key_lanes())] = number;
                    }
                }
            }
        }
        plain
    }

    /// What tokens of one half of the slots of a copy, still in their place and half, are made of.
    fn half_terms(
        &self,
        set: usize,
        copy: KeyCopy,
        half: usize,
        Placement { angles, factors, prefix }: &Placement<'_>,
    ) -> Terms {
        let (layout, module) = (&self.layout, self.layout.module());
        let pairs = layout.head_dim() / 2;
        let mut terms = Terms::new();
        let mut add = |source: (usize, i64), slot: usize, value: f64| {
            terms.entry(source).or_insert_with(|| vec![0.0; module.slots()])[slot] += value;
        };
        for channel in layout.channels_of(copy) {
            let first = channel < pairs;
            let partner = if first { channel + pairs } else { channel - pairs };
            let (partner_source, partner_place) = layout.key_place(partner);
            for (head, lane) in layout.keys_of_set(set) {
                let [own_factor, other_factor] =
                    [channel, partner].map(|channel| factors.of(head * layout.head_dim() + channel));
                let slot_of = |channel, place, slot_token| {
                    layout.slot(half, channel, slot_token, place * layout.key_lanes() + lane)
                };
                for slot_token in 0..module.half_tokens() {
                    let position = half * module.half_tokens() + slot_token;
                    let kept = if prefix.covers(position) { 0.0 } else { 1.0 };
                    let [own_factor, other_factor] = [kept * own_factor, kept * other_factor];
                    let slot = slot_of(channel, copy.place, slot_token);
                    let Some(angles) = angles else {
                        add((copy.source, 0), slot, own_factor);
                        continue;
                    };
                    let [cosine, sine] = angles.turn(position, channel);
                    let turned = slot_of(partner, partner_place, slot_token) as i64 - slot as i64;
                    add((copy.source, 0), slot, own_factor * cosine);
                    add((partner_source, turned), slot, other_factor * sine);
                }
            }
        }
        terms
    }
}
