//! Half and full bootstrapping of the parameter set for real runs, on the device and on the CPU: time, precision, and the
//! words of the ciphertexts.

use std::{sync::Arc, time::Instant};

use fhe_ckks::{
    CkksClient, CkksServer, Client, CoefficientCiphertext, Evaluator, Level, Parameters, SlotArithmetic,
    SlotCiphertext, bootstrap, correct_sine,
};
use fhe_cuda::{Cuda, CudaError, Driver};
use fhe_ring::{Backend, Cpu, Meter, Seed};
use num_complex::Complex64;

use crate::{profile::Profiled, record::Record};

/// Ciphertexts that are bootstrapped together.
const BATCH: usize = 4;
const SAMPLES: usize = 7;

/// Client and server over one backend. The same seed gives the same keys on any.
struct Instance<B: Backend> {
    backend: Arc<B>,
    client: CkksClient<B>,
    server: CkksServer<B>,
}

/// What is bootstrapped.
struct Inputs<B: Backend> {
    coefficients: Vec<CoefficientCiphertext<B>>,
    real: SlotCiphertext<B>,
    complex: SlotCiphertext<B>,
}

/// The plain values, equal on every backend.
struct Values {
    coefficients: Vec<Vec<f64>>,
    complex: Vec<Complex64>,
}

impl Values {
    fn new(degree: usize) -> Self {
        let coefficients: Vec<Vec<f64>> = (1..=BATCH as u64).map(|salt| uniform(degree, salt)).collect();
        let (re, im) = coefficients[0].split_at(degree / 2);
        let complex = re.iter().zip(im).map(|(&re, &im)| Complex64::new(re, im)).collect();
        Self { coefficients, complex }
    }
}

impl<B: Backend> Instance<B> {
    fn new(backend: B, parameters: &Parameters, planner: &CkksServer<Meter>, record: &mut Record, name: &str) -> Self {
        let set = parameters.set().name;
        let backend = Arc::new(backend);
        let seed = Seed::from_bytes([7; 32]);
        let client = CkksClient::new(Arc::clone(&backend), parameters.clone(), &seed).expect("secrets");
        let start = Instant::now();
        let keys = client.evaluation_keys(&planner.key_requests(), |_| ()).expect("keys");
        record.note(format!("{set}, key generation, {name}"), start.elapsed().as_secs_f64(), "s");
        let start = Instant::now();
        let server = CkksServer::new(Arc::clone(&backend), parameters.clone(), keys).expect("server");
        record.note(format!("{set}, tables of the transforms, {name}"), start.elapsed().as_secs_f64(), "s");
        Self { backend, client, server }
    }

    fn inputs(&self, values: &Values) -> Inputs<B> {
        let shape = self.server.shape();
        let lowest = Level(shape.slots_to_coefficients_levels);
        let coefficients = (values.coefficients.iter())
            .map(|values| self.client.encrypt(values, shape.full_scale).expect("coefficients"))
            .collect();
        Inputs {
            coefficients,
            real: self.client.encrypt_slots(&values.coefficients[0], lowest).expect("slots"),
            complex: self.client.encrypt_complex_slots(&values.complex, lowest).expect("slots"),
        }
    }

    fn half(&self, inputs: &Inputs<B>, count: usize) -> Vec<SlotCiphertext<B>> {
        let levels = self.server.shape().compute_levels;
        let inputs: Vec<_> = inputs.coefficients.iter().take(count).collect();
        self.server.half_bootstrap(&inputs, levels).expect("half bootstrap")
    }

    fn full(&self, input: &SlotCiphertext<B>, count: usize) -> Vec<SlotCiphertext<B>> {
        let levels = self.server.shape().compute_levels;
        bootstrap(&self.server, &vec![input; count], levels).expect("full bootstrap")
    }

    /// Every word of the ciphertexts.
    fn words(&self, ciphertexts: &[SlotCiphertext<B>]) -> Vec<Vec<u64>> {
        let halves = ciphertexts.iter().flat_map(|x| x.ciphertext().halves());
        halves.map(|half| half.download(&self.backend).expect("data")).collect()
    }

    /// Bits of the mean and of the largest error of a half bootstrap, its sine corrected.
    fn half_precision(&self, results: &[SlotCiphertext<B>], values: &Values) -> [f64; 2] {
        let shape = self.server.shape();
        let errors = results.iter().zip(&values.coefficients).flat_map(|(slots, values)| {
            let corrected = correct_sine(&self.server, slots).expect("two levels");
            let found = self.client.decrypt_slots(&corrected).expect("real slots").expect("data");
            (0..shape.degree).map(|p| (found[shape.slot_of_coefficient(p)] - values[p]).abs()).collect::<Vec<_>>()
        });
        bits(errors)
    }
}

pub(crate) fn measure(record: &mut Record, set: &str) -> Result<(), CudaError> {
    let parameters = Parameters::named(set).expect("a named set");
    let chain = parameters.rlwe().chain().clone();
    let planner = planned(&parameters);
    let values = Values::new(parameters.shape().degree);

    let cuda = Cuda::new(chain.clone(), Profiled::new(Driver::new(0)?))?;
    let device = Instance::new(cuda, &parameters, &planner, record, "device");
    let inputs = device.inputs(&values);
    let [available, total] = device.backend.device().driver().memory()?;
    record.note(format!("{set}, device memory in use with keys and tables"), (total - available) as f64 / 1e9, "GB");
    record.note(format!("{set}, keys"), device.server.key_bytes() as f64 / 1e9, "GB");
    record.note(format!("{set}, tables"), device.server.table_bytes() as f64 / 1e9, "GB");

    let half = time(&device, record, "half bootstrap", || device.half(&inputs, 1))?;
    let batch = time(&device, record, "half bootstrap of four", || device.half(&inputs, BATCH))?;
    let real = time(&device, record, "full bootstrap, real slots", || device.full(&inputs.real, 1))?;
    time(&device, record, "full bootstrap of four, real slots", || device.full(&inputs.real, BATCH))?;
    let complex = time(&device, record, "full bootstrap, complex slots", || device.full(&inputs.complex, 1))?;
    precision(record, set, "half bootstrap, corrected", device.half_precision(&half, &values));
    precision(record, set, "half bootstrap of four, corrected", device.half_precision(&batch, &values));
    let found = device.client.decrypt_slots(&real[0]).expect("real slots").expect("data");
    precision(record, set, "full bootstrap, real slots", bits(distances(&found, &values.coefficients[0])));

    for (name, program) in [
        ("half bootstrap", &(|| drop(device.half(&inputs, 1))) as &dyn Fn()),
        ("half bootstrap of four", &|| drop(device.half(&inputs, BATCH))),
        ("full bootstrap, real slots", &|| drop(device.full(&inputs.real, 1))),
    ] {
        for (kernel, share) in device.backend.device().profile(program)? {
            record.note(format!("{set}, {name}, launches of {kernel}"), share.launches as f64, "launches");
            record.note(format!("{set}, {name}, time in {kernel}"), share.seconds * 1e3, "ms");
        }
    }
    let found = [&half, &batch, &real, &complex].map(|results| device.words(results));
    drop((inputs, half, batch, real, complex, device));

    let cpu = Instance::new(Cpu::new(chain), &parameters, &planner, record, "CPU");
    let inputs = cpu.inputs(&values);
    let expected =
        [cpu.half(&inputs, 1), cpu.half(&inputs, BATCH), cpu.full(&inputs.real, 1), cpu.full(&inputs.complex, 1)];
    let expected = expected.map(|results| cpu.words(&results));
    for (name, (found, expected)) in
        ["half", "half of four", "full real", "full complex"].iter().zip(found.iter().zip(&expected))
    {
        assert!(!found.is_empty() && found == expected, "{name}: the ciphertexts of device and CPU differ");
    }
    let words: usize = expected.iter().flatten().map(Vec::len).sum();
    record.note(format!("{set}, ciphertext words equal to those of the CPU"), words as f64, "words");
    let start = Instant::now();
    drop(cpu.half(&inputs, BATCH));
    let name = format!("{set}, half bootstrap of four on the CPU, {} threads", rayon::current_num_threads());
    record.note(name, start.elapsed().as_secs_f64() * 1e3, "ms");
    Ok(())
}

/// A server without data that has seen what will run and knows which keys it needs.
fn planned(parameters: &Parameters) -> CkksServer<Meter> {
    let meter = Arc::new(Meter::new(parameters.rlwe().chain().clone()));
    let client =
        CkksClient::new(Arc::clone(&meter), parameters.clone(), &Seed::from_bytes([0; 32])).expect("a metered client");
    let server = CkksServer::planning(Arc::clone(&meter), parameters.clone()).expect("planner");
    let instance = Instance { backend: meter, client, server };
    let inputs = instance.inputs(&Values::new(parameters.shape().degree));
    for result in instance.half(&inputs, 1) {
        correct_sine(&instance.server, &result).expect("two levels");
    }
    instance.full(&inputs.real, 1);
    instance.full(&inputs.complex, 1);
    instance.server
}

/// Times a program to its end on the device, and to the point where the host has asked for everything.
fn time<T>(
    device: &Instance<Cuda<Profiled>>,
    record: &mut Record,
    name: &str,
    program: impl Fn() -> T,
) -> Result<T, CudaError> {
    let driver = device.backend.device().driver();
    let set = device.server.parameters().set().name;
    let result = program();
    let (mut asked, mut done) = (Vec::new(), Vec::new());
    for _ in 0..SAMPLES {
        driver.synchronize()?;
        let start = Instant::now();
        drop(program());
        asked.push(start.elapsed().as_secs_f64() * 1e3);
        driver.synchronize()?;
        done.push(start.elapsed().as_secs_f64() * 1e3);
    }
    record.median(format!("{set}, {name}"), done, "ms");
    record.median(format!("{set}, {name}, until the host has asked for all work"), asked, "ms");
    Ok(result)
}

fn precision(record: &mut Record, set: &str, name: &str, [mean, worst]: [f64; 2]) {
    record.note(format!("{set}, {name}, precision of the mean error"), mean, "bits");
    record.note(format!("{set}, {name}, precision of the largest error"), worst, "bits");
}

fn distances(found: &[f64], expected: &[f64]) -> impl Iterator<Item = f64> {
    found.iter().zip(expected).map(|(found, expected)| (found - expected).abs())
}

/// `-log2` of the mean and of the largest error.
fn bits(errors: impl Iterator<Item = f64>) -> [f64; 2] {
    let errors: Vec<f64> = errors.collect();
    let mean = errors.iter().sum::<f64>() / errors.len() as f64;
    [-mean.log2(), -errors.iter().copied().fold(0.0, f64::max).log2()]
}

/// Deterministic values uniform in (-1, 1).
fn uniform(length: usize, salt: u64) -> Vec<f64> {
    let mut state = salt.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    };
    (0..length).map(|_| next()).collect()
}
