//! Slot arithmetic at canonical scales against plain numbers.

use crate::common::{Instance, errors, uniform};
use fhe_ckks::{
    CkksClient, CkksError, CkksServer, Client, Evaluator, Level, Packing, Rotation, SlotArithmetic, SlotCiphertext,
};
use fhe_ring::Backend;
use num_complex::Complex64;

/// Error of one operation on values of size one at 2^42: rescaling noise 2^11 per real slot at degree 2^11, with room.
const BOUND: f64 = 1.0 / (1u64 << 28) as f64;

fn encrypt<B: Backend>(client: &CkksClient<B>, packing: Packing, z: &[Complex64], level: usize) -> SlotCiphertext<B> {
    let real: Vec<f64> = z.iter().map(|z| z.re).collect();
    let encrypted = match packing {
        Packing::Real => client.encrypt_slots(&real, Level(level)),
        Packing::Complex => client.encrypt_complex_slots(z, Level(level)),
    };
    encrypted.unwrap()
}

fn decrypt<B: Backend>(client: &CkksClient<B>, packing: Packing, x: &SlotCiphertext<B>) -> Vec<Complex64> {
    match packing {
        Packing::Real => client.decrypt_slots(x).unwrap().expect("data").into_iter().map(Complex64::from).collect(),
        Packing::Complex => client.decrypt_complex_slots(x).unwrap().expect("data"),
    }
}

/// What is done to two ciphertexts and a plaintext, with the level that it should end at.
fn operations<B: Backend>(
    server: &CkksServer<B>,
    [a, b]: [&SlotCiphertext<B>; 2],
    plain: &[f64],
) -> Vec<(SlotCiphertext<B>, usize)> {
    let product = server.multiply(a, b).unwrap();
    let mut results = vec![
        (server.add(a, b).unwrap(), 5),
        (server.subtract(a, b).unwrap(), 5),
        (product.clone(), 4),
        (server.square(a).unwrap(), 6),
        (server.add_constant(a, 0.37).unwrap(), 7),
        (server.add_plain(a, plain).unwrap(), 7),
        (server.multiply_integer(a, -3).unwrap(), 7),
        (server.linear_combination(&[(a, 0.3), (b, -0.7), (&product, 1.1)], 0.2).unwrap(), 3),
        (server.plain_combination(&[(a, plain), (b, plain)]).unwrap(), 4),
        (server.lower(a, Level(2)).unwrap(), 2),
        (server.rotate(a, Rotation(3)).unwrap(), 7),
        (server.rotate(b, Rotation(-5)).unwrap(), 5),
    ];
    if server.packing(a) == Packing::Complex {
        results.push((server.conjugate(a).unwrap(), 7));
        results.push((server.multiply_imaginary(a).unwrap(), 7));
    }
    results
}

#[test]
fn operations_agree_with_plain_numbers_and_consume_the_levels_they_state() {
    let instance = Instance::new("n11-toy", 1);
    for packing in [Packing::Real, Packing::Complex] {
        let slots = instance.parameters.shape().slots(packing);
        let part = |salt| if packing == Packing::Real { vec![0.0; slots] } else { uniform(slots, salt) };
        let numbers =
            |salt| uniform(slots, salt).into_iter().zip(part(salt + 9)).map(|(re, im)| Complex64::new(re, im));
        let (x, y, z): (Vec<_>, Vec<_>, _) = (numbers(1).collect(), numbers(2).collect(), uniform(slots, 3));
        let (planner, metered) = instance.planner();
        operations(&planner, [&encrypt(&metered, packing, &x, 7), &encrypt(&metered, packing, &y, 5)], &z);
        let server = instance.server(&planner);
        let client = &instance.client;
        let results = operations(&server, [&encrypt(client, packing, &x, 7), &encrypt(client, packing, &y, 5)], &z);
        assert_eq!(server.counts(), planner.counts(), "the metered run counts what the encrypted run does");

        let rotate = |v: &[Complex64], steps: i64| -> Vec<Complex64> {
            (0..slots as i64).map(|j| v[(j + steps).rem_euclid(slots as i64) as usize]).collect()
        };
        let each = |f: &dyn Fn(Complex64, Complex64, f64) -> Complex64| -> Vec<Complex64> {
            (0..slots).map(|j| f(x[j], y[j], z[j])).collect()
        };
        let expected = [
            each(&|x, y, _| x + y),
            each(&|x, y, _| x - y),
            each(&|x, y, _| x * y),
            each(&|x, _, _| x * x),
            each(&|x, _, _| x + 0.37),
            each(&|x, _, z| x + z),
            each(&|x, _, _| -3.0 * x),
            each(&|x, y, _| 0.3 * x - 0.7 * y + 1.1 * x * y + 0.2),
            each(&|x, y, z| (x + y) * z),
            x.clone(),
            rotate(&x, 3),
            rotate(&y, -5),
            each(&|x, _, _| x.conj()),
            each(&|x, _, _| x * Complex64::I),
        ];
        assert_eq!(results.len(), if packing == Packing::Real { 12 } else { expected.len() });
        for (index, ((result, level), expected)) in results.iter().zip(&expected).enumerate() {
            assert_eq!((server.packing(result), server.level(result)), (packing, Level(*level)), "operation {index}");
            let found = decrypt(client, packing, result);
            let worst =
                found.iter().zip(expected).map(|(found, expected)| (found - expected).norm()).fold(0.0, f64::max);
            assert!(worst < BOUND, "{packing:?} operation {index}: error 2^{:.1}", worst.log2());
        }
    }
}

#[test]
fn coefficients_add_magnify_save_and_restore() {
    let instance = Instance::new("n11-toy", 3);
    let degree = instance.parameters.shape().degree;
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

/// At every level, in both packings; the same words come back.
#[test]
fn slots_are_saved_and_restored() {
    let instance = Instance::new("n11-toy", 6);
    let shape = instance.parameters.shape().clone();
    let (planner, _) = instance.planner();
    let server = instance.server(&planner);
    let x = uniform(shape.degree, 4);
    for level in [0, 3, shape.top_level()].map(Level) {
        let slots = instance.client.encrypt_slots(&x, level).unwrap();
        let bytes = server.save_slots(&slots).unwrap();
        let restored = server.restore_slots(&bytes).unwrap();
        assert_eq!((server.level(&restored), server.packing(&restored)), (level, server.packing(&slots)));
        assert_eq!(server.save_slots(&restored).unwrap(), bytes);
        let found = instance.client.decrypt_slots(&restored).unwrap().expect("data");
        assert_eq!(found, instance.client.decrypt_slots(&slots).unwrap().expect("data"));
    }
    let complex = vec![Complex64::new(0.5, -0.25); shape.degree / 2];
    let slots = instance.client.encrypt_complex_slots(&complex, Level(4)).unwrap();
    let bytes = server.save_slots(&slots).unwrap();
    assert_eq!(server.packing(&server.restore_slots(&bytes).unwrap()), server.packing(&slots));
    // A level that the primes are not those of, a message that is cut short, one with something behind it.
    let mut other = bytes.clone();
    other[0] = 5;
    let mut longer = bytes.clone();
    longer.push(0);
    for bad in [&other[..], &longer, &bytes[..bytes.len() - 1], &bytes[..7], &[255; 40]] {
        assert!(server.restore_slots(bad).is_err());
    }
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
    let x = uniform(shape.degree, 1);
    let bottom = client.encrypt_slots(&x, Level(0)).unwrap();
    let high = client.encrypt_slots(&x, Level(4)).unwrap();
    assert!(refusal(server.square(&bottom)).contains("level"));
    assert!(refusal(server.multiply(&high, &bottom)).contains("level"));
    assert!(refusal(server.linear_combination(&[], 0.0)).contains("at least one"));
    assert!(refusal(server.plain_combination(&[(&high, &x[1..])])).contains("one value per slot"));
    assert!(refusal(server.add_constant(&high, f64::NAN)).contains("constant"));
    assert!(refusal(server.lower(&bottom, Level(2))).contains("bootstrap"));
    assert!(refusal(server.rotate(&high, Rotation(9))).contains("plan"), "no such key was generated");
    assert!(refusal(server.slots_to_coefficients(&high, 0.0)).contains("unit"));
    assert!(refusal(server.slots_to_coefficients(&high, 1e-3)).contains("larger unit"));
    assert!(refusal(client.encrypt_slots(&x, Level(18))).contains("at most 17"));
    assert!(refusal(client.encrypt(&x[1..], 1.0)).contains("pad"));
    assert!(refusal(client.encrypt(&vec![1e9; shape.degree], 1e9)).contains("smaller unit"));
    let complex = client.encrypt_complex_slots(&vec![Complex64::ONE; shape.degree / 2], Level(4)).unwrap();
    assert!(refusal(server.add(&high, &complex)).contains("packing"));
    assert!(refusal(server.conjugate(&high)).contains("packing"));
    assert!(refusal(server.multiply_imaginary(&high)).contains("packing"));
    assert!(refusal(server.to_complex(&complex)).contains("packing"));
    assert!(refusal(server.to_real(&high)).contains("packing"));
    let a = client.encrypt(&vec![0.0; shape.degree], 1e6).unwrap();
    let b = client.encrypt(&vec![0.0; shape.degree], 1e6 + 1.0).unwrap();
    assert!(refusal(server.add_coefficients(&a, &b)).contains("unit"));
    assert!(refusal(server.magnify(&a, 0)).contains("positive"));
    assert!(refusal(server.restore(&[0; 17])).contains("length"));
    assert!(refusal(server.half_bootstrap(&[&a], shape.compute_levels + 1)).contains("at most"));
    assert!(refusal(fhe_ckks::Parameters::named("n99")).contains("n16-llama"));
}
