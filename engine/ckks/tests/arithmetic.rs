//! Slot arithmetic at canonical scales against plain numbers.

mod common;

use common::{Instance, errors, uniform};
use fhe_ckks::{CkksError, Client, Evaluator, Level, Rotation};

/// Error of one operation on values of size one at 2^42: rescaling noise 2^9 at degree 2^11, with room.
const BOUND: f64 = 1.0 / (1u64 << 28) as f64;

#[test]
fn operations_agree_with_plain_numbers_and_consume_the_levels_they_state() {
    let instance = Instance::new("n11-toy", 1);
    let slots = instance.parameters.shape().slots;
    let (x, y, z) = (uniform(slots, 1), uniform(slots, 2), uniform(slots, 3));
    macro_rules! circuit {
        ($server:expr, $client:expr) => {{
            let (server, client) = ($server, $client);
            let a = client.encrypt_slots(&x, Level(7)).unwrap();
            let b = client.encrypt_slots(&y, Level(5)).unwrap();
            let product = server.multiply(&a, &b).unwrap();
            vec![
                (server.add(&a, &b).unwrap(), 5),
                (server.subtract(&a, &b).unwrap(), 5),
                (product.clone(), 4),
                (server.square(&a).unwrap(), 6),
                (server.add_constant(&a, 0.37).unwrap(), 7),
                (server.add_plain(&a, &z).unwrap(), 7),
                (server.multiply_integer(&a, -3).unwrap(), 7),
                (server.linear_combination(&[(&a, 0.3), (&b, -0.7), (&product, 1.1)], 0.2).unwrap(), 3),
                (server.plain_combination(&[(&a, &z), (&b, &x)]).unwrap(), 4),
                (server.lower(&a, Level(2)).unwrap(), 2),
                (server.rotate(&a, Rotation(3)).unwrap(), 7),
                (server.rotate(&b, Rotation(-5)).unwrap(), 5),
                (server.conjugate(&a).unwrap(), 7),
            ]
        }};
    }
    let (planner, metered) = instance.planner();
    circuit!(&planner, &metered);
    let server = instance.server(&planner);
    let results = circuit!(&server, &instance.client);
    let rotate = |v: &[f64], steps: i64| -> Vec<f64> {
        (0..slots as i64).map(|j| v[(j + steps).rem_euclid(slots as i64) as usize]).collect()
    };
    let each = |f: &dyn Fn(f64, f64, f64) -> f64| -> Vec<f64> { (0..slots).map(|j| f(x[j], y[j], z[j])).collect() };
    let expected = [
        each(&|x, y, _| x + y),
        each(&|x, y, _| x - y),
        each(&|x, y, _| x * y),
        each(&|x, _, _| x * x),
        each(&|x, _, _| x + 0.37),
        each(&|x, _, z| x + z),
        each(&|x, _, _| -3.0 * x),
        each(&|x, y, _| 0.3 * x - 0.7 * y + 1.1 * x * y + 0.2),
        each(&|x, y, z| x * z + y * x),
        x.clone(),
        rotate(&x, 3),
        rotate(&y, -5),
        x.clone(),
    ];
    assert_eq!(results.len(), expected.len());
    for (index, ((result, level), expected)) in results.iter().zip(&expected).enumerate() {
        assert_eq!(server.level(result), Level(*level), "operation {index}");
        let found = instance.client.decrypt_slots(result).unwrap().expect("data");
        let (_, worst) = errors(&found, expected.iter().copied());
        assert!(worst < BOUND, "operation {index}: error 2^{:.1}", worst.log2());
    }
    assert_eq!(server.counts(), planner.counts(), "the metered run counts what the encrypted run does");
}

#[test]
fn imaginary_unit_turns_the_slots() {
    let instance = Instance::new("n11-toy", 2);
    let x = uniform(instance.parameters.shape().slots, 1);
    let (planner, _) = instance.planner();
    let server = instance.server(&planner);
    let turned = server.multiply_imaginary(&instance.client.encrypt_slots(&x, Level(3)).unwrap()).unwrap();
    let found = instance.client.decrypt_complex_slots(&turned).unwrap().expect("data");
    assert!(found.iter().zip(&x).all(|(z, x)| (z.im - x).abs() < BOUND && z.re.abs() < BOUND));
}

#[test]
fn coefficients_add_magnify_save_and_restore() {
    let instance = Instance::new("n11-toy", 3);
    let degree = instance.parameters.shape().degree();
    let (x, y) = (uniform(degree, 4), uniform(degree, 5));
    let (planner, _) = instance.planner();
    let server = instance.server(&planner);
    let unit = (1u64 << 30) as f64;
    let (a, b) = (instance.client.encrypt(&x, unit).unwrap(), instance.client.encrypt(&y, unit).unwrap());
    let sum = server.magnify(&server.add_coefficients(&a, &b).unwrap(), 8).unwrap();
    let restored = server.restore(&server.save(&sum).unwrap()).unwrap();
    assert_eq!(server.unit(&restored), 8.0 * unit);
    let found = instance.client.decrypt(&restored).unwrap().expect("data");
    let (_, worst) = errors(&found, x.iter().zip(&y).map(|(x, y)| x + y));
    assert!(worst < 60.0 / unit, "error {worst:e}");
}

fn refusal<T>(result: Result<T, CkksError>) -> String {
    result.err().expect("must be refused").to_string()
}

#[test]
fn rejects_what_does_not_fit() {
    let instance = Instance::new("n11-toy", 4);
    let shape = instance.parameters.shape().clone();
    let (planner, _) = instance.planner();
    let server = instance.server(&planner);
    let client = &instance.client;
    let x = uniform(shape.slots, 1);
    let bottom = client.encrypt_slots(&x, Level(0)).unwrap();
    let high = client.encrypt_slots(&x, Level(4)).unwrap();
    assert!(refusal(server.square(&bottom)).contains("level"));
    assert!(refusal(server.multiply(&high, &bottom)).contains("level"));
    assert!(refusal(server.linear_combination(&[], 0.0)).contains("at least one"));
    assert!(refusal(server.plain_combination(&[(&high, &x[1..])])).contains("one value per slot"));
    assert!(refusal(server.add_constant(&high, f64::NAN)).contains("constant"));
    assert!(refusal(server.lower(&bottom, Level(2))).contains("bootstrap"));
    assert!(refusal(server.rotate(&high, Rotation(9))).contains("plan"), "no such key was generated");
    assert!(refusal(server.slots_to_coefficients(&high, None, 0.0)).contains("unit"));
    assert!(refusal(server.slots_to_coefficients(&high, None, 1e-3)).contains("larger unit"));
    assert!(refusal(client.encrypt_slots(&x, Level(18))).contains("at most 17"));
    assert!(refusal(client.encrypt(&x, 1.0)).contains("pad"));
    assert!(refusal(client.encrypt(&vec![1e9; shape.degree()], 1e9)).contains("smaller unit"));
    let a = client.encrypt(&vec![0.0; shape.degree()], 1e6).unwrap();
    let b = client.encrypt(&vec![0.0; shape.degree()], 1e6 + 1.0).unwrap();
    assert!(refusal(server.add_coefficients(&a, &b)).contains("unit"));
    assert!(refusal(server.magnify(&a, 0)).contains("positive"));
    assert!(refusal(server.restore(&[0; 17])).contains("length"));
    assert!(refusal(server.half_bootstrap(&[&a], shape.compute_levels + 1)).contains("at most"));
    assert!(refusal(fhe_ckks::Parameters::named("n99")).contains("n16-llama"));
}
