//! Matrices over slots-in-coefficients against plain integer matrices: ring switching, parity of rows, transposes, products.

use fhe_ring::{Basis, Cpu};
use fhe_rlwe::{Ciphertext, KeySwitcher};

use crate::{
    DEGREE,
    common::{Instance, LANE_DEGREE, message, worst},
};

/// Ciphertexts of the ring of lanes that one of the main ring splits into.
const GROUP: usize = DEGREE / LANE_DEGREE;

/// `n` coefficients: rows `i` of `k` coefficients at `i + rows y`.
type Plain = Vec<i64>;

/// The ciphertexts of a big plaintext.
fn strides(big: &[i64]) -> Vec<Plain> {
    (0..GROUP).map(|j| big.iter().skip(j).step_by(GROUP).copied().collect()).collect()
}

/// Big ciphertexts at `q_0 q_1` with entries below the bound, split; and what they hold.
fn factors(
    instance: &Instance,
    server: &KeySwitcher<Cpu>,
    (count, bound): (usize, i64),
    salt: u64,
) -> (Vec<Ciphertext<Cpu>>, Vec<Plain>) {
    let (mut split, mut plain) = (Vec::new(), Vec::new());
    for index in 0..count {
        let big = message(DEGREE, bound, salt + index as u64);
        plain.extend(strides(&big));
        let ciphertext = instance.encrypt(&big, 2, salt + index as u64);
        split.extend(server.split_lanes(&ciphertext).expect("split"));
    }
    (split, plain)
}

/// What ciphertexts of lanes hold, through the way back at `q_0`.
fn joined(instance: &Instance, server: &KeySwitcher<Cpu>, parts: &[Ciphertext<Cpu>]) -> Vec<Plain> {
    let backend = instance.backend.as_ref();
    (parts.chunks(GROUP))
        .flat_map(|parts| {
            let lowest: Vec<_> = (parts.iter())
                .map(|part| part.map(|half| half.restrict(backend, Basis::prefix(1))).expect("at q_0"))
                .collect();
            let big = server.join_lanes(&lowest).expect("join");
            strides(&instance.decrypt(&big)).into_iter().take(parts.len())
        })
        .collect()
}

/// Row `i` of a polynomial.
fn row(plain: &[i64], rows: usize, i: usize) -> Vec<i64> {
    plain.iter().skip(i).step_by(rows).copied().collect()
}

/// The polynomial with these rows.
fn of_rows(rows: &[Vec<i128>]) -> Vec<i128> {
    (0..LANE_DEGREE).map(|p| rows[p % rows.len()][p / rows.len()]).collect()
}

/// `sum_c left_c[i] right_c[j]` in `Z[Y]/(Y^k + 1)`.
fn entry(left: &[Plain], right: &[Plain], rows: usize, (i, j): (usize, usize)) -> Vec<i128> {
    let k = LANE_DEGREE / rows;
    let mut sum = vec![0i128; k];
    for (left, right) in left.iter().zip(right) {
        for (y, &x) in row(left, rows, i).iter().enumerate() {
            for (z, &w) in row(right, rows, j).iter().enumerate() {
                let product = i128::from(x) * i128::from(w);
                sum[(y + z) % k] += if y + z < k { product } else { -product };
            }
        }
    }
    sum
}

#[test]
fn lanes_return_as_they_left() {
    let instance = Instance::new(41);
    let (found, expected) = instance.with_keys(|server| {
        let (split, plain) = factors(&instance, server, (2, 1 << 30), 3);
        (joined(&instance, server, &split[..GROUP + 1]), plain)
    });
    assert_eq!(found.len(), GROUP + 1);
    for (found, expected) in found.iter().zip(&expected) {
        assert!(worst(found, expected) < 1 << 14);
    }
}

#[test]
fn parity_of_rows_separates_what_was_added_up() {
    let instance = Instance::new(42);
    let (found, plain) = instance.with_keys(|server| {
        let (split, plain) = factors(&instance, server, (1, 1 << 30), 5);
        let parts: Vec<_> =
            split.iter().flat_map(|ciphertext| server.split_row_parity(ciphertext).expect("parity")).collect();
        (joined(&instance, server, &parts), plain)
    });
    for (index, found) in found.iter().enumerate() {
        let source = &plain[index / 2];
        let expected: Plain = (0..LANE_DEGREE).map(|i| if i % 2 == 0 { source[i + index % 2] } else { 0 }).collect();
        assert!(worst(found, &expected) < 1 << 14, "part {index}");
    }
}

#[test]
fn transposition_exchanges_rows_and_ciphertexts() {
    let instance = Instance::new(43);
    for (rows, inputs, count) in [(4, 4usize, 4), (8, 8, 8), (8, 3, 8), (16, 8, 5), (1, 1, 1usize)] {
        let (found, plain) = instance.with_keys(|server| {
            let (split, plain) = factors(&instance, server, (inputs.div_ceil(GROUP), 1 << 30), 7);
            let inputs: Vec<_> = split.iter().take(inputs).collect();
            let columns = server.transpose_lanes(&inputs, rows, count).expect("transpose");
            (joined(&instance, server, &columns), plain)
        });
        assert_eq!(found.len(), count);
        for (j, found) in found.iter().enumerate() {
            let expected: Vec<Vec<i128>> = (0..rows)
                .map(|i| match plain[..inputs].get(i) {
                    Some(source) => row(source, rows, j).into_iter().map(Into::into).collect(),
                    None => vec![0; LANE_DEGREE / rows],
                })
                .collect();
            let error = worst(found, &of_rows(&expected));
            assert!(error < 1 << 16, "{rows} rows, {inputs} inputs, column {j}: error {error}");
        }
    }
}

#[test]
fn products_are_those_of_matrices_lane_by_lane() {
    let instance = Instance::new(44);
    let q1 = i128::from(instance.parameters.chain().ciphertext_primes()[1].value());
    for (rows, contracted, count) in [(8, 8, 8), (8, 3, 8), (16, 8, 7), (4, 13, 4), (1, 2usize, 1)] {
        let (found, left, right) = instance.with_keys(|server| {
            let number = contracted.div_ceil(GROUP);
            let (left, left_plain) = factors(&instance, server, (number, 1 << 45), 11);
            let (right, right_plain) = factors(&instance, server, (number, 1 << 45), 23);
            let first = |factors: &[Ciphertext<Cpu>]| -> Vec<Ciphertext<Cpu>> {
                factors.iter().take(contracted).map(|x| x.duplicate(&instance.backend)).collect()
            };
            let (left, right) = (first(&left), first(&right));
            let (left, right): (Vec<_>, Vec<_>) = (left.iter().collect(), right.iter().collect());
            let product = server.multiply_lanes(&left, &right, rows, count).expect("product");
            (joined(&instance, server, &product), left_plain, right_plain)
        });
        assert_eq!(found.len(), count);
        let (left, right) = (&left[..contracted], &right[..contracted]);
        let mut largest = 0;
        for (j, found) in found.iter().enumerate() {
            let expected: Vec<Vec<i128>> =
                (0..rows).map(|i| entry(left, right, rows, (i, j)).iter().map(|x| x / q1).collect()).collect();
            let expected = of_rows(&expected);
            largest = expected.iter().fold(largest, |largest, x| largest.max(x.abs()));
            // Noise of the factors, 2^6 or so, times 2^45 over 2^50, and that of the switches.
            let error = worst(found, &expected);
            assert!(error < 1 << 16, "{rows} rows, {contracted} contracted, column {j}: error {error}");
        }
        assert!(largest > 1 << 38, "the product must dwarf the error bound");
    }
}

#[test]
fn rejects_factors_at_other_levels_and_wrong_numbers() {
    let instance = Instance::new(45);
    let server = instance.planner();
    let high = instance.encrypt(&message(DEGREE, 1 << 20, 1), 3, 0);
    let low = instance.encrypt(&message(DEGREE, 1 << 20, 1), 1, 0);
    assert!(server.split_lanes(&high).err().expect("level").to_string().contains("split_lanes"));
    assert!(server.split_lanes(&low).is_err());
    let (split, _) = factors(&instance, &server, (2, 1 << 20), 3);
    let all: Vec<_> = split.iter().collect();
    assert!(server.join_lanes(&split[..1]).is_err(), "at q_0 q_1");
    assert!(server.join_lanes(&[]).is_err());
    for (rows, inputs, count) in [(3, 2, 2), (2, 3, 2), (4, 2, 5), (LANE_DEGREE, 1, 1), (4, 0, 1)] {
        assert!(server.transpose_lanes(&all[..inputs], rows, count).is_err(), "{rows} rows");
    }
    let error = server.multiply_lanes(&all[..2], &all[..3], 4, 4).err().expect("lengths").to_string();
    assert!(error.contains("multiply_lanes"), "{error}");
    assert!(server.multiply_lanes(&all[..2], &all[..2], 4, 5).is_err());
    assert!(server.multiply_lanes(&all[..0], &all[..0], 4, 4).is_err());
    let lowest = split[0].map(|half| half.restrict(&instance.backend, Basis::prefix(1))).expect("restricted");
    assert!(server.split_row_parity(&lowest).is_err());
    assert!(server.multiply_lanes(&[&lowest], &[&lowest], 4, 4).is_err());
}
