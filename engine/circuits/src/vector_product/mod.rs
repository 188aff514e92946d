//! Products of public weights with the vector of one token.
//!
//! Decoding meets every matrix with a single token. In row-module layout it would fill one coefficient of each row and pay for
//! all of them; here the vector lies in parts with zeros behind, and one product with a weight polynomial gives several rows at once
//! ([`fhe_ring::Backend::weight_products`]). With `N` the degree, `n` that of the small ring and `g = N / n`:
//!
//! ```text
//! input    channel  block J + c            coefficient  J mod g + g c             of ciphertext J div g      c < block
//! output   channel  n K + o + h i          coefficient  K mod g + g (stride o + block i)   of ciphertext K div g      o < h, i < n / block
//! ```
//!
//! where `h` is the number of rows of the `K`-th group, `n` but for the last, over `n / block`, rounded up, and `stride` the largest power
//! of two with `h stride <= block`: for `n` rows the output is in natural order, `K mod g + g (channel mod n)`. Everywhere else are zeros, on
//! both sides.
//!
//! SlotsToCoeffs and half bootstrapping reverse the bits of a coefficient below the highest one
//! ([`CircuitShape::slot_of_coefficient`]). At `N = 2^16`, `n = 2^12` and 4096 channels a vector in parts of 256 has its channels in the lower
//! half, `[c: 8 bits reversed | 3 zero bits]` in each of sixteen stretches of 2048 slots, `J` reversed; a product has its channels in the first
//! 2048 slots of each half, the highest bit of the channel being the half and the others reversed.
//!
//! What comes from one side to the other is a [`SparseMap`](crate::SparseMap), at a level; channels can be in any order, which decides how many
//! rotations it takes.
//!
//! The noise of the input's ring switch lies in every coefficient of a part, also behind its block, and all of it meets weights:
//! a product has the noise of `n` entries for each part, as though rows were `n / block` times as long.
//!
//! A larger block takes fewer input ciphertexts and more key switches, one for almost every entry of a block; the number of weight
//! polynomials, which is most of the work, stays the same.

use fhe_ckks::{CircuitShape, Evaluator, IntegerMatrix, MatrixShape, Packing};

use crate::error::{Result, refuse};
use crate::matrix_product::integer_scale;
use crate::sparse_map::SlotPlace;

/// Where one channel lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VectorPlace {
    /// Which ciphertext of the vector.
    pub ciphertext: usize,
    /// Which of its coefficients.
    pub coefficient: usize,
    /// The slot before SlotsToCoeffs, and after a half bootstrap.
    pub slot: usize,
}

/// Where the channels of a vector lie, which is zero everywhere else.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorLayout {
    shape: CircuitShape,
    block: usize,
    places: Vec<VectorPlace>,
    /// The row of weights, or the column, of each channel.
    order: Vec<usize>,
    ciphertexts: usize,
}

impl VectorLayout {
    /// A vector that is to be multiplied: in at most so many ciphertexts, in the smallest blocks that this allows.
    ///
    /// # Errors
    /// If there is no channel, no ciphertext, or too few of them.
    pub fn input(shape: &CircuitShape, channels: usize, ciphertexts: usize) -> Result<Self> {
        let group = shape.degree / shape.small_degree;
        let most = ciphertexts * shape.degree;
        if channels == 0 || channels > most {
            let required = format!("1 to {most}");
            return Err(refuse("VectorLayout::input", "channels", channels, required, "allow further ciphertexts"));
        }
        let block = channels.div_ceil(ciphertexts * group).next_power_of_two();
        let place = |channel: usize| {
            let (part, entry) = (channel / block, channel % block);
            Self::place_in(shape, part / group, part % group + group * entry)
        };
        Ok(Self {
            shape: shape.clone(),
            block,
            places: (0..channels).map(place).collect(),
            order: (0..channels).collect(),
            ciphertexts: channels.div_ceil(block * group),
        })
    }

    /// The product of so many rows with a vector of this layout.
    ///
    /// # Errors
    /// If there is no row.
    pub fn product(&self, channels: usize) -> Result<Self> {
        let (small, group) = (self.shape.small_degree, self.shape.degree / self.shape.small_degree);
        if channels == 0 {
            return Err(refuse("VectorLayout::product", "channels", 0, "at least one", "leave the product out"));
        }
        let place = |channel: usize| {
            let (number, row) = (channel / small, channel % small);
            let rows = small.min(channels - number * small);
            let results = MatrixShape { rows, columns: 1 }.polynomials(small, self.block);
            let stride = 1 << (self.block / results).ilog2();
            let coefficient = stride * (row % results) + self.block * (row / results);
            Self::place_in(&self.shape, number / group, number % group + group * coefficient)
        };
        Ok(Self {
            shape: self.shape.clone(),
            block: self.block,
            places: (0..channels).map(place).collect(),
            order: (0..channels).collect(),
            ciphertexts: channels.div_ceil(self.shape.degree),
        })
    }

    /// The same places with their channels in another order: channel `c` where channel `order[c]` was. Weights are arranged
    /// accordingly, at no cost; [`crate::sparse_map::fewest_rotations`] finds orders.
    ///
    /// # Errors
    /// Unless every channel occurs once.
    pub fn reordered(&self, order: &[usize]) -> Result<Self> {
        let mut seen = vec![false; self.channels()];
        let known =
            order.iter().all(|&channel| seen.get_mut(channel).is_some_and(|seen| !std::mem::replace(seen, true)));
        if !known || order.len() != self.channels() {
            let (found, required) = (format!("{} channels", order.len()), format!("each of {} once", self.channels()));
            return Err(refuse("VectorLayout::reordered", "order", found, required, "pass a permutation"));
        }
        Ok(Self {
            places: order.iter().map(|&channel| self.places[channel]).collect(),
            order: order.iter().map(|&channel| self.order[channel]).collect(),
            ..self.clone()
        })
    }

    /// The slot of every channel.
    pub fn slot_places(&self) -> Vec<SlotPlace> {
        self.places.iter().map(|place| SlotPlace { ciphertext: place.ciphertext, slot: place.slot }).collect()
    }

    fn place_in(shape: &CircuitShape, ciphertext: usize, coefficient: usize) -> VectorPlace {
        VectorPlace { ciphertext, coefficient, slot: shape.slot_of_coefficient(coefficient) }
    }

    /// Number of channels.
    pub fn channels(&self) -> usize {
        self.places.len()
    }

    /// Number of ciphertexts that the vector takes.
    pub fn ciphertexts(&self) -> usize {
        self.ciphertexts
    }

    /// Channels of a part of the input.
    pub fn block(&self) -> usize {
        self.block
    }

    /// The place of every channel.
    pub fn places(&self) -> &[VectorPlace] {
        &self.places
    }

    /// Coefficients of the ciphertexts of a vector.
    ///
    /// # Errors
    /// If it has another number of channels.
    pub fn pack(&self, vector: &[f64]) -> Result<Vec<Vec<f64>>> {
        self.spread("VectorLayout::pack", vector, self.shape.degree, |place| place.coefficient)
    }

    /// Real slots of the ciphertexts of a vector: what SlotsToCoeffs turns into [`VectorLayout::pack`]. With a constant vector, a mask.
    ///
    /// # Errors
    /// If it has another number of channels.
    pub fn pack_slots(&self, vector: &[f64]) -> Result<Vec<Vec<f64>>> {
        self.spread("VectorLayout::pack_slots", vector, self.shape.slots(Packing::Real), |place| place.slot)
    }

    /// The vector in coefficients, inverse of [`VectorLayout::pack`].
    ///
    /// # Errors
    /// If the number or length of the ciphertexts is another one.
    pub fn unpack(&self, packed: &[Vec<f64>]) -> Result<Vec<f64>> {
        self.collect("VectorLayout::unpack", packed, self.shape.degree, |place| place.coefficient)
    }

    /// The vector in real slots, inverse of [`VectorLayout::pack_slots`].
    ///
    /// # Errors
    /// If the number or length of the ciphertexts is another one.
    pub fn unpack_slots(&self, packed: &[Vec<f64>]) -> Result<Vec<f64>> {
        self.collect("VectorLayout::unpack_slots", packed, self.shape.slots(Packing::Real), |place| place.slot)
    }

    fn spread(
        &self,
        operation: &'static str,
        vector: &[f64],
        length: usize,
        index: impl Fn(&VectorPlace) -> usize,
    ) -> Result<Vec<Vec<f64>>> {
        if vector.len() != self.channels() {
            let remedy = "use the layout of this vector";
            return Err(refuse(operation, "channels", vector.len(), self.channels(), remedy));
        }
        let mut packed = vec![vec![0.0; length]; self.ciphertexts];
        for (place, &entry) in self.places.iter().zip(vector) {
            packed[place.ciphertext][index(place)] = entry;
        }
        Ok(packed)
    }

    fn collect(
        &self,
        operation: &'static str,
        packed: &[Vec<f64>],
        length: usize,
        index: impl Fn(&VectorPlace) -> usize,
    ) -> Result<Vec<f64>> {
        if packed.len() != self.ciphertexts || packed.iter().any(|numbers| numbers.len() != length) {
            let found = format!("{} of {:?}", packed.len(), packed.first().map(Vec::len));
            let required = format!("{} of {length}", self.ciphertexts);
            return Err(refuse(operation, "ciphertexts", found, required, "use the layout it was packed with"));
        }
        Ok(self.places.iter().map(|place| packed[place.ciphertext][index(place)]).collect())
    }
}

/// Weights as integers, for vectors of one layout.
#[derive(Clone, Debug)]
pub struct VectorProduct {
    /// Groups of as many rows as the small ring has coefficients.
    integers: Vec<IntegerMatrix>,
    scale: f64,
    rms_error: f64,
    output: VectorLayout,
}

impl VectorProduct {
    /// Rounds a matrix, given row by row (output channel x input channel), to integers of `bits` bits, sign included; the
    /// largest weight becomes the largest integer `2^(bits-1) - 1`.
    ///
    /// # Errors
    /// If the output is no [`VectorLayout::product`] of the input, the number of weights is another one, a weight is not finite, or `bits` is not
    /// in 2..=15.
    pub fn quantise(weights: &[f32], output: &VectorLayout, input: &VectorLayout, bits: u32) -> Result<Self> {
        const OPERATION: &str = "VectorProduct::quantise";
        let (outputs, inputs) = (output.channels(), input.channels());
        if weights.len() != outputs * inputs {
            let required = format!("{outputs} rows of {inputs}");
            return Err(refuse(OPERATION, "entries", weights.len(), required, "use the layouts of both vectors"));
        }
        if output.block != input.block || output.shape != input.shape {
            let (found, required) = (format!("of blocks of {}", output.block), format!("of blocks of {}", input.block));
            return Err(refuse(OPERATION, "output", found, required, "take the product of the input's layout"));
        }
        let scale = integer_scale(OPERATION, weights, bits)?;
        let mut squares = 0.0;
        let mut entries = vec![0_i16; weights.len()];
        for (row, &to) in weights.chunks_exact(inputs).zip(&output.order) {
            for (&weight, &from) in row.iter().zip(&input.order) {
                let integer = (f64::from(weight) * scale).round();
                squares += (f64::from(weight) - integer / scale).powi(2);
                entries[to * inputs + from] = integer as i16;
            }
        }
        let integers = (entries.chunks(inputs * input.shape.small_degree))
            .map(|rows| {
                let shape = MatrixShape { rows: rows.len() / inputs, columns: inputs };
                IntegerMatrix::new(shape, rows.to_vec())
                    .ok_or_else(|| refuse(OPERATION, "entries", "another number", "rows x columns", "report this"))
            })
            .collect::<Result<_>>()?;
        let rms_error = (squares / weights.len() as f64).sqrt();
        Ok(Self { integers, scale, rms_error, output: output.clone() })
    }

    /// The integer that stands for the weight 1; a product multiplies the unit by it.
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// Root mean square of the rounding errors of the weights.
    pub fn rms_error(&self) -> f64 {
        self.rms_error
    }

    /// The layout of the product.
    pub fn output(&self) -> &VectorLayout {
        &self.output
    }

    /// The product with a vector that was split before, so that several matrices can share it. No level.
    ///
    /// # Errors
    /// If the vector comes from another layout than that of the input.
    pub fn multiply<E: Evaluator>(&self, e: &E, vector: &E::VectorParts) -> Result<Vec<E::Coefficients>> {
        Ok(e.vector_products(&self.integers, self.scale, vector)?)
    }
}

/// Splits the ciphertexts of a vector, the operand of [`VectorProduct::multiply`].
///
/// # Errors
/// Those of [`Evaluator::split_vector`].
pub fn split_vector<E: Evaluator>(e: &E, layout: &VectorLayout, vector: &[E::Coefficients]) -> Result<E::VectorParts> {
    let parts = layout.channels().div_ceil(layout.block());
    Ok(e.split_vector(&vector.iter().collect::<Vec<_>>(), layout.block(), parts)?)
}
