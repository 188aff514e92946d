//! Temporary.
use std::time::Instant;
use fhe_ring::*;
fn best(name: &str, n: usize, mut f: impl FnMut()) {
    let mut times: Vec<f64> = (0..n).map(|_| { let t = Instant::now(); f(); t.elapsed().as_secs_f64() * 1e3 }).collect();
    times.sort_by(|a, b| a.total_cmp(b));
    println!("{name:40} min {:8.3} p10 {:8.3} median {:8.3} ms", times[0], times[n / 10], times[n / 2]);
}
fn main() {
    let mut large = primes::primes_below(1 << 50, 1 << 18).take(22);
    let small = primes::primes_below(1 << 42, 1 << 18);
    let q: Vec<u64> = large.by_ref().take(1).chain(small.take(16)).collect();
    let q: Vec<u64> = q.into_iter().chain(large.by_ref().take(13)).collect();
    let chain = PrimeChain::new(q, large.collect(), 16).unwrap();
    let cpu = Cpu::new(chain.clone());
    let fill = |shape: Shape| cpu.upload(shape, &mut |out| for (l, m) in out.chunks_exact_mut(shape.ring.degree()).zip(chain.moduli(shape.basis)) { for (i, x) in l.iter_mut().enumerate() { *x = (i as u64).wrapping_mul(0x9e3779b97f4a7c15) % m.value(); } });
    let ring = Ring::cyclotomic(16);
    // per-limb cold
    {
        let shape = Shape::coefficient(ring, Basis::of(14..30));
        let mut b = fill(shape);
        cpu.forward(&mut b, shape);
        let ts: Vec<_> = chain.moduli(shape.basis).map(|m| ntt::NumberTheoreticTransform::new(ring, m, InstructionSet::detect()).unwrap()).collect();
        let mut mins = vec![f64::MAX; 16];
        for _ in 0..60 { for (i, l) in b.chunks_exact_mut(65536).enumerate() { let t = Instant::now(); ts[i].forward(l); mins[i] = mins[i].min(t.elapsed().as_secs_f64() * 1e6); } }
        println!("batch16 forward, mean of minima per limb {:.2} us", mins.iter().sum::<f64>() / 16.0);
        let mut mins = vec![f64::MAX; 16];
        for _ in 0..60 { for (i, l) in b.chunks_exact_mut(65536).enumerate() { let t = Instant::now(); ts[i].inverse(l); mins[i] = mins[i].min(t.elapsed().as_secs_f64() * 1e6); } }
        println!("batch16 inverse, mean of minima per limb {:.2} us", mins.iter().sum::<f64>() / 16.0);
        let mut mins = vec![f64::MAX; 16];
        for _ in 0..60 { for (i, l) in b.chunks_exact_mut(65536).enumerate() { let t = Instant::now(); ts[0].forward(l); mins[i] = mins[i].min(t.elapsed().as_secs_f64() * 1e6); } }
        println!("batch16 forward, one table {:.2} us", mins.iter().sum::<f64>() / 16.0);
    }
    let shape = Shape::evaluation(ring, Basis::prefix(30));
    let x = fill(shape); let y = fill(shape);
    let (xo, yo) = (Operand { buffer: &x, shape }, Operand { buffer: &y, shape });
    best("mod_up 30+6, 5 digits", 40, || { cpu.mod_up(xo, 6, 6); });
    best("mod_up 30+8, 4 digits", 40, || { cpu.mod_up(xo, 8, 8); });
    let wide = Shape::evaluation(ring, Basis::prefix(30).with_special(6));
    let w = fill(wide); let wo = Operand { buffer: &w, shape: wide };
    best("mod_down 30+6", 40, || { cpu.mod_down(wo, false); });
    best("mod_down rescale 30+6", 40, || { cpu.mod_down(wo, true); });
    best("rescale 30", 40, || { cpu.rescale(xo); });
    let one = Shape::coefficient(ring, Basis::prefix(1)); let o = fill(one);
    best("raise 30", 40, || { cpu.raise(Operand { buffer: &o, shape: one }, shape); });
    let digits: Vec<_> = (0..5).map(|_| fill(wide)).collect(); let keys: Vec<_> = (0..10).map(|_| fill(wide)).collect();
    let d: Vec<_> = digits.iter().map(|buffer| Operand { buffer, shape: wide }).collect();
    let k: Vec<_> = keys.chunks(2).map(|r| [0, 1].map(|h| Operand { buffer: &r[h], shape: wide })).collect();
    let (mut a, mut b) = (fill(wide), fill(wide));
    best("gadget 5x36", 40, || { cpu.gadget_product([&mut b, &mut a], &d, &k); });
    let mut a = fill(shape);
    best("add 30", 40, || { cpu.add_assign(&mut a, xo); });
    best("multiply 30", 40, || { cpu.multiply(xo, yo); });
    best("mac 30", 40, || { cpu.multiply_accumulate(&mut a, xo, yo); });
    best("automorphism 30", 40, || { cpu.automorphism(xo, GaloisElement::rotation(ring, 5)); });
    best("monomial 30", 40, || { cpu.multiply_monomial(xo, 1 << 15); });
    best("restrict 30", 40, || { cpu.restrict(xo, shape); });
    let weights = IntegerMatrix::new(MatrixShape { rows: 512, columns: 512 }, (0..512 * 512).map(|i| (i % 16001) as i16 - 8000).collect()).unwrap();
    let m = fill(Shape::coefficient(Ring::cyclotomic(21), Basis::prefix(1)));
    best("integer 512x512x4096", 10, || { cpu.integer_product(&weights, &m, MatrixShape { rows: 512, columns: 4096 }); });
}
