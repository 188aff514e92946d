//! On 64-bit words.

use super::Point;

/// Rows `first ..` of the product at a point, as many as `block` has room for.
pub(super) fn multiply(point: Point<'_>, first: usize, block: &mut [u64]) {
    let rows = point.rows;
    let mut sums = vec![0u128; 2 * rows];
    for (row, out) in (first..).zip(block.chunks_exact_mut(2 * rows)) {
        sums.fill(0);
        let (half, i) = (row / rows, row % rows);
        for pair in 0..point.pairs() {
            // Products are below 2^104, so that a sum has room for 2^24.
            let left = point.left(pair, half)[i] as u128;
            for (sums, right_half) in sums.chunks_exact_mut(rows).zip(0..) {
                let right = point.right(pair, right_half);
                sums.iter_mut().zip(right).for_each(|(sum, &right)| *sum += left * right as u128);
            }
        }
        out.iter_mut().zip(&sums).for_each(|(out, &sum)| *out = point.modulus.reduce_u128(sum));
    }
}
