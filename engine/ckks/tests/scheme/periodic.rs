//! Products with periodic plaintexts against the same products with whole vectors.

use crate::common::{Instance, uniform};
use fhe_ckks::{
    CkksClient, CkksError, CkksServer, Clear, Client, Evaluator, Level, NoiseModel, Packing, PeriodicMatrix,
    SlotArithmetic, SlotCiphertext,
};
use fhe_ring::Backend;
use num_complex::Complex64;

const BOUND: f64 = 1.0 / (1u64 << 28) as f64;
const ROWS: usize = 18;

/// Run and numbers of a period: long and short runs, all slots, a period below the least degree of a ring.
const PERIODS: [(usize, usize); 5] = [(1, 64), (8, 16), (2, 512), (1, 2), (4, 1)];

/// The numbers of a vector.
fn fill(row: usize, column: usize, numbers: &mut [f64]) {
    numbers.copy_from_slice(&uniform(numbers.len(), (100 * row + column) as u64 + 1));
}

fn matrix(run: usize, numbers: usize) -> PeriodicMatrix<'static> {
    PeriodicMatrix { rows: ROWS, run, numbers, fill: &fill }
}

fn encrypted<B: Backend>(client: &CkksClient<B>, packing: Packing, slots: usize) -> Vec<SlotCiphertext<B>> {
    // At two levels: the products meet at the lower one.
    let encrypt = |(salt, level)| match packing {
        Packing::Real => client.encrypt_slots(&uniform(slots, salt), Level(level)),
        Packing::Complex => {
            let parts = uniform(slots, salt).into_iter().zip(uniform(slots, salt + 50));
            let values: Vec<_> = parts.map(|(re, im)| Complex64::new(re, im)).collect();
            client.encrypt_complex_slots(&values, Level(level))
        }
    };
    [(71, 3), (72, 2), (73, 3)].map(|input| encrypt(input).unwrap()).into()
}

/// The products, and the same by whole vectors.
fn products<B: Backend>(
    server: &CkksServer<B>,
    inputs: &[SlotCiphertext<B>],
    matrix: &PeriodicMatrix<'_>,
    slots: usize,
) -> [Vec<SlotCiphertext<B>>; 2] {
    let found = server.periodic_products(&inputs.iter().collect::<Vec<_>>(), matrix).unwrap();
    let whole = |row: usize| {
        let vectors: Vec<Vec<f64>> = (0..inputs.len())
            .map(|column| {
                let mut numbers = vec![0.0; matrix.numbers];
                fill(row, column, &mut numbers);
                (0..slots).map(|slot| numbers[slot / matrix.run % matrix.numbers]).collect()
            })
            .collect();
        let terms: Vec<_> = inputs.iter().zip(&vectors).map(|(x, vector)| (x, vector.as_slice())).collect();
        server.plain_combination(&terms).unwrap()
    };
    [found, (0..ROWS).map(whole).collect()]
}

#[test]
fn periodic_products_are_products_with_whole_vectors() {
    let instance = Instance::new("n11-toy", 21);
    let (planner, metered) = instance.planner();
    let server = instance.server(&planner);
    for packing in [Packing::Real, Packing::Complex] {
        let slots = instance.parameters.shape().slots(packing);
        let inputs = encrypted(&instance.client, packing, slots);
        for (run, numbers) in PERIODS {
            let matrix = matrix(run, numbers);
            let [found, expected] = products(&server, &inputs, &matrix, slots);
            assert_eq!(found.len(), ROWS);
            for (found, expected) in found.iter().zip(&expected) {
                assert_eq!((server.level(found), server.packing(found)), (Level(1), packing));
                let read = |x| match packing {
                    Packing::Real => {
                        let numbers = instance.client.decrypt_slots(x).unwrap().expect("data");
                        numbers.into_iter().map(Complex64::from).collect::<Vec<_>>()
                    }
                    Packing::Complex => instance.client.decrypt_complex_slots(x).unwrap().expect("data"),
                };
                let worst = read(found).iter().zip(read(expected)).map(|(a, b)| (a - b).norm()).fold(0.0, f64::max);
                assert!(worst < BOUND, "{packing:?}, {numbers} numbers in runs of {run}: 2^{:.1}", worst.log2());
            }
            products(&planner, &encrypted(&metered, packing, slots), &matrix, slots);
        }
    }
    assert_eq!(server.counts(), planner.counts());
    assert!(server.counts().plaintext_products == 2 * 2 * PERIODS.len() as u64 * 3 * ROWS as u64);
}

fn refusal<T>(result: Result<T, CkksError>) -> String {
    result.err().expect("must be refused").to_string()
}

#[test]
fn rejects_periods_that_do_not_fit_and_the_lowest_level() {
    let instance = Instance::new("n11-toy", 22);
    let shape = instance.parameters.shape().clone();
    let (planner, _) = instance.planner();
    let server = instance.server(&planner);
    let x = instance.client.encrypt_slots(&uniform(shape.degree, 1), Level(1)).unwrap();
    let bottom = instance.client.encrypt_slots(&uniform(shape.degree, 1), Level(0)).unwrap();
    assert!(refusal(server.periodic_products(&[], &matrix(1, 4))).contains("at least one"));
    assert!(refusal(server.periodic_products(&[&bottom], &matrix(1, 4))).contains("level"));
    for (run, numbers) in [(3, 4), (1, 5), (0, 4), (2, 2048)] {
        assert!(refusal(server.periodic_products(&[&x], &matrix(run, numbers))).contains("period"));
    }
    let not_finite = |_: usize, _: usize, numbers: &mut [f64]| numbers.fill(f64::NAN);
    let matrix_of = |fill| PeriodicMatrix { rows: 1, run: 1, numbers: 4, fill };
    assert!(refusal(server.periodic_products(&[&x], &matrix_of(&not_finite))).contains("encode"));

    let clear = Clear::new(shape.clone(), (), NoiseModel::default(), 0).unwrap();
    let zero = clear.encrypt(&vec![0.0; shape.degree], 1.0).unwrap();
    let y = clear.half_bootstrap(&[&zero], 1).unwrap().remove(0);
    assert!(refusal(clear.periodic_products(&[], &matrix(1, 4))).contains("at least one"));
    assert!(refusal(clear.periodic_products(&[&y], &matrix(1, 5))).contains("period"));
    assert!(refusal(clear.periodic_products(&[&y], &matrix_of(&not_finite))).contains("finite"));
    let lowest = clear.lower(&y, Level(0)).unwrap();
    assert!(refusal(clear.periodic_products(&[&lowest], &matrix(1, 4))).contains("level"));
}
