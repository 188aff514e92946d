//! Forward and inverse transforms.

use fhe_cuda::{Cuda, CudaError, Device};
use fhe_ring::{Backend, Basis, Cpu, PrimeChain, Shape, primes::primes_below};

use crate::{
    emulator::Emulator,
    inputs::{MAX_LOG_DEGREE, Pattern, assert_equal, backends, rings},
};

/// Puts a polynomial through a forward transform, and the same words, read as values, through an inverse one.
pub(crate) fn compare<D: Device>(cpu: &Cpu, cuda: &Cuda<D>, shape: Shape, pattern: Pattern) {
    let fill = &mut |target: &mut [u64]| pattern.fill(shape, target);
    let (mut expected, mut found) = (cpu.upload(shape, fill), cuda.upload(shape, fill));
    cpu.forward(&mut expected, shape);
    cuda.forward(&mut found, shape);
    assert_equal((cpu, &expected), (cuda, &found), shape, &format!("forward transform of {pattern:?}"));
    let (mut expected, mut found) = (cpu.upload(shape, fill), cuda.upload(shape, fill));
    cpu.inverse(&mut expected, shape);
    cuda.inverse(&mut found, shape);
    assert_equal((cpu, &expected), (cuda, &found), shape, &format!("inverse transform of {pattern:?}"));
}

#[test]
fn equal_the_cpu_backend_at_every_degree() {
    let (cpu, cuda) = backends(Emulator::default());
    for log_degree in 1..=MAX_LOG_DEGREE {
        for ring in rings(log_degree) {
            for basis in [Basis::prefix(2), Basis::of([0, 3, 4]).with_special(1)] {
                compare(&cpu, &cuda, Shape::coefficient(ring, basis), Pattern::Uniform(u64::from(log_degree)));
            }
        }
    }
}

#[test]
fn equal_the_cpu_backend_on_extreme_words() {
    let (cpu, cuda) = backends(Emulator::default());
    let basis = Basis::of([2, 3]).with_special(2);
    for log_degree in [4, 7, 12, 13, 16] {
        for ring in rings(log_degree) {
            let middle = ring.degree() / 2;
            for words in
                [Pattern::Largest, Pattern::Single(0), Pattern::Single(middle), Pattern::Single(ring.degree() - 1)]
            {
                compare(&cpu, &cuda, Shape::coefficient(ring, basis), words);
            }
        }
    }
}

#[test]
fn inverse_undoes_forward() {
    let (_, cuda) = backends(Emulator::default());
    for log_degree in [1, 4, 11, 12, 14, 16] {
        for ring in rings(log_degree) {
            let shape = Shape::coefficient(ring, Basis::of([1, 5]).with_special(1));
            let fill = &mut |target: &mut [u64]| Pattern::Uniform(7).fill(shape, target);
            let mut buffer = cuda.upload(shape, fill);
            let before = cuda.download(fhe_ring::Operand { buffer: &buffer, shape });
            cuda.forward(&mut buffer, shape);
            cuda.inverse(&mut buffer, shape);
            assert!(before == cuda.download(fhe_ring::Operand { buffer: &buffer, shape }), "{ring}");
        }
    }
}

#[test]
fn rejects_chains_beyond_the_largest_degree() {
    let primes = primes_below(1 << 50, 4 << 17).take(1).collect();
    let result = Cuda::new(PrimeChain::new(primes, vec![], 17).unwrap(), Emulator::default());
    assert_eq!(result.err(), Some(CudaError::DegreeUnsupported { found: 17, required: MAX_LOG_DEGREE }));
}
