//! Slim evaluation against its function, over the clear evaluator and under encryption.

use crate::encrypted::{Instance, SlotClient};
use crate::support::{self, Random, clear, close, shape};
use fhe_circuits::approximation::{Approximation, Criterion, Target};
use fhe_circuits::slim::{Blocks, SlimApproximation};
use fhe_ckks::{CircuitShape, Evaluator, SlotArithmetic};

const TARGET: Target = Target { criterion: Criterion::Relative, tolerance: 1e-6, limit: 0.1 };

/// A power of `x` on `[1 / ratio, 1]`.
#[derive(Clone, Copy)]
struct Case {
    power: f64,
    ratio: f64,
    /// Slots of a block.
    length: usize,
    /// Of the blocks of a half, in quarters.
    used_quarters: usize,
    tolerance: f64,
}

impl Case {
    fn value(self, y: f64) -> f64 {
        let low = 1.0 / self.ratio;
        (0.5 * ((1.0 - low) * y + 1.0 + low)).powf(self.power)
    }

    fn blocks(self, shape: &CircuitShape) -> Blocks {
        let half = shape.degree / 2;
        Blocks::new(half, self.length, half / self.length * self.used_quarters / 4).unwrap()
    }

    fn fit(self, shape: &CircuitShape) -> SlimApproximation {
        let target = Target { tolerance: self.tolerance, ..TARGET };
        SlimApproximation::fit("power", "[1 / ratio, 1]", target, self.blocks(shape), usize::MAX, |y| self.value(y))
            .unwrap()
    }

    /// The argument in every slot: other numbers in each half.
    fn argument(self, shape: &CircuitShape) -> Vec<f64> {
        let numbers = Random::new(3).vector(2 * self.length);
        let half = shape.degree / 2;
        (0..shape.degree).map(|slot| numbers[slot / half * self.length + slot % self.length]).collect()
    }

    /// Values joined, and their product with the argument.
    fn run<E: Evaluator, C: SlotClient<E>>(self, e: &E, client: &C) -> [E::Slots; 2] {
        let slim = self.fit(e.shape());
        let above = slim.levels() + 1;
        let x = client.slots(e, &self.argument(e.shape()), above + e.shape().slots_to_coefficients_levels);
        let before = (e.level(&x).0, e.counts());
        let folded = slim.apply(e, &x).unwrap();
        let counts = e.counts() - before.1;
        assert_eq!((counts.products, counts.rotations), (slim.products() as u64, slim.rotations() as u64));
        let times = folded.times(e, &x).unwrap();
        assert_eq!(e.level(&times).0 + slim.levels() + 1, before.0);
        let joined = folded.joined(e).unwrap();
        assert_eq!(e.level(&joined).0 + slim.levels() + usize::from(slim.is_two_sided()), before.0);
        [joined, times]
    }

    fn compare(self, shape: &CircuitShape, [joined, times]: [Vec<f64>; 2], noise: f64) {
        let (slim, x) = (self.fit(shape), self.argument(shape));
        let size = self.value(-1.0);
        let tolerance = size * (slim.error() + noise);
        let half = shape.degree / 2;
        let used = half * self.used_quarters / 4;
        let values: Vec<f64> = x.iter().map(|&y| self.value(y)).collect();
        let products: Vec<f64> = x.iter().zip(&values).map(|(x, value)| x * value).collect();
        for first in [0, half] {
            close(&joined[first..first + used], &values[first..first + used], tolerance);
            close(&times[first..first + used], &products[first..first + used], tolerance);
        }
    }
}

const CASES: [Case; 7] = [
    Case { power: -1.0, ratio: 30.0, length: 8, used_quarters: 4, tolerance: 1e-2 },
    Case { power: -0.5, ratio: 30.0, length: 8, used_quarters: 4, tolerance: 1e-3 },
    Case { power: -1.0, ratio: 30.0, length: 4, used_quarters: 4, tolerance: 1e-8 },
    Case { power: -0.5, ratio: 120.0, length: 16, used_quarters: 2, tolerance: 1e-5 },
    Case { power: -1.0, ratio: 300.0, length: 4, used_quarters: 4, tolerance: 1e-6 },
    Case { power: -0.5, ratio: 880.0, length: 1, used_quarters: 2, tolerance: 1e-5 },
    // Few blocks leave few folds.
    Case { power: -1.0, ratio: 30.0, length: 64, used_quarters: 4, tolerance: 1e-4 },
];

#[test]
fn values_arrive_in_every_block_in_use() {
    let shape = shape(9);
    for case in CASES {
        let e = clear(&shape);
        let found = case.run(&e, &e).map(|x| e.numbers(&x));
        case.compare(&shape, found, 1e-6);
    }
}

#[test]
fn degrees_and_folds_follow_tolerance_and_blocks() {
    let shape = shape(9);
    let found = CASES.map(|case| {
        let slim = case.fit(&shape);
        (slim.degree(), slim.polynomial().folds(), slim.is_two_sided())
    });
    let expected =
        [(16, 2, true), (16, 2, true), (64, 3, true), (64, 3, false), (128, 4, true), (128, 4, false), (32, 1, true)];
    assert_eq!(found, expected);
}

#[test]
fn slim_evaluation_takes_fewer_products_than_paterson_and_stockmeyer() {
    let shape = shape(11);
    for (ratio, tolerance, most) in [(30.0, 1e-5, 6), (120.0, 1e-5, 7), (800.0, 1e-4, 8)] {
        let case = Case { power: -0.5, ratio, length: 4, used_quarters: 2, tolerance };
        let slim = case.fit(&shape);
        let target = Target { tolerance, ..TARGET };
        let usual = Approximation::fit("power", "", target, move |y| case.value(y)).unwrap();
        assert_eq!((slim.degree(), slim.levels()), (usual.degree() + 1, usual.levels() + 1));
        assert_eq!((slim.products(), slim.rotations()), (most, slim.polynomial().folds()));
    }
}

/// Counts of plan and run are equal, and the error stays within what squarings make of that of a rescaling.
#[test]
fn encrypted_values_are_those_of_the_function() {
    let instance = Instance::new("n11-toy");
    let shape = instance.parameters.shape().clone();
    for case in [CASES[0], CASES[3]] {
        let (planner, metered) = instance.planner();
        case.run(&planner, &metered);
        let server = instance.server(&planner);
        let found = case.run(&server, &instance.client);
        assert_eq!(server.counts(), planner.counts());
        let e = clear(&shape);
        let x = case.run(&e, &e);
        drop(x);
        case.compare(&shape, found.map(|x| instance.client.numbers(&x)), 2e-5);
    }
}

#[test]
fn rejects_blocks_levels_and_windows_that_do_not_carry() {
    let shape = shape(9);
    assert!(Blocks::new(256, 3, 1).is_err());
    assert!(Blocks::new(256, 512, 1).is_err());
    assert!(Blocks::new(256, 16, 17).is_err());
    assert!(Blocks::new(256, 16, 0).is_err());
    let fit = |blocks: Blocks, levels, ratio| {
        let case = Case { ratio, ..CASES[0] };
        let fit = SlimApproximation::fit("power", "window", TARGET, blocks, levels, |y| case.value(y));
        fit.map(|slim| slim.degree()).map_err(|refusal| refusal.to_string())
    };
    let blocks = CASES[0].blocks(&shape);
    assert_eq!(fit(blocks, 5, 4.0), Ok(16));
    assert!(fit(blocks, 4, 4.0).unwrap_err().contains("power"));
    assert!(fit(blocks, usize::MAX, 1e9).unwrap_err().contains("window"));
    assert!(fit(Blocks::new(256, 256, 1).unwrap(), usize::MAX, 4.0).unwrap_err().contains("blocks"));
    let e = clear(&support::shape(10));
    let x = e.slots(&e, &vec![0.0; 1 << 10], 12);
    assert!(CASES[0].fit(&shape).apply(&e, &x).unwrap_err().to_string().contains("slots"));
}
