//! The portable transform: 64-bit words, Shoup products, lazy reduction (Harvey, J. Symb. Comp. 2014).

use super::tables::Twiddles;
use crate::Modulus;

/// A table of multipliers with their Shoup quotients.
struct Multipliers {
    values: Vec<u64>,
    quotients: Vec<u64>,
}

impl Multipliers {
    fn new(modulus: &Modulus, values: &[u64]) -> Self {
        Self { values: values.to_vec(), quotients: values.iter().map(|&w| modulus.shoup_quotient(w)).collect() }
    }
}

/// The tables of the portable transform of one ring modulo one prime.
///
/// The words may be any multiple of the ring's degree: then a transform ends where the heap of nodes does, and each coefficient and
/// value is a row of as many neighbouring words.
pub(crate) struct ScalarTransform {
    modulus: Modulus,
    forward: Multipliers,
    inverse: Multipliers,
    /// `I` and the normalisation.
    constants: Multipliers,
}

const IMAGINARY_UNIT: usize = 0;
const NORMALISATION: usize = 1;

impl ScalarTransform {
    pub(crate) fn new(modulus: &Modulus, twiddles: &Twiddles) -> Self {
        Self {
            modulus: *modulus,
            forward: Multipliers::new(modulus, &twiddles.forward),
            inverse: Multipliers::new(modulus, &twiddles.inverse),
            constants: Multipliers::new(modulus, &[twiddles.imaginary_unit, twiddles.normalisation]),
        }
    }

    fn constant(&self, which: usize, x: u64) -> u64 {
        self.modulus.mul_shoup(x, self.constants.values[which], self.constants.quotients[which])
    }

    /// Residues of `0..p` in and out.
    pub(crate) fn forward(&self, words: &mut [u64]) {
        let (p, m) = (self.modulus.value(), &self.modulus);
        let mut nodes = 1;
        while nodes < self.forward.values.len() {
            let half = words.len() / nodes / 2;
            for (k, node) in words.chunks_exact_mut(2 * half).enumerate() {
                let (w, quotient) = (self.forward.values[nodes + k], self.forward.quotients[nodes + k]);
                let (left, right) = node.split_at_mut(half);
                for (x, y) in left.iter_mut().zip(right) {
                    // Values stay below 4p: the product is below 2p whatever its factor.
                    let product = m.mul_shoup_lazy(*y, w, quotient);
                    let sum = at_most_once(*x, 2 * p);
                    *x = sum + product;
                    *y = sum + 2 * p - product;
                }
            }
            nodes *= 2;
        }
        words.iter_mut().for_each(|x| *x = at_most_once(at_most_once(*x, 2 * p), p));
    }

    /// Residues of `0..p` in and out, multiplied by the normalisation.
    pub(crate) fn inverse(&self, words: &mut [u64]) {
        let (p, m) = (self.modulus.value(), &self.modulus);
        let mut nodes = self.inverse.values.len() / 2;
        while nodes > 0 {
            let half = words.len() / nodes / 2;
            for (k, node) in words.chunks_exact_mut(2 * half).enumerate() {
                let (w, quotient) = (self.inverse.values[nodes + k], self.inverse.quotients[nodes + k]);
                let (left, right) = node.split_at_mut(half);
                for (x, y) in left.iter_mut().zip(right) {
                    // Values stay below 2p.
                    let difference = *x + 2 * p - *y;
                    *x = at_most_once(*x + *y, 2 * p);
                    *y = m.mul_shoup_lazy(difference, w, quotient);
                }
            }
            nodes /= 2;
        }
        words.iter_mut().for_each(|x| *x = self.constant(NORMALISATION, *x));
    }

    /// The fold of the conjugate-invariant ring, `d_0 = c_0`, `d_k = c_k - I c_(N-k)`.
    pub(super) fn fold(&self, words: &mut [u64]) {
        let degree = words.len();
        for k in 1..=degree / 2 {
            let (x, y) = (words[k], words[degree - k]);
            words[k] = self.modulus.sub(x, self.constant(IMAGINARY_UNIT, y));
            words[degree - k] = self.modulus.sub(y, self.constant(IMAGINARY_UNIT, x));
        }
    }

    /// Twice the inverse of [`Self::fold`], whose half is in the normalisation: `2 c_k = d_k + I d_(N-k)`.
    pub(super) fn unfold(&self, words: &mut [u64]) {
        let degree = words.len();
        words[0] = self.modulus.add(words[0], words[0]);
        for k in 1..=degree / 2 {
            let (x, y) = (words[k], words[degree - k]);
            words[k] = self.modulus.add(x, self.constant(IMAGINARY_UNIT, y));
            words[degree - k] = self.modulus.add(y, self.constant(IMAGINARY_UNIT, x));
        }
    }
}

/// `x - bound` if that is not negative, else `x`.
#[inline(always)]
fn at_most_once(x: u64, bound: u64) -> u64 {
    x.min(x.wrapping_sub(bound))
}
