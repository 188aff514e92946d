//! The gadget product.

use fhe_cuda::{Cuda, Device};
use fhe_ring::{Backend, Basis, Cpu, Operand, Shape};

use crate::{
    emulator::Emulator,
    inputs::{Pattern, assert_equal, backends, rings},
};

/// Adds so many products to targets that are not zero: digits over one basis, rows over another.
pub(crate) fn compare<D: Device>(
    cpu: &Cpu,
    cuda: &Cuda<D>,
    shape: Shape,
    row: Shape,
    terms: usize,
    words: fn(u64) -> Pattern,
) {
    let fill = |shape: Shape, number: u64| move |target: &mut [u64]| words(number).fill(shape, target);
    let upload = |shape: Shape, number: u64| {
        let fill = &mut fill(shape, number);
        (cpu.upload(shape, fill), cuda.upload(shape, fill))
    };
    let (mut expected_first, mut found_first) = upload(shape, 0);
    let (mut expected_second, mut found_second) = upload(shape, 1);
    let terms: Vec<_> = (0..terms as u64)
        .map(|term| [upload(shape, 3 * term + 2), upload(row, 3 * term + 3), upload(row, 3 * term + 4)])
        .collect();
    let on_cpu = terms
        .iter()
        .map(|[digit, left, right]| (operand(&digit.0, shape), [operand(&left.0, row), operand(&right.0, row)]));
    let (digits, rows): (Vec<_>, Vec<_>) = on_cpu.unzip();
    cpu.gadget_product([&mut expected_first, &mut expected_second], &digits, &rows);
    let on_device = terms
        .iter()
        .map(|[digit, left, right]| (operand(&digit.1, shape), [operand(&left.1, row), operand(&right.1, row)]));
    let (digits, rows): (Vec<_>, Vec<_>) = on_device.unzip();
    cuda.gadget_product([&mut found_first, &mut found_second], &digits, &rows);
    let context = format!("gadget product of {} terms, rows with the primes {}", terms.len(), row.basis);
    assert_equal((cpu, &expected_first), (cuda, &found_first), shape, &format!("first half of the {context}"));
    assert_equal((cpu, &expected_second), (cuda, &found_second), shape, &format!("second half of the {context}"));
}

fn operand<T>(buffer: &T, shape: Shape) -> Operand<'_, T> {
    Operand { buffer, shape }
}

#[test]
fn equals_the_cpu_backend_where_rows_have_more_primes() {
    let (cpu, cuda) = backends(Emulator::default());
    let full = cpu.primes().full_basis();
    for log_degree in [1, 4, 9, 13, 16] {
        for ring in rings(log_degree) {
            for (digit, row, terms) in [
                (Basis::of([0, 2, 5]).with_special(1), full, 3),
                (Basis::of([1, 3]).with_special(2), Basis::of([0, 1, 3, 4]).with_special(2), 5),
                (Basis::of([4]), Basis::of([2, 4]).with_special(1), 1),
            ] {
                let (shape, row) = (Shape::evaluation(ring, digit), Shape::evaluation(ring, row));
                compare(&cpu, &cuda, shape, row, terms, Pattern::Uniform);
            }
        }
    }
}

#[test]
fn equals_the_cpu_backend_on_the_largest_sums() {
    let (cpu, cuda) = backends(Emulator::default());
    let full = cpu.primes().full_basis();
    for ring in rings(5) {
        let shape = Shape::evaluation(ring, full);
        compare(&cpu, &cuda, shape, shape, 63, |_| Pattern::Largest);
    }
}

#[test]
fn without_digits_nothing_is_added() {
    let (cpu, cuda) = backends(Emulator::default());
    for ring in rings(6) {
        let shape = Shape::evaluation(ring, Basis::prefix(2));
        compare(&cpu, &cuda, shape, shape, 0, Pattern::Uniform);
    }
}
