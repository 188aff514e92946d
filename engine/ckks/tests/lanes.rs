//! Products of two encrypted matrices, in every lane, against complex matrices: encrypted and in the clear, with equal counts.

mod common;

use common::{Instance, errors, uniform};
use fhe_ckks::{
    Clear, Client, CkksError, Evaluator, LaneProducts, Level, NoiseModel, OperationCounts, Packing, SlotArithmetic,
    correct_sine, transforms::lanes::lanes_from_coefficients,
};
use num_complex::Complex64;

const LANES: usize = 8;
const ROWS: usize = 16;
const GROUP: usize = 8;
/// Integer that stands for the value 1 in a factor: their product leaves the sum of sixteen products within the range.
const UNIT: f64 = (1u64 << 40) as f64;

/// Complex numbers of a ciphertext of lanes, by row and lane, as they stand in real slots.
fn entry(slots: &[f64], shape: &fhe_ckks::CircuitShape, (ciphertext, row, lane): (usize, usize, usize)) -> Complex64 {
    let slot = shape.slot_of_lane(LANES, ciphertext, row, lane);
    Complex64::new(slots[slot], slots[slot + shape.degree / 2])
}

/// `Q K^T` and `(Q K^T)^T`-like work: sixteen columns of the left matrix in two slot ciphertexts, as many rows of the right one; the product back
/// in slots, before and after a transposition of the right factor.
fn product<E: LaneProducts>(e: &E, left: &[E::Slots], right: &[E::Slots], transpose: bool) -> Vec<E::Slots> {
    let factors = |inputs: &[E::Slots]| -> Vec<E::Lanes> {
        let inputs: Vec<_> = inputs.iter().collect();
        e.slots_to_lanes(&inputs, LANES, UNIT).expect("lanes").into_iter().flatten().collect()
    };
    let (left, mut right) = (factors(left), factors(right));
    if transpose {
        right = e.transpose_lanes(&right.iter().collect::<Vec<_>>(), LANES, ROWS).expect("transposed");
    }
    let columns = e
        .multiply_lanes(&left.iter().collect::<Vec<_>>(), &right.iter().collect::<Vec<_>>(), LANES, ROWS)
        .expect("product");
    let joined: Vec<_> = (columns.chunks(GROUP))
        .map(|parts| e.join_lanes(&parts.iter().collect::<Vec<_>>()).expect("joined"))
        .collect();
    let raised = e.half_bootstrap(&joined.iter().collect::<Vec<_>>(), 3).expect("raised");
    let corrected: Vec<_> = raised.iter().map(|x| correct_sine(e, x).expect("corrected")).collect();
    let map = lanes_from_coefficients(e.shape().degree, LANES).expect("map");
    e.transform(&corrected.iter().collect::<Vec<_>>(), &map).expect("lanes")
}

fn expected(shape: &fhe_ckks::CircuitShape, left: &[Vec<f64>], right: &[Vec<f64>], transpose: bool) -> Vec<Vec<f64>> {
    let half = shape.degree / 2;
    let of = |inputs: &[Vec<f64>], index: usize, row: usize, lane: usize| {
        entry(&inputs[index / GROUP], shape, (index % GROUP, row, lane))
    };
    let mut outputs = vec![vec![0.0; shape.degree]; ROWS / GROUP];
    for column in 0..ROWS {
        for row in 0..ROWS {
            for lane in 0..LANES {
                let term = |c: usize| {
                    let right = if transpose { of(right, column, c, lane) } else { of(right, c, column, lane) };
                    of(left, c, row, lane) * right
                };
                let sum: Complex64 = (0..ROWS).map(term).sum();
                let slot = shape.slot_of_lane(LANES, column % GROUP, row, lane);
                let output = &mut outputs[column / GROUP];
                (output[slot], output[slot + half]) = (sum.re, sum.im);
            }
        }
    }
    outputs
}

fn inputs(degree: usize, salt: u64) -> Vec<Vec<f64>> {
    (0..ROWS / GROUP).map(|index| uniform(degree, salt + index as u64).iter().map(|x| 0.7 * x).collect()).collect()
}

#[test]
fn products_are_those_of_complex_matrices_in_every_lane() {
    let instance = Instance::new("n11-toy", 31);
    let shape = instance.parameters.shape().clone();
    assert_eq!((shape.lane_rows(LANES), shape.lane_group()), (ROWS, GROUP));
    let (left, right) = (inputs(shape.degree, 5), inputs(shape.degree, 9));
    let level = Level(shape.slots_to_lanes_level());
    for transpose in [false, true] {
        macro_rules! circuit {
            ($server:expr, $client:expr) => {{
                let encrypt = |values: &[Vec<f64>]| -> Vec<_> {
                    values.iter().map(|values| $client.encrypt_slots(values, level).unwrap()).collect()
                };
                product($server, &encrypt(&left), &encrypt(&right), transpose)
            }};
        }
        let (planner, metered) = instance.planner();
        let _ = circuit!(&planner, &metered);
        let server = instance.server(&planner);
        let results = circuit!(&server, &instance.client);
        assert_eq!(server.counts(), planner.counts());
        assert_eq!(server.key_switches(), planner.key_switches());
        assert_eq!(server.level(&results[0]), Level(shape.slots_to_coefficients_levels));
        let unit = UNIT * UNIT / shape.lane_divisor / shape.full_scale;
        for (result, expected) in results.iter().zip(expected(&shape, &left, &right, transpose)) {
            let found = instance.client.decrypt_slots(result).unwrap().expect("data");
            let (mean, worst) = errors(&found, expected.iter().map(|x| x * unit));
            let size = expected.iter().fold(0.0f64, |size, x| size.max((x * unit).abs()));
            println!("mean 2^{:.1}, worst 2^{:.1} of 2^{:.1}", mean.log2(), worst.log2(), size.log2());
            assert!(size > 0.1 && worst < 2f64.powi(-12) && mean < 2f64.powi(-15));
        }
    }
}
