//! A batch is a matter of speed only: its results are those of single runs, bit for bit.

use fhe_ring::{Basis, Cpu, GadgetFactor, GaloisElement, Poly, Shape, tensor};
use fhe_rlwe::{Ciphertext, Extended, KeyId, KeySwitcher, RaiseFactor, Rotated};

use crate::{
    BOUND, DEGREE, RINGS,
    common::{Instance, message},
};

/// Three inputs at once against the same three, one by one.
fn assert_alike<I>(
    instance: &Instance,
    inputs: impl Fn() -> Vec<I>,
    run: impl Fn(&KeySwitcher<Cpu>, Vec<I>) -> Vec<Ciphertext<Cpu>>,
) {
    let words = |outputs: &[Ciphertext<Cpu>]| outputs.iter().map(|output| instance.words(output)).collect::<Vec<_>>();
    let [together, apart] = instance.with_keys(|server| {
        let together = run(server, inputs());
        let apart = inputs().into_iter().flat_map(|input| run(server, vec![input])).collect();
        [together, apart]
    });
    assert_eq!(together.len(), 3);
    assert!(words(&together) == words(&apart), "a batch differs from single runs");
    assert!(words(&together[..1]) != words(&together[1..2]), "the inputs differ, so must the outputs");
}

fn divided(server: &KeySwitcher<Cpu>, extended: &[Extended<Cpu>]) -> Vec<Ciphertext<Cpu>> {
    extended.iter().map(|extended| server.mod_down(extended, false).expect("division")).collect()
}

fn zeros(server: &KeySwitcher<Cpu>, like: &Poly<Cpu>, count: usize) -> Vec<Extended<Cpu>> {
    (0..count).map(|_| server.extended_zeros(like.shape()).expect("zero")).collect()
}

#[test]
fn products_relinearisations_and_rotations() {
    let instance = Instance::new(71);
    let backend = instance.backend.as_ref();
    for kind in RINGS {
        let ring = instance.parameters.ring_of(kind);
        let element = GaloisElement::rotation(ring, 3);
        let inputs = || -> Vec<_> {
            (0..3).map(|salt| instance.encrypt_in(ring, &message(DEGREE, BOUND, salt), 5, salt)).collect()
        };
        assert_alike(&instance, inputs, |server, inputs| {
            let digits: Vec<_> = inputs.iter().map(|input| server.decompose(input.a()).expect("digits")).collect();
            let batch: Vec<_> = (inputs.iter().zip(&digits))
                .map(|(input, digits)| GadgetFactor { digits, addends: [Some(input.b()), Some(input.a())] })
                .collect();
            divided(server, &server.products(&batch, KeyId::Galois(kind, element)).expect("products"))
        });
        assert_alike(&instance, inputs, |server, inputs| {
            let square = |input: &Ciphertext<Cpu>| tensor(backend, input.halves(), input.halves()).expect("square");
            let squares: Vec<_> = inputs.iter().map(square).collect();
            server.relinearise(&squares, true).expect("relinearisation")
        });
        let factors =
            [5, 6].map(|salt| instance.poly(ring, Basis::prefix(5).with_special(3), &message(DEGREE, 9, salt)));
        let sums = [vec![(0, &factors[0]), (1, &factors[1])], vec![(1, &factors[0])]];
        assert_alike(&instance, inputs, |server, inputs| {
            let digits: Vec<_> = inputs.iter().map(|input| server.decompose(input.a()).expect("digits")).collect();
            let batch: Vec<_> =
                inputs.iter().zip(&digits).map(|(ciphertext, digits)| Rotated { ciphertext, digits }).collect();
            let elements = [GaloisElement::IDENTITY, element];
            let sums = server.rotated_sums(&batch, &elements, &sums).expect("sums");
            let mut totals = zeros(server, &sums[0][0][0], sums.len());
            let mut by_input: Vec<_> = sums.into_iter().map(Vec::into_iter).collect();
            for element in elements {
                let sums = by_input.iter_mut().map(|sums| sums.next().expect("two sums")).collect();
                server.accumulate_automorphisms(&mut totals, sums, element).expect("giant step");
            }
            divided(server, &totals)
        });
    }
}

#[test]
fn raises() {
    let instance = Instance::new(72);
    let ring = instance.parameters.ring();
    let basis = instance.planner().raise_basis();
    let map = [GaloisElement::IDENTITY, GaloisElement::rotation(ring, 5)]
        .map(|element| RaiseFactor { element, factor: instance.poly(ring, basis, &message(DEGREE, 1 << 44, 3)) });
    let inputs = || (0..3).map(|salt| instance.encrypt(&message(DEGREE, BOUND, salt), 1, salt)).collect();
    assert_alike(&instance, inputs, |server, inputs| {
        server.raise(&inputs.iter().collect::<Vec<_>>(), Basis::prefix(6), &map).expect("raise")
    });
}

#[test]
fn conversions_between_the_rings() {
    let instance = Instance::new(73);
    let backend = instance.backend.as_ref();
    let [complex, real] = RINGS.map(|kind| instance.parameters.ring_of(kind));
    let encrypt = |ring, salt| instance.encrypt_extended(ring, &message(DEGREE, BOUND, salt), (5, 1 << 50), salt);
    let pairs = || (0..3).map(|i| [2 * i, 2 * i + 1].map(|salt| encrypt(complex, salt))).collect();
    assert_alike(&instance, pairs, |server, pairs: Vec<[Extended<Cpu>; 2]>| {
        server.trace_to_real(&pairs).expect("trace")
    });
    let parts = || {
        let part = |salt| {
            let [[b, _], a] = encrypt(real, salt).map(|half| half.parity_split(backend).expect("parts"));
            (b, a)
        };
        (0..3).map(part).collect()
    };
    let element = GaloisElement::rotation(complex, 5);
    assert_alike(&instance, parts, |server, parts: Vec<(Poly<Cpu>, [Poly<Cpu>; 2])>| {
        let mut totals = zeros(server, &parts[0].0, parts.len());
        server.accumulate_complex(&mut totals, parts, element).expect("conversion");
        divided(server, &totals)
    });
}

#[test]
fn an_empty_batch_is_no_work_and_takes_no_key() {
    let instance = Instance::new(74);
    let planner = instance.planner();
    let element = GaloisElement::rotation(instance.parameters.ring(), 3);
    assert!(planner.relinearise(&[], false).expect("nothing").is_empty());
    assert!(planner.rotated_sums(&[], &[element], &[]).expect("nothing").is_empty());
    assert!(planner.raise(&[], Basis::prefix(4), &[]).expect("nothing").is_empty());
    assert!(planner.trace_to_real(&[]).expect("nothing").is_empty());
    planner.accumulate_automorphisms(&mut [], Vec::new(), element).expect("nothing");
    planner.accumulate_complex(&mut [], Vec::new(), element).expect("nothing");
    assert!(planner.keys().requests().is_empty() && planner.switches() == 0);
}

#[test]
fn rejects_batches_with_another_number_of_totals() {
    let instance = Instance::new(75);
    let planner = instance.planner();
    let element = GaloisElement::rotation(instance.parameters.ring(), 3);
    let zero = || {
        let shape = Shape::evaluation(instance.parameters.ring(), Basis::prefix(2).with_special(3));
        planner.extended_zeros(shape).expect("zero")
    };
    for element in [GaloisElement::IDENTITY, element] {
        let error = planner.accumulate_automorphisms(&mut [zero()], vec![zero(), zero()], element);
        let error = error.expect_err("one total for two").to_string();
        assert!(error.contains("the number of totals is 1, required 2"), "{error}");
    }
    let [b, even] = zero();
    let [odd, _] = zero();
    let error = planner.accumulate_complex(&mut [], vec![(b, [even, odd])], element);
    assert!(error.expect_err("no total").to_string().contains("accumulate_complex"));
}
