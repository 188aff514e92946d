//! Products of weights with one vector: layouts, the same product in rational arithmetic, and a whole turn encrypted.

use std::collections::BTreeSet;

use crate::common::Instance;
use crate::support::{Random, clear, close, shape};
use fhe_circuits::crossing::{climb_corrected, descend};
use fhe_circuits::{SlotPlace, VectorLayout, VectorPlace, VectorProduct, WeightProduct, WeightScales, split_vector};
use fhe_ckks::{Clear, Client, Evaluator, Level, NoiseModel, Rotation, SlotArithmetic};
use proptest::prelude::*;

const BITS: u32 = 13;

fn product(weights: &[f32], vector: &[f64]) -> Vec<f64> {
    let row = |row: &[f32]| row.iter().zip(vector).map(|(&w, x)| f64::from(w) * x).sum();
    weights.chunks(vector.len()).map(row).collect()
}

fn random_weights(random: &mut Random, count: usize) -> Vec<f32> {
    random.vector(count).iter().map(|&weight| weight as f32).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn packing_is_undone_and_no_place_holds_two_channels(
        channels in 1_usize..2000, ciphertexts in 1_usize..5, rows in 1_usize..1500, seed in any::<u64>()
    ) {
        let shape = shape(9);
        let Ok(input) = VectorLayout::input(&shape, channels, ciphertexts) else {
            prop_assert!(channels > ciphertexts * shape.degree);
            return Ok(());
        };
        prop_assert!(input.ciphertexts() <= ciphertexts);
        let group = shape.degree / shape.small_degree;
        for layout in [input.clone(), input.product(rows).unwrap()] {
            let vector = Random::new(seed).vector(layout.channels());
            let (coefficients, slots) = (layout.pack(&vector).unwrap(), layout.pack_slots(&vector).unwrap());
            prop_assert_eq!(&layout.unpack(&coefficients).unwrap(), &vector);
            prop_assert_eq!(&layout.unpack_slots(&slots).unwrap(), &vector);
            let places: BTreeSet<VectorPlace> = layout.places().iter().copied().collect();
            prop_assert_eq!(places.len(), layout.channels());
            for (coefficients, slots) in coefficients.iter().zip(&slots) {
                prop_assert!((0..shape.degree).all(|p| coefficients[p] == slots[shape.slot_of_coefficient(p)]));
            }
        }
        // Parts are filled in order and end with their block.
        for (channel, place) in input.places().iter().enumerate() {
            let part = group * place.ciphertext + place.coefficient % group;
            prop_assert!(place.coefficient / group < input.block());
            prop_assert_eq!(channel, part * input.block() + place.coefficient / group);
        }
    }

    #[test]
    fn the_second_of_every_pair_is_one_rotation_away(pairs in 1_usize..700, channels in 1_usize..300) {
        let shape = shape(9);
        let input = VectorLayout::input(&shape, channels, 1).unwrap();
        let targets: Vec<SlotPlace> = (0..pairs).map(|slot| SlotPlace { ciphertext: 0, slot: slot % shape.degree }).collect();
        let paired = input.paired_product(&targets);
        if input.block() == shape.small_degree {
            prop_assert!(paired.is_err());
            return Ok(());
        }
        let (product, Rotation(steps)) = paired.unwrap();
        prop_assert_eq!(product.channels(), 2 * pairs);
        let places = product.slot_places();
        let places_apart: BTreeSet<SlotPlace> = places.iter().copied().collect();
        prop_assert_eq!(places_apart.len(), 2 * pairs);
        for (first, second) in places[..pairs].iter().zip(&places[pairs..]) {
            prop_assert_eq!(first.ciphertext, second.ciphertext);
            prop_assert_eq!(first.slot as i64 + steps, second.slot as i64);
        }
        prop_assert!(input.paired_product(&[]).is_err());
        let towards = input.product_towards(&targets).unwrap();
        prop_assert_eq!(towards.slot_places().into_iter().collect::<BTreeSet<_>>().len(), pairs);
    }

    /// Some places of a larger product, in any order: rows that no channel has are zero.
    #[test]
    fn a_selection_is_a_product_of_its_own(inputs in 1_usize..100, outputs in 1_usize..60, seed in any::<u64>()) {
        let shape = shape(8);
        let e = clear(&shape);
        let mut random = Random::new(seed);
        let (weights, vector) = (random_weights(&mut random, inputs * outputs), random.vector(inputs));
        let input = VectorLayout::in_blocks(&shape, inputs, 16).unwrap();
        let chosen: Vec<usize> = (0..outputs).map(|row| 2 * row + 1).rev().collect();
        let output = input.product(2 * outputs).unwrap().selected(&chosen).unwrap();
        let planned = VectorProduct::planned(&weights, &output, &input, BITS, WeightScales::PerRow).unwrap();
        let matrix = planned.filled(&weights).unwrap();
        prop_assert_eq!(matrix.integers(), planned.integers());
        let unit = shape.full_scale / matrix.scale() / inputs as f64;
        let encrypted: Vec<_> = input.pack(&vector).unwrap().iter().map(|x| e.encrypt(x, unit).unwrap()).collect();
        let result = matrix.multiply(&e, &split_vector(&e, &input, &encrypted).unwrap()).unwrap();
        let decrypted: Vec<Vec<f64>> = result.iter().map(|x| e.decrypt(x).unwrap().unwrap()).collect();
        let magnifications = matrix.quantisation().magnifications();
        let found: Vec<f64> =
            output.unpack(&decrypted).unwrap().iter().zip(magnifications).map(|(x, factor)| x / factor).collect();
        let bound = inputs as f64 * (0.5 / matrix.scale() + 0.5 / unit) * 1.0001;
        close(&found, &product(&weights, &vector), bound);
        let others = decrypted.iter().flatten().filter(|x| **x != 0.0).count();
        prop_assert!(others <= outputs);
        let assumed = VectorProduct::assumed(1.0, &output, &input, BITS).unwrap();
        prop_assert_eq!(assumed.integers(), planned.integers());
    }

    #[test]
    fn equals_the_product_up_to_rounding(
        inputs in 1_usize..300, outputs in 1_usize..150, ciphertexts in 1_usize..4, seed in any::<u64>()
    ) {
        let shape = shape(8);
        let e = clear(&shape);
        let mut random = Random::new(seed);
        let weights = random_weights(&mut random, inputs * outputs);
        let vector = random.vector(inputs);
        let Ok(input) = VectorLayout::input(&shape, inputs, ciphertexts) else { return Ok(()) };
        // Both sides in another order.
        let shuffled = |random: &mut Random, layout: &VectorLayout| {
            let keys = random.vector(layout.channels());
            let mut order: Vec<usize> = (0..keys.len()).collect();
            order.sort_by(|&a, &b| keys[a].total_cmp(&keys[b]));
            layout.reordered(&order).unwrap()
        };
        let output = shuffled(&mut random, &input.product(outputs).unwrap());
        let input = shuffled(&mut random, &input);
        let matrix = VectorProduct::quantise(&weights, &output, &input, BITS).unwrap();
        prop_assert_eq!(matrix.output(), &output);

        let unit = (1_u64 << 26) as f64;
        let encrypted: Vec<_> = input.pack(&vector).unwrap().iter().map(|x| e.encrypt(x, unit).unwrap()).collect();
        let parts = split_vector(&e, &input, &encrypted).unwrap();
        let result = matrix.multiply(&e, &parts).unwrap();
        prop_assert_eq!(result.len(), output.ciphertexts());
        prop_assert!((e.unit(&result[0]) / (unit * matrix.scale()) - 1.0).abs() < 1e-12);
        let found: Vec<Vec<f64>> = result.iter().map(|x| e.decrypt(x).unwrap().unwrap()).collect();
        let found_vector = output.unpack(&found).unwrap();
        // Every weight is off by at most half a step, every entry by half a unit.
        let bound = inputs as f64 * (0.5 / matrix.scale() + 0.5 / unit) * 1.0001;
        close(&found_vector, &product(&weights, &vector), bound);
        // Nothing lies anywhere else.
        prop_assert_eq!(&output.pack(&found_vector).unwrap(), &found);
        prop_assert!(matrix.rms_error() <= 0.5 / matrix.scale());
        let counts = e.counts();
        prop_assert_eq!(counts.vector_splits, input.ciphertexts() as u64);
        prop_assert_eq!(counts.vector_joins, output.ciphertexts() as u64);
        prop_assert_eq!(counts.matrix_weights, (outputs * inputs) as u64);
    }
}

/// The places that the module's introduction gives for the real ring.
#[test]
fn a_full_product_comes_in_natural_order() {
    let shape = fhe_ckks::Parameters::named("n16-llama").unwrap().shape().clone();
    let input = VectorLayout::input(&shape, 4096, 1).unwrap();
    assert_eq!((input.block(), input.ciphertexts()), (256, 1));
    let output = input.product(4096 + 2048).unwrap();
    let reversed = |x: usize, bits: u32| x.reverse_bits() >> (usize::BITS - bits);
    for channel in 0..4096 {
        let (part, entry) = (channel / 256, channel % 256);
        let slot = (reversed(part, 4) << 11) | (reversed(entry, 8) << 3);
        assert_eq!(input.places()[channel], VectorPlace { ciphertext: 0, coefficient: part + 16 * entry, slot });
        let slot = (channel / 2048) << 15 | reversed(channel % 2048, 11);
        assert_eq!(output.places()[channel], VectorPlace { ciphertext: 0, coefficient: 16 * channel, slot });
    }
    // Half as many rows lie twice as far apart.
    assert!((0..2048).all(|row| output.places()[4096 + row].coefficient == 1 + 32 * (row % 128) + 4096 * (row / 128)));
    // 14336 channels in blocks of 256 take 56 parts in four ciphertexts, or in blocks of 1024 fourteen in one.
    let parts = |ciphertexts| {
        let input = VectorLayout::input(&shape, 14336, ciphertexts).unwrap();
        (input.block(), input.ciphertexts(), 14336_usize.div_ceil(input.block()))
    };
    assert_eq!((parts(4), parts(1)), ((256, 4, 56), (1024, 1, 14)));
}

/// Slots down, the product, slots up: on the server as metered, and close to the same in the clear.
#[test]
fn a_turn_from_slots_to_slots() {
    let instance = Instance::new("n11-toy", 31);
    let shape = instance.parameters.shape().clone();
    let mut random = Random::new(4);
    let (inputs, outputs) = (200, 150);
    let weights = random_weights(&mut random, inputs * outputs);
    let vector = random.vector(inputs);
    let input = VectorLayout::input(&shape, inputs, 1).unwrap();
    let output = input.product(outputs).unwrap();
    let matrix = VectorProduct::quantise(&weights, &output, &input, 12).unwrap();
    let expected = product(&weights, &vector);
    let range = expected.iter().fold(0.0, |range: f64, y| range.max(y.abs())) * 1.1;
    let unit = shape.full_scale / range / matrix.scale();
    let slots = input.pack_slots(&vector).unwrap().remove(0);
    macro_rules! turn {
        ($e:expr, $slots:expr) => {{
            let coefficients = descend($e, &[$slots], unit).unwrap();
            let parts = split_vector($e, &input, &coefficients).unwrap();
            let before = $e.counts();
            let products = matrix.multiply($e, &parts).unwrap();
            let counts = $e.counts() - before;
            (climb_corrected($e, &products, 2).unwrap().remove(0), counts)
        }};
    }
    let lowest = Level(shape.slots_to_coefficients_levels);
    let (planner, metered) = instance.planner();
    let (_, metered) = turn!(&planner, metered.encrypt_slots(&slots, lowest).unwrap());
    let server = instance.server(&planner);
    let (result, counts) = turn!(&server, instance.client.encrypt_slots(&slots, lowest).unwrap());
    assert_eq!((counts, server.counts()), (metered, planner.counts()));
    assert_eq!(server.level(&result), Level(shape.slots_to_coefficients_levels + 2));

    let e = Clear::new(shape.clone(), (), NoiseModel::default(), 0).unwrap();
    let start = e.encrypt(&input.pack(&vector).unwrap()[0], unit).unwrap();
    let before = e.counts();
    let parts = split_vector(&e, &input, &[start]).unwrap();
    matrix.multiply(&e, &parts).unwrap();
    let clear = e.counts() - before;
    assert_eq!((clear.vector_joins, clear.matrix_weights), (counts.vector_joins, counts.matrix_weights));

    let found = instance.client.decrypt_slots(&result).unwrap().expect("data");
    let scaled: Vec<f64> = expected.iter().map(|y| y / range).collect();
    // Twelve bits of weights over 200 columns, beside which 2^-16 of the bootstrap vanishes.
    close(&matrix.output().unpack_slots(std::slice::from_ref(&found)).unwrap(), &scaled, 2_f64.powi(-9));
    let elsewhere = matrix.output().pack_slots(&vec![1.0; outputs]).unwrap().remove(0);
    let idle = found.iter().zip(&elsewhere).filter(|(_, used)| **used == 0.0).map(|(x, _)| *x).collect::<Vec<_>>();
    close(&idle, &vec![0.0; idle.len()], 2_f64.powi(-12));
}

#[test]
fn rejects_vectors_of_another_size() {
    let shape = shape(9);
    assert!(VectorLayout::input(&shape, 0, 1).is_err());
    assert!(VectorLayout::input(&shape, 1, 0).is_err());
    assert!(VectorLayout::input(&shape, shape.degree + 1, 1).is_err());
    let layout = VectorLayout::input(&shape, 100, 1).unwrap();
    assert!(layout.product(0).is_err());
    for order in [vec![], (0..99).collect(), vec![0; 100], (1..101).collect()] {
        assert!(layout.reordered(&order).is_err());
    }
    assert!(layout.pack(&[0.0; 99]).is_err());
    assert!(layout.pack_slots(&[0.0; 101]).is_err());
    assert!(layout.unpack(&[vec![0.0; 511]]).is_err());
    assert!(layout.unpack(&[]).is_err());
    assert!(layout.unpack_slots(&[vec![0.0; 512], vec![0.0; 512]]).is_err());
}

#[test]
fn rejects_weights_of_another_width_or_not_finite() {
    let shape = shape(9);
    let layout = VectorLayout::input(&shape, 10, 1).unwrap();
    let output = layout.product(2).unwrap();
    let quantise = |weights: &[f32], bits| VectorProduct::quantise(weights, &output, &layout, bits);
    let other_blocks = VectorLayout::input(&shape, 100, 1).unwrap().product(2).unwrap();
    assert!(VectorProduct::quantise(&[1.0; 20], &other_blocks, &layout, 13).is_err());
    assert!(quantise(&[], 13).is_err());
    assert!(quantise(&[0.0; 25], 13).is_err());
    assert!(quantise(&[f32::NAN; 20], 13).is_err());
    assert!(quantise(&[1.0; 20], 1).is_err());
    assert!(quantise(&[1.0; 20], 16).is_err());
    let matrix = quantise(&[0.0; 20], 13).unwrap();
    assert_eq!((matrix.scale(), matrix.output().channels()), (1.0, 2));
    // A vector split by another layout.
    let e = clear(&shape);
    let other = VectorLayout::input(&shape, 200, 1).unwrap();
    let x = e.encrypt(&vec![0.0; shape.degree], 1.0).unwrap();
    let parts = split_vector(&e, &other, &[x]).unwrap();
    assert!(matrix.multiply(&e, &parts).is_err());
    assert!(split_vector(&e, &layout, &[]).is_err());
}
