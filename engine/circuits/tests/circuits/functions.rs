//! Norm, SiLU, and the choice of polynomials.

use crate::support::{Random, clear, close, shape};
use fhe_circuits::approximation::{Approximation, Criterion, Target};
use fhe_circuits::crossing::{climb, climb_corrected, descend};
use fhe_circuits::{CircuitError, Distortion, GatedSilu, Interval, Landing, Layout, RmsNorm, RowModule, VectorNorm};
use fhe_ckks::{Clear, ClearSlots, Client, Copies, Level, SlotArithmetic};

const TOLERANCE: f64 = 1e-7;
/// Room for every degree there is.
const LEVELS: usize = 14;

fn encrypt(e: &Clear, layout: &Layout, tensor: &[f64], range: f64) -> Vec<fhe_ckks::ClearCoefficients> {
    let unit = e.shape().full_scale / range;
    layout.pack(tensor).unwrap().iter().map(|vector| e.encrypt(vector, unit).unwrap()).collect()
}

fn decrypt(e: &Clear, layout: &Layout, slots: &[ClearSlots]) -> Vec<f64> {
    let coefficients = descend(e, slots, 1e9).unwrap();
    let vectors: Vec<Vec<f64>> = coefficients.iter().map(|x| e.decrypt(x).unwrap().unwrap()).collect();
    layout.unpack(&vectors).unwrap()
}

#[test]
fn rms_norm_divides_every_token_by_its_root_mean_square() {
    let (shape, tokens, range, epsilon) = (shape(7), 8, 3.0, 1e-5);
    for channels in [5, 16, 37] {
        let e = clear(&shape);
        let module = RowModule::new(&shape, tokens).unwrap();
        let layout = Layout::dense(module, channels);
        // Tokens differ in size by a factor of 8.
        let mut tensor = Random::new(channels as u64).vector(channels * tokens);
        tensor.iter_mut().enumerate().for_each(|(entry, x)| *x *= range / (1 + entry % tokens) as f64);
        let mean_square = |token: usize| {
            (0..channels).map(|channel| tensor[channel * tokens + token].powi(2)).sum::<f64>() / channels as f64
        };
        let squares: Vec<f64> = (0..tokens).map(mean_square).collect();
        let (low, high) = squares.iter().fold((f64::MAX, 0.0_f64), |(low, high), &x| (low.min(x), high.max(x)));
        let norm = RmsNorm::new(&layout, range, Interval::new(low, high), epsilon, TOLERANCE, LEVELS).unwrap();
        assert!(norm.error() <= TOLERANCE);

        let x = climb_corrected(&e, &encrypt(&e, &layout, &tensor, range), norm.levels()).unwrap();
        let before = e.counts();
        let y = norm.apply(&e, &x).unwrap();
        let counts = e.counts() - before;
        // Up and down over the rows in use: a dense layout of fewer channels than rows leaves regular gaps.
        let rows = channels.next_power_of_two().min(module.rows());
        assert_eq!(counts.rotations, 2 * u64::from(rows.ilog2()));
        assert!(y.iter().all(|y| e.level(y) == Level(shape.slots_to_coefficients_levels)));
        let expected: Vec<f64> =
            tensor.iter().enumerate().map(|(entry, x)| x / (squares[entry % tokens] + epsilon).sqrt()).collect();
        close(&decrypt(&e, &layout, &y), &expected, 3e-6);
    }
}

/// Over a vector whose channels lie anywhere, with zeros between them.
#[test]
fn a_vector_is_divided_by_its_root_mean_square() {
    let (shape, epsilon, range) = (shape(8), 1e-3, 4.0);
    let e = clear(&shape);
    let window = Interval::new(0.05, 8.0);
    let norm = VectorNorm::new(50, range, window, epsilon, TOLERANCE, LEVELS).unwrap();
    assert_eq!(norm.levels(), norm.fitted().levels + 3);
    for size in [0.5, 1.0, 3.0] {
        let vector: Vec<f64> = Random::new(6).vector(50).into_iter().map(|x| size * x).collect();
        let mut coefficients = vec![0.0; shape.degree];
        (0..50).for_each(|channel| coefficients[channel * 5 % 256] = vector[channel] / range);
        let encrypted = e.encrypt(&coefficients, shape.full_scale).unwrap();
        let slots = fhe_circuits::crossing::climb_corrected(&e, &[encrypted], norm.levels()).unwrap();
        let normalised = norm.apply(&e, &slots[0]).unwrap();
        assert_eq!(e.level(&normalised).0, shape.slots_to_coefficients_levels);
        let mean_square = vector.iter().map(|x| x * x).sum::<f64>() / 50.0;
        for (channel, x) in vector.iter().enumerate() {
            let found = normalised.values()[shape.slot_of_coefficient(channel * 5 % 256)].re;
            assert!((found - x / (mean_square + epsilon).sqrt()).abs() < 1e-3, "channel {channel}: {found}");
        }
        let zeros = (250..256).map(|index| normalised.values()[shape.slot_of_coefficient(index * 5 % 256)].re);
        assert!(zeros.into_iter().all(|x| x.abs() < 1e-6));
    }
    assert!(VectorNorm::new(0, range, window, epsilon, TOLERANCE, LEVELS).is_err());
    assert!(VectorNorm::new(50, 0.0, window, epsilon, TOLERANCE, LEVELS).is_err());
    assert!(VectorNorm::new(50, range, Interval::new(-1.0, 1.0), epsilon, TOLERANCE, LEVELS).is_err());
}

/// A vector at multiples of the copies, as a sparse half bootstrap returns it: every copy is normalised by the sum over one, with a rotation less for each
/// doubling.
#[test]
fn a_vector_in_copies_is_normalised_in_all_of_them() {
    let (shape, epsilon, range) = (shape(8), 1e-3, 4.0);
    let e = clear(&shape);
    let norm = VectorNorm::new(30, range, Interval::new(0.05, 8.0), epsilon, TOLERANCE, LEVELS).unwrap();
    let vector = Random::new(7).vector(30);
    let mean_square = vector.iter().map(|x| x * x).sum::<f64>() / 30.0;
    let mut rotations = Vec::new();
    for copies in [1, 2, 8].map(Copies) {
        // In both halves.
        let place = |channel: usize| channel / 2 * copies.0 + channel % 2 * 128;
        let mut coefficients = vec![0.0; shape.degree];
        vector.iter().enumerate().for_each(|(channel, x)| coefficients[place(channel)] = x / range);
        let encrypted = e.encrypt(&coefficients, shape.full_scale).unwrap();
        let landing = Landing { levels: norm.levels(), copies };
        let slots = climb_corrected(&e, &[encrypted], landing).unwrap();
        let before = e.counts();
        let normalised = norm.clone().over_copies(copies).apply(&e, &slots[0]).unwrap();
        rotations.push((e.counts() - before).rotations);
        for (channel, x) in vector.iter().enumerate() {
            let slot = shape.slot_of_coefficient(place(channel));
            for copy in 0..copies.0 {
                let found = normalised.values()[slot + copy * 128 / copies.0].re;
                assert!(
                    (found - x / (mean_square + epsilon).sqrt()).abs() < 1e-3,
                    "{copies:?}, channel {channel}: {found}"
                );
            }
        }
    }
    assert_eq!(rotations, [8, 7, 5]);
}

#[test]
fn rms_norm_of_a_constant_mean_square_has_a_window() {
    let layout = Layout::dense(RowModule::new(&shape(7), 8).unwrap(), 4);
    let norm = RmsNorm::new(&layout, 1.0, Interval::new(0.25, 0.25), 0.0, TOLERANCE, LEVELS).unwrap();
    assert_eq!(norm.levels(), 3 + 4);
}

/// Twice the levels of a table: degree 64 takes 10 levels beside the two of the sine, degree 128 eleven.
#[test]
fn a_slim_inverse_root_normalises_with_fewer_products() {
    let (shape, tokens, channels) = (shape(9), 8, 100);
    let layout = Layout::dense(RowModule::new(&shape, tokens).unwrap(), channels);
    for (ratio, tolerance, degree) in [(60.0, 1e-6, 64), (200.0, 1e-5, 128)] {
        let e = clear(&shape);
        let mut tensor = Random::new(5).vector(channels * tokens);
        let root = |token: usize| f64::powf(ratio, -0.5 * token as f64 / (tokens - 1) as f64);
        tensor.iter_mut().enumerate().for_each(|(entry, x)| *x *= root(entry % tokens));
        let mean_square = |token: usize| {
            (0..channels).map(|channel| tensor[channel * tokens + token].powi(2)).sum::<f64>() / channels as f64
        };
        let squares: Vec<f64> = (0..tokens).map(mean_square).collect();
        let (low, high) = squares.iter().fold((f64::MAX, 0.0_f64), |(low, high), &x| (low.min(x), high.max(x)));
        let window = Interval::new(low, high);
        let norm = RmsNorm::slim(&layout, 1.0, window, 0.0, tolerance, shape.compute_levels).unwrap();
        let usual = RmsNorm::new(&layout, 1.0, window, 0.0, tolerance, LEVELS).unwrap();
        assert_eq!((norm.is_slim(), norm.degree(), usual.degree()), (true, degree, degree - 1));
        assert_eq!((norm.levels(), usual.levels()), (4 + degree.ilog2() as usize, 3 + degree.ilog2() as usize));

        let products = |norm: &RmsNorm| {
            let x = climb_corrected(&e, &encrypt(&e, &layout, &tensor, 1.0), norm.levels()).unwrap();
            let before = e.counts();
            let y = norm.apply(&e, &x).unwrap();
            assert!(y.iter().all(|y| e.level(y) == Level(shape.slots_to_coefficients_levels)));
            let expected: Vec<f64> =
                tensor.iter().enumerate().map(|(entry, x)| x / squares[entry % tokens].sqrt()).collect();
            close(&decrypt(&e, &layout, &y), &expected, 4.0 * tolerance + 3e-6);
            (e.counts() - before).products
        };
        assert!(products(&norm) < products(&usual));
        // A level less, and it is not slim.
        assert!(!RmsNorm::slim(&layout, 1.0, window, 0.0, tolerance, norm.levels() - 1).unwrap().is_slim());
    }
}

#[test]
fn rejects_mean_squares_that_reach_zero() {
    let layout = Layout::dense(RowModule::new(&shape(7), 8).unwrap(), 4);
    let new = |low, high| RmsNorm::new(&layout, 1.0, Interval::new(low, high), 0.0, TOLERANCE, LEVELS);
    assert!(matches!(new(-1.0, 1.0), Err(CircuitError::Precondition { .. })));
    assert!(matches!(new(0.0, f64::NAN), Err(CircuitError::Precondition { .. })));
    assert!(new(1e-3, 1.0).is_ok());
    let refused = new(1e-9, 1.0).unwrap_err();
    assert!(matches!(refused, CircuitError::Approximation { degree: 255, .. }), "{refused}");
    // Of the degrees for which there are levels.
    let few = RmsNorm::new(&layout, 1.0, Interval::new(1e-9, 1.0), 0.0, TOLERANCE, 3 + 5).unwrap_err();
    assert!(matches!(few, CircuitError::Approximation { degree: 31, .. }), "{few}");
}

#[test]
fn rejects_a_norm_of_nothing() {
    let shape = shape(7);
    let module = RowModule::new(&shape, 8).unwrap();
    let new =
        |channels| RmsNorm::new(&Layout::dense(module, channels), 1.0, Interval::new(0.1, 1.0), 0.0, TOLERANCE, LEVELS);
    assert!(new(0).is_err());
    assert!(new(4).unwrap().apply(&clear(&shape), &[]).is_err());
}

#[test]
fn gated_silu_is_the_product() {
    let (shape, channels, tokens) = (shape(7), 16, 8);
    let e = clear(&shape);
    let layout = Layout::dense(RowModule::new(&shape, tokens).unwrap(), channels);
    for (gate_range, up_range) in [(1.0, 2.0), (9.0, 3.0), (40.0, 0.5)] {
        let mut random = Random::new(1);
        let mut tensor =
            |range: f64| -> Vec<f64> { random.vector(channels * tokens).iter().map(|x| x * range).collect() };
        let (gate, up) = (tensor(gate_range), tensor(up_range));
        let silu = GatedSilu::new(gate_range, up_range, Distortion::of(&shape), TOLERANCE, LEVELS).unwrap();
        let x = climb(&e, &encrypt(&e, &layout, &gate, gate_range), silu.gate_levels()).unwrap();
        let y = climb_corrected(&e, &encrypt(&e, &layout, &up, up_range), silu.up_levels()).unwrap();
        let product = silu.apply(&e, &x[0], &y[0]).unwrap();
        assert_eq!(e.level(&product), Level(shape.slots_to_coefficients_levels));
        let expected: Vec<f64> = gate.iter().zip(&up).map(|(g, u)| g / (1.0 + (-g).exp()) * u).collect();
        // The explicit correction of `up` is cubic: off by 2^-25 of the range.
        let error = silu.silu().error().max(1e-7) + 2_f64.powi(-25);
        close(&decrypt(&e, &layout, &[product]), &expected, 2.0 * error * gate_range * up_range);
    }
}

#[test]
fn rejects_silu_on_a_window_no_polynomial_carries() {
    let distortion = Distortion::of(&shape(7));
    assert!(matches!(GatedSilu::new(1e5, 1.0, distortion, TOLERANCE, LEVELS), Err(CircuitError::Approximation { .. })));
    assert!(GatedSilu::new(0.0, 1.0, distortion, TOLERANCE, LEVELS).is_err());
    assert!(GatedSilu::new(1.0, f64::NAN, distortion, TOLERANCE, LEVELS).is_err());
}

#[test]
fn rejects_functions_without_a_level() {
    let shape = shape(7);
    let layout = Layout::dense(RowModule::new(&shape, 8).unwrap(), 4);
    let norm = RmsNorm::new(&layout, 1.0, Interval::new(0.5, 1.0), 0.0, TOLERANCE, 3 + 3).unwrap_err();
    let silu = GatedSilu::new(1.0, 1.0, Distortion::of(&shape), TOLERANCE, 1 + 3).unwrap_err();
    for refusal in [norm, silu] {
        assert!(refusal.to_string().contains("levels is 3, required 4"), "{refusal}");
    }
    assert!(GatedSilu::new(1.0, 1.0, Distortion::of(&shape), TOLERANCE, 1 + 5).unwrap().gate_levels() <= 1 + 5);
}

#[test]
fn the_smallest_sufficient_degree_is_taken() {
    let fit = |steepness: f64, tolerance: f64| {
        let target = Target { criterion: Criterion::Absolute(1.0), tolerance, limit: 0.1 };
        Approximation::fit("exponential", "[-1, 1]", target, move |x| (steepness * (x - 1.0)).exp())
    };
    let found: Vec<(usize, usize)> = [1.0, 12.0, 60.0, 400.0]
        .map(|steepness| fit(steepness, 1e-9).map(|fit| (fit.degree(), fit.levels())).unwrap())
        .into();
    assert_eq!(found, [(15, 4), (31, 5), (63, 6), (127, 7)]);
    assert!(fit(400.0, 1e-9).unwrap().error() <= 1e-9);
    // The largest degree is taken where none reaches the tolerance, and refused beyond the limit.
    let coarse = fit(1e4, 1e-9).map(|fit| (fit.degree(), fit.error() > 1e-9));
    assert!(matches!(coarse, Ok((255, true)) | Err(CircuitError::Approximation { .. })), "{coarse:?}");
    assert!(matches!(fit(1e9, 1e-9), Err(CircuitError::Approximation { .. })));
}

#[test]
fn a_fit_in_relative_error_beats_interpolation_where_that_counts() {
    let target = Target { criterion: Criterion::Relative, tolerance: 1e-3, limit: 1.0 };
    let inverse = |y: f64| 1.0 / (1.01 + y);
    let fit = Approximation::fit("inverse", "[0.01, 2.01]", target, inverse).unwrap();
    let interpolated =
        fhe_ckks::polynomials::chebyshev::Chebyshev::interpolate(inverse, (-1.0, 1.0), fit.degree()).unwrap();
    assert!(fit.error() <= interpolated.fit_error(inverse, 4000).relative);
}
