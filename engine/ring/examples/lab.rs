//! Temporary.
use std::time::Instant;
use fhe_ring::{InstructionSet, Modulus, Ring, ntt::NumberTheoreticTransform, primes::primes_below};
fn best(name: &str, mut f: impl FnMut()) {
    let mut times: Vec<f64> = (0..2000).map(|_| { let t = Instant::now(); f(); t.elapsed().as_secs_f64() * 1e6 }).collect();
    times.sort_by(|a, b| a.total_cmp(b));
    println!("{name:40} min {:8.2} p10 {:8.2} median {:8.2} us", times[0], times[200], times[1000]);
}
fn main() {
    for ring in [Ring::cyclotomic(16), Ring::conjugate_invariant(16), Ring::cyclotomic(12)] {
        for bits in [50, 42] {
            let prime = primes_below(1 << bits, 1 << 18).next().unwrap();
            let modulus = Modulus::new(prime).unwrap();
            let t = NumberTheoreticTransform::new(ring, &modulus, InstructionSet::detect()).unwrap();
            let mut limb: Vec<u64> = (0..512+ring.degree() as u64).map(|i| i * 0x9e3779b97f4a7c15 % prime).collect(); let n = ring.degree(); let off = limb.as_ptr().align_offset(4096);
            best(&format!("{ring} forward {bits}"), || t.forward(&mut limb[off..off+n]));
            best(&format!("{ring} inverse {bits}"), || t.inverse(&mut limb[off..off+n]));
        }
    }
    let ring = Ring::cyclotomic(16);
    let ts: Vec<_> = primes_below(1 << 50, 1 << 18).take(16).map(|p| NumberTheoreticTransform::new(ring, &Modulus::new(p).unwrap(), InstructionSet::detect()).unwrap()).collect();
    let mut limbs: Vec<Vec<u64>> = (0..16).map(|_| (0..512 + (1u64 << 16)).collect()).collect();
    let mut best16 = f64::MAX;
    for _ in 0..50 { let t = Instant::now(); for (t, l) in ts.iter().zip(&mut limbs) { let off = l.as_ptr().align_offset(4096); t.forward(&mut l[off..off + 65536]); } best16 = best16.min(t.elapsed().as_secs_f64() * 1e6 / 16.0); }
    println!("batch16 per limb {best16:.2}");
    // Frequency estimate: dependent adds.
    let t = Instant::now(); let mut x = 1u64; for i in 0..400_000_000u64 { x = std::hint::black_box(x + i); } let dt = t.elapsed().as_secs_f64();
    println!("{x} {:.2} G dependent adds/s", 0.4 / dt);
}
