//! Costs against the formulas of hybrid key switching, and the ledger of bytes.

use fhe_ring::{
    Basis, Counting, Counts, DeviceProfile, GadgetFactor, GaloisElement, HoistedFactor, IntegerMatrix, KeyedRotation,
    MatrixShape, Meter, Poly, PrimeChain, Ring, Shape, gadget_product, hoisted_sums, lane_products, module_product,
    module_rows, primes::primes_below,
};

const N: u64 = 1 << 16;

fn meter(ciphertext: usize, special: usize) -> Meter {
    let primes: Vec<u64> = primes_below(1 << 50, 4 << 16).take(ciphertext + special).collect();
    let special = primes[ciphertext..].to_vec();
    Meter::new(PrimeChain::new(primes[..ciphertext].to_vec(), special, 16).unwrap())
}

/// Relinearises one product and divides by the special primes and one ciphertext prime.
fn relinearised_product(meter: &Meter, limbs: usize, width: usize) -> Counts {
    let before = meter.counts();
    let basis = Basis::prefix(limbs);
    let shape = Shape::evaluation(Ring::cyclotomic(16), basis);
    let digits = Poly::zeros(meter, shape).unwrap().mod_up(meter, &basis.groups_of(width), width).unwrap();
    let zero = || Poly::zeros(meter, digits.shape()).unwrap();
    let rows: Vec<_> = (0..digits.len()).map(|_| [zero(), zero()]).collect();
    let factor = GadgetFactor { digits: &digits, addends: [None, None] };
    for half in gadget_product(meter, &[factor], &rows.iter().collect::<Vec<_>>()).unwrap().as_flattened() {
        half.mod_down(meter, true).unwrap();
    }
    meter.counts() - before
}

#[test]
fn a_relinearised_product_costs_what_the_formulas_say() {
    for (limbs, width) in [(26, 8), (30, 6), (25, 6), (8, 8), (3, 8), (7, 1)] {
        let meter = meter(limbs, width);
        let counts = relinearised_product(&meter, limbs, width);
        let digits = limbs.div_ceil(width);
        // d(l + k) for the decomposition, l + k for each division, whichever prime is dropped.
        assert_eq!(counts.transforms() as usize, digits * (limbs + width) + 2 * (width + limbs));
        assert_eq!(counts.butterflies, counts.transforms() * N / 2 * 16);
        assert_eq!(counts.gadget_macs, (2 * digits * (limbs + width)) as u64 * N);
        assert_eq!(counts.key_bytes, 8 * counts.gadget_macs);
        let conversions: usize =
            (0..digits).map(|d| width.min(limbs - d * width)).map(|own| own * (limbs + width - own)).sum::<usize>()
                + 2 * (width + 1) * (limbs - 1);
        assert_eq!(counts.base_conversion_macs, conversions as u64 * N);
        assert_eq!((counts.decompositions, counts.gadget_products, counts.mod_downs, counts.rescales), (1, 1, 2, 2));
    }
    // The two figures that are quoted for 26 limbs and P of 8: 204 transforms, 272 key limbs.
    let counts = relinearised_product(&meter(26, 8), 26, 8);
    assert_eq!((counts.transforms(), counts.key_bytes / (8 * N)), (204, 272));
}

#[test]
fn gaps_shorten_digits() {
    let meter = meter(12, 4);
    let shape = Shape::evaluation(Ring::cyclotomic(10), Basis::of([0, 1, 2, 3, 9]));
    let digits = Poly::zeros(&meter, shape).unwrap().mod_up(&meter, &Basis::prefix(12).groups_of(4), 4).unwrap();
    assert_eq!(digits.iter().map(|(index, _)| index).collect::<Vec<_>>(), [0, 2]);
    let counts = meter.counts();
    assert_eq!((counts.inverse_transforms, counts.forward_transforms), (5, 5 + 8));
    assert_eq!(counts.base_conversion_macs, (4 * 5 + 8) << 10);
}

#[test]
fn a_batch_reads_keys_and_factors_once() {
    const LIMBS: u64 = 5;
    let meter = meter(4, 1);
    let ring = Ring::cyclotomic(16);
    let zero = |basis| Poly::zeros(&meter, Shape::evaluation(ring, basis)).unwrap();
    let (plain, extended) = (Basis::prefix(4), Basis::prefix(4).with_special(1));
    let digits: Vec<_> = (0..3).map(|_| zero(plain).mod_up(&meter, &plain.groups_of(2), 1).unwrap()).collect();
    let rows: Vec<_> = (0..2).map(|_| [zero(extended), zero(extended)]).collect();
    let rows: Vec<_> = rows.iter().collect();

    let before = meter.counts();
    let factors: Vec<_> = digits.iter().map(|digits| GadgetFactor { digits, addends: [None, None] }).collect();
    gadget_product(&meter, &factors, &rows).unwrap();
    let counts = meter.counts() - before;
    assert_eq!((counts.gadget_products, counts.gadget_macs), (3, 3 * 2 * 2 * LIMBS * N));
    assert_eq!(counts.key_bytes, 2 * 2 * LIMBS * N * 8);

    // Two rotations and the identity; one sum of three products and one of a single product.
    let before = meter.counts();
    let halves = [zero(plain), zero(plain)];
    let factors: Vec<_> = digits.iter().map(|digits| HoistedFactor { digits, ciphertext: halves.each_ref() }).collect();
    let rotations = [0, 1, 2].map(|steps| KeyedRotation {
        element: GaloisElement::rotation(ring, steps),
        rows: if steps == 0 { Vec::new() } else { rows.clone() },
    });
    let plaintext = zero(extended);
    let sums = [vec![(0, &plaintext), (1, &plaintext), (2, &plaintext)], vec![(1, &plaintext)]];
    hoisted_sums(&meter, &factors, &rotations, &sums).unwrap();
    let counts = meter.counts() - before;
    assert_eq!((counts.gadget_products, counts.gadget_macs), (6, 6 * 2 * 2 * LIMBS * N));
    assert_eq!(counts.key_bytes, 2 * 2 * 2 * LIMBS * N * 8);
    assert_eq!((counts.product_macs, counts.plaintext_bytes), (3 * 4 * 2 * LIMBS * N, 4 * LIMBS * N * 8));
    assert_eq!((counts.automorphisms, counts.automorphism_limbs), (3 * 2 * 2, 3 * 2 * 2 * LIMBS));
}

/// Four products of 128 x 128 matrices at 64 points, and transforms of six layers.
#[test]
fn lane_products_cost_what_matrices_and_short_transforms_do() {
    let meter = meter(2, 0);
    let poly = Poly::zeros(&meter, Shape::coefficient(Ring::cyclotomic(13), Basis::prefix(2))).unwrap();
    let before = meter.counts();
    let products = lane_products(&meter, &[[&poly; 2]; 100], &[[&poly; 2]; 100], 128).unwrap();
    let counts = meter.counts() - before;
    assert_eq!(products.len(), 128);
    assert_eq!(counts.lane_product_macs, 2 * 4 * 64 * 128 * 100 * 128);
    assert_eq!((counts.forward_transforms, counts.inverse_transforms), (2 * 4 * 100, 2 * 4 * 128));
    assert_eq!(counts.butterflies, counts.transforms() * (8192 / 2) * 6);
    assert_eq!(counts.polynomial_bytes, (4 * 100 + 4 * 128) * 2 * 8192 * 8);
}

#[test]
fn structured_products_cost_three_macs_per_weight_and_token() {
    // The rows of eight ciphertexts of degree 2^16 at 128 tokens: 128 small ones of degree 4096 and rank 32.
    let meter = meter(1, 1);
    let shape = Shape::coefficient(Ring::cyclotomic(12), Basis::prefix(1));
    let zero = || Poly::zeros(&meter, shape).unwrap();
    let ciphertexts: Vec<_> = (0..128).map(|_| [zero(), zero()]).collect();
    let weights = IntegerMatrix::unfilled(MatrixShape { rows: 1024, columns: 4096 });
    let entries = 1024 * 4096;

    let before = (meter.counts(), meter.live_bytes());
    let rows = module_rows(&meter, &ciphertexts, 16, 128).unwrap();
    assert_eq!(meter.live_bytes() - before.1, 8 * 4096 * (4096 + 128), "134 MB of rows written down");
    let dense: Vec<_> = rows.iter().map(|half| half.integer_product(&meter, &weights).unwrap()).collect();
    let counts = meter.counts() - before.0;
    assert_eq!((counts.integer_product_macs, counts.butterflies), (entries * (4096 + 128), 0));
    assert_eq!(counts.structured_product_macs, 0);
    drop((rows, dense));

    let before = (meter.counts(), meter.live_bytes());
    meter.restart_peak();
    drop(module_product(&meter, &weights, &ciphertexts, 16, 128).unwrap());
    let counts = meter.counts() - before.0;
    assert_eq!((counts.structured_product_macs, counts.integer_product_macs), (entries * 2 * 128, entries * 128));
    // Six layers of 32 butterflies for every small ciphertext and token, row of its weights, and row and token of the result.
    assert_eq!(counts.butterflies, 6 * 32 * (128 * 128 + 1024 * 128 + 1024 * 128));
    // Ciphertexts and result, rows of b stacked, read and multiplied.
    assert_eq!(counts.polynomial_bytes, 8 * (128 + 1024) * 4096 + 8 * 128 * (3 * 4096 + 1024));
    assert_eq!(meter.peak_bytes() - before.1, 8 * 1024 * (4096 + 128), "nothing but the result");
}

#[test]
fn the_ledger_follows_lifetimes() {
    let meter = meter(4, 1);
    let shape = Shape::evaluation(Ring::cyclotomic(10), Basis::prefix(4));
    let bytes = shape.words() as u64 * 8;
    let first = Poly::zeros(&meter, shape).unwrap();
    {
        let second = first.duplicate(&meter);
        assert_eq!(meter.live_bytes(), 2 * bytes);
        drop(second.rescale(&meter).unwrap());
    }
    assert_eq!((meter.live_bytes(), meter.peak_bytes()), (bytes, 2 * bytes + bytes * 3 / 4));
    meter.restart_peak();
    assert_eq!(meter.peak_bytes(), bytes);
    drop(first);
    assert_eq!(meter.live_bytes(), 0);
}

#[test]
fn counting_and_meter_agree_about_a_meter() {
    let (plain, inner) = (meter(8, 2), meter(8, 2));
    let counting = Counting::new(inner.clone());
    let shape = Shape::coefficient(Ring::conjugate_invariant(12), Basis::prefix(8));
    fn program<B: fhe_ring::Backend>(backend: &B, shape: Shape) {
        let mut poly = Poly::from_signed(backend, shape, &[]).unwrap().into_evaluation(backend);
        poly.scale_integer(backend, -3);
        let other = poly.duplicate(backend);
        poly.add_assign(backend, &other).unwrap();
        poly.rescale(backend).unwrap();
    }
    program(&plain, shape);
    program(&counting, shape);
    assert_eq!(plain.counts(), counting.counts());
    assert_eq!(plain.counts(), inner.counts());
    assert_eq!(plain.peak_bytes(), counting.peak_bytes());
    assert_eq!(counting.live_bytes(), 0);
}

#[test]
fn predictions_are_counts_times_constants() {
    let device = DeviceProfile::named("zen4-1-thread").unwrap();
    let shape = Shape::coefficient(Ring::cyclotomic(16), Basis::prefix(10));
    let limb = 8.0 * N as f64;
    let transform = Counts::forward(shape);
    let expected = 10.0 * (device.butterfly * (N * 8) as f64 + 2.0 * limb / device.memory_bandwidth);
    assert!((device.predict(&transform) / expected - 1.0).abs() < 1e-9);
    // A batch reads the key once: 20 limbs; each product reads a digit and two addends, and writes two halves.
    for batch in [1, 8] {
        let arithmetic = (batch * 20) as f64 * device.gadget_mac * N as f64;
        let expected = arithmetic + (20 + batch * 40) as f64 * limb / device.memory_bandwidth;
        let found = device.predict(&Counts::gadget_product(shape, 1, batch));
        assert!((found / expected - 1.0).abs() < 1e-9, "{found} {expected}");
    }
    // Threads share the arithmetic, not the memory.
    let two = DeviceProfile { threads: 2, ..device };
    let moved = transform.moved_bytes() as f64 / device.memory_bandwidth;
    assert!((2.0 * (two.predict(&transform) - moved) / (device.predict(&transform) - moved) - 1.0).abs() < 1e-9);
    assert_eq!(DeviceProfile::named("abacus"), None);
}

/// Every operand and result of a kernel is moved once.
#[test]
fn kernels_move_their_operands_and_results() {
    let shape = Shape::evaluation(Ring::cyclotomic(16), Basis::prefix(6));
    let extended = shape.extended(2);
    let groups = shape.basis.groups_of(2);
    let limbs = |counts: Counts| counts.polynomial_bytes / (8 * N);
    // Six limbs in, three digits of eight limbs out.
    assert_eq!(limbs(Counts::mod_up(shape, &groups, 2)), 6 + 24);
    assert_eq!(limbs(Counts::mod_down(extended, true)), 8 + 5);
    assert_eq!(limbs(Counts::rescale(shape)), 6 + 5);
    assert_eq!(limbs(Counts::raise(Basis::prefix(1), shape)), 1 + 6);
    assert_eq!(limbs(Counts::tensor(shape)), (4 + 3) * 6);
    assert_eq!(limbs(Counts::multiply(shape)), 3 * 6);
    // Both halves of three inputs and of five sums; fifteen factors of 2^10 words a limb.
    let sums = Counts::subring_sums(shape, 1 << 10, 3, 5);
    assert_eq!((limbs(sums), sums.plaintext_bytes), (2 * (3 + 5) * 6, (15 * 6 * 8) << 10));
    assert_eq!(sums.lane_product_macs, 15 * 2 * 6 * N);
    assert_eq!(limbs(Counts::automorphism(shape)), 2 * 6);
    // Two halves of five inputs in, of seven results out; the polynomials of the weights stay inside.
    let weights = MatrixShape { rows: 7, columns: 300 };
    let products = Counts::weight_products(weights, shape.with_basis(Basis::prefix(1)), 5, 7);
    assert_eq!(limbs(products), 2 * (5 + 7));
    assert_eq!((products.forward_transforms, products.plaintext_bytes), (35, 2 * 7 * 300));
    assert_eq!((products.product_macs, products.copied_words), (2 * 35 * N, 35 * N));
    // Three digits and two halves in, two halves of four sums out.
    assert_eq!(limbs(Counts::hoisted_sums(extended, 3, 1, 7, 4, 31)), (3 + 2 + 8) * 8);
}

#[test]
fn counts_add_subtract_and_name_their_fields() {
    let shape = Shape::evaluation(Ring::cyclotomic(4), Basis::prefix(3));
    let (first, second) = (Counts::multiply(shape), Counts::upload(shape));
    assert_eq!(first + second - first, second);
    assert_eq!([first, second].into_iter().sum::<Counts>(), first + second);
    let names: Vec<_> = first.entries().map(|(name, _)| name).collect();
    assert!(names.contains(&"product_macs") && names.len() == 22, "{names:?}");
    // 48 products, and the bytes of three polynomials.
    assert_eq!(first.entries().map(|(_, value)| value).sum::<u64>(), 48 + 3 * 48 * 8);
}
