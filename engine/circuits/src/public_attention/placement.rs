//! Queries on their way into the public layout, outputs on their way back.

use fhe_ckks::{Evaluator, PeriodicMatrix, Rotation};

use super::layout::PublicLayout;
use crate::attention::RotaryAngles;
use crate::channel_factors::ChannelFactors;
use crate::error::{Result, refuse};

impl PublicLayout {
    /// Levels that [`PublicLayout::place_queries`] takes.
    pub const PLACEMENT_LEVELS: usize = 1;
    /// Levels that [`PublicLayout::collect_outputs`] takes.
    pub const COLLECTION_LEVELS: usize = 1;

    /// Queries from the layout of their projection, multiplied by their `factors`, with rotary positions in the public layout. One level;
    /// rotations exchange the fields, and the channels of a pair meet without any.
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
        const OPERATION: &str = "place_queries";
        let factors = factors.into();
        self.check_ciphertexts(OPERATION, projection.len())?;
        factors.check(OPERATION, self.heads() * self.head_dim())?;
        angles.check(self.module().tokens(), self.head_dim())?;
        let rotations: Vec<Rotation> = self.exchange_moves().map(|moves| self.exchange_rotation(moves)).collect();
        let rotated: Vec<Vec<E::Slots>> =
            projection.iter().map(|x| Ok(e.rotate_hoisted(x, &rotations)?)).collect::<Result<_>>()?;
        let place = |ciphertext: usize| {
            // From itself, and from the partner's ciphertext.
            let turned = |part: usize| {
                self.plain(|head, row, position| {
                    let Some(channel) = self.channel(ciphertext, row) else { return 0.0 };
                    let source = if part == 0 { channel } else { angles.partner(channel) };
                    factors.of(head * self.head_dim() + source) * angles.turn(position, channel)[part]
                })
            };
            let [cosines, sines] = [0, 1].map(turned);
            let sources = [(&rotated[ciphertext], &cosines), (&rotated[self.partner(ciphertext)], &sines)];
            let masked: Vec<(&E::Slots, Vec<f64>)> = (sources.into_iter())
                .flat_map(|(rotated, plain)| rotated.iter().zip(self.exchange_moves()).map(move |x| (x, plain)))
                .map(|((x, moves), plain)| (x, self.entries_moved(moves, plain)))
                .collect();
            let terms: Vec<_> = masked.iter().map(|(x, plain)| (*x, plain.as_slice())).collect();
            Ok(e.plain_combination(&terms)?)
        };
        (0..self.ciphertexts()).map(place).collect()
    }

    /// Outputs from the public layout in that of a projection. One level.
    ///
    /// # Errors
    /// If there is another number of outputs; those of the evaluator.
    pub fn collect_outputs<E: Evaluator>(&self, e: &E, outputs: &[E::Slots]) -> Result<Vec<E::Slots>> {
        self.check_ciphertexts("collect_outputs", outputs.len())?;
        let rotations: Vec<Rotation> = self.exchange_moves().map(|moves| self.exchange_rotation(moves)).collect();
        let first = *self.exchange_moves().start();
        let fill = |_: usize, column: usize, numbers: &mut [f64]| {
            for (index, number) in numbers.iter_mut().enumerate() {
                *number = f64::from(u8::from(self.moves_to(index * self.run()) == first + column as i64));
            }
        };
        // The masks depend on both exchanged fields.
        let numbers = self.numbers() * self.module().half_tokens() / self.run();
        let masks = PeriodicMatrix { rows: 1, run: self.run(), numbers, fill: &fill };
        let collect = |x: &E::Slots| {
            let rotated = e.rotate_hoisted(x, &rotations)?;
            Ok(e.periodic_products(&rotated.iter().collect::<Vec<_>>(), &masks)?.remove(0))
        };
        outputs.iter().map(collect).collect()
    }

    fn check_ciphertexts(&self, operation: &'static str, found: usize) -> Result<()> {
        if found == self.ciphertexts() {
            return Ok(());
        }
        Err(refuse(operation, "ciphertexts", found, self.ciphertexts(), "use the layout of the projection"))
    }

    /// The numbers of a plaintext at slots whose entry comes from so many distances away, zero elsewhere.
    fn entries_moved(&self, moves: i64, plain: &[f64]) -> Vec<f64> {
        let masked = |(slot, &number): (usize, &f64)| if self.moves_to(slot) == moves { number } else { 0.0 };
        plain.iter().enumerate().map(masked).collect()
    }
}
