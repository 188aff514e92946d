//! Times of single kernels at degree 2^16.
//!
//! A sample is the time of many calls in a row on the device's clock, divided by their number. Calls take turns on several
//! polynomials, together larger than the second-level cache, so that what they read comes from memory as it does in a
//! program.

use cudarc::driver::CudaContext;
use fhe_cuda::{Cuda, CudaError, Driver, DriverMemory};
use fhe_ring::{
    Backend, Basis, GadgetInput, GaloisElement, HoistedInput, KeyedAutomorphism, Operand, Pair, PrimeChain, Ring, Seed,
    Shape, primes::primes_below, uniform_limbs,
};

use crate::record::{Figure, Record};

const LOG_DEGREE: u32 = 16;
const SAMPLES: usize = 9;
/// Polynomials that take turns: with forty limbs 21 MB each.
const TURNS: usize = 8;

/// The chain of the parameter set for real runs in shape: 32 ciphertext and 8 special primes of 50 bits.
const CIPHERTEXT_PRIMES: usize = 32;
const SPECIAL_PRIMES: usize = 8;
const DIGITS: usize = 4;

struct Bench<'a> {
    cuda: Cuda<Driver>,
    record: &'a mut Record,
    /// Bytes per second, read and written, of a plain copy.
    bandwidth: f64,
}

type Polynomial = (DriverMemory, Shape);

/// A key's rows, of polynomials in pairs.
fn rows(key: &[Polynomial]) -> Vec<Pair<'_, DriverMemory>> {
    key.chunks(2).map(|halves| [operand(&halves[0]), operand(&halves[1])]).collect()
}

fn operand((buffer, shape): &Polynomial) -> Operand<'_, DriverMemory> {
    Operand { buffer, shape: *shape }
}

impl Bench<'_> {
    fn polynomial(&self, shape: Shape, number: u64) -> Polynomial {
        let seed = Seed::from_bytes(*b"polynomials for kernels on GPUs.").derive("polynomial", number);
        let chain = self.cuda.primes();
        let fill = &mut |words: &mut [u64]| {
            uniform_limbs(&seed, chain, shape.basis, shape.ring.degree(), words).expect("a shape of this chain");
        };
        (self.cuda.upload(shape, fill), shape)
    }

    fn polynomials(&self, shape: Shape) -> Vec<Polynomial> {
        (0..TURNS as u64).map(|number| self.polynomial(shape, number)).collect()
    }

    /// Times `call`, which is told whose turn it is and must move so many limbs.
    fn time(&mut self, name: &str, limbs: usize, mut call: impl FnMut(&Cuda<Driver>, usize)) -> Result<(), CudaError> {
        let bytes = ((limbs * size_of::<u64>()) << LOG_DEGREE) as u64;
        // Some 10 ms a sample.
        let calls = ((0.01 * self.bandwidth / bytes as f64) as usize).clamp(2, 400).next_multiple_of(TURNS);
        (0..TURNS).for_each(|turn| call(&self.cuda, turn));
        let driver = self.cuda.device();
        let mut samples = Vec::new();
        for _ in 0..SAMPLES {
            driver.synchronize()?;
            let start = driver.moment()?;
            (0..calls).for_each(|number| call(&self.cuda, number % TURNS));
            samples.push(driver.seconds_between(&start, &driver.moment()?)? / calls as f64);
        }
        samples.sort_by(f64::total_cmp);
        let microseconds = |seconds: f64| seconds * 1e6;
        let median = samples[SAMPLES / 2];
        self.record.add(Figure {
            name: name.into(),
            value: microseconds(median),
            unit: "us",
            count: SAMPLES,
            range: Some([samples[0], samples[SAMPLES - 1]].map(microseconds)),
            bytes: Some(bytes),
            share_of_floor: Some(bytes as f64 / self.bandwidth / median),
        });
        Ok(())
    }
}

pub(crate) fn measure(record: &mut Record) -> Result<(), CudaError> {
    let bandwidth = copy_bandwidth(record);
    let primes: Vec<u64> = primes_below(1 << 50, 4 << LOG_DEGREE).take(CIPHERTEXT_PRIMES + SPECIAL_PRIMES).collect();
    let (ciphertext, special) = primes.split_at(CIPHERTEXT_PRIMES);
    let chain = PrimeChain::new(ciphertext.to_vec(), special.to_vec(), LOG_DEGREE).expect("the primes suit");
    let mut bench = Bench { cuda: Cuda::new(chain, Driver::new(0)?)?, record, bandwidth };
    transforms(&mut bench)?;
    element_wise(&mut bench)?;
    base_conversions(&mut bench)?;
    key_switching(&mut bench)
}

/// Bytes read and written per second by the driver's copy of 2 GiB.
fn copy_bandwidth(record: &mut Record) -> f64 {
    const WORDS: usize = 1 << 28;
    const COPIES: usize = 8;
    let context = CudaContext::new(0).expect("a device");
    let stream = context.new_stream().expect("a stream");
    let source = stream.alloc_zeros::<u64>(WORDS).expect("memory");
    let mut target = stream.alloc_zeros::<u64>(WORDS).expect("memory");
    let samples = (0..SAMPLES).map(|_| {
        stream.synchronize().expect("a working device");
        let start = std::time::Instant::now();
        (0..COPIES).for_each(|_| stream.memcpy_dtod(&source, &mut target).expect("a working device"));
        stream.synchronize().expect("a working device");
        (2 * COPIES * WORDS * size_of::<u64>()) as f64 / start.elapsed().as_secs_f64() / 1e9
    });
    let samples: Vec<f64> = samples.collect();
    1e9 * record.median("copy of 2 GiB on the device, read and written", samples, "GB/s")
}

fn transforms(bench: &mut Bench<'_>) -> Result<(), CudaError> {
    for ring in [Ring::cyclotomic(LOG_DEGREE), Ring::conjugate_invariant(LOG_DEGREE)] {
        for limbs in [1, 16, 40] {
            let basis = if limbs == 40 { bench.cuda.primes().full_basis() } else { Basis::prefix(limbs) };
            let shape = Shape::coefficient(ring, basis);
            let mut polynomials = bench.polynomials(shape);
            let name = |direction| format!("{direction} transform of {limbs} limbs, {ring}");
            bench.time(&name("forward"), 2 * limbs, |cuda, turn| cuda.forward(&mut polynomials[turn].0, shape))?;
            bench.time(&name("inverse"), 2 * limbs, |cuda, turn| cuda.inverse(&mut polynomials[turn].0, shape))?;
        }
    }
    Ok(())
}

fn element_wise(bench: &mut Bench<'_>) -> Result<(), CudaError> {
    let ring = Ring::cyclotomic(LOG_DEGREE);
    let shape = Shape::evaluation(ring, bench.cuda.primes().full_basis());
    let limbs = shape.basis.len();
    let (left, right) = (bench.polynomials(shape), bench.polynomials(shape));
    let rotation = GaloisElement::rotation(ring, 5);
    let constants = vec![vec![3; limbs]; 4];
    let mut sums = bench.polynomials(shape);
    bench.time("copy of 40 limbs by a kernel", 2 * limbs, |cuda, turn| {
        drop(cuda.restrict(operand(&left[turn]), shape))
    })?;
    bench.time("sum of 40 limbs", 3 * limbs, |cuda, turn| {
        cuda.add_assign(&mut sums[turn].0, operand(&left[turn]));
    })?;
    bench.time("product of 40 limbs", 3 * limbs, |cuda, turn| {
        drop(cuda.multiply(operand(&left[turn]), operand(&right[turn])));
    })?;
    bench.time("product of 40 limbs, added", 4 * limbs, |cuda, turn| {
        cuda.multiply_accumulate(&mut sums[turn].0, operand(&left[turn]), operand(&right[turn]));
    })?;
    bench.time("tensor product of 40 limbs", 7 * limbs, |cuda, turn| {
        let other = (turn + 1) % TURNS;
        let pairs = [&left, &right].map(|operands| [operand(&operands[turn]), operand(&operands[other])]);
        drop(cuda.tensor(pairs[0], pairs[1]));
    })?;
    bench.time("linear combination of 4 times 40 limbs", 5 * limbs, |cuda, turn| {
        let terms = constants.iter().enumerate().map(|(i, c)| (operand(&left[(turn + i) % TURNS]), c.clone()));
        drop(cuda.linear_combination(&terms.collect::<Vec<_>>(), shape));
    })?;
    bench.time("automorphism of 40 limbs", 2 * limbs, |cuda, turn| {
        drop(cuda.automorphism(operand(&left[turn]), rotation));
    })
}

fn base_conversions(bench: &mut Bench<'_>) -> Result<(), CudaError> {
    let ring = Ring::cyclotomic(LOG_DEGREE);
    let full = bench.cuda.primes().full_basis();
    let source = Shape::evaluation(ring, full.without_special());
    let groups = source.basis.groups_of(CIPHERTEXT_PRIMES / DIGITS);
    let polynomials = bench.polynomials(source);
    let moved = CIPHERTEXT_PRIMES + DIGITS * full.len();
    bench.time("mod_up of 32 limbs to 4 digits of 40", moved, |cuda, turn| {
        drop(cuda.mod_up(operand(&polynomials[turn]), &groups, SPECIAL_PRIMES));
    })?;
    let extended = bench.polynomials(source.with_basis(full));
    bench.time("mod_down of 40 limbs to 32", full.len() + CIPHERTEXT_PRIMES, |cuda, turn| {
        drop(cuda.mod_down(operand(&extended[turn]), false));
    })?;
    bench.time("rescaling of 32 limbs to 31", 2 * CIPHERTEXT_PRIMES - 1, |cuda, turn| {
        drop(cuda.rescale(operand(&polynomials[turn])));
    })
}

fn key_switching(bench: &mut Bench<'_>) -> Result<(), CudaError> {
    let ring = Ring::cyclotomic(LOG_DEGREE);
    let full = bench.cuda.primes().full_basis();
    let (shape, unextended) = (Shape::evaluation(ring, full), Shape::evaluation(ring, full.without_special()));
    let limbs = full.len();
    let numbered = |bench: &Bench<'_>, shape, count: usize| -> Vec<Polynomial> {
        (0..count as u64).map(|number| bench.polynomial(shape, number)).collect()
    };
    // Keys take turns: four of them are larger than the cache.
    const KEYS: usize = 8;
    let digits = numbered(bench, shape, 4 * DIGITS);
    let keys: Vec<Vec<Polynomial>> = (0..KEYS).map(|_| numbered(bench, shape, 2 * DIGITS)).collect();
    let ciphertext = numbered(bench, unextended, 2);
    for batch in [1, 4] {
        let inputs = || -> Vec<_> {
            (digits.chunks(DIGITS).take(batch))
                .map(|digits| GadgetInput { digits: digits.iter().map(operand).collect(), addends: [None, None] })
                .collect()
        };
        let moved = limbs * (2 * DIGITS + batch * (DIGITS + 2));
        bench.time(&format!("gadget product of 4 digits of 40 limbs, batch of {batch}"), moved, |cuda, turn| {
            drop(cuda.gadget_product(&inputs(), &rows(&keys[turn % KEYS])));
        })?;
    }
    const SUMS: usize = 4;
    let factors = numbered(bench, shape, KEYS * SUMS);
    for batch in [1, 4] {
        let inputs = || -> Vec<_> {
            (digits.chunks(DIGITS).take(batch))
                .map(|digits| HoistedInput {
                    digits: digits.iter().map(operand).collect(),
                    ciphertext: [operand(&ciphertext[0]), operand(&ciphertext[1])],
                })
                .collect()
        };
        let automorphisms = || -> Vec<_> {
            (keys.iter().enumerate())
                .map(|(steps, key)| KeyedAutomorphism {
                    element: GaloisElement::rotation(ring, 1 + steps as i64),
                    rows: rows(key),
                })
                .collect()
        };
        let sums: Vec<_> =
            (factors.chunks(KEYS)).map(|factors| factors.iter().map(operand).enumerate().collect::<Vec<_>>()).collect();
        let moved =
            limbs * (KEYS * (2 * DIGITS + SUMS) + batch * (DIGITS + 2 * SUMS)) + 2 * batch * unextended.basis.len();
        let name = format!("hoisted sums of 8 rotations, 4 sums, 4 digits of 40 limbs, batch of {batch}");
        bench.time(&name, moved, |cuda, _| drop(cuda.hoisted_sums(&inputs(), &automorphisms(), &sums)))?;
    }
    Ok(())
}
