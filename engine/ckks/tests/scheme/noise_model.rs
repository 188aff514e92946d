//! The noise model of the clear evaluator against the errors of the encrypted scheme, operation by operation.

use crate::common::{Instance, uniform};
use fhe_ckks::{
    CkksServer, Client, Evaluator, IntegerMatrix, LaneProducts, Level, MatrixShape, NoiseModel, SlotArithmetic,
    SlotCiphertext, correct_sine,
};
use fhe_ring::Backend;

/// Integers that stand for one.
const LARGE: f64 = (1_u64 << 41) as f64;
const SMALL: f64 = (1_u64 << 30) as f64;

/// Root mean square.
fn rms(errors: impl IntoIterator<Item = f64>) -> f64 {
    let (count, sum) = errors.into_iter().fold((0, 0.0), |(count, sum), error| (count + 1, sum + error * error));
    (sum / f64::from(count)).sqrt()
}

/// What an operation was predicted to err by, and what it did.
struct Line {
    operation: &'static str,
    predicted: f64,
    measured: f64,
}

/// A circuit over any backend that yields an error, if the backend holds data.
macro_rules! measured {
    ($instance:expr, |$server:ident, $client:ident| $circuit:expr) => {{
        let (planner, metered) = $instance.planner();
        {
            let ($server, $client) = (&planner, &metered);
            let _: Option<f64> = $circuit;
        }
        let server = $instance.server(&planner);
        let ($server, $client) = (&server, &$instance.client);
        let error: Option<f64> = $circuit;
        error.expect("data")
    }};
}

struct Case {
    instance: Instance,
    tokens: usize,
    lanes: usize,
    model: NoiseModel,
}

impl Case {
    fn new(name: &str, tokens: usize, lanes: usize) -> Self {
        let instance = Instance::new(name, 91);
        let model = NoiseModel::of(&instance.parameters, tokens);
        Self { instance, tokens, lanes, model }
    }

    /// Values that a real user would have: a tenth of the range.
    fn values(&self, salt: u64) -> Vec<f64> {
        uniform(self.instance.parameters.shape().degree, salt).into_iter().map(|x| 0.1 * x).collect()
    }

    fn encryption(&self) -> f64 {
        let (client, unit) = (&self.instance.client, 2f64.powi(30));
        let values = self.values(1);
        let ciphertext = client.encrypt(&values, unit).expect("encrypted");
        let found = client.decrypt(&ciphertext).expect("decrypted").expect("data");
        rms(found.iter().zip(&values).map(|(found, value)| unit * (found - value)))
    }

    fn rescaling(&self) -> f64 {
        let values = self.values(2);
        let level = Level(self.instance.parameters.shape().slots_to_coefficients_levels + 1);
        measured!(self.instance, |server, client| {
            let fresh = client.encrypt_slots(&values, level).expect("slots");
            // The rescaling's error, and that of the encryption, which is below it.
            let lowered = server.linear_combination(&[(&fresh, 1.0)], 0.0).expect("lowered");
            let found = client.decrypt_slots(&lowered).expect("decrypted");
            found.map(|found| rms(found.iter().zip(&values).map(|(found, value)| found - value)))
        })
    }

    fn slots_to_coefficients(&self, unit: f64) -> f64 {
        let shape = self.instance.parameters.shape();
        let values = self.values(3);
        measured!(self.instance, |server, client| {
            let fresh = client.encrypt_slots(&values, Level(shape.slots_to_coefficients_levels)).expect("slots");
            let descended = server.slots_to_coefficients(&fresh, unit).expect("descended");
            // Against what is encrypted, so that the error of the encryption is not counted.
            let both =
                client.decrypt(&descended).expect("decrypted").zip(client.decrypt_slots(&fresh).expect("decrypted"));
            both.map(|(found, slots)| {
                rms((0..shape.degree).map(|p| unit * (found[p] - slots[shape.slot_of_coefficient(p)])))
            })
        })
    }

    fn half_bootstrap(&self) -> f64 {
        let shape = self.instance.parameters.shape();
        let values = self.values(4);
        measured!(self.instance, |server, client| {
            let ciphertext = client.encrypt(&values, shape.full_scale).expect("encrypted");
            let raised = server.half_bootstrap(&[&ciphertext], 2).expect("raised").remove(0);
            let corrected = correct_sine(server, &raised).expect("corrected");
            let found = client.decrypt_slots(&corrected).expect("decrypted");
            let expected = |p: usize| values[p];
            found.map(|found| rms((0..shape.degree).map(|p| found[shape.slot_of_coefficient(p)] - expected(p))))
        })
    }

    /// A permutation of rows: what the split and the packing add.
    fn rows(&self) -> [f64; 2] {
        let (shape, unit) = (self.instance.parameters.shape(), 2f64.powi(30));
        let values = self.values(5);
        let rows = shape.degree / self.tokens;
        // A weight of one, and of 2^11: the second shows what the split adds.
        [1, 1 << 11].map(|weight: i16| {
            let entries = (0..rows * rows).map(|i| if i % rows == i / rows { weight } else { 0 }).collect();
            let weights = IntegerMatrix::new(MatrixShape { rows, columns: rows }, entries).expect("sizes");
            measured!(self.instance, |server, client| {
                let ciphertext = client.encrypt(&values, unit).expect("encrypted");
                let split = server.module_rows(&[&ciphertext], self.tokens).expect("rows");
                let product = server.integer_product(&weights, f64::from(weight), &split).expect("product");
                let packed = server.pack_rows(&product).expect("packed").remove(0);
                let found = client.decrypt(&packed).expect("decrypted");
                let scale = unit * f64::from(weight);
                found.map(|found| rms(found.iter().zip(&values).map(|(found, value)| scale * (found - value))))
            })
        })
    }

    /// A permutation without the structure of a shift of a vector that fills a small ciphertext.
    fn vector_product(&self) -> f64 {
        let (shape, unit) = (self.instance.parameters.shape(), 2f64.powi(30));
        let (block, group) = (shape.small_degree, shape.degree / shape.small_degree);
        let mut values = self.values(6);
        values.iter_mut().enumerate().filter(|(p, _)| p % group > 0).for_each(|(_, value)| *value = 0.0);
        let column = |row: usize| row * (row + 1) / 2 % block;
        let entries = (0..block * block).map(|i| (i % block == column(i / block)).into()).collect();
        let weights = [IntegerMatrix::new(MatrixShape { rows: block, columns: block }, entries).expect("sizes")];
        measured!(self.instance, |server, client| {
            let ciphertext = client.encrypt(&values, unit).expect("encrypted");
            let vector = server.split_vector(&[&ciphertext], block, 1).expect("split");
            let product = server.vector_products(&weights, 1.0, &vector).expect("product").remove(0);
            let found = client.decrypt(&product).expect("decrypted");
            let error = |found: &[f64], row: usize| unit * (found[group * row] - values[group * column(row)]);
            found.map(|found| rms((0..block).map(|row| error(&found, row))))
        })
    }

    /// Zeros over lanes at a unit times as many numbers.
    fn lanes(&self, left_unit: f64, right: f64) -> f64 {
        let shape = self.instance.parameters.shape();
        let level = Level(shape.slots_to_lanes_level());
        let zeros = vec![0.0; shape.degree];
        // The real part of every lane.
        let numbers: Vec<f64> =
            (0..shape.degree).map(|slot| if slot < shape.degree / 2 { right } else { 0.0 }).collect();
        measured!(self.instance, |server, client| {
            let factors = |numbers: &[f64], unit: f64| {
                factors(server, &client.encrypt_slots(numbers, level).expect("slots"), self.lanes, unit)
            };
            let (left, right) = (factors(&zeros, left_unit), factors(&numbers, shape.lane_divisor));
            let columns = server
                .multiply_lanes(
                    &left.iter().collect::<Vec<_>>(),
                    &right.iter().collect::<Vec<_>>(),
                    self.lanes,
                    shape.lane_rows(self.lanes),
                )
                .expect("product");
            let joined =
                server.join_lanes(&columns.iter().take(shape.lane_group()).collect::<Vec<_>>()).expect("joined");
            let unit = server.unit(&joined);
            client.decrypt(&joined).expect("decrypted").map(|found| rms(found.iter().map(|found| unit * found)))
        })
    }

    fn lines(&self) -> Vec<Line> {
        let Self { model, .. } = self;
        let shape = self.instance.parameters.shape();
        let line = |operation, predicted, measured| Line { operation, predicted, measured };
        let [packing, split] = self.rows();
        let coefficients = |unit: f64| model.slots_to_coefficients.hypot(unit * model.slots_to_coefficients_relative);
        // A column of ones meets the errors of all factors of a row.
        let factor = |unit: f64| {
            let relative = model.slots_to_lanes_relative / (2.0 * self.lanes as f64).sqrt();
            let factor = model.slots_to_lanes.hypot(unit * relative);
            model.lane_product.hypot(factor * (shape.lane_group() as f64).sqrt())
        };
        vec![
            line("encryption", model.encryption, self.encryption()),
            line("rescaling", model.rescaling, self.rescaling()),
            line("half bootstrap", model.half_bootstrap, self.half_bootstrap()),
            line(
                "SlotsToCoeffs, full unit",
                coefficients(shape.full_scale),
                self.slots_to_coefficients(shape.full_scale),
            ),
            line("SlotsToCoeffs, small unit", coefficients(SMALL), self.slots_to_coefficients(SMALL)),
            line("packing of rows", model.pack_rows.hypot(model.module_rows.hypot(model.encryption)), packing),
            line("split of rows", 2048.0 * model.module_rows.hypot(model.encryption), split),
            line("product with a vector", model.vector_product * shape.small_degree as f64, self.vector_product()),
            line("product over lanes", model.lane_product, self.lanes(SMALL, 0.0)),
            line("factors over lanes, large unit", factor(LARGE), self.lanes(LARGE, 1.0)),
            line("factors over lanes, small unit", factor(SMALL), self.lanes(SMALL, 1.0)),
        ]
    }

    fn check(&self) {
        let lines = self.lines();
        for Line { operation, predicted, measured } in &lines {
            println!("{operation}: predicted 2^{:.2}, measured 2^{:.2}", predicted.log2(), measured.log2());
        }
        for Line { operation, predicted, measured } in lines {
            let bits = (measured / predicted).log2();
            assert!(bits.abs() < 0.25, "{operation}: {bits:+.2} bits from the model");
        }
    }
}

fn factors<B: Backend>(
    server: &CkksServer<B>,
    slots: &SlotCiphertext<B>,
    lanes: usize,
    unit: f64,
) -> Vec<fhe_ckks::LaneCiphertext<B>> {
    server.slots_to_lanes(&[slots], lanes, unit).expect("lanes").remove(0)
}

#[test]
fn errors_are_those_of_the_model() {
    Case::new("n13-toy", 32, 8).check();
}

/// The real ring: 12 GiB and a minute.
#[test]
#[ignore = "the real ring: cargo real-ring"]
fn errors_on_the_real_ring_are_those_of_the_model() {
    Case::new("n16-llama", 128, 32).check();
}
