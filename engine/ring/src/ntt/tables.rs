//! Roots of unity and the order of the values.
//!
//! Both ring kinds run the same tree. Let `w` be a root of order `4N` modulo the prime. The root node is the polynomial
//! `X^N - w^t` with `t = 2N` in the cyclotomic ring (`X^N + 1`) and `t = N` for the half `X^N - I`, `I = w^N`, of
//! `X^2N + 1` that determines a conjugate-invariant polynomial. A node `X^n - w^t` has the children
//! `X^(n/2) - w^(t/2)` and `X^(n/2) - w^(t/2 + 2N)`, and a leaf `X - w^e` stands for the value at `w^e`.
//!
//! Unfolding the recursion, the butterfly of node `k` at depth `d` multiplies by `R[s 2^d + k]`, where `R` is the
//! bit-reversed table of powers, `R[0] = 1`, `R[len + j] = R[j] w^(N/len)` for `j < len`, and `s` is 1 in the
//! cyclotomic and 2 in the conjugate-invariant ring.

use crate::{Modulus, Ring, RingKind, primes::primitive_root};

/// The exponent `e` of `w` (of order `4N`) at whose power the value with the given index is taken:
/// `2 (1 + 2 brv(index))` in the cyclotomic ring, `1 + 4 brv(index)` in the conjugate-invariant one.
pub fn root_exponent(ring: Ring, index: usize) -> u64 {
    let reversed = bit_reverse(index, ring.log_degree) as u64;
    match ring.kind {
        RingKind::Cyclotomic => 2 + 4 * reversed,
        RingKind::ConjugateInvariant => 1 + 4 * reversed,
    }
}

/// The index of the value at `w^exponent`: the inverse of [`root_exponent`]. In the conjugate-invariant ring `w^e` and
/// `w^-e` give the same value, and every odd exponent has an index.
pub fn root_index(ring: Ring, exponent: u64) -> usize {
    let order = 4 * ring.degree() as u64;
    let exponent = match ring.kind {
        RingKind::ConjugateInvariant if exponent % 4 == 3 => order - exponent % order,
        _ => exponent % order,
    };
    bit_reverse((exponent / 4) as usize, ring.log_degree)
}

/// Reverses the low `bits` bits of `index`.
pub(crate) fn bit_reverse(index: usize, bits: u32) -> usize {
    if bits == 0 { 0 } else { index.reverse_bits() >> (usize::BITS - bits) }
}

/// The twiddle factors of one ring modulo one prime.
pub struct Twiddles {
    /// Node `k` of depth `d` at position `2^d + k`; position 0 is unused.
    pub forward: Vec<u64>,
    /// Inverses of `forward`.
    pub inverse: Vec<u64>,
    /// `w^(N/2)`, of order eight: the factors of the three layers below a node of eight words are the powers `g^4`, `g^2`
    /// and `g` of one root and their products with powers of this one.
    pub eighth_root: u64,
    /// `I = w^N`, of order four, also that of the fold `d_k = c_k - I c_(N-k)`.
    pub imaginary_unit: u64,
    /// What makes the inverse transform normalised: `1/N`, for the conjugate-invariant ring (whose unfolding halves)
    /// `1/(2N)`.
    pub normalisation: u64,
}

impl Twiddles {
    /// The twiddle factors, or `None` if the prime is not 1 modulo `4N`.
    pub fn new(ring: Ring, modulus: &Modulus) -> Option<Self> {
        let degree = ring.degree() as u64;
        let root = primitive_root(modulus, 4 * degree)?;
        let inverse_root = modulus.inverse(root)?;
        let divisor = match ring.kind {
            RingKind::Cyclotomic => degree,
            RingKind::ConjugateInvariant => 2 * degree,
        };
        Some(Self {
            forward: tree(ring, modulus, root),
            inverse: tree(ring, modulus, inverse_root),
            eighth_root: modulus.pow(root, degree / 2),
            imaginary_unit: modulus.pow(root, degree),
            normalisation: modulus.inverse(modulus.reduce(divisor))?,
        })
    }
}

impl Twiddles {
    /// Those of the same tree for `X^length - 1`, a power of two from 2 on: its root node has the exponent 0, and the value at the leaf with
    /// a given index is taken at `u^brv(index)`, `u` of order `length`. `None` if there is no such root.
    pub(crate) fn cyclic(length: usize, modulus: &Modulus) -> Option<Self> {
        let root = primitive_root(modulus, length as u64)?;
        let inverse_root = modulus.inverse(root)?;
        let heap = |root| {
            // The factor of node k does not depend on its depth: u^brv(k), reversed within the nodes of the lowest depth.
            let bits = length.ilog2() - 1;
            let lowest: Vec<u64> = (0..length / 2).map(|k| modulus.pow(root, bit_reverse(k, bits) as u64)).collect();
            let mut heap = vec![0; length];
            for depth in 0..=bits {
                let nodes = 1 << depth;
                heap[nodes..2 * nodes].copy_from_slice(&lowest[..nodes]);
            }
            heap
        };
        Some(Self {
            forward: heap(root),
            inverse: heap(inverse_root),
            // Roots of higher order serve other implementations and need not exist here.
            eighth_root: 1,
            imaginary_unit: 1,
            normalisation: modulus.inverse(modulus.reduce(length as u64))?,
        })
    }
}

/// The heap of twiddle factors for the root `w`, by the doubling rule of the module's introduction.
fn tree(ring: Ring, modulus: &Modulus, root: u64) -> Vec<u64> {
    let degree = ring.degree();
    let start = match ring.kind {
        RingKind::Cyclotomic => 1,
        RingKind::ConjugateInvariant => 2,
    };
    let mut powers = vec![1u64; start * degree];
    let mut len = 1;
    while len < powers.len() {
        let step = modulus.pow(root, (degree / len) as u64);
        let quotient = modulus.shoup_quotient(step);
        let (known, next) = powers.split_at_mut(len);
        for (next, &known) in next.iter_mut().zip(known.iter()).take(len) {
            *next = modulus.mul_shoup(known, step, quotient);
        }
        len *= 2;
    }
    let mut heap = vec![0u64; degree];
    let mut nodes = 1;
    while nodes < degree {
        heap[nodes..2 * nodes].copy_from_slice(&powers[start * nodes..][..nodes]);
        nodes *= 2;
    }
    heap
}
