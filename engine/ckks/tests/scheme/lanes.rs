//! Products of two encrypted matrices, in every lane, against complex matrices: encrypted and in the clear, with equal counts.

use crate::common::{Instance, errors, uniform};
use fhe_ckks::{
    BootstrapCost, CircuitShape, CkksError, CkksServer, Clear, Client, CoefficientCiphertext, Copies, Evaluator,
    LaneProducts, Level, NoiseModel, OperationCounts, Packing, SlotArithmetic, SlotCiphertext, Spacing, correct_sine,
    transforms::{lanes::lanes_from_coefficients, slot_transform::SlotTransform},
};
use fhe_ring::Meter;
use num_complex::Complex64;

const LANES: usize = 8;
const ROWS: usize = 16;
const GROUP: usize = 8;
/// Integer that stands for the value 1 in a factor: their product leaves the sum of sixteen products within the range.
const UNIT: f64 = (1u64 << 40) as f64;

/// Complex numbers of a ciphertext of lanes, by row and lane, as they stand in real slots.
fn entry(slots: &[f64], shape: &CircuitShape, (ciphertext, row, lane): (usize, usize, usize)) -> Complex64 {
    let slot = shape.slot_of_lane(LANES, ciphertext, row, lane);
    Complex64::new(slots[slot], slots[slot + shape.degree / 2])
}

/// Sixteen columns of the left matrix in two slot ciphertexts, as many rows of the right one; their product back in slots. With `transpose`
/// the right one is given by columns.
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
    let joined: Vec<_> =
        (columns.chunks(GROUP)).map(|parts| e.join_lanes(&parts.iter().collect::<Vec<_>>()).expect("joined")).collect();
    let raised = e.half_bootstrap(&joined.iter().collect::<Vec<_>>(), 3).expect("raised");
    let corrected: Vec<_> = raised.iter().map(|x| correct_sine(e, x).expect("corrected")).collect();
    let map = lanes_from_coefficients(e.shape().degree, LANES).expect("map");
    e.transform(&corrected.iter().collect::<Vec<_>>(), &map).expect("lanes")
}

fn expected(shape: &CircuitShape, left: &[Vec<f64>], right: &[Vec<f64>], transpose: bool) -> Vec<Vec<f64>> {
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

/// Both products from coefficients to slots.
fn circuit<E: LaneProducts>(
    (e, client): (&E, &impl Client<E>),
    [left, right]: [&[Vec<f64>]; 2],
    transpose: bool,
) -> Vec<E::Slots> {
    let shape = e.shape().clone();
    let slots = |values: &[Vec<f64>]| -> Vec<E::Slots> {
        let coefficients = |values: &Vec<f64>| -> Vec<f64> {
            (0..shape.degree).map(|p| values[shape.slot_of_coefficient(p)]).collect()
        };
        let encrypted: Vec<_> = (values.iter())
            .map(|values| client.encrypt(&coefficients(values), shape.full_scale).expect("encrypted"))
            .collect();
        let raised = e.half_bootstrap(&encrypted.iter().collect::<Vec<_>>(), 3).expect("raised");
        raised.iter().map(|x| correct_sine(e, x).expect("corrected")).collect()
    };
    product(e, &slots(left), &slots(right), transpose)
}

/// What transforms execute inside, from a metered server.
struct Metered {
    server: CkksServer<Meter>,
    coefficients: CoefficientCiphertext<Meter>,
    slots: SlotCiphertext<Meter>,
}

impl Metered {
    fn counted(
        &self,
        run: impl FnOnce(&CkksServer<Meter>) -> Result<(), CkksError>,
    ) -> Result<OperationCounts, CkksError> {
        let before = self.server.counts();
        run(&self.server)?;
        Ok(self.server.counts() - before)
    }
}

impl BootstrapCost for Metered {
    fn half_bootstrap(&self, copies: Copies, levels: usize) -> Result<OperationCounts, CkksError> {
        self.counted(|server| server.sparse_half_bootstrap(&[&self.coefficients], copies, levels).map(drop))
    }

    fn slots_to_coefficients(&self, _: Packing, copies: Copies) -> Result<OperationCounts, CkksError> {
        self.counted(|server| server.sparse_slots_to_coefficients(&self.slots, copies, UNIT).map(drop))
    }

    fn spaced_slots_to_coefficients(&self, spacing: Spacing) -> Result<OperationCounts, CkksError> {
        self.counted(|server| server.spaced_slots_to_coefficients(&self.slots, spacing, UNIT).map(drop))
    }

    fn slots_to_lanes(&self, lanes: usize) -> Result<OperationCounts, CkksError> {
        self.counted(|server| server.slots_to_lanes(&[&self.slots], lanes, UNIT).map(drop))
    }
}

fn metered_cost(instance: &Instance) -> Metered {
    let (server, client) = instance.planner();
    let shape = instance.parameters.shape();
    let coefficients = client.encrypt(&vec![0.0; shape.degree], 1.0).expect("encrypted");
    let slots = client.encrypt_slots(&vec![0.0; shape.degree], Level(shape.slots_to_lanes_level())).expect("slots");
    Metered { server, coefficients, slots }
}

#[test]
fn products_are_those_of_complex_matrices_in_every_lane() {
    let instance = Instance::new("n11-toy", 31);
    let shape = instance.parameters.shape().clone();
    assert_eq!((shape.lane_rows(LANES), shape.lane_group()), (ROWS, GROUP));
    let (left, right) = (inputs(shape.degree, 5), inputs(shape.degree, 9));
    let unit = UNIT * UNIT / shape.lane_divisor / shape.full_scale;
    for transpose in [false, true] {
        let (planner, metered) = instance.planner();
        let _ = circuit((&planner, &metered), [&left, &right], transpose);
        let server = instance.server(&planner);
        let results = circuit((&server, &instance.client), [&left, &right], transpose);
        assert_eq!(server.counts(), planner.counts());
        assert_eq!(server.key_switches(), planner.key_switches());
        assert_eq!(server.level(&results[0]), Level(shape.slots_to_coefficients_levels));

        let clear = Clear::new(shape.clone(), metered_cost(&instance), NoiseModel::default(), 0).expect("clear");
        let in_the_clear = circuit((&clear, &clear), [&left, &right], transpose);
        assert_eq!(clear.counts(), server.counts());

        let expected = expected(&shape, &left, &right, transpose);
        for ((result, clear), expected) in results.iter().zip(&in_the_clear).zip(&expected) {
            let size = expected.iter().fold(0.0f64, |size, x| size.max((x * unit).abs()));
            assert!(size > 0.1);
            // Corrected sines are cubic: what is left of a message of the whole range is 2^-17 of it, and sixteen terms add up.
            let values: Vec<f64> = clear.values().iter().map(|value| value.re).collect();
            let (_, worst) = errors(&values, expected.iter().map(|x| x * unit));
            assert!(worst < 2f64.powi(-14), "in the clear: 2^{:.1}", worst.log2());
            let found = instance.client.decrypt_slots(result).expect("decrypted").expect("data");
            let (mean, worst) = errors(&found, values);
            assert!(worst < 2f64.powi(-13) && mean < 2f64.powi(-16), "2^{:.1}, 2^{:.1}", mean.log2(), worst.log2());
        }
    }
}

#[test]
fn maps_of_real_slots_are_applied_as_defined() {
    let instance = Instance::new("n11-toy", 32);
    let degree = instance.parameters.shape().degree;
    let map = SlotTransform::gather(degree, |slot| slot ^ 0x15).expect("map");
    let values = uniform(degree, 3);
    let (planner, metered) = instance.planner();
    let encrypted = metered.encrypt_slots(&values, Level(6)).expect("slots");
    planner.transform(&[&encrypted], &map).expect("planned");
    let server = instance.server(&planner);
    // Inputs at two levels meet at the lower one.
    let high = instance.client.encrypt_slots(&values, Level(6)).expect("slots");
    let low = server.lower(&high, Level(5)).expect("lowered");
    let images = server.transform(&[&high, &low], &map).expect("image");
    assert!(server.counts().rotations == 2 * map.plan().rotations() as u64);
    for image in &images {
        assert_eq!(server.level(image), Level(4));
        let found = instance.client.decrypt_slots(image).expect("decrypted").expect("data");
        let (_, worst) = errors(&found, (0..degree).map(|slot| values[slot ^ 0x15]));
        assert!(worst < 2f64.powi(-18), "2^{:.1}", worst.log2());
    }
}

/// The same refusals, encrypted and in the clear.
fn refuses<E: LaneProducts>((e, client): (&E, &impl Client<E>)) {
    let shape = e.shape().clone();
    let zeros = client.encrypt(&vec![0.0; shape.degree], 1.0).expect("encrypted");
    let slots = |levels| e.half_bootstrap(&[&zeros], levels).expect("raised").remove(0);
    let (real, low) = (slots(1), slots(0));
    let complex = e.to_complex(&slots(2)).expect("complex");
    let map = SlotTransform::gather(2 * shape.degree, |slot| slot).expect("map");
    assert!(e.transform(&[&real], &map).is_err(), "a map of another ring");
    let map = SlotTransform::gather(shape.degree, |slot| slot ^ 1).expect("map");
    assert!(e.transform(&[&complex], &map).is_err());
    assert!(e.slots_to_lanes(&[&complex], LANES, UNIT).is_err());
    assert!(e.slots_to_lanes(&[&low], LANES, UNIT).is_err());
    for (lanes, unit) in [(3, UNIT), (shape.degree, UNIT), (LANES, 0.0), (LANES, f64::NAN)] {
        assert!(e.slots_to_lanes(&[&real], lanes, unit).is_err(), "{lanes} lanes, unit {unit}");
    }
    let factors = e.slots_to_lanes(&[&real], LANES, UNIT).expect("factors").remove(0);
    let others = e.slots_to_lanes(&[&real], LANES, 2.0 * UNIT).expect("factors").remove(0);
    let all: Vec<_> = factors.iter().collect();
    let product = e.multiply_lanes(&all, &all, LANES, 2).expect("product");
    assert!(e.multiply_lanes(&all[..2], &all[..3], LANES, 2).is_err());
    assert!(e.multiply_lanes(&all, &all, LANES, ROWS + 1).is_err());
    assert!(e.multiply_lanes(&[], &[], LANES, 1).is_err());
    assert!(e.multiply_lanes(&[&factors[0], &others[0]], &all[..2], LANES, 1).is_err(), "two units");
    assert!(e.multiply_lanes(&[&product[0]], &all[..1], LANES, 1).is_err(), "a product is no factor");
    assert!(e.transpose_lanes(&all, LANES, ROWS + 1).is_err());
    assert!(e.transpose_lanes(&[&product[0]], LANES, 1).is_err());
    assert!(e.transpose_lanes(&[&factors[0], &others[0]], LANES, 1).is_err());
    assert!(e.split_row_parity(&product[0]).is_err());
    assert!(e.join_row_parity(&factors[0], &others[0]).is_err());
    assert!(e.join_row_parity(&factors[0], &product[0]).is_err());
    assert!(e.join_lanes(&[]).is_err());
    assert!(e.join_lanes(&[&factors[0]]).is_err(), "a factor is no product");
    assert!(e.join_lanes(&[&product[0]; GROUP + 1]).is_err());
}

#[test]
fn rejects_other_levels_packings_units_and_numbers() {
    let instance = Instance::new("n11-toy", 33);
    let (server, client) = instance.planner();
    refuses((&server, &client));
    let clear = Clear::new(instance.parameters.shape().clone(), (), NoiseModel::default(), 0).expect("clear");
    refuses((&clear, &clear));
}
