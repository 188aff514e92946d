//! Where the channels of one token's vector lie.

use fhe_ckks::{CircuitShape, Copies, MatrixShape, Packing, Rotation, Spacing};

use crate::error::{Result, refuse};
use crate::sparse_map::{SlotPlace, fewest_rotations};

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
    pub(super) shape: CircuitShape,
    pub(super) block: usize,
    places: Vec<VectorPlace>,
    /// The row of weights, or the column, of each channel.
    pub(super) order: Vec<usize>,
    /// Rows, or columns, of weights; those of no channel are zero.
    pub(super) rows: usize,
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
        Self::in_blocks(shape, channels, channels.div_ceil(ciphertexts * group).next_power_of_two())
    }

    /// A vector that is to be multiplied, in parts of so many channels: products that are to be added need the same.
    ///
    /// # Errors
    /// If there is no channel, or `block` is not a power of two up to the small ring's degree.
    pub fn in_blocks(shape: &CircuitShape, channels: usize, block: usize) -> Result<Self> {
        const OPERATION: &str = "VectorLayout::in_blocks";
        if channels == 0 {
            return Err(refuse(OPERATION, "channels", 0, "at least one", "leave the product out"));
        }
        if !block.is_power_of_two() || block > shape.small_degree {
            let required = format!("a power of two up to {}", shape.small_degree);
            return Err(refuse(OPERATION, "block", block, required, "use a smaller block"));
        }
        let group = shape.degree / shape.small_degree;
        let place = |channel: usize| {
            let (part, entry) = (channel / block, channel % block);
            Self::place_in(shape, part / group, part % group + group * entry)
        };
        Ok(Self {
            shape: shape.clone(),
            block,
            places: (0..channels).map(place).collect(),
            order: (0..channels).collect(),
            rows: channels,
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
            rows: channels,
            ciphertexts: channels.div_ceil(self.shape.degree),
        })
    }

    /// A product of so many rows, in an order that has few rotations to `targets`. It may use every place of as many groups as it needs, which leaves that
    /// order the most freedom: rows of no channel are zero.
    ///
    /// # Errors
    /// Those of [`VectorLayout::product`] and [`fewest_rotations`].
    pub fn product_towards(&self, targets: &[SlotPlace]) -> Result<Self> {
        let product = self.product(targets.len().next_multiple_of(self.shape.small_degree))?;
        let slots = self.shape.slots(Packing::Real);
        product.selected(&fewest_rotations(slots, &product.slot_places(), targets)?)
    }

    /// A product of twice as many rows as targets, channel `c` and channel `targets + c` a pair of places that is as far apart as every other: the
    /// rotation that brings all second ones to the first. The first ones come in an order that has few rotations to `targets`.
    ///
    /// # Errors
    /// For parts of as many channels as the small ring has coefficients, whose products have one row each.
    pub fn paired_product(&self, targets: &[SlotPlace]) -> Result<(Self, Rotation)> {
        const OPERATION: &str = "VectorLayout::paired_product";
        let (small, by_polynomial) = (self.shape.small_degree, self.shape.small_degree / self.block);
        if by_polynomial < 2 {
            let required = format!("up to {}", small / 2);
            return Err(refuse(OPERATION, "block", self.block, required, "use smaller parts"));
        }
        let product = self.product((2 * targets.len()).next_multiple_of(small))?;
        // Of the rows of a polynomial, `block` coefficients apart, one of the first half and its counterpart in the second.
        let counterpart = self.block * by_polynomial / 2;
        let all: Vec<usize> = (0..product.rows).filter(|row| row % small < small / 2).collect();
        let places = product.slot_places();
        let firsts: Vec<SlotPlace> = all.iter().map(|&first| places[first]).collect();
        let order = fewest_rotations(self.shape.slots(Packing::Real), &firsts, targets)?;
        let firsts: Vec<usize> = order.into_iter().map(|index| all[index]).collect();
        let seconds: Vec<usize> = firsts.iter().map(|first| first + counterpart).collect();
        let steps = match (firsts.first(), seconds.first()) {
            (Some(&first), Some(&second)) => places[second].slot as i64 - places[first].slot as i64,
            _ => return Err(refuse(OPERATION, "targets", "none", "at least one", "leave the product out")),
        };
        Ok((product.selected(&[firsts, seconds].concat())?, Rotation(steps)))
    }

    /// The same places with their channels in another order: channel `c` where channel `order[c]` was. Weights are arranged
    /// accordingly, at no cost; [`crate::sparse_map::fewest_rotations`] finds orders.
    ///
    /// # Errors
    /// Unless every channel occurs once.
    pub fn reordered(&self, order: &[usize]) -> Result<Self> {
        if order.len() != self.channels() {
            let (found, required) = (format!("{} channels", order.len()), format!("each of {} once", self.channels()));
            return Err(refuse("VectorLayout::reordered", "order", found, required, "pass a permutation"));
        }
        self.selected(order)
    }

    /// Some of the places, in any order: channel `c` where channel `order[c]` was, and zeros where others were.
    ///
    /// # Errors
    /// If there is no channel, or one occurs twice or is none of this layout.
    pub fn selected(&self, order: &[usize]) -> Result<Self> {
        let mut seen = vec![false; self.channels()];
        let known =
            order.iter().all(|&channel| seen.get_mut(channel).is_some_and(|seen| !std::mem::replace(seen, true)));
        if !known || order.is_empty() {
            let found = format!("{} channels", order.len());
            let required = format!("different ones of {}", self.channels());
            return Err(refuse("VectorLayout::selected", "order", found, required, "pass each channel at most once"));
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

    /// The most copies in which a sparse half bootstrap returns all channels: they lie at multiples of so many coefficients. Products of up to
    /// `shape.small_degree` rows have `shape.degree / shape.small_degree`.
    pub fn copies(&self) -> Copies {
        let common = self.places.iter().fold(self.shape.degree, |all, place| all | place.coefficient);
        Copies((1 << common.trailing_zeros()).min(self.shape.most_copies()))
    }

    /// How far apart the slots of the channels are at least. Parts of `block` channels lie in the first coefficients of the lower half, `shape.degree /
    /// shape.small_degree` times as many: their slots are as far apart as so many go into the half.
    pub fn spacing(&self) -> Spacing {
        let common = self.places.iter().fold(self.shape.degree, |all, place| all | place.slot);
        Spacing((1 << common.trailing_zeros()).min(self.shape.most_copies()))
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
