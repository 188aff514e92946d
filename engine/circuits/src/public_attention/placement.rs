//! Queries on their way into the public layout, outputs on their way back.
//!
//! Levels are what the exponential in between has too few of, so both ways do two things in one. Queries lose the distortion of their half bootstrap while
//! they are placed: with `F_m` the factors of what comes from `m` distances away, and `y + c y^3` the corrected value,
//!
//! ```text
//! sum_m F_m (y + c y^3)[m]  =  sum_m F_m y[m]  +  sum_m (c F_m y[m]) y^2[m]
//! ```
//!
//! takes the two levels of the correction alone, for a product per distance. Outputs are divided while they are collected: the sum over keys that divides a
//! probability is the same for all keys of a query, so it divides the weighted values instead, which are few, and the masks of the exchange are
//! already in it.

use fhe_ckks::bootstrapping::sine::cubic_correction;
use fhe_ckks::{Evaluator, PeriodicMatrix, PlainVector, Rotation};

use super::layout::PublicLayout;
use crate::attention::RotaryAngles;
use crate::channel_factors::ChannelFactors;
use crate::crossing::SINE_LEVELS;
use crate::error::{Result, refuse};
use crate::total::total;

/// A value and its square.
type Powers<S> = (S, S);

impl PublicLayout {
    /// Levels that [`PublicLayout::place_queries`] takes.
    pub const PLACEMENT_LEVELS: usize = SINE_LEVELS;

    /// Queries from the layout of their projection, distorted as a half bootstrap leaves them, corrected, multiplied by their `factors`, with rotary positions in
    /// the public layout. [`PublicLayout::PLACEMENT_LEVELS`]; rotations exchange the fields, and the channels of a pair meet without any.
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
        let rotations = self.exchange_rotations();
        let cubic = cubic_correction(e.shape().message_ratio);
        // From all distances the values and their squares.
        let moved = |x: &E::Slots| {
            let squares = e.rotate_hoisted(&e.square(x)?, &rotations)?;
            Ok(e.rotate_hoisted(x, &rotations)?.into_iter().zip(squares).collect())
        };
        let moved: Vec<Vec<Powers<E::Slots>>> = projection.iter().map(moved).collect::<Result<_>>()?;
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
            let sources = [(&moved[ciphertext], &cosines), (&moved[self.partner(ciphertext)], &sines)];
            let masked: Vec<(&Powers<E::Slots>, PlainVector)> = (sources.into_iter())
                .flat_map(|(moved, plain)| moved.iter().zip(self.exchange_moves()).map(move |x| (x, plain)))
                .map(|((x, moves), plain)| (x, self.entries_moved(moves, plain).into()))
                .collect();
            let linear: Vec<_> = masked.iter().map(|((x, _), plain)| (x, plain)).collect();
            masked.iter().try_fold(e.plain_combination(&linear)?, |sum, ((x, square), plain)| {
                let factor = e.plain_combination(&[(x, &plain.scaled(cubic))])?;
                Ok(e.add(&sum, &e.multiply(&factor, square)?)?)
            })
        };
        (0..self.ciphertexts()).map(place).collect()
    }

    /// Outputs from the public layout in that of a projection, each entry multiplied by the factor of its query. Those stand in all rows of the public layout, and so
    /// in one ciphertext. Takes a level of the outputs, two of the factors.
    ///
    /// # Errors
    /// If there is another number of outputs or of ciphertexts of factors; those of the evaluator.
    pub fn collect_outputs<E: Evaluator>(
        &self,
        e: &E,
        outputs: &[E::Slots],
        factors: &[E::Slots],
    ) -> Result<Vec<E::Slots>> {
        const OPERATION: &str = "collect_outputs";
        self.check_ciphertexts(OPERATION, outputs.len())?;
        let [factors] = factors else {
            return Err(refuse(
                OPERATION,
                "ciphertexts of factors",
                factors.len(),
                1,
                "divide by the sums over all keys",
            ));
        };
        let (first, run) = (*self.exchange_moves().start(), self.run());
        // What is going to move so many distances lies where the other way leaves what came from as many.
        let fill = |row: usize, _: usize, numbers: &mut [f64]| {
            for (index, number) in numbers.iter_mut().enumerate() {
                *number = f64::from(u8::from(self.moves_to(index * run) == -(first + row as i64)));
            }
        };
        // The masks depend on both exchanged fields.
        let numbers = self.numbers() * self.module().half_tokens() / run;
        let rotations = self.exchange_rotations();
        let masks = PeriodicMatrix { rows: rotations.len(), run, numbers, fill: &fill };
        let factors = e.periodic_products(&[factors], &masks)?;
        let collect = |x: &E::Slots| {
            let moved = |(factor, &rotation): (&E::Slots, &Rotation)| Ok(e.rotate(&e.multiply(x, factor)?, rotation)?);
            let sum = total(e, factors.iter().zip(&rotations).map(moved))?;
            sum.ok_or_else(|| refuse(OPERATION, "moves", 0, "at least one", "report this"))
        };
        outputs.iter().map(collect).collect()
    }

    /// The rotations that bring entries from all distances.
    fn exchange_rotations(&self) -> Vec<Rotation> {
        self.exchange_steps().into_iter().map(Rotation).collect()
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
