//! The transform on doubles, in vectors of four or eight.
//!
//! Words are doubles in place from the first loop to the last. Layers go through memory two at a time, and once parts fit into a first-level
//! cache, each is finished before the next begins. The last three layers, whose butterflies lie within eight words, are done on eight
//! nodes at once: transposed, they are butterflies between vectors as well.

use super::tables::Twiddles;
use crate::{
    Modulus,
    doubles::{Doubles, Octet, WIDTH, centred, doubles, instances},
};

/// Words of a leaf: of the eight nodes that are finished together.
const LEAF: usize = WIDTH * WIDTH;
/// Binary logarithm of the smallest degree: two leaves, so that a layer alone leaves parts of whole leaves.
pub(super) const LOG_LEAST: u32 = LEAF.ilog2() + 1;

/// Words of a part, at most: 16 KiB, and as much for its factors.
const PART: usize = 1 << 11;

/// Largest primes, in bits, for which values may grow by `3/4 p` in each of 17 layers, from `2p`: `17 p < 2^51`, and factors are at most
/// `p/2`.
const UNREDUCED_BITS: u32 = 46;

/// The tables of the transform of one ring modulo one prime.
pub(super) struct DoublesTransform {
    modulus: Modulus,
    forward: Direction,
    inverse: Direction,
    normalisation: f64,
    imaginary_unit: f64,
}

/// The factors of one direction.
struct Direction {
    /// The heap of nodes above the leaves.
    nodes: Vec<f64>,
    /// Of each leaf: one, two and four factors of each of its nodes, side by side.
    leaves: Vec<LeafFactors>,
}

/// Bits of doubles: the factors of the layer of distance 4, of the two nodes of distance 2, of the four of distance 1.
type LeafFactors = [[u64; WIDTH]; 7];

impl Direction {
    fn new(modulus: &Modulus, heap: &[u64]) -> Self {
        let count = heap.len() / LEAF;
        let leaf = |leaf: usize| {
            std::array::from_fn(|position| {
                let nodes = 1 << (position + 1).ilog2();
                std::array::from_fn(|lane| {
                    let node = (leaf * WIDTH + lane) * nodes + position + 1 - nodes;
                    centred(modulus, heap[count * WIDTH * nodes + node]).to_bits()
                })
            })
        };
        Self {
            nodes: heap[..heap.len() / WIDTH].iter().map(|&x| centred(modulus, x)).collect(),
            leaves: (0..count).map(leaf).collect(),
        }
    }
}

impl DoublesTransform {
    pub(super) fn new(modulus: &Modulus, twiddles: &Twiddles) -> Self {
        Self {
            modulus: *modulus,
            forward: Direction::new(modulus, &twiddles.forward),
            inverse: Direction::new(modulus, &twiddles.inverse),
            normalisation: centred(modulus, twiddles.normalisation),
            imaginary_unit: centred(modulus, twiddles.imaginary_unit),
        }
    }
}

instances! {
    forward(transform: &DoublesTransform, words: &mut [u64], fold: bool);
    inverse(transform: &DoublesTransform, words: &mut [u64], unfold: bool);
}

/// Residues of `0..p` in and out; folded first, for the conjugate-invariant ring: `d_k = c_k - I c_(N-k)`.
#[inline(always)]
fn forward<V: Octet>(transform: &DoublesTransform, words: &mut [u64], fold: bool) {
    let DoublesTransform { modulus, forward, .. } = transform;
    assert!(words.len() == LEAF * forward.leaves.len());
    let arithmetic = Doubles::<V>::new(modulus);
    for word in octets(words) {
        *word = doubles::<V>(word).to_bits();
    }
    if fold {
        add_mirrored(arithmetic, words, -transform.imaginary_unit);
    }
    if modulus.bits() > UNREDUCED_BITS {
        Forward::<V, true>(arithmetic).tree(words, forward);
    } else {
        Forward::<V, false>(arithmetic).tree(words, forward);
    }
}

/// Residues of `0..p` in and out, multiplied by the normalisation; unfolded in the end, for the conjugate-invariant ring:
/// `2 c_k = d_k + I d_(N-k)`, and `c_0 = d_0`.
#[inline(always)]
fn inverse<V: Octet>(transform: &DoublesTransform, words: &mut [u64], unfold: bool) {
    let DoublesTransform { modulus, inverse, .. } = transform;
    assert!(words.len() == LEAF * inverse.leaves.len());
    let arithmetic = Doubles::<V>::new(modulus);
    Inverse(arithmetic).tree(words, inverse);
    if unfold {
        words[0] = (2.0 * f64::from_bits(words[0])).to_bits();
        add_mirrored(arithmetic, words, transform.imaginary_unit);
    }
    let normalisation = V::splat(transform.normalisation);
    for word in octets(words) {
        *word = arithmetic.residues(arithmetic.product(V::from_bits(word), normalisation));
    }
}

/// Adds `unit` times the word `N - k` to each word `k > 0`.
#[inline(always)]
fn add_mirrored<V: Octet>(arithmetic: Doubles<V>, words: &mut [u64], unit: f64) {
    let unit = V::splat(unit);
    let middle = words.len() / 2;
    // The last pair of octets has the middle word in common: both leave the same there.
    for k in (1..middle).step_by(WIDTH) {
        let mirror = words.len() + 1 - WIDTH - k;
        let (low, high): (V, V) = (V::from_bits(octet(words, k)), V::from_bits(octet(words, mirror)).reverse());
        *octet(words, k) = low.add(arithmetic.product(high, unit)).to_bits();
        *octet(words, mirror) = high.add(arithmetic.product(low, unit)).reverse().to_bits();
    }
}

/// How the layers above the leaves are taken: one alone if their number is odd, two at a time over all words, two at a time over each part.
struct Layers {
    /// 1 if there is one alone.
    first: u32,
    /// Where parts begin.
    whole: u32,
    /// Where leaves begin, eight nodes of which are one.
    all: u32,
}

impl Layers {
    #[inline(always)]
    fn of(degree: usize) -> Self {
        let all = (degree / WIDTH).ilog2();
        let first = all % 2;
        let parts = (degree >> first).div_ceil(PART).ilog2();
        Self { first, whole: first + parts.next_multiple_of(2), all }
    }
}

/// The butterflies of one direction.
trait Butterflies<V: Octet>: Copy {
    fn pair(self, x: &mut V, y: &mut V, factor: V);
    /// Two layers on the quarters of a node: its own factor, and those of its halves.
    fn four(self, quarters: [&mut V; 4], factors: [V; 3]);
}

/// Coefficients to values. `REDUCE`: the left input is reduced, so that values stay below `3/2 p`; otherwise they grow by less than `p`
/// per layer, which primes of at most [`UNREDUCED_BITS`] have room for.
#[derive(Clone, Copy)]
struct Forward<V, const REDUCE: bool>(Doubles<V>);

impl<V: Octet, const REDUCE: bool> Butterflies<V> for Forward<V, REDUCE> {
    #[inline(always)]
    fn pair(self, x: &mut V, y: &mut V, factor: V) {
        let product = self.0.product(*y, factor);
        let left = if REDUCE { self.0.reduce(*x) } else { *x };
        (*x, *y) = (left.add(product), left.sub(product));
    }

    #[inline(always)]
    fn four(self, [a, b, c, d]: [&mut V; 4], [own, left, right]: [V; 3]) {
        self.pair(a, c, own);
        self.pair(b, d, own);
        self.pair(a, b, left);
        self.pair(c, d, right);
    }
}

impl<V: Octet, const REDUCE: bool> Forward<V, REDUCE> {
    #[inline(always)]
    fn tree(self, words: &mut [u64], factors: &Direction) {
        let Layers { first, whole, all } = Layers::of(words.len());
        if first == 1 {
            one_layer(self, words, factors);
        }
        for layer in (first..whole).step_by(2) {
            two_layers(self, words, 1 << layer, 1 << layer, factors);
        }
        let part = words.len() >> whole;
        for (i, words) in words.chunks_exact_mut(part).enumerate() {
            for layer in (whole..all).step_by(2) {
                let nodes = 1 << (layer - whole);
                two_layers(self, words, nodes, (1 << layer) + i * nodes, factors);
            }
            let leaves = &factors.leaves[i * part / LEAF..];
            for (words, factors) in words.as_chunks_mut().0.iter_mut().zip(leaves) {
                self.leaf(words, factors);
            }
        }
    }

    /// The last three layers, and residues again.
    #[inline(always)]
    fn leaf(self, words: &mut [u64; LEAF], factors: &LeafFactors) {
        let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = nodes::<V>(words);
        let upper = [V::from_bits(&factors[0]), V::from_bits(&factors[1]), V::from_bits(&factors[2])];
        self.four([&mut a, &mut c, &mut e, &mut g], upper);
        self.four([&mut b, &mut d, &mut f, &mut h], upper);
        self.pair(&mut a, &mut b, V::from_bits(&factors[3]));
        self.pair(&mut c, &mut d, V::from_bits(&factors[4]));
        self.pair(&mut e, &mut f, V::from_bits(&factors[5]));
        self.pair(&mut g, &mut h, V::from_bits(&factors[6]));
        let values = V::transpose([a, b, c, d, e, f, g, h]);
        for (word, value) in octets(words).iter_mut().zip(values) {
            *word = self.0.residues(self.0.reduce(value));
        }
    }
}

/// Values to coefficients: sums are reduced, so that all stays between `-p` and `p`.
#[derive(Clone, Copy)]
struct Inverse<V>(Doubles<V>);

impl<V: Octet> Butterflies<V> for Inverse<V> {
    #[inline(always)]
    fn pair(self, x: &mut V, y: &mut V, factor: V) {
        (*x, *y) = (self.0.reduce(x.add(*y)), self.0.product(x.sub(*y), factor));
    }

    #[inline(always)]
    fn four(self, [a, b, c, d]: [&mut V; 4], [own, left, right]: [V; 3]) {
        self.pair(a, b, left);
        self.pair(c, d, right);
        self.pair(a, c, own);
        self.pair(b, d, own);
    }
}

impl<V: Octet> Inverse<V> {
    #[inline(always)]
    fn tree(self, words: &mut [u64], factors: &Direction) {
        let Layers { first, whole, all } = Layers::of(words.len());
        let part = words.len() >> whole;
        for (i, words) in words.chunks_exact_mut(part).enumerate() {
            let leaves = &factors.leaves[i * part / LEAF..];
            for (words, factors) in words.as_chunks_mut().0.iter_mut().zip(leaves) {
                self.leaf(words, factors);
            }
            for layer in (whole..all).step_by(2).rev() {
                let nodes = 1 << (layer - whole);
                two_layers(self, words, nodes, (1 << layer) + i * nodes, factors);
            }
        }
        for layer in (first..whole).step_by(2).rev() {
            two_layers(self, words, 1 << layer, 1 << layer, factors);
        }
        if first == 1 {
            one_layer(self, words, factors);
        }
    }

    /// From residues, the first three layers.
    #[inline(always)]
    fn leaf(self, words: &mut [u64; LEAF], factors: &LeafFactors) {
        for word in octets(words) {
            *word = doubles::<V>(word).to_bits();
        }
        let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = nodes::<V>(words);
        let upper = [V::from_bits(&factors[0]), V::from_bits(&factors[1]), V::from_bits(&factors[2])];
        self.pair(&mut a, &mut b, V::from_bits(&factors[3]));
        self.pair(&mut c, &mut d, V::from_bits(&factors[4]));
        self.pair(&mut e, &mut f, V::from_bits(&factors[5]));
        self.pair(&mut g, &mut h, V::from_bits(&factors[6]));
        self.four([&mut a, &mut c, &mut e, &mut g], upper);
        self.four([&mut b, &mut d, &mut f, &mut h], upper);
        let values = V::transpose([a, b, c, d, e, f, g, h]);
        for (word, value) in octets(words).iter_mut().zip(values) {
            *word = value.to_bits();
        }
    }
}

/// The root's layer.
#[inline(always)]
fn one_layer<V: Octet>(butterflies: impl Butterflies<V>, words: &mut [u64], factors: &Direction) {
    let factor = V::splat(factors.nodes[1]);
    for [x, y] in pairs(words) {
        let (mut a, mut b) = (V::from_bits(x), V::from_bits(y));
        butterflies.pair(&mut a, &mut b, factor);
        (*x, *y) = (a.to_bits(), b.to_bits());
    }
}

/// Two layers of neighbouring nodes, from the one at position `first` of the heap on.
#[inline(always)]
fn two_layers<V: Octet>(
    butterflies: impl Butterflies<V>,
    words: &mut [u64],
    nodes: usize,
    first: usize,
    factors: &Direction,
) {
    let heap = &factors.nodes;
    let size = words.len() / nodes;
    for (node, words) in (first..).zip(words.chunks_exact_mut(size)) {
        let factors = [V::splat(heap[node]), V::splat(heap[2 * node]), V::splat(heap[2 * node + 1])];
        for [w, x, y, z] in fours(words) {
            let (mut a, mut b, mut c, mut d) = (V::from_bits(w), V::from_bits(x), V::from_bits(y), V::from_bits(z));
            butterflies.four([&mut a, &mut b, &mut c, &mut d], factors);
            (*w, *x, *y, *z) = (a.to_bits(), b.to_bits(), c.to_bits(), d.to_bits());
        }
    }
}

/// A leaf by the places of its words in their nodes, nodes side by side.
#[inline(always)]
fn nodes<V: Octet>(words: &[u64; LEAF]) -> [V; WIDTH] {
    let [a, b, c, d, e, f, g, h] = words.as_chunks().0 else { unreachable!("a leaf is eight octets") };
    let from = V::from_bits;
    V::transpose([from(a), from(b), from(c), from(d), from(e), from(f), from(g), from(h)])
}

#[inline(always)]
fn octets(words: &mut [u64]) -> &mut [[u64; WIDTH]] {
    words.as_chunks_mut().0
}

/// Eight words from `start` on.
#[inline(always)]
fn octet(words: &mut [u64], start: usize) -> &mut [u64; WIDTH] {
    words[start..].first_chunk_mut().expect("the middle of a polynomial is a multiple of eight")
}

/// The octets of equal index in both halves.
#[inline(always)]
fn pairs(words: &mut [u64]) -> impl Iterator<Item = [&mut [u64; WIDTH]; 2]> {
    let (left, right) = words.split_at_mut(words.len() / 2);
    octets(left).iter_mut().zip(octets(right)).map(|(x, y)| [x, y])
}

/// The octets of equal index in all four quarters.
#[inline(always)]
fn fours(words: &mut [u64]) -> impl Iterator<Item = [&mut [u64; WIDTH]; 4]> {
    let (left, right) = words.split_at_mut(words.len() / 2);
    pairs(left).zip(pairs(right)).map(|([w, x], [y, z])| [w, x, y, z])
}
