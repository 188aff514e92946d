//! Times the negacyclic transforms of `tfhe-ntt` and `concrete-ntt` at 2^16 points modulo a 50-bit prime, one thread.
//!
//! usage: `ntt-peers tfhe-ntt|concrete-ntt RUNS`
//!
//! Prints one JSON object per measurement; an `operation` means the same for every library.

use std::hint::black_box;
use std::time::Instant;

const LOG_DEGREE: u32 = 16;
const PRIME_BITS: u32 = 50;
/// Limbs of an RNS polynomial: 8 MiB, which no longer fit the caches close to a core.
const LIMBS: usize = 16;
const CACHE_LINE: usize = 64;

type InPlace = Box<dyn Fn(&mut [u64])>;

/// The peer's transform, forward and inverse, in place.
struct Transform {
    forward: InPlace,
    inverse: InPlace,
    note: String,
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let (Some(library), Some(Ok(runs))) = (arguments.get(1), arguments.get(2).map(|text| text.parse::<usize>())) else {
        eprintln!("usage: ntt-peers tfhe-ntt|concrete-ntt RUNS");
        std::process::exit(2);
    };
    let degree = 1usize << LOG_DEGREE;
    let (low, high) = (1u64 << (PRIME_BITS - 1), (1u64 << PRIME_BITS) - 1);
    let prime = tfhe_ntt::prime::largest_prime_in_arithmetic_progression64(2 * degree as u64, 1, low, high)
        .expect("there are 50-bit primes congruent to 1 modulo 2N");
    let transform = match library.as_str() {
        "tfhe-ntt" => tfhe(degree, prime),
        "concrete-ntt" => concrete(degree, prime),
        other => {
            eprintln!("`{other}` is no library of this program; known: tfhe-ntt, concrete-ntt");
            std::process::exit(2);
        }
    };
    let mut limbs: Vec<Limb> = (0..LIMBS).map(|_| Limb::random(degree, prime)).collect();
    let limb = &mut limbs[0];
    report("ntt-forward", runs, &transform.note, || (transform.forward)(black_box(limb.words())));
    report("ntt-inverse", runs, &transform.note, || (transform.inverse)(black_box(limb.words())));
    let batches = runs.div_ceil(LIMBS).max(3);
    report("ntt-forward-16-limbs", batches, &transform.note, || {
        limbs.iter_mut().for_each(|limb| (transform.forward)(black_box(limb.words())));
    });
}

fn tfhe(degree: usize, prime: u64) -> Transform {
    let plan = std::rc::Rc::new(tfhe_ntt::prime64::Plan::try_new(degree, prime).expect("degree and prime fit"));
    let inverse = std::rc::Rc::clone(&plan);
    let ifma = if plan.use_ifma() { "with AVX-512 IFMA" } else { "without AVX-512 IFMA" };
    Transform {
        note: format!("{ifma}; the inverse leaves a factor N"),
        forward: Box::new(move |limb| plan.fwd(limb)),
        inverse: Box::new(move |limb| inverse.inv(limb)),
    }
}

fn concrete(degree: usize, prime: u64) -> Transform {
    let plan = std::rc::Rc::new(concrete_ntt::prime64::Plan::try_new(degree, prime).expect("degree and prime fit"));
    let inverse = std::rc::Rc::clone(&plan);
    Transform {
        note: "default features; the inverse leaves a factor N".into(),
        forward: Box::new(move |limb| plan.fwd(limb)),
        inverse: Box::new(move |limb| inverse.inv(limb)),
    }
}

/// Residues at an address that is a multiple of a cache line, as this project's own buffers are: vectors that straddle
/// two lines would cost the peer a quarter of its time.
struct Limb {
    storage: Vec<u64>,
    degree: usize,
}

impl Limb {
    /// Pseudo-random residues; their values do not change the time.
    fn random(degree: usize, prime: u64) -> Self {
        let mut limb = Self { storage: vec![0; degree + CACHE_LINE / size_of::<u64>()], degree };
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for word in limb.words() {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            *word = state % prime;
        }
        limb
    }

    fn words(&mut self) -> &mut [u64] {
        let offset = self.storage.as_ptr().align_offset(CACHE_LINE);
        &mut self.storage[offset..offset + self.degree]
    }
}

/// Times an operation after a warm-up of a tenth as many runs, and prints it.
fn report(operation: &str, runs: usize, note: &str, mut run: impl FnMut()) {
    (0..runs.div_ceil(10)).for_each(|_| run());
    let mut seconds: Vec<f64> = (0..runs)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    println!(
        "{{\"operation\":\"{operation}\",\"seconds\":{{\"median\":{:e},\"min\":{:e},\"max\":{:e}}},\
         \"runs\":{runs},\"note\":\"{note}\"}}",
        seconds[runs / 2],
        seconds[0],
        seconds[runs - 1]
    );
}
