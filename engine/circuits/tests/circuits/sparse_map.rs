//! Sparse maps against their entries, and the way from one product with a vector to the next.

use crate::common::{Instance, errors, uniform};
use crate::support::{Random, clear, close, shape};
use fhe_circuits::crossing::{climb, descend};
use fhe_circuits::{
    CacheLayout, SlotEntry, SlotPlace, SparseMap, VectorLayout, VectorProduct, fewest_rotations, split_vector,
};
use fhe_ckks::{CircuitShape, Client, Level, SlotArithmetic};
use proptest::prelude::*;

const SLOTS: usize = 64;

fn place(index: usize) -> SlotPlace {
    SlotPlace { ciphertext: index / SLOTS, slot: index % SLOTS }
}

fn entries(triples: &[(usize, usize, f64)]) -> impl Iterator<Item = SlotEntry> {
    triples.iter().map(|&(from, to, factor)| SlotEntry { from: place(from), to: place(to), factor })
}

proptest! {
    #[test]
    fn a_map_is_the_sum_of_its_entries(
        triples in prop::collection::vec((0..2 * SLOTS, 0..SLOTS, -1.0..1.0_f64), 1..50), seed in any::<u64>(),
        first in prop::collection::vec(-40..40_i64, 1..6)
    ) {
        let shape = shape(6);
        let e = clear(&shape);
        let numbers = Random::new(seed).vector(2 * SLOTS);
        let coefficients = |part: &[f64]| (0..SLOTS).map(|p| part[shape.slot_of_coefficient(p)]).collect::<Vec<_>>();
        let tensor: Vec<_> = (numbers.chunks(SLOTS))
            .map(|part| e.encrypt(&coefficients(part), shape.full_scale / 100.0).unwrap())
            .collect();
        let tensor = climb(&e, &tensor, 1).unwrap();
        let mut expected = vec![0.0; SLOTS];
        triples.iter().for_each(|&(from, to, factor)| expected[to] += factor * numbers[from] / 100.0);
        let in_steps = SparseMap::in_steps(SLOTS, entries(&triples), &first).unwrap();
        for map in [SparseMap::new(SLOTS, entries(&triples)).unwrap(), in_steps] {
            let before = e.counts();
            let found = map.apply(&e, &tensor).unwrap();
            prop_assert_eq!((e.counts() - before).rotations, map.rotations() as u64);
            prop_assert_eq!(found.len(), 1);
            prop_assert_eq!(e.level(&found[0]), Level(shape.slots_to_coefficients_levels));
            close(&found[0].values().iter().map(|value| value.re).collect::<Vec<_>>(), &expected, 1e-6);
        }
    }

    #[test]
    fn chosen_sources_are_different(
        from in prop::collection::btree_set(0..3 * SLOTS, 1..80), to in prop::collection::btree_set(0..SLOTS, 1..40)
    ) {
        let [from, to] = [from, to].map(|places| places.into_iter().map(place).collect::<Vec<_>>());
        let chosen = fewest_rotations(SLOTS, &from, &to);
        if to.len() > from.len() {
            prop_assert!(chosen.is_err());
            return Ok(());
        }
        let mut chosen = chosen.unwrap();
        prop_assert_eq!(chosen.len(), to.len());
        chosen.sort_unstable();
        chosen.dedup();
        prop_assert_eq!(chosen.len(), to.len());
    }
}

/// Every channel from its place on one side to that on the other.
fn moves(shape: &CircuitShape, from: &[SlotPlace], to: &[SlotPlace]) -> SparseMap {
    assert!(from.len() >= to.len());
    let pairs = from.iter().zip(to);
    SparseMap::new(shape.degree, pairs.map(|(&from, &to)| SlotEntry { from, to, factor: 1.0 })).unwrap()
}

/// At the sizes of Llama-3-8B.
#[test]
fn products_reach_what_follows_by_few_rotations() {
    let shape = fhe_ckks::Parameters::named("n16-llama").unwrap().shape().clone();
    let hidden = VectorLayout::input(&shape, 4096, 1).unwrap();
    let product = hidden.product(4096).unwrap();
    assert_eq!(moves(&shape, &product.slot_places(), &hidden.slot_places()).rotations(), 15);
    // Gate and up come in one ciphertext, and what they make fits one ciphertext again.
    let up = hidden.product(2 * 14336).unwrap();
    let wide = VectorLayout::input(&shape, 14336, 1).unwrap();
    assert_eq!(moves(&shape, &up.slot_places(), &wide.slot_places()).rotations(), 13);
    // Queries to their places beside a cache: rows in another order.
    let cache = CacheLayout::new(&shape, 32, 8, 128).unwrap();
    let places = (0..32).flat_map(|head| (0..128).map(move |channel| (head, channel)));
    let queries: Vec<_> =
        places.map(|(head, channel)| SlotPlace { ciphertext: 0, slot: cache.query_slot(head, channel) }).collect();
    let natural = moves(&shape, &product.slot_places(), &queries).rotations();
    let order = fewest_rotations(shape.degree, &product.slot_places(), &queries).unwrap();
    let chosen = moves(&shape, &product.reordered(&order).unwrap().slot_places(), &queries).rotations();
    assert!(chosen <= 16 && natural > 64, "{chosen}, {natural} in natural order");
}

/// Two matrices in a row, encrypted: the first product climbs, moves, and descends into the second.
#[test]
fn a_product_feeds_the_next() {
    let instance = Instance::new("n11-toy", 51);
    let shape = instance.parameters.shape().clone();
    let channels = 128;
    let mut random = Random::new(8);
    let [first, second] = [(); 2].map(|()| random.vector(channels * channels));
    let [first, second] = [first, second].map(|weights| weights.iter().map(|&w| w as f32).collect::<Vec<_>>());
    let vector = random.vector(channels);
    let input = VectorLayout::input(&shape, channels, 1).unwrap();
    let product = input.product(channels).unwrap();
    let order = fewest_rotations(shape.degree, &product.slot_places(), &input.slot_places()).unwrap();
    let between = product.reordered(&order).unwrap();
    let map = moves(&shape, &between.slot_places(), &input.slot_places());
    let first_matrix = VectorProduct::quantise(&first, &between, &input, 12).unwrap();
    let last = input.product(channels).unwrap();
    let second_matrix = VectorProduct::quantise(&second, &last, &input, 12).unwrap();
    let product = |weights: &[f32], vector: &[f64]| -> Vec<f64> {
        weights.chunks(channels).map(|row| row.iter().zip(vector).map(|(&w, x)| f64::from(w) * x).sum()).collect()
    };
    let range = |vector: &[f64]| vector.iter().fold(0.0, |range: f64, y| range.max(y.abs())) * 1.1;
    let middle = product(&first, &vector);
    let expected = product(&second, &middle);
    let ranges = [range(&middle), range(&expected) / range(&middle)];
    macro_rules! turns {
        ($e:expr, $client:expr) => {{
            let unit = shape.full_scale / ranges[0] / first_matrix.scale();
            let x = $client.encrypt(&input.pack(&vector).unwrap()[0], unit).unwrap();
            let parts = split_vector($e, &input, &[x]).unwrap();
            let slots = climb($e, &first_matrix.multiply($e, &parts).unwrap(), 1).unwrap();
            let unit = shape.full_scale / ranges[1] / second_matrix.scale();
            let moved = descend($e, &map.apply($e, &slots).unwrap(), unit).unwrap();
            let parts = split_vector($e, &input, &moved).unwrap();
            second_matrix.multiply($e, &parts).unwrap()
        }};
    }
    let (planner, metered) = instance.planner();
    let _ = turns!(&planner, metered);
    let server = instance.server(&planner);
    let result = turns!(&server, instance.client);
    assert_eq!(server.counts(), planner.counts());
    let decrypted: Vec<Vec<f64>> = result.iter().map(|x| instance.client.decrypt(x).unwrap().expect("data")).collect();
    let found = last.unpack(&decrypted).unwrap();
    let largest = range(&expected) / ranges[0];
    let (mean, worst) = errors(&found, expected.iter().map(|y| y / ranges[0]));
    assert!(mean < largest * 2_f64.powi(-10) && worst < largest * 2_f64.powi(-8), "{mean} {worst} of {largest}");
}

/// Two fields that move independently: as many rotations as both have distances together, not one for each pair of these.
#[test]
fn steps_of_two_fields_add_up() {
    let exchange = [-3, 0, 3];
    let entries = || {
        (0..3 * 5).map(|i| {
            let (low, high) = (exchange[i % 3], 16 * (i / 3) as i64);
            let to = (low + high).rem_euclid(SLOTS as i64) as usize;
            SlotEntry { from: place(0), to: place(to), factor: 1.0 }
        })
    };
    assert_eq!(
        SparseMap::new(SLOTS, entries()).unwrap().rotations(),
        11,
        "a field of 64 slots has four distances of 16"
    );
    let map = SparseMap::in_steps(SLOTS, entries(), &exchange).unwrap();
    assert_eq!(map.rotations(), 2 + 3);
    let e = clear(&shape(6));
    let x = e.encrypt(&uniform(SLOTS, 1), 1.0).unwrap();
    let x = climb(&e, &[x], 1).unwrap();
    let found = map.apply(&e, &x).unwrap().remove(0).values().iter().map(|value| value.re).collect::<Vec<_>>();
    let mut expected = vec![0.0; SLOTS];
    entries().for_each(|entry| expected[entry.to.slot] += x[0].values()[0].re);
    close(&found, &expected, 1e-6);
}

#[test]
fn rejects_maps_that_lead_nowhere() {
    assert!(SparseMap::in_steps(SLOTS, entries(&[(0, 5, 1.0)]), &[]).is_err());
    assert!(SparseMap::in_steps(SLOTS, entries(&[]), &[0]).is_err());
    let new = |triples: &[(usize, usize, f64)]| SparseMap::new(SLOTS, entries(triples));
    assert!(new(&[]).is_err());
    assert!(new(&[(0, 5, 1.0), (3, 2 * SLOTS, 1.0)]).is_err(), "the second target gets nothing");
    let outside = SlotPlace { ciphertext: 0, slot: SLOTS };
    for (from, to) in [(outside, place(0)), (place(0), outside)] {
        assert!(SparseMap::new(SLOTS, [SlotEntry { from, to, factor: 1.0 }]).is_err());
    }
    let e = clear(&shape(6));
    let map = new(&[(SLOTS, 0, 1.0)]).unwrap();
    let x = e.encrypt(&uniform(SLOTS, 1), 1.0).unwrap();
    let slots = climb(&e, &[x], 1).unwrap();
    assert!(map.apply(&e, &slots).is_err(), "one ciphertext of two");
}
