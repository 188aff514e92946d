//! Temporary.
use std::time::Instant;
use fhe_ring::{InstructionSet, Modulus, Ring, ntt::NumberTheoreticTransform, primes::primes_below};
fn main() {
    for log in [6, 7, 9, 10, 12, 13, 14, 15, 16] {
        let ring = Ring::cyclotomic(log);
        let prime = primes_below(1 << 50, 1 << 18).next().unwrap();
        let modulus = Modulus::new(prime).unwrap();
        let t = NumberTheoreticTransform::new(ring, &modulus, InstructionSet::detect()).unwrap();
        let mut limb: Vec<u64> = (0..512+ring.degree() as u64).map(|i| i * 0x9e3779b97f4a7c15 % prime).collect(); let n = ring.degree(); let off = limb.as_ptr().align_offset(4096);
        let reps = (1 << 16) / ring.degree();
        let mut best = [f64::MAX; 2];
        for _ in 0..1000 {
            let s = Instant::now(); for _ in 0..reps { t.forward(&mut limb[off..off+n]); } best[0] = best[0].min(s.elapsed().as_secs_f64());
            let s = Instant::now(); for _ in 0..reps { t.inverse(&mut limb[off..off+n]); } best[1] = best[1].min(s.elapsed().as_secs_f64());
        }
        let butterflies = (65536 / 16 * log as usize) as f64;
        println!("2^{log}: forward {:.3} inverse {:.3} ns per vector butterfly", best[0] * 1e9 / butterflies, best[1] * 1e9 / butterflies);
    }
}
