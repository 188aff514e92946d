//! The gadget product.

use fhe_cuda::{Cuda, Device};
use fhe_ring::{Backend, Basis, Cpu, GadgetInput, Operand, Ring, Shape};

use crate::{
    emulator::Emulator,
    inputs::{Pattern, assert_equal, backends, rings},
};

/// A batch of gadget products.
pub(crate) struct Batch {
    pub(crate) ring: Ring,
    /// The primes of the digits.
    pub(crate) digits: Basis,
    /// The primes of the key.
    pub(crate) rows: Basis,
    /// Digits of each input.
    pub(crate) terms: usize,
    /// The primes of what is added to both halves, for each input.
    pub(crate) addends: Vec<[Option<Basis>; 2]>,
    /// The words of the polynomial with each number.
    pub(crate) pattern: fn(u64) -> Pattern,
}

/// Polynomials, each held by both backends.
struct Polynomials<'a, D: Device> {
    cpu: &'a Cpu,
    cuda: &'a Cuda<D>,
    pattern: fn(u64) -> Pattern,
    count: u64,
}

struct Polynomial<D: Device> {
    shape: Shape,
    on_cpu: fhe_ring::Words,
    on_device: D::Memory,
}

impl<D: Device> Polynomials<'_, D> {
    fn next(&mut self, ring: Ring, basis: Basis) -> Polynomial<D> {
        self.count += 1;
        let shape = Shape::evaluation(ring, basis);
        let fill = &mut |words: &mut [u64]| (self.pattern)(self.count).fill(shape, words);
        Polynomial { shape, on_cpu: self.cpu.upload(shape, fill), on_device: self.cuda.upload(shape, fill) }
    }
}

impl<D: Device> Polynomial<D> {
    fn reference(&self) -> Operand<'_, fhe_ring::Words> {
        Operand { buffer: &self.on_cpu, shape: self.shape }
    }

    fn candidate(&self) -> Operand<'_, D::Memory> {
        Operand { buffer: &self.on_device, shape: self.shape }
    }
}

/// Requires equal products from both backends.
pub(crate) fn compare<D: Device>(cpu: &Cpu, cuda: &Cuda<D>, batch: &Batch) {
    let mut polynomials = Polynomials { cpu, cuda, pattern: batch.pattern, count: 0 };
    let rows: Vec<[Polynomial<D>; 2]> =
        (0..batch.terms).map(|_| [(); 2].map(|()| polynomials.next(batch.ring, batch.rows))).collect();
    type Input<D> = (Vec<Polynomial<D>>, [Option<Polynomial<D>>; 2]);
    let inputs: Vec<Input<D>> = (batch.addends.iter())
        .map(|addends| {
            let digits = (0..batch.terms).map(|_| polynomials.next(batch.ring, batch.digits)).collect();
            (digits, addends.map(|basis| basis.map(|basis| polynomials.next(batch.ring, basis))))
        })
        .collect();

    let reference: Vec<_> = (inputs.iter())
        .map(|(digits, addends)| GadgetInput {
            digits: digits.iter().map(Polynomial::reference).collect(),
            addends: addends.each_ref().map(|addend| addend.as_ref().map(Polynomial::reference)),
        })
        .collect();
    let candidate: Vec<_> = (inputs.iter())
        .map(|(digits, addends)| GadgetInput {
            digits: digits.iter().map(Polynomial::candidate).collect(),
            addends: addends.each_ref().map(|addend| addend.as_ref().map(Polynomial::candidate)),
        })
        .collect();
    let expected = cpu.gadget_product(
        &reference,
        &rows.iter().map(|row| row.each_ref().map(Polynomial::reference)).collect::<Vec<_>>(),
    );
    let found = cuda.gadget_product(
        &candidate,
        &rows.iter().map(|row| row.each_ref().map(Polynomial::candidate)).collect::<Vec<_>>(),
    );

    assert_eq!(expected.len(), found.len());
    let shape = Shape::evaluation(batch.ring, batch.digits);
    for (i, (expected, found)) in expected.iter().zip(&found).enumerate() {
        for half in 0..2 {
            let context = format!("gadget product {i} of {} terms, rows over {}, half {half}", batch.terms, batch.rows);
            assert_equal((cpu, &expected[half]), (cuda, &found[half]), shape, &context);
        }
    }
}

#[test]
fn equals_the_cpu_backend_where_rows_have_more_primes() {
    let (cpu, cuda) = backends(Emulator::default());
    let full = cpu.primes().full_basis();
    for log_degree in [1, 4, 9, 13, 16] {
        for ring in rings(log_degree) {
            for (digits, rows, terms) in [
                (Basis::of([0, 2, 5]).with_special(1), full, 3),
                (Basis::of([1, 3]).with_special(2), Basis::of([0, 1, 3, 4]).with_special(2), 5),
                (Basis::of([4]), Basis::of([2, 4]).with_special(1), 1),
            ] {
                let addends = vec![[None; 2]];
                compare(&cpu, &cuda, &Batch { ring, digits, rows, terms, addends, pattern: Pattern::Uniform });
            }
        }
    }
}

#[test]
fn equals_the_cpu_backend_on_batches_with_addends() {
    let (cpu, cuda) = backends(Emulator::default());
    let digits = Basis::of([0, 2, 3]).with_special(2);
    let (extended, unextended) = (Some(digits), Some(digits.without_special()));
    let rows = cpu.primes().full_basis();
    for log_degree in [3, 8, 11] {
        for ring in rings(log_degree) {
            let addends = vec![[extended, None], [unextended, None], [None, None], [unextended, extended]];
            compare(&cpu, &cuda, &Batch { ring, digits, rows, terms: 4, addends, pattern: Pattern::Uniform });
        }
    }
}

#[test]
fn equals_the_cpu_backend_on_the_largest_sums() {
    let (cpu, cuda) = backends(Emulator::default());
    let full = cpu.primes().full_basis();
    for ring in rings(5) {
        for terms in [15, 16, 63] {
            let addends = vec![[Some(full), Some(full.without_special())]];
            let pattern = |_| Pattern::Largest;
            compare(&cpu, &cuda, &Batch { ring, digits: full, rows: full, terms, addends, pattern });
        }
    }
}

#[test]
fn without_digits_there_are_no_products() {
    let (cpu, cuda) = backends(Emulator::default());
    let basis = Basis::prefix(2);
    let pattern = Pattern::Uniform;
    let ring = Ring::cyclotomic(6);
    for addends in [vec![], vec![[None; 2]]] {
        compare(&cpu, &cuda, &Batch { ring, digits: basis, rows: basis, terms: 0, addends, pattern });
    }
}
