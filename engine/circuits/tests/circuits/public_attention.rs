//! Products with public keys and values against the definition, in the clear and encrypted, both variants.

use std::f64::consts::TAU;

use crate::encrypted::{Instance, SlotClient};
use crate::support::{Random, clear, close, shape};
use fhe_circuits::{
    ChannelFactors, Layout, PublicCache, PublicLayout, PublicProducts, RotaryAngles, RowModule, ScoreMap, SlotProducts,
    WeightLayout, WeightProducts,
};
use fhe_ckks::{CircuitShape, Client, Evaluator, Level, OperationCounts};
use proptest::prelude::*;

/// What stands in the slots of keys that pad a block.
const PADDING: f64 = -0.75;
/// Levels from distorted queries to outputs in the layout of a projection: placement, scores, a square, values, and the way back.
const LEVELS: usize = 6;

#[derive(Clone, Copy, Debug)]
struct Case {
    tokens: usize,
    heads: usize,
    key_heads: usize,
    head_dim: usize,
    keys: usize,
}

/// Numbers of a case, and what attention with squares in place of exponentials makes of them.
struct Numbers {
    case: Case,
    cache: PublicCache,
    angles: RotaryAngles,
    /// Projected queries: heads x channels x tokens.
    queries: Vec<f64>,
    map: ScoreMap,
    /// Heads x keys x tokens.
    scores: Vec<f64>,
    /// Heads x tokens.
    normaliser: Vec<f64>,
    /// Heads x channels x tokens.
    outputs: Vec<f64>,
}

impl Numbers {
    fn new(case: Case, seed: u64) -> Self {
        let Case { tokens, heads, key_heads, head_dim, keys } = case;
        let mut random = Random::new(seed);
        let mut floats = || random.vector(key_heads * keys * head_dim).iter().map(|&x| x as f32).collect::<Vec<_>>();
        let cache = PublicCache::new(key_heads, head_dim, floats(), floats()).unwrap();
        let queries = random.vector(heads * head_dim * tokens);
        let (base, first) = (50.0, keys);
        let angles = RotaryAngles::new(base, head_dim, (first..first + tokens).collect());
        let map = ScoreMap { scale: 0.9 / head_dim as f64, centres: (0..heads).map(|h| 0.02 * h as f64).collect() };
        let pairs = head_dim / 2;
        let query = |head: usize, channel: usize, token: usize| {
            let at = |channel: usize| queries[(head * head_dim + channel) * tokens + token];
            let pair = channel % pairs;
            let angle = (first + token) as f64 * f64::powf(base, -2.0 * pair as f64 / head_dim as f64);
            let (x, y) = (at(pair), at(pair + pairs));
            if channel < pairs { x * angle.cos() - y * angle.sin() } else { y * angle.cos() + x * angle.sin() }
        };
        let mut scores = Vec::new();
        for head in 0..heads {
            let turned: Vec<f64> = (0..head_dim * tokens).map(|i| query(head, i / tokens, i % tokens)).collect();
            for key in 0..keys {
                for token in 0..tokens {
                    let product: f64 = (0..head_dim)
                        .map(|c| turned[c * tokens + token] * cache.key(head / (heads / key_heads), key, c))
                        .sum();
                    scores.push(map.scale * product - map.centres[head]);
                }
            }
        }
        let square = |head: usize, key: usize, token: usize| scores[(head * keys + key) * tokens + token].powi(2);
        let normaliser =
            (0..heads * tokens).map(|i| (0..keys).map(|key| square(i / tokens, key, i % tokens)).sum()).collect();
        let outputs = (0..heads * head_dim * tokens)
            .map(|i| {
                let (head, channel, token) = (i / tokens / head_dim, i / tokens % head_dim, i % tokens);
                let group = head / (heads / key_heads);
                (0..keys).map(|key| square(head, key, token) * cache.value(group, key, channel)).sum()
            })
            .collect();
        Self { case, cache, angles, queries, map, scores, normaliser, outputs }
    }
}

impl Numbers {
    /// Another factor for every channel of every head.
    fn factors(&self) -> Vec<f64> {
        (0..self.case.heads * self.case.head_dim).map(|channel| 1.0 + 0.01 * channel as f64).collect()
    }

    /// What outputs of a query are multiplied by.
    fn factor(&self, head: usize, token: usize) -> f64 {
        1.0 / (1.0 + 0.25 * head as f64 + 0.01 * token as f64)
    }

    /// The projected queries as they come, to be multiplied by their factors.
    fn projected(&self) -> Vec<f64> {
        let (factors, tokens) = (self.factors(), self.case.tokens);
        self.queries.iter().enumerate().map(|(i, query)| query / factors[i / tokens]).collect()
    }
}

/// A tensor of a layout as slots of each ciphertext.
fn slots_of(layout: &Layout, tensor: &[f64]) -> Vec<Vec<f64>> {
    let module = layout.module();
    let to_slots = |packed: Vec<f64>| (0..packed.len()).map(|j| packed[module.coefficient_of_slot(j)]).collect();
    layout.pack(tensor).unwrap().into_iter().map(to_slots).collect()
}

/// What the circuits return, as numbers: nothing where there is no data.
struct Found {
    scores: Vec<Vec<f64>>,
    normaliser: Vec<Vec<f64>>,
    outputs: Vec<Vec<f64>>,
    counts: OperationCounts,
}

fn in_slots<E: Evaluator>(e: &E, client: &impl SlotClient<E>, layout: &PublicLayout, numbers: &Numbers) -> Found {
    let start = LEVELS + e.shape().slots_to_coefficients_levels;
    let angle = TAU * e.shape().message_ratio;
    let distorted: Vec<f64> = numbers.projected().iter().map(|x| (angle * x).sin() / angle).collect();
    let projection = slots_of(&layout.projection().unwrap(), &distorted);
    let projection: Vec<_> = projection.iter().map(|values| client.slots(e, values, start)).collect();
    // Another factor for every query, in all rows.
    let factors = layout.plain(|head, _, token| numbers.factor(head, token));
    let factors = [client.slots(e, &factors, start - LEVELS + 2)];
    let before = e.counts();
    let products = SlotProducts::new(layout, &numbers.cache).unwrap();
    let key_rows = products.key_rows();
    let queries =
        layout.place_queries(e, &numbers.angles, &projection, ChannelFactors::Each(numbers.factors())).unwrap();
    let rotated = products.rotate_queries(e, &queries).unwrap();
    // In two parts, as memory may ask for.
    let half = key_rows.blocks() / 2;
    let mut scores = products.scores(e, &rotated, 0..half, &numbers.map, PADDING).unwrap();
    scores.extend(products.scores(e, &rotated, half..key_rows.blocks(), &numbers.map, PADDING).unwrap());
    let placed = start - PublicLayout::PLACEMENT_LEVELS;
    assert!(scores.iter().all(|x| e.level(x) == Level(placed - SlotProducts::SCORE_LEVELS)));
    let squares: Vec<_> = scores.iter().map(|x| e.square(x).unwrap()).collect();
    let normaliser = key_rows.normaliser(e, &squares).unwrap();
    assert_eq!(e.level(&normaliser), Level(e.level(&squares[0]).0 - key_rows.normaliser_levels()));
    let outputs = products.weighted_values(e, &squares).unwrap();
    assert_eq!(e.level(&outputs[0]), Level(e.level(&squares[0]).0 - SlotProducts::VALUE_LEVELS));
    let outputs = layout.collect_outputs(e, &outputs, &factors).unwrap();
    assert!(outputs.iter().all(|x| e.level(x) == Level(start - LEVELS)));
    let counts = e.counts() - before;
    let read = |x: &[E::Slots]| x.iter().map(|x| client.numbers(x)).collect();
    Found { scores: read(&scores), normaliser: read(&[normaliser]), outputs: read(&outputs), counts }
}

fn check_slots(found: &Found, layout: &PublicLayout, numbers: &Numbers, tolerance: f64) {
    let Case { tokens, heads, head_dim, keys, .. } = numbers.case;
    let rows = layout.channel_rows();
    assert_eq!(found.scores.len(), keys.div_ceil(rows));
    for (block, scores) in found.scores.iter().enumerate() {
        let expected = layout.plain(|head, row, token| {
            let key = block * rows + row;
            if key < keys { numbers.scores[(head * keys + key) * tokens + token] } else { PADDING }
        });
        close(scores, &expected, tolerance);
    }
    let expected = layout.plain(|head, _, token| numbers.normaliser[head * tokens + token]);
    close(&found.normaliser[0], &expected, tolerance * keys as f64);
    for head in 0..heads {
        for (ciphertext, outputs) in found.outputs.iter().enumerate() {
            for row in 0..rows {
                let Some(channel) = layout.channel(ciphertext, row) else { continue };
                for token in 0..tokens {
                    let found = outputs[layout.projected_slot(head, row, token)];
                    let output = numbers.outputs[(head * head_dim + channel) * tokens + token];
                    let expected = output * numbers.factor(head, token);
                    assert!((found - expected).abs() <= tolerance * keys as f64, "head {head}, channel {channel}");
                }
            }
        }
    }
}

fn as_weights<E: Evaluator, C: SlotClient<E> + Client<E>>(
    e: &E,
    client: &C,
    layout: &WeightLayout,
    numbers: &Numbers,
) -> Found {
    let products = WeightProducts::new(layout, &numbers.cache, 13).unwrap();
    let lowest = e.shape().slots_to_coefficients_levels;
    let projection = slots_of(&layout.projection().unwrap(), &numbers.projected());
    let projection: Vec<_> =
        projection.iter().map(|values| client.slots(e, values, lowest + WeightLayout::PLACEMENT_LEVELS)).collect();
    let before = e.counts();
    let queries =
        layout.place_queries(e, &numbers.angles, &projection, ChannelFactors::Each(numbers.factors())).unwrap();
    let mut found = Found { scores: vec![], normaliser: vec![], outputs: vec![], counts: OperationCounts::default() };
    for (ciphertext, queries) in queries.iter().enumerate() {
        // A square, then a normaliser of a padded block.
        let scores = products.scores(e, ciphertext, queries, &numbers.map, (PADDING, 3)).unwrap();
        let squares: Vec<_> = scores.iter().map(|x| e.square(x).unwrap()).collect();
        let normaliser = layout.key_rows(ciphertext).normaliser(e, &squares).unwrap();
        let unit = e.shape().full_scale / 64.0;
        let outputs = products.weighted_values(e, ciphertext, &squares, unit).unwrap();
        assert!((e.unit(&outputs) / unit - 1.0).abs() < 1e-12);
        found.scores.extend(scores.iter().map(|x| client.numbers(x)));
        found.normaliser.push(client.numbers(&normaliser));
        found.outputs.push(client.decrypt(&outputs).unwrap().unwrap_or_default());
    }
    found.counts = e.counts() - before;
    found
}

fn check_weights(found: &Found, products: &WeightLayout, numbers: &Numbers, tolerance: f64) {
    let Case { tokens, keys, .. } = numbers.case;
    let (rows, blocks) = (products.channel_rows(), products.blocks());
    assert_eq!(found.scores.len(), products.ciphertexts() * blocks);
    for (index, scores) in found.scores.iter().enumerate() {
        let expected = products.plain(index / blocks, |head, row, token| {
            let key = index % blocks * rows + row;
            if key < keys { numbers.scores[(head * keys + key) * tokens + token] } else { PADDING }
        });
        // Idle heads are empty, but for the noise of the bootstrap.
        close(scores, &expected, tolerance);
    }
    for (ciphertext, normaliser) in found.normaliser.iter().enumerate() {
        let expected = products.plain(ciphertext, |head, _, token| numbers.normaliser[head * tokens + token]);
        close(normaliser, &expected, tolerance * keys as f64);
    }
    let outputs = products.projection().unwrap().unpack(&found.outputs).unwrap();
    close(&outputs, &numbers.outputs, tolerance * keys as f64);
}

/// Scores and normalisers of both variants, each where its layout has them.
fn agree(slots: &Found, layout: &PublicLayout, weights: &Found, products: &WeightLayout, case: Case) {
    for (head, token) in (0..case.heads).flat_map(|head| (0..case.tokens).map(move |token| (head, token))) {
        for key in 0..case.keys {
            let rows = layout.channel_rows();
            let first = slots.scores[key / rows][layout.slot(head, key % rows, token)];
            let rows = products.channel_rows();
            let (ciphertext, slot) = products.slot(head, key % rows, token);
            let second = weights.scores[ciphertext * products.blocks() + key / rows][slot];
            assert!((first - second).abs() < 1e-3, "head {head}, key {key}, token {token}: {first} and {second}");
        }
        let (ciphertext, slot) = products.slot(head, 0, token);
        let sums = [slots.normaliser[0][layout.slot(head, 0, token)], weights.normaliser[ciphertext][slot]];
        assert!((sums[0] - sums[1]).abs() < 1e-3 * case.keys as f64, "head {head}, token {token}: {sums:?}");
    }
}

fn layout_of(shape: &CircuitShape, case: Case) -> PublicLayout {
    let module = RowModule::new(shape, case.tokens).unwrap();
    PublicLayout::new(module, case.heads, case.key_heads, case.head_dim).unwrap()
}

fn weights_of(shape: &CircuitShape, case: Case) -> WeightLayout {
    let module = RowModule::new(shape, case.tokens).unwrap();
    WeightLayout::new(shape, module, [case.heads, case.key_heads], case.head_dim, case.keys).unwrap()
}

/// Cases that fit a ring of degree 2^11.
fn cases() -> impl Strategy<Value = Case> {
    (1_u32..5, 1_usize..5, 1_usize..5, 1_usize..7, 1_usize..40).prop_filter_map(
        "heads of keys have no more bits than tokens of a half",
        |(log_tokens, key_heads, group, pairs, keys)| {
            let tokens = 1 << log_tokens;
            (key_heads.next_power_of_two() <= tokens / 2).then_some(Case {
                tokens,
                heads: key_heads * group,
                key_heads,
                head_dim: 2 * pairs,
                keys,
            })
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn both_variants_are_the_definition(case in cases(), seed in any::<u64>()) {
        let shape = shape(11);
        let e = clear(&shape);
        let numbers = Numbers::new(case, seed);
        let layout = layout_of(&shape, case);
        let slots = in_slots(&e, &e, &layout, &numbers);
        check_slots(&slots, &layout, &numbers, 1e-7);
        let products = weights_of(&shape, numbers.case);
        let weights = as_weights(&e, &e, &products, &numbers);
        check_weights(&weights, &products, &numbers, 1e-3);
        agree(&slots, &layout, &weights, &products, case);
    }

    #[test]
    fn every_entry_has_a_slot_of_its_own(case in cases()) {
        let shape = shape(11);
        let layout = layout_of(&shape, case);
        let rows = layout.channel_rows();
        let mut seen = std::collections::BTreeSet::new();
        let mut projected = std::collections::BTreeSet::new();
        for head in 0..case.heads {
            for row in 0..rows {
                for position in 0..case.tokens {
                    let (slot, from) = (layout.slot(head, row, position), layout.projected_slot(head, row, position));
                    prop_assert!(slot < shape.degree && seen.insert(slot));
                    prop_assert!(from < shape.degree && projected.insert(from));
                    // A row further is a row of slots further, in both layouts.
                    if row + 1 < rows {
                        let step = case.tokens / 2;
                        prop_assert_eq!(layout.slot(head, row + 1, position), slot + step);
                        prop_assert_eq!(layout.projected_slot(head, row + 1, position), from + step);
                    }
                }
            }
        }
        // Every channel is in one ciphertext, and both of a pair at one slot.
        let channels: Vec<_> =
            (0..layout.ciphertexts()).flat_map(|c| (0..rows).map(move |row| (c, row))).collect();
        let mut owners = vec![Vec::new(); case.head_dim];
        for (ciphertext, row) in channels {
            if let Some(channel) = layout.channel(ciphertext, row) {
                owners[channel].push((ciphertext, row));
            }
        }
        prop_assert!(owners.iter().all(|owners| owners.len() == 1));
        for pair in 0..case.head_dim / 2 {
            let ((first, row), (second, other)) = (owners[pair][0], owners[pair + case.head_dim / 2][0]);
            prop_assert!(row == other && second == first + layout.ciphertexts() / 2);
        }
        let keys = SlotProducts::new(&layout, &Numbers::new(case, 1).cache).unwrap().key_rows();
        for (row, position) in (0..rows).flat_map(|row| (0..case.tokens).map(move |position| (row, position))) {
            prop_assert_eq!(keys.row(layout.slot(0, row, position)), row);
        }
    }
}

/// Grouped queries, several ciphertexts of queries, a last block that is not full.
const ENCRYPTED: [(&str, Case); 2] = [
    ("n11-toy", Case { tokens: 8, heads: 4, key_heads: 2, head_dim: 16, keys: 27 }),
    ("n13-toy", Case { tokens: 32, heads: 6, key_heads: 3, head_dim: 32, keys: 40 }),
];

#[test]
fn products_in_slots_encrypted() {
    for (name, case) in ENCRYPTED {
        let instance = Instance::new(name);
        let shape = instance.parameters.shape().clone();
        let numbers = Numbers::new(case, 11);
        let layout = layout_of(&shape, case);
        let (planner, metered) = instance.planner();
        let planned = in_slots(&planner, &metered, &layout, &numbers);
        let server = instance.server(&planner);
        let found = in_slots(&server, &instance.client, &layout, &numbers);
        check_slots(&found, &layout, &numbers, 1e-6);
        let clear = clear(&shape);
        assert_eq!(found.counts, in_slots(&clear, &clear, &layout, &numbers).counts, "{name}");
        assert_eq!(found.counts, planned.counts, "{name}");
    }
}

#[test]
fn products_as_weights_encrypted() {
    let (name, case) = ENCRYPTED[0];
    let instance = Instance::new(name);
    let shape = instance.parameters.shape().clone();
    let numbers = Numbers::new(case, 12);
    let products = weights_of(&shape, numbers.case);
    let (planner, metered) = instance.planner();
    let planned = as_weights(&planner, &metered, &products, &numbers);
    let server = instance.server(&planner);
    let found = as_weights(&server, &instance.client, &products, &numbers);
    check_weights(&found, &products, &numbers, 2e-3);
    assert_eq!(found.counts, planned.counts);
    // The clear evaluator is not told what happens inside of bootstraps; what it counts of the rest is the same.
    let clear = clear(&shape);
    let expected = as_weights(&clear, &clear, &products, &numbers).counts;
    let outside = |counts: OperationCounts| {
        [
            counts.half_bootstraps,
            counts.slots_to_coefficients,
            counts.row_splits,
            counts.row_packings,
            counts.matrix_weights,
        ]
    };
    assert_eq!(outside(found.counts), outside(expected));
}

#[test]
fn rotations_and_products_are_as_many_as_stated() {
    let shape = shape(11);
    let e = clear(&shape);
    let case = ENCRYPTED[0].1;
    let layout = layout_of(&shape, case);
    let (rows, ciphertexts, blocks) = (8, 2, 4);
    assert_eq!(
        (layout.channel_rows(), layout.ciphertexts(), layout.key_blocks(case.keys)),
        (rows, ciphertexts, blocks)
    );
    let counts = in_slots(&e, &e, &layout, &Numbers::new(case, 3)).counts;
    // Exchanges of values, squares and outputs, narrow rotations for both products, two sums over eight keys. Offsets of -7 to 7 rows are four giant steps, of which one
    // is none, and as many babies, but for one of -8 rows; without a baby step there are four.
    let (exchanges, narrow) = (3 * ciphertexts * 2, 2 * ciphertexts * (3 + 2 * rows - 1 - 4 + 1));
    assert_eq!(counts.rotations, (exchanges + narrow + 2 * 3) as u64);
    // Cosines and sines in three moves, as they are and for the cube, masks in three moves, diagonals of both products, two masks of the normaliser.
    let (placed, diagonals) = (ciphertexts * 12 + 3, 2 * blocks * ciphertexts * (2 * rows - 1));
    assert_eq!(counts.plaintext_products, (placed + diagonals + 2) as u64);
}

#[test]
fn variants_have_names_for_specs() {
    for (variant, name) in [(PublicProducts::Slots, "slots"), (PublicProducts::Weights, "weights")] {
        let name = serde::de::value::StrDeserializer::<serde::de::value::Error>::new(name);
        assert_eq!(<PublicProducts as serde::Deserialize>::deserialize(name), Ok(variant));
    }
    assert_eq!(PublicProducts::default(), PublicProducts::Slots);
}

#[test]
fn rejects_caches_of_another_size_or_not_finite() {
    let new = |keys: Vec<f32>, values: Vec<f32>| PublicCache::new(2, 4, keys, values);
    assert_eq!(new(vec![0.0; 24], vec![0.0; 24]).unwrap().length(), 3);
    assert!(new(vec![], vec![]).is_err());
    assert!(new(vec![0.0; 20], vec![0.0; 20]).is_err());
    assert!(new(vec![0.0; 24], vec![0.0; 16]).is_err());
    assert!(new(vec![f32::NAN; 24], vec![0.0; 24]).is_err());
    assert!(PublicCache::new(0, 4, vec![0.0; 4], vec![0.0; 4]).is_err());
}

#[test]
fn rejects_heads_that_do_not_fit() {
    let shape = shape(7);
    let module = RowModule::new(&shape, 16).unwrap();
    let new = |heads, key_heads, head_dim| PublicLayout::new(module, heads, key_heads, head_dim);
    assert!(new(8, 4, 4).is_ok());
    for (heads, key_heads, head_dim) in [(0, 1, 4), (4, 0, 4), (4, 3, 4), (4, 2, 3), (4, 2, 0), (16, 4, 4), (16, 16, 4)]
    {
        assert!(new(heads, key_heads, head_dim).is_err(), "{heads} on {key_heads} heads of {head_dim} channels");
    }
    let cache = PublicCache::new(2, 4, vec![0.0; 24], vec![0.0; 24]).unwrap();
    assert!(SlotProducts::new(&new(4, 2, 4).unwrap(), &cache).is_ok());
    assert!(SlotProducts::new(&new(4, 4, 4).unwrap(), &cache).is_err());
    assert!(SlotProducts::new(&new(4, 2, 6).unwrap(), &cache).is_err());
    let weights = |heads, key_heads, keys| WeightLayout::new(&shape, module, [heads, key_heads], 4, keys);
    let fitting = weights(4, 2, 3).unwrap();
    assert!(weights(3, 2, 3).is_err() && weights(4, 2, 0).is_err() && weights(4, 0, 3).is_err());
    assert!(weights(8, 2, 3).is_err(), "4 query heads of 4 channels in 8 rows");
    assert!(WeightProducts::new(&fitting, &cache, 13).is_ok());
    assert!(WeightProducts::new(&fitting, &cache, 1).is_err());
    assert!(WeightProducts::new(&weights(4, 2, 4).unwrap(), &cache, 13).is_err());
    assert!(WeightProducts::assumed(&fitting, [1.0, f64::NAN], 13).is_err());
    assert!(PublicCache::unknown(2, 4, 0).is_err());
}

#[test]
fn rejects_operands_of_another_layout() {
    let shape = shape(11);
    let e = clear(&shape);
    let case = ENCRYPTED[0].1;
    let numbers = Numbers::new(case, 4);
    let layout = layout_of(&shape, case);
    let products = SlotProducts::new(&layout, &numbers.cache).unwrap();
    let x = SlotClient::slots(&e, &e, &vec![0.0; shape.degree], 8);
    let angles = |positions: usize, head_dim| RotaryAngles::new(50.0, head_dim, (0..positions).collect());
    assert!(layout.place_queries(&e, &angles(8, 16), std::slice::from_ref(&x), 1.0).is_err());
    assert!(layout.place_queries(&e, &angles(7, 16), &[x.clone(), x.clone()], 1.0).is_err());
    assert!(layout.place_queries(&e, &angles(8, 8), &[x.clone(), x.clone()], 1.0).is_err());
    assert!(products.rotate_queries(&e, std::slice::from_ref(&x)).is_err());
    let rotated = products.rotate_queries(&e, &[x.clone(), x.clone()]).unwrap();
    let other = ScoreMap { scale: 1.0, centres: vec![0.0; 3] };
    assert!(products.scores(&e, &rotated, 0..4, &numbers.map, 0.0).is_ok());
    assert!(products.scores(&e, &rotated, 0..5, &numbers.map, 0.0).is_err());
    assert!(products.scores(&e, &rotated[1..], 0..4, &numbers.map, 0.0).is_err());
    assert!(products.scores(&e, &rotated, 0..4, &other, 0.0).is_err());
    assert!(products.weighted_values(&e, std::slice::from_ref(&x)).is_err());
    assert!(layout.collect_outputs(&e, std::slice::from_ref(&x), std::slice::from_ref(&x)).is_err());
    assert!(layout.collect_outputs(&e, &[x.clone(), x.clone()], &[]).is_err(), "no factors");
    assert!(products.key_rows().normaliser(&e, std::slice::from_ref(&x)).is_err());

    let layout = weights_of(&shape, numbers.case);
    let weights = WeightProducts::new(&layout, &numbers.cache, 13).unwrap();
    assert!(layout.place_queries(&e, &angles(8, 16), &[], 1.0).is_err());
    assert!(layout.place_queries(&e, &angles(8, 8), std::slice::from_ref(&x), 1.0).is_err());
    let factors = ChannelFactors::Each(vec![1.0; 3]);
    assert!(layout.place_queries(&e, &angles(8, 16), std::slice::from_ref(&x), factors).is_err());
    assert!(weights.scores(&e, 1, &x, &numbers.map, (0.0, 3)).is_err());
    assert!(weights.scores(&e, 0, &x, &other, (0.0, 3)).is_err());
    assert!(weights.centred(&e, 0, 0..1, &[], &numbers.map, 0.0).is_err());
    assert!(weights.weighted_values(&e, 0, std::slice::from_ref(&x), 1e9).is_err());
}
