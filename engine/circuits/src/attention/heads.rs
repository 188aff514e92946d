//! The layout of heads.

use crate::error::{Result, refuse};
use crate::layout::{Layout, Place, RowModule};

/// Rows of one ciphertext ordered `[channel row | replica | head]`, channel row highest; further heads in further
/// ciphertexts.
///
/// A head's channels are padded to a power of two. Channel `j` of the first half is in channel row `j` and its rotary
/// partner, `j + head_dim / 2`, half of all channel rows further, so that two rotations bring everyone's partner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadLayout {
    module: RowModule,
    heads: usize,
    head_dim: usize,
    channel_rows: usize,
    heads_per_ciphertext: usize,
    replica_rows: usize,
    replicas: usize,
}

/// An entry of a ciphertext of heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadEntry {
    /// Row of channels.
    pub channel_row: usize,
    /// Replica.
    pub replica: usize,
    /// Query head of the model.
    pub head: usize,
    /// Half of the block.
    pub half: usize,
    /// Slot token.
    pub token: usize,
}

impl HeadLayout {
    /// A layout with up to `most_replicas` replicas, as many as fit.
    ///
    /// # Errors
    /// If there is no head, `head_dim` is odd or zero, or one head does not fit into a ciphertext.
    pub fn new(module: RowModule, heads: usize, head_dim: usize, most_replicas: usize) -> Result<Self> {
        if heads == 0 {
            return Err(refuse("HeadLayout::new", "heads", 0, "at least one", "check the model's configuration"));
        }
        let (channel_rows, rows) = (head_dim.next_power_of_two(), module.rows());
        if head_dim == 0 || head_dim % 2 == 1 || channel_rows > rows {
            let required = format!("an even number, at most {rows}");
            return Err(refuse("HeadLayout::new", "head_dim", head_dim, required, "use fewer tokens or a larger ring"));
        }
        let heads_per_ciphertext = heads.next_power_of_two().min(rows / channel_rows);
        let replica_rows = rows / channel_rows / heads_per_ciphertext;
        let replicas = most_replicas.clamp(1, replica_rows);
        Ok(Self { module, heads, head_dim, channel_rows, heads_per_ciphertext, replica_rows, replicas })
    }

    /// The geometry.
    pub fn module(&self) -> RowModule {
        self.module
    }

    /// Query heads.
    pub fn heads(&self) -> usize {
        self.heads
    }

    /// Channels of a head.
    pub fn head_dim(&self) -> usize {
        self.head_dim
    }

    /// Channels of a head, padded to a power of two.
    pub fn channel_rows(&self) -> usize {
        self.channel_rows
    }

    /// Heads that share a ciphertext, idle ones included.
    pub fn heads_per_ciphertext(&self) -> usize {
        self.heads_per_ciphertext
    }

    /// Replicas in use.
    pub fn replicas(&self) -> usize {
        self.replicas
    }

    /// Ciphertexts that all heads take.
    pub fn ciphertexts(&self) -> usize {
        self.heads.div_ceil(self.heads_per_ciphertext)
    }

    /// Rows from one channel row to the next.
    pub(super) fn rows_per_channel(&self) -> usize {
        self.replica_rows * self.heads_per_ciphertext
    }

    /// Channel of a head in a channel row, if any.
    pub(super) fn channel(&self, channel_row: usize) -> Option<usize> {
        let half = self.channel_rows / 2;
        let (second, pair) = (channel_row / half, channel_row % half);
        (pair < self.head_dim / 2).then_some(second * (self.head_dim / 2) + pair)
    }

    /// The layout of a projection to `key_value_heads` heads, each repeated for the query heads that attend with it and
    /// for every replica. With as many heads as queries this is the layout of the queries, and of the attention's
    /// output, whose replicas are partial sums.
    ///
    /// # Errors
    /// Unless `key_value_heads` divides the number of query heads.
    pub fn projection(&self, key_value_heads: usize) -> Result<Layout> {
        if key_value_heads == 0 || !self.heads.is_multiple_of(key_value_heads) {
            let required = format!("a divisor of {}", self.heads);
            let remedy = "check the model's configuration";
            return Err(refuse("HeadLayout::projection", "key and value heads", key_value_heads, required, remedy));
        }
        let group = self.heads / key_value_heads;
        let mut places = vec![Vec::new(); key_value_heads * self.head_dim];
        for head in 0..self.heads {
            for channel_row in 0..self.channel_rows {
                let Some(channel) = self.channel(channel_row) else { continue };
                let places = &mut places[head / group * self.head_dim + channel];
                places.extend((0..self.replicas).map(|replica| self.place(channel_row, replica, head)));
            }
        }
        Layout::new(self.module, places)
    }

    fn place(&self, channel_row: usize, replica: usize, head: usize) -> Place {
        let slot_row =
            (channel_row * self.replica_rows + replica) * self.heads_per_ciphertext + head % self.heads_per_ciphertext;
        Place { ciphertext: head / self.heads_per_ciphertext, slot_row }
    }

    /// Every entry in use of one ciphertext with its slot, both halves; idle heads and replicas are left out.
    pub fn entries(&self, ciphertext: usize) -> impl Iterator<Item = (usize, HeadEntry)> {
        let first = ciphertext * self.heads_per_ciphertext;
        let heads = first..self.heads.min(first + self.heads_per_ciphertext);
        let rows = (0..self.channel_rows).flat_map(move |channel_row| {
            let heads = heads.clone();
            (0..self.replicas).flat_map(move |replica| heads.clone().map(move |head| (channel_row, replica, head)))
        });
        let halves = (0..2).flat_map(move |half| rows.clone().map(move |row| (half, row)));
        halves.flat_map(move |(half, (channel_row, replica, head))| {
            let first_slot = self.module.slot(half, self.place(channel_row, replica, head).slot_row, 0);
            let tokens = 0..self.module.half_tokens();
            tokens.map(move |token| (first_slot + token, HeadEntry { channel_row, replica, head, half, token }))
        })
    }

    /// A plaintext over the slots of one ciphertext: `value` for every entry in use that has one, zero elsewhere.
    pub fn plain(&self, ciphertext: usize, value: impl Fn(HeadEntry) -> Option<f64>) -> Vec<f64> {
        let mut plain = vec![0.0; self.module.slots()];
        for (slot, entry) in self.entries(ciphertext) {
            plain[slot] = value(entry).unwrap_or(0.0);
        }
        plain
    }
}
