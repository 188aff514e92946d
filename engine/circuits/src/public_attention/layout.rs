//! Where channels, keys, heads and tokens lie among the slots of the products in slots.
//!
//! From the lowest slots up,
//!
//! ```text
//! [ token, low | head of keys | channel or key | token, high | query head of it | idle | half of the tokens ]
//! ```
//!
//! with all fields powers of two, and as many high bits of the token as heads of keys have bits. A projection cannot end so, since
//! half bootstrapping leaves all tokens of a half in the lowest slots. It ends with the two fields exchanged,
//!
//! ```text
//! [ token, low | token, high | channel | head of keys | query head of it | idle | half of the tokens ]
//! ```
//!
//! and rotations by multiples of one distance exchange them: if the lower field holds `x` and the upper one `y`, the entry comes
//! from `x - y` distances away. Everything that a public key or value depends on now lies below a **period** of slots.
//!
//! Channels that do not fit into one ciphertext are in several, the two channels of a rotary pair in different ones at the same slot. A
//! block of keys has as many keys as a ciphertext has channels, in the same rows.

use std::ops::RangeInclusive;

use super::KeyRows;
use crate::error::{Result, refuse};
use crate::layout::{Layout, Place, RowModule};

/// The layout of queries, scores and outputs of the products in slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicLayout {
    module: RowModule,
    heads: usize,
    key_heads: usize,
    head_dim: usize,
    /// Heads of keys, padded to a power of two.
    key_head_rows: usize,
    /// Query heads that share a head of keys, padded likewise.
    group_rows: usize,
    /// Channels of a ciphertext, keys of a block.
    channel_rows: usize,
}

impl PublicLayout {
    /// `heads` query heads of `head_dim` channels, of which equally many attend with each of `key_heads` heads of keys.
    ///
    /// # Errors
    /// If a size is zero, `head_dim` odd, `key_heads` no divisor of `heads`, or the heads do not fit into the rows of a ciphertext.
    pub fn new(module: RowModule, heads: usize, key_heads: usize, head_dim: usize) -> Result<Self> {
        const OPERATION: &str = "PublicLayout::new";
        const REMEDY: &str = "check the model's configuration";
        if key_heads == 0 || heads == 0 || !heads.is_multiple_of(key_heads) {
            let required = format!("a positive multiple of {key_heads} heads of keys");
            return Err(refuse(OPERATION, "query heads", heads, required, REMEDY));
        }
        if head_dim == 0 || head_dim % 2 == 1 {
            return Err(refuse(OPERATION, "head_dim", head_dim, "an even number of channels", REMEDY));
        }
        let (key_head_rows, group_rows) = (key_heads.next_power_of_two(), (heads / key_heads).next_power_of_two());
        let (all, rows) = (key_head_rows * group_rows, module.rows());
        if all > rows || key_head_rows > module.half_tokens() {
            let required = format!("at most {rows} rows, heads of keys in at most {}", module.half_tokens());
            let remedy = "use another block size or a larger ring";
            let found = format!("{key_head_rows} x {group_rows} rows");
            return Err(refuse(OPERATION, "heads, padded to powers of two", found, required, remedy));
        }
        let channel_rows = (rows / all).min(head_dim.next_power_of_two() / 2);
        Ok(Self { module, heads, key_heads, head_dim, key_head_rows, group_rows, channel_rows })
    }

    /// The geometry.
    pub fn module(&self) -> RowModule {
        self.module
    }

    /// Query heads.
    pub fn heads(&self) -> usize {
        self.heads
    }

    /// Heads of keys.
    pub fn key_heads(&self) -> usize {
        self.key_heads
    }

    /// Channels of a head.
    pub fn head_dim(&self) -> usize {
        self.head_dim
    }

    /// Channels of every head in one ciphertext, and keys of a block.
    pub fn channel_rows(&self) -> usize {
        self.channel_rows
    }

    /// Ciphertexts of queries, and of outputs.
    pub fn ciphertexts(&self) -> usize {
        self.head_dim.next_power_of_two() / self.channel_rows
    }

    /// Query heads that share a head of keys.
    fn group(&self) -> usize {
        self.heads / self.key_heads
    }

    /// The head of keys of a query head.
    pub fn key_head(&self, head: usize) -> usize {
        head / self.group()
    }

    /// The channel in a row of channels of a ciphertext, if any: the first channels of all pairs in the first half of the ciphertexts, the
    /// second ones, each at its partner's slot, in the others.
    pub fn channel(&self, ciphertext: usize, row: usize) -> Option<usize> {
        let half = self.ciphertexts() / 2;
        let (second, pair) = (ciphertext / half, ciphertext % half * self.channel_rows + row);
        (pair < self.head_dim / 2).then_some(second * (self.head_dim / 2) + pair)
    }

    /// The ciphertext with the partners of a ciphertext's channels.
    pub(super) fn partner(&self, ciphertext: usize) -> usize {
        (ciphertext + self.ciphertexts() / 2) % self.ciphertexts()
    }

    /// Slots that share a head of keys and a row in the public layout: the low field of the token.
    pub(super) fn run(&self) -> usize {
        self.module.half_tokens() / self.key_head_rows
    }

    /// Numbers of a plaintext that depends on the head of keys and on the row alone.
    pub(super) fn numbers(&self) -> usize {
        self.key_head_rows * self.channel_rows
    }

    /// Which of these numbers belongs to a head of keys and a row.
    pub(super) fn number(&self, key_head: usize, row: usize) -> usize {
        row * self.key_head_rows + key_head
    }

    /// The slot of an entry of a query head at a block position, in the public layout.
    pub fn slot(&self, head: usize, row: usize, position: usize) -> usize {
        let (half, token) = self.module.half_and_token(position);
        let (high, low) = (token / self.run(), token % self.run());
        self.assembled(half, head, [low, self.key_head(head), row, high])
    }

    /// The slot of the same entry as a projection leaves it.
    pub fn projected_slot(&self, head: usize, row: usize, position: usize) -> usize {
        let (half, token) = self.module.half_and_token(position);
        let (high, low) = (token / self.run(), token % self.run());
        self.assembled(half, head, [low, high, row, self.key_head(head)])
    }

    fn assembled(&self, half: usize, head: usize, [low, second, row, fourth]: [usize; 4]) -> usize {
        let index = head % self.group() * self.key_head_rows + fourth;
        let index = (index * self.channel_rows + row) * self.key_head_rows + second;
        self.module.slot(half, 0, index * self.run() + low)
    }

    /// Slots from an entry to the one whose two exchanged fields differ from its own by one up and one down.
    fn exchange_distance(&self) -> i64 {
        let upper = self.module.half_tokens() * self.channel_rows;
        (upper - self.run()) as i64
    }

    /// By how many distances entries move when the fields are exchanged.
    pub(super) fn exchange_moves(&self) -> RangeInclusive<i64> {
        let most = self.key_head_rows as i64 - 1;
        -most..=most
    }

    /// All distances by which entries move when the fields are exchanged, in slots; either way.
    pub fn exchange_steps(&self) -> Vec<i64> {
        self.exchange_moves().map(|moves| moves * self.exchange_distance()).collect()
    }

    /// From how many distances away the entry of a slot comes: the lower field less the upper one.
    pub(super) fn moves_to(&self, slot: usize) -> i64 {
        let lower = slot / self.run() % self.key_head_rows;
        let upper = slot / (self.run() * self.numbers()) % self.key_head_rows;
        lower as i64 - upper as i64
    }

    /// The layout in which a projection of the queries ends and one from the outputs begins: head after head, channel after
    /// channel.
    ///
    /// # Errors
    /// None for a valid layout.
    pub fn projection(&self) -> Result<Layout> {
        let mut places = vec![Vec::new(); self.heads * self.head_dim];
        for head in 0..self.heads {
            for ciphertext in 0..self.ciphertexts() {
                for row in 0..self.channel_rows {
                    let Some(channel) = self.channel(ciphertext, row) else { continue };
                    let slot_row = self.module.slot_row(self.projected_slot(head, row, 0));
                    places[head * self.head_dim + channel].push(Place { ciphertext, slot_row });
                }
            }
        }
        Layout::new(self.module, places)
    }

    /// Ciphertexts of scores of so many keys.
    pub fn key_blocks(&self, keys: usize) -> usize {
        keys.div_ceil(self.channel_rows)
    }

    /// Where so many keys lie in the ciphertexts of scores.
    pub fn key_rows(&self, keys: usize) -> KeyRows {
        let live = self.plain(|_, _, _| 1.0).into();
        KeyRows { module: self.module, stride: 1, rows: self.channel_rows, keys, live, reversed: false }
    }

    /// A plaintext in the public layout: `value(head, row, position)` for every entry of a query head, zero in idle slots.
    pub fn plain(&self, value: impl Fn(usize, usize, usize) -> f64) -> Vec<f64> {
        let mut plain = vec![0.0; self.module.slots()];
        for head in 0..self.heads {
            for row in 0..self.channel_rows {
                for position in 0..self.module.tokens() {
                    plain[self.slot(head, row, position)] = value(head, row, position);
                }
            }
        }
        plain
    }
}
