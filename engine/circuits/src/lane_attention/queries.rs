//! Queries: rotary positions and the exchange.

use std::collections::BTreeMap;

use fhe_ckks::Evaluator;

use super::LaneAttention;
use crate::attention::RotaryAngles;
use crate::channel_factors::ChannelFactors;
use crate::error::{Result, refuse};

impl LaneAttention {
    /// Queries with rotary positions, multiplied by their `factors`, in the order of factors over lanes. Corrected slots in the layout
    /// [`LaneLayout::queries`](super::LaneLayout::queries) in; [`LaneAttention::QUERY_LEVELS`] levels.
    ///
    /// The two channels of a pair lie in different ciphertexts as soon as half a head's fill one, and positions then take no rotation.
    ///
    /// # Errors
    /// If the projection, the factors or the positions have another size; those of the evaluator.
    pub fn place_queries<E: Evaluator>(
        &self,
        e: &E,
        angles: &RotaryAngles,
        projection: &[E::Slots],
        factors: impl Into<ChannelFactors>,
    ) -> Result<Vec<E::Slots>> {
        let (layout, factors) = (&self.layout, factors.into());
        factors.check("place_queries", layout.heads() * layout.head_dim())?;
        angles.check(layout.module().tokens(), layout.head_dim())?;
        let required = layout.sets() * layout.query_ciphertexts();
        if projection.len() != required {
            let remedy = "use the layout of the queries";
            return Err(refuse("place_queries", "ciphertexts", projection.len(), required, remedy));
        }
        let turned = (0..required)
            .map(|ciphertext| self.turned_queries(e, angles, projection, &factors, ciphertext))
            .collect::<Result<Vec<_>>>()?;
        self.exchange(e, &turned)
    }

    fn turned_queries<E: Evaluator>(
        &self,
        e: &E,
        angles: &RotaryAngles,
        projection: &[E::Slots],
        factors: &ChannelFactors,
        ciphertext: usize,
    ) -> Result<E::Slots> {
        let (layout, module) = (&self.layout, self.layout.module());
        // By source ciphertext and rows between source and target.
        let mut terms: BTreeMap<(usize, i64), Vec<f64>> = BTreeMap::new();
        for (head, _) in layout.heads_of_set(ciphertext / layout.query_ciphertexts()) {
            for channel in 0..layout.head_dim() {
                let place = layout.query_place(head, channel);
                if place.ciphertext != ciphertext {
                    continue;
                }
                let other = angles.partner(channel);
                let partner = layout.query_place(head, other);
                let [own_factor, other_factor] =
                    [channel, other].map(|channel| factors.of(head * layout.head_dim() + channel));
                let rows = partner.slot_row as i64 - place.slot_row as i64;
                for position in 0..module.tokens() {
                    let (half, slot_token) = module.half_and_token(position);
                    let slot = module.slot(half, place.slot_row, slot_token);
                    let [cosine, sine] = angles.turn(position, channel);
                    let parts =
                        [((ciphertext, 0), own_factor * cosine), ((partner.ciphertext, rows), other_factor * sine)];
                    for (source, value) in parts {
                        terms.entry(source).or_insert_with(|| vec![0.0; module.slots()])[slot] += value;
                    }
                }
            }
        }
        let rotated = (terms.keys())
            .map(|&(source, rows)| Ok(e.rotate(&projection[source], module.rotate_rows(rows))?))
            .collect::<Result<Vec<_>>>()?;
        let terms: Vec<_> = rotated.iter().zip(terms.values().map(Vec::as_slice)).collect();
        Ok(e.plain_combination(&terms)?)
    }
}
