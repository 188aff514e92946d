//! What brings queries, keys and values to their places: from the product with one token's vector, and from a block of tokens.
//!
//! Both are sparse maps of slots, with rotary positions and the factors of the channels in their entries: a level, whatever these are. How
//! few rotations they take is a matter of the order of rows of the weights.

use fhe_ckks::{CircuitShape, Evaluator};

use super::{CacheLayout, KeyValueCache, PublicPages};
use crate::attention::RotaryAngles;
use crate::channel_factors::ChannelFactors;
use crate::error::{Result, refuse};
use crate::layout::{Layout, Place, RowModule};
use crate::prefix_rows::PrefixRows;
use crate::sparse_map::{SlotEntry, SlotPlace, SparseMap, fewest_rotations};
use crate::vector_product::VectorLayout;

/// A term of a rotated channel: the channel of the head that it comes from, and its factor.
type Term = (usize, f64);

/// The terms of a channel of a head with its rotary position.
fn rotated(angles: &RotaryAngles, position: usize, channel: usize) -> Vec<Term> {
    let [own, partner] = angles.turn(position, channel);
    vec![(channel, own), (angles.partner(channel), partner)]
}

const _: () = assert!(CacheLayout::KEPT_LEVELS == CacheLayout::VALUE_LEVELS + CacheLayout::PLACEMENT_LEVELS);

impl CacheLayout {
    /// Levels of a map to or from the places of heads.
    pub const PLACEMENT_LEVELS: usize = 1;

    /// Channels of one product that gives queries, keys and values, in this order.
    pub fn projected_channels(&self) -> usize {
        (self.heads + 2 * self.key_value_heads) * self.head_dim
    }

    /// Such a product, of a vector in this layout, with its rows in an order that [`CacheLayout::placement`] has few rotations for.
    ///
    /// # Errors
    /// Those of [`VectorLayout::product_towards`].
    pub fn projection(&self, input: &VectorLayout) -> Result<VectorLayout> {
        let targets = (0..self.projected_channels()).map(|channel| SlotPlace { ciphertext: 0, ..self.target(channel) });
        input.product_towards(&targets.collect::<Vec<_>>())
    }

    /// The tensor, queries, keys or values, and the slot that a projected channel goes to.
    fn target(&self, channel: usize) -> SlotPlace {
        let (head, within) = (channel / self.head_dim, channel % self.head_dim);
        let (keys, values) = (self.heads, self.heads + self.key_value_heads);
        match head {
            head if head < keys => SlotPlace { ciphertext: 0, slot: self.query_slot(head, within) },
            head if head < values => SlotPlace { ciphertext: 1, slot: self.key_slot(head - keys, within) },
            head => SlotPlace { ciphertext: 2, slot: self.value_slot(head - values, within) },
        }
    }

    /// The map from a product in the layout of [`CacheLayout::projection`] to queries, keys and values of one token, the former two with their
    /// rotary position, the only one of `angles`; every channel is multiplied by its factor on the way.
    ///
    /// # Errors
    /// If there is another number of channels, factors or angles.
    pub fn placement(
        &self,
        projection: &VectorLayout,
        angles: &RotaryAngles,
        factors: &ChannelFactors,
    ) -> Result<SparseMap> {
        const OPERATION: &str = "CacheLayout::placement";
        let channels = self.projected_channels();
        if projection.channels() != channels {
            let remedy = "project to queries, keys and values at once";
            return Err(refuse(OPERATION, "channels", projection.channels(), channels, remedy));
        }
        factors.check(OPERATION, channels)?;
        angles.check(1, self.head_dim)?;
        let places = projection.slot_places();
        let rotates = (self.heads + self.key_value_heads) * self.head_dim;
        let entries = (0..channels).flat_map(|channel| {
            let (first, within) = (channel / self.head_dim * self.head_dim, channel % self.head_dim);
            let terms = if channel < rotates { rotated(angles, 0, within) } else { vec![(within, 1.0)] };
            let (places, to) = (&places, self.target(channel));
            terms.into_iter().map(move |(from, factor)| SlotEntry {
                from: places[first + from],
                to,
                factor: factor * factors.of(first + from),
            })
        });
        SparseMap::new(self.slots, entries)
    }

    /// The vector that [`CacheLayout::weighted_values`] are multiplied as, in parts of so many channels, in an order that the map to it has few
    /// rotations for; and that map.
    ///
    /// # Errors
    /// Those of [`VectorLayout::in_blocks`] and [`SparseMap::new`].
    pub fn output(&self, shape: &CircuitShape, block: usize) -> Result<(VectorLayout, SparseMap)> {
        let channels = self.heads * self.head_dim;
        let from = |channel: usize| SlotPlace {
            ciphertext: channel / self.head_dim % self.group(),
            slot: self.query_slot(channel / self.head_dim, channel % self.head_dim),
        };
        let input = VectorLayout::in_blocks(shape, channels, block)?;
        let sources: Vec<SlotPlace> =
            (0..channels).map(|channel| SlotPlace { ciphertext: 0, ..from(channel) }).collect();
        let input = input.reordered(&fewest_rotations(self.slots, &input.slot_places(), &sources)?)?;
        let places = input.slot_places();
        let entries = (0..channels).map(|channel| SlotEntry { from: from(channel), to: places[channel], factor: 1.0 });
        let map = SparseMap::new(self.slots, entries)?;
        Ok((input, map))
    }
}

/// The way from the projections of a block of tokens to a cache.
///
/// With `r` rows a ciphertext and the rows of weights in the order `[channel | key and value head | idle]`, a ciphertext holds as many channels as
/// half of the cache's rows, once for the tokens of either half: three rotations bring each of two ciphertexts to their places, rotary positions
/// included, which pair channels that share a row.
#[derive(Clone, Debug)]
pub struct CacheFill {
    cache: CacheLayout,
    projection: Layout,
    /// Block positions in the cache: the first of the block.
    length: usize,
    /// Public tokens before them.
    public: usize,
}

impl CacheFill {
    /// The first `length` positions of a block become the tokens of a cache, behind so many `public` ones.
    ///
    /// # Errors
    /// If the block has fewer positions, or there is none.
    pub fn new(cache: &CacheLayout, module: RowModule, public: usize, length: usize) -> Result<Self> {
        if length == 0 || length > module.tokens() {
            let required = format!("1 to {}", module.tokens());
            return Err(refuse("CacheFill::new", "tokens", length, required, "cache the tokens of a block"));
        }
        let idle = (cache.tokens / module.half_tokens()).max(1);
        let place = |head: usize, channel: usize| {
            let row = (channel * cache.head_rows + head) * idle;
            vec![Place { ciphertext: row / module.rows(), slot_row: row % module.rows() }]
        };
        let heads = (0..cache.key_value_heads).flat_map(|head| (0..cache.head_dim).map(move |channel| (head, channel)));
        let projection = Layout::new(module, heads.map(|(head, channel)| place(head, channel)).collect())?;
        Ok(Self { cache: cache.clone(), projection, length, public })
    }

    /// The layout of the projection to keys, and of that to values.
    pub fn projection(&self) -> &Layout {
        &self.projection
    }

    /// The cache's layout.
    pub fn cache(&self) -> &CacheLayout {
        &self.cache
    }

    /// Number of cached tokens of the block.
    pub fn length(&self) -> usize {
        self.length
    }

    /// The cache of projected keys and values, every channel times its factor: a level. Keys take the rotary positions of the block; the first
    /// positions are those of a public prefix, whose rows are added, and so are public tokens before them that share a ciphertext.
    ///
    /// # Errors
    /// If factors, angles, prefix or pages are of another model or block; those of the evaluator.
    pub fn fill<E: Evaluator>(
        &self,
        e: &E,
        [keys, values]: [&[E::Slots]; 2],
        angles: &RotaryAngles,
        [key_factors, value_factors]: [&ChannelFactors; 2],
        ([prefix_keys, prefix_values], public): ([&PrefixRows; 2], &PublicPages),
    ) -> Result<KeyValueCache<E::Slots>> {
        public.check("CacheFill::fill", self.public)?;
        angles.check(self.projection.module().tokens(), self.cache.head_dim)?;
        let turned = |channel: usize, position: usize| rotated(angles, position, channel);
        let mut keys = self.filled(e, keys, key_factors, prefix_keys, turned)?;
        let mut values = self.filled(e, values, value_factors, prefix_values, |channel, _| vec![(channel, 1.0)])?;
        if let Some([key_rest, value_rest]) = &public.rest {
            for (first, rest) in [(keys.first_mut(), key_rest), (values.first_mut(), value_rest)] {
                if let Some(first) = first {
                    *first = e.add_plain(first, rest)?;
                }
            }
        }
        self.cache.cache_behind(keys, values, self.public, self.public + self.length)
    }

    fn filled<E: Evaluator>(
        &self,
        e: &E,
        tensor: &[E::Slots],
        factors: &ChannelFactors,
        prefix: &PrefixRows,
        terms: impl Fn(usize, usize) -> Vec<Term>,
    ) -> Result<Vec<E::Slots>> {
        const OPERATION: &str = "CacheFill::fill";
        let CacheLayout { slots, key_value_heads, head_dim, tokens, .. } = self.cache;
        let (module, channels) = (self.projection.module(), key_value_heads * head_dim);
        factors.check(OPERATION, channels)?;
        prefix.check(OPERATION, channels, self.length)?;
        let to = |channel: usize, position: usize| {
            let token = self.public % tokens + position;
            let slot = self.cache.slot(channel % head_dim, channel / head_dim, token % tokens);
            SlotPlace { ciphertext: token / tokens, slot }
        };
        let from = |channel: usize, position: usize| {
            let Place { ciphertext, slot_row } = self.projection.places(channel)[0];
            let (half, token) = module.half_and_token(position);
            SlotPlace { ciphertext, slot: module.slot(half, slot_row, token) }
        };
        let mut entries = Vec::new();
        let pairs = (0..channels).flat_map(|channel| (0..self.length).map(move |position| (channel, position)));
        for (channel, position) in pairs.filter(|(_, position)| !prefix.covers(*position)) {
            let first = channel / head_dim * head_dim;
            entries.extend(terms(channel % head_dim, position).into_iter().map(|(within, factor)| SlotEntry {
                from: from(first + within, position),
                to: to(channel, position),
                factor: factor * factors.of(first + within),
            }));
        }
        let mut filled = SparseMap::new(slots, entries)?.apply(e, tensor)?;
        if !prefix.is_empty() {
            let mut plains = vec![vec![0.0; slots]; filled.len()];
            for channel in 0..channels {
                for position in 0..prefix.positions() {
                    let SlotPlace { ciphertext, slot } = to(channel, position);
                    plains[ciphertext][slot] = prefix.at(channel, position);
                }
            }
            for (ciphertext, plain) in filled.iter_mut().zip(&plains) {
                *ciphertext = e.add_plain(ciphertext, plain)?;
            }
        }
        Ok(filled)
    }
}
