//! Where the entries of a tensor lie in ciphertexts.
//!
//! The row-module layout packs channels x tokens so that both representations are easy to work with. With `t` tokens
//! per block and `r = degree / t` rows per ciphertext, coefficient `row + r * token` holds one entry, so a row is an
//! element of a small ring and a matrix product acts on rows. CoeffsToSlots reverses the bits below the highest one, so
//! in slots the same entry sits in one of two **halves** (tokens of the first and of the second half of the block) at
//!
//! ```text
//! slot = half * (degree / 2) + slot_row * (t / 2) + slot_token
//! half = token div (t / 2)    slot_row = bit_reverse(row)    slot_token = bit_reverse(token mod t/2)
//! ```
//!
//! Rotating by multiples of `t / 2` therefore moves whole rows, by fewer slots tokens, and by half of all slots exchanges
//! the halves. All slots lie on one cycle: rows that leave a half enter the other (module `window`). Circuits think in
//! (half, slot row, slot token). The order of rows is free, since the rows and columns of a weight matrix can be
//! permuted, and the order of tokens is public: block position `b` lies in half `b div (t/2)` at slot token `b mod
//! (t/2)`.

use std::sync::Arc;

use fhe_ckks::{CircuitShape, Rotation};

use crate::error::{Result, refuse};

/// The row-module geometry of a block of tokens in one ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RowModule {
    degree: usize,
    tokens: usize,
}

/// Where a row of a tensor lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// Which ciphertext of the tensor.
    pub ciphertext: usize,
    /// Which row of slots in it.
    pub slot_row: usize,
}

impl RowModule {
    /// Blocks of `tokens` tokens in the ring of `shape`.
    ///
    /// # Errors
    /// Unless `tokens` is a power of two, at least 2, and leaves at least two rows.
    pub fn new(shape: &CircuitShape, tokens: usize) -> Result<Self> {
        let degree = shape.degree;
        if !tokens.is_power_of_two() || tokens < 2 || tokens > degree / 2 || !degree.is_power_of_two() {
            let required = format!("a power of two from 2 to {}", degree / 2);
            return Err(refuse(
                "RowModule::new",
                "tokens",
                tokens,
                required,
                "use another block size or a larger ring",
            ));
        }
        Ok(Self { degree, tokens })
    }

    /// Real slots of one ciphertext, as many as coefficients.
    pub fn slots(&self) -> usize {
        self.degree
    }

    /// Tokens of a block, `t`.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// Tokens of one half, which is also the number of slots of a row.
    pub fn half_tokens(&self) -> usize {
        self.tokens / 2
    }

    /// Rows of one ciphertext, `r`.
    pub fn rows(&self) -> usize {
        self.degree / self.tokens
    }

    /// Half and slot token of a block position.
    pub fn half_and_token(&self, position: usize) -> (usize, usize) {
        (position / self.half_tokens(), position % self.half_tokens())
    }

    /// Slot of a half, slot row and slot token.
    pub fn slot(&self, half: usize, slot_row: usize, slot_token: usize) -> usize {
        half * self.degree / 2 + slot_row * self.half_tokens() + slot_token
    }

    /// Slot row of a slot, in whichever half.
    pub fn slot_row(&self, slot: usize) -> usize {
        slot / self.half_tokens() % self.rows()
    }

    /// Coefficient that becomes this slot (an involution).
    pub fn coefficient_of_slot(&self, slot: usize) -> usize {
        let half = self.degree / 2;
        (slot & half) + bit_reverse(slot & (half - 1), half)
    }

    /// Row of coefficients that becomes this row of slots (an involution).
    pub fn coefficient_row(&self, slot_row: usize) -> usize {
        bit_reverse(slot_row, self.rows())
    }

    /// Coefficient of a slot row at a block position.
    pub fn coefficient(&self, slot_row: usize, position: usize) -> usize {
        let (half, slot_token) = self.half_and_token(position);
        self.coefficient_of_slot(self.slot(half, slot_row, slot_token))
    }

    /// The rotation after which slot row `i` holds what was in slot row `i + rows`. Rows beyond the last one are those of
    /// the other half.
    pub fn rotate_rows(&self, rows: i64) -> Rotation {
        Rotation(rows * self.half_tokens() as i64)
    }

    /// The rotation that exchanges the halves.
    pub fn swap_halves(&self) -> Rotation {
        Rotation(self.degree as i64 / 2)
    }
}

/// `index` with its bits reversed, below a power of two `size`.
pub(crate) fn bit_reverse(index: usize, size: usize) -> usize {
    if size == 1 { index } else { index.reverse_bits() >> (usize::BITS - size.trailing_zeros()) }
}

/// Where every channel of a tensor lies: in one place, in several (replicas), or nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    module: RowModule,
    /// Shared: a decoder holds the layout of every matrix on both of its sides.
    places: Arc<[Vec<Place>]>,
    ciphertexts: usize,
}

impl Layout {
    /// Channels in coefficient rows in their natural order, filling one ciphertext after the other.
    pub fn dense(module: RowModule, channels: usize) -> Self {
        let rows = module.rows();
        let place =
            |channel: usize| Place { ciphertext: channel / rows, slot_row: module.coefficient_row(channel % rows) };
        let places = (0..channels).map(|channel| vec![place(channel)]).collect();
        Self { module, places, ciphertexts: channels.div_ceil(rows) }
    }

    /// The places of every channel.
    ///
    /// # Errors
    /// If a place lies outside a ciphertext, or two entries share one.
    pub fn new(module: RowModule, places: Vec<Vec<Place>>) -> Result<Self> {
        let mut all: Vec<Place> = places.iter().flatten().copied().collect();
        all.sort_unstable();
        if let Some(outside) = all.iter().find(|place| place.slot_row >= module.rows()) {
            let required = format!("below {}", module.rows());
            return Err(refuse("Layout::new", "slot row", outside.slot_row, required, "use further ciphertexts"));
        }
        if let Some(pair) = all.array_windows().find(|[a, b]| a == b) {
            let found = format!("{:?} twice", pair[0]);
            return Err(refuse("Layout::new", "place", found, "one entry each", "give every channel its own places"));
        }
        let ciphertexts = all.last().map_or(0, |last| last.ciphertext + 1);
        Ok(Self { module, places: places.into(), ciphertexts })
    }

    /// The geometry.
    pub fn module(&self) -> RowModule {
        self.module
    }

    /// Number of channels.
    pub fn channels(&self) -> usize {
        self.places.len()
    }

    /// Number of ciphertexts that the tensor takes.
    pub fn ciphertexts(&self) -> usize {
        self.ciphertexts
    }

    /// The places of a channel.
    ///
    /// # Panics
    /// Beyond the channels, as indexing a slice does.
    pub fn places(&self, channel: usize) -> &[Place] {
        &self.places[channel]
    }

    /// Row of the stacked module rows of all ciphertexts.
    pub fn matrix_row(&self, place: Place) -> usize {
        place.ciphertext * self.module.rows() + self.module.coefficient_row(place.slot_row)
    }

    /// Plaintexts over the slots of every ciphertext: the value of its channel in all slots of each of its places, zero elsewhere.
    ///
    /// # Errors
    /// If there is another number of values than of channels.
    pub fn channel_plains(&self, values: &[f64]) -> Result<Vec<Vec<f64>>> {
        if values.len() != self.channels() {
            let required = self.channels();
            return Err(refuse("channel_plains", "values", values.len(), required, "pass one for each channel"));
        }
        let mut plains = vec![vec![0.0; self.module.slots()]; self.ciphertexts];
        for (places, &value) in self.places.iter().zip(values) {
            for place in places {
                for half in 0..2 {
                    let first = self.module.slot(half, place.slot_row, 0);
                    plains[place.ciphertext][first..first + self.module.half_tokens()].fill(value);
                }
            }
        }
        Ok(plains)
    }

    /// Coefficient vectors of a tensor given row by row, channels x block positions; zero where nothing lies.
    ///
    /// # Errors
    /// If the tensor has another number of entries.
    pub fn pack(&self, tensor: &[f64]) -> Result<Vec<Vec<f64>>> {
        let tokens = self.module.tokens();
        if tensor.len() != self.channels() * tokens {
            let required = format!("{} channels of {tokens} tokens", self.channels());
            return Err(refuse("Layout::pack", "entries", tensor.len(), required, "give every position a token"));
        }
        let mut packed = vec![vec![0.0; self.module.slots()]; self.ciphertexts];
        for (places, row) in self.places.iter().zip(tensor.chunks_exact(tokens)) {
            for place in places {
                for (position, &entry) in row.iter().enumerate() {
                    packed[place.ciphertext][self.module.coefficient(place.slot_row, position)] = entry;
                }
            }
        }
        Ok(packed)
    }

    /// The tensor in coefficient vectors, from the first place of each channel; inverse of [`Layout::pack`].
    ///
    /// # Errors
    /// If the number or length of the vectors is another one.
    pub fn unpack(&self, packed: &[Vec<f64>]) -> Result<Vec<f64>> {
        self.unpack_with(packed, |places, read| places.first().map_or(0.0, read))
    }

    /// The tensor whose channels are the sums over their places: what a product with replicated columns computes with.
    ///
    /// # Errors
    /// As [`Layout::unpack`].
    pub fn unpack_sums(&self, packed: &[Vec<f64>]) -> Result<Vec<f64>> {
        self.unpack_with(packed, |places, read| places.iter().map(read).sum())
    }

    fn unpack_with(
        &self,
        packed: &[Vec<f64>],
        entry: impl Fn(&[Place], &dyn Fn(&Place) -> f64) -> f64,
    ) -> Result<Vec<f64>> {
        let degree = self.module.slots();
        if packed.len() != self.ciphertexts || packed.iter().any(|vector| vector.len() != degree) {
            let found = format!("{} vectors of {:?}", packed.len(), packed.first().map(Vec::len));
            let required = format!("{} of {degree}", self.ciphertexts);
            return Err(refuse("Layout::unpack", "coefficients", found, required, "use the layout it was packed with"));
        }
        let entries = self.places.iter().flat_map(|places| {
            let entry = &entry;
            (0..self.module.tokens()).map(move |position| {
                let read = |place: &Place| packed[place.ciphertext][self.module.coefficient(place.slot_row, position)];
                entry(places, &read)
            })
        });
        Ok(entries.collect())
    }
}
