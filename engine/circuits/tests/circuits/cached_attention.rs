//! One token's attention with a cache against the definition, in the clear and encrypted.

use std::collections::BTreeSet;

use crate::common::Instance;
use crate::support::{Random, clear, close, shape};
use fhe_circuits::cached_attention::ScorePlace;
use fhe_circuits::crossing::climb_corrected;
use fhe_circuits::{CacheLayout, KeyValueCache, PublicCache, PublicPages, ScoreMap};
use fhe_ckks::{CircuitShape, Clear, ClearSlots, Client, Evaluator, Level, NoiseModel, SlotArithmetic};
use proptest::prelude::*;

#[derive(Clone, Copy, Debug)]
struct Heads {
    heads: usize,
    key_value_heads: usize,
    head_dim: usize,
}

impl Heads {
    fn layout(&self, shape: &CircuitShape) -> fhe_circuits::Result<CacheLayout> {
        CacheLayout::new(shape, self.heads, self.key_value_heads, self.head_dim)
    }

    fn map(&self) -> ScoreMap {
        ScoreMap { scale: 0.25, centres: (0..self.heads).map(|head| 0.1 * head as f64).collect() }
    }
}

/// Everything that a step of decoding is given and should give, in plain numbers.
struct Step {
    queries: Vec<f64>,
    /// Of each token.
    keys: Vec<Vec<f64>>,
    values: Vec<Vec<f64>>,
    /// Head by head, token by token.
    scores: Vec<Vec<f64>>,
    outputs: Vec<f64>,
}

impl Step {
    fn new(heads: Heads, length: usize, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let Heads { heads: query_heads, key_value_heads, head_dim } = heads;
        let queries = random.vector(query_heads * head_dim);
        let [keys, values] =
            [(); 2].map(|()| (0..length).map(|_| random.vector(key_value_heads * head_dim)).collect::<Vec<_>>());
        let map = heads.map();
        let of = |token: &[f64], head: usize, channel: usize| {
            token[head / (query_heads / key_value_heads) * head_dim + channel]
        };
        let score = |head: usize, token: &Vec<f64>| {
            let products = (0..head_dim).map(|channel| queries[head * head_dim + channel] * of(token, head, channel));
            map.scale * products.sum::<f64>() - map.centres[head]
        };
        let scores: Vec<Vec<f64>> =
            (0..query_heads).map(|head| keys.iter().map(|token| score(head, token)).collect()).collect();
        let output = |head: usize, channel: usize| -> f64 {
            scores[head].iter().zip(&values).map(|(score, token)| score * of(token, head, channel)).sum()
        };
        let channels = |head| (0..head_dim).map(move |channel| (head, channel));
        let outputs = (0..query_heads).flat_map(channels).map(|(head, channel)| output(head, channel)).collect();
        Self { queries, keys, values, scores, outputs }
    }
}

impl Step {
    /// Its first tokens as public ones.
    fn pages(&self, layout: &CacheLayout, heads: Heads, public: usize) -> PublicPages {
        if public == 0 {
            return PublicPages::none();
        }
        let Heads { key_value_heads, head_dim, .. } = heads;
        let of_head = |tokens: &[Vec<f64>], head: usize| {
            let channels = head * head_dim..(head + 1) * head_dim;
            tokens[..public].iter().flat_map(|token| token[channels.clone()].to_vec()).collect::<Vec<f64>>()
        };
        let floats = |tokens: &[Vec<f64>]| {
            (0..key_value_heads).flat_map(|head| of_head(tokens, head)).map(|x| x as f32).collect::<Vec<f32>>()
        };
        let cache = PublicCache::new(key_value_heads, head_dim, floats(&self.keys), floats(&self.values)).unwrap();
        layout.pages(&cache).unwrap()
    }
}

/// Appends every token, and takes the scores themselves for probabilities: scores, their sums, outputs.
fn decode<E: Evaluator>(
    e: &E,
    layout: &CacheLayout,
    heads: Heads,
    (step, public): (&Step, usize),
    encrypt: impl Fn(&[f64], Level) -> E::Slots,
) -> (Vec<E::Slots>, E::Slots, Vec<E::Slots>) {
    let floor = e.shape().slots_to_coefficients_levels;
    let levels = CacheLayout::QUERY_LEVELS + CacheLayout::PROBABILITY_LEVELS;
    let key_level = Level(floor + levels - 1);
    let value_level = Level(floor + CacheLayout::VALUE_LEVELS);
    let mut cache = KeyValueCache::default();
    for (token, (keys, values)) in step.keys.iter().zip(&step.values).enumerate() {
        let keys = encrypt(&layout.pack_keys(keys).unwrap(), key_level);
        let values = encrypt(&layout.pack_values(values).unwrap(), value_level);
        layout.append(e, &mut cache, &keys, &values).unwrap();
        assert_eq!((cache.length(), cache.ciphertexts()), (token + 1, token / layout.tokens() + 1));
    }
    // The first tokens may be public: whole ciphertexts of them give way to plaintexts.
    let pages = step.pages(layout, heads, public);
    let encrypted = |ciphertexts: &[E::Slots]| ciphertexts[public / layout.tokens()..].to_vec();
    let (keys, values) = (encrypted(cache.keys()), encrypted(cache.values()));
    let cache = layout.cache_behind(keys, values, public, step.keys.len()).unwrap();
    let queries = encrypt(&layout.pack_queries(&step.queries).unwrap(), Level(floor + levels));
    let scores = layout.scores(e, &queries, (&pages, &cache), &heads.map()).unwrap();
    assert!(scores.iter().all(|x| e.level(x) == Level(floor + CacheLayout::PROBABILITY_LEVELS)));
    let sums = layout.sum_over_keys(e, &scores, step.keys.len()).unwrap();
    let selected = layout.select(e, &scores, 1.0, step.keys.len()).unwrap();
    let outputs = layout.weighted_values(e, &selected, (&pages, &cache)).unwrap();
    assert_eq!(outputs.len(), layout.group());
    assert!(outputs.iter().all(|x| e.level(x) == Level(floor)));
    (scores, sums, outputs)
}

/// Compares all slots of scores, those that should be zero too, sums and outputs.
fn check(layout: &CacheLayout, heads: Heads, step: &Step, [scores, sums, outputs]: [&[Vec<f64>]; 3], tolerance: f64) {
    assert_eq!(layout.heads(), heads.heads);
    let length = step.keys.len();
    assert_eq!(scores.len(), layout.score_ciphertexts(length));
    let mut expected = vec![vec![0.0; scores[0].len()]; scores.len()];
    for (head, of_head) in step.scores.iter().enumerate() {
        let total: f64 = of_head.iter().sum();
        for (position, &score) in of_head.iter().enumerate() {
            for ScorePlace { ciphertext, slot } in layout.score_places(length, head, position) {
                expected[ciphertext][slot] = score;
                assert!((sums[0][slot] - total).abs() <= tolerance * (length * heads.head_dim) as f64, "head {head}");
            }
        }
    }
    for (found, expected) in scores.iter().zip(&expected) {
        close(found, expected, tolerance);
    }
    // Of the output of each member of a group only the places of its queries mean anything.
    let channels = (0..heads.heads).flat_map(|head| (0..heads.head_dim).map(move |channel| (head, channel)));
    let found: Vec<f64> =
        channels.map(|(head, channel)| outputs[head % layout.group()][layout.query_slot(head, channel)]).collect();
    close(&found, &step.outputs, tolerance * length as f64);
}

/// Real slots of the clear evaluator at a level.
fn slots(e: &Clear, values: &[f64], level: Level) -> ClearSlots {
    let shape = e.shape().clone();
    let coefficients: Vec<f64> = (0..shape.degree).map(|p| values[shape.slot_of_coefficient(p)]).collect();
    let encrypted = e.encrypt(&coefficients, shape.full_scale).unwrap();
    let levels = level.0 - shape.slots_to_coefficients_levels;
    climb_corrected(e, &[encrypted], levels).unwrap().remove(0)
}

fn numbers(x: &ClearSlots) -> Vec<f64> {
    x.values().iter().map(|value| value.re).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]
    #[test]
    fn a_step_is_the_definition(
        log_degree in 7_u32..10, key_value_heads in 1_usize..5, group in 1_usize..5, head_dim in 1_usize..10,
        length in 1_usize..60, public in 0_usize..60, seed in any::<u64>()
    ) {
        let shape = shape(log_degree);
        let heads = Heads { heads: group * key_value_heads, key_value_heads, head_dim };
        let Ok(layout) = heads.layout(&shape) else {
            let rows = head_dim.next_power_of_two() * key_value_heads.next_power_of_two();
            let group = group.next_power_of_two();
            prop_assert!(rows * group > shape.degree || group > head_dim.next_power_of_two());
            return Ok(());
        };
        let e = clear(&shape);
        let step = Step::new(heads, length, seed);
        let (scores, sums, outputs) = decode(&e, &layout, heads, (&step, public % length), |values, level| slots(&e, values, level));
        let scores: Vec<_> = scores.iter().map(numbers).collect();
        let outputs: Vec<_> = outputs.iter().map(numbers).collect();
        check(&layout, heads, &step, [&scores, &[numbers(&sums)], &outputs], 1e-5);
    }

    #[test]
    fn no_slot_holds_two_entries(
        log_degree in 7_u32..10, key_value_heads in 1_usize..5, group in 1_usize..5, head_dim in 1_usize..10,
        length in 1_usize..100, seed in any::<u64>()
    ) {
        let shape = shape(log_degree);
        let heads = Heads { heads: group * key_value_heads, key_value_heads, head_dim };
        let Ok(layout) = heads.layout(&shape) else { return Ok(()) };
        let queries = Random::new(seed).vector(heads.heads * head_dim);
        let packed = layout.pack_queries(&queries).unwrap();
        prop_assert_eq!(layout.unpack_queries(&packed).unwrap(), queries);
        let pairs = (0..heads.heads).flat_map(|head| (0..length).map(move |position| (head, position)));
        let places: Vec<ScorePlace> =
            pairs.flat_map(|(head, position)| layout.score_places(length, head, position)).collect();
        prop_assert_eq!(places.iter().collect::<BTreeSet<_>>().len(), places.len());
        prop_assert!(places.len().is_multiple_of(heads.heads * length));
        prop_assert!(places.iter().all(|place| place.ciphertext < layout.score_ciphertexts(length)));
        prop_assert!(places.iter().all(|place| place.slot < shape.degree));
    }
}

/// Encrypted, metered and in the clear: the same numbers and the same counts, with a cache of two ciphertexts.
#[test]
fn an_encrypted_step_is_the_definition() {
    let instance = Instance::new("n11-toy", 41);
    let shape = instance.parameters.shape().clone();
    let heads = Heads { heads: 24, key_value_heads: 6, head_dim: 16 };
    let layout = heads.layout(&shape).unwrap();
    assert_eq!((layout.tokens(), layout.group()), (16, 4));
    let step = Step::new(heads, 19, 5);
    let (planner, metered) = instance.planner();
    decode(&planner, &layout, heads, (&step, 17), |values, level| metered.encrypt_slots(values, level).unwrap());
    let server = instance.server(&planner);
    let encrypt = |values: &[f64], level| instance.client.encrypt_slots(values, level).unwrap();
    let (scores, sums, outputs) = decode(&server, &layout, heads, (&step, 17), encrypt);
    let decrypt = |x: &_| instance.client.decrypt_slots(x).unwrap().expect("data");
    let scores: Vec<_> = scores.iter().map(decrypt).collect();
    let outputs: Vec<_> = outputs.iter().map(decrypt).collect();
    check(&layout, heads, &step, [&scores, &[decrypt(&sums)], &outputs], 2_f64.powi(-20));

    let e = Clear::new(shape, (), NoiseModel::default(), 0).unwrap();
    // Whatever brings the slots up is not counted.
    let zero = slots(&e, &vec![0.0; e.shape().degree], Level(e.shape().top_level() - 2));
    let before = e.counts();
    decode(&e, &layout, heads, (&step, 17), |_, level| e.lower(&zero, level).unwrap());
    let lowered = 2 * step.keys.len() as u64 + 1;
    let mut counts = e.counts() - before;
    counts.rescalings -= lowered;
    counts.constant_products -= lowered;
    assert_eq!((server.counts(), planner.counts()), (counts, counts));
    // The keys of four bits of tokens and three of rows both ways, and of the highest bit of rows; and smaller keys of the six that also sum
    // tokens at the lowest level.
    assert_eq!(planner.key_requests().iter().filter(|(id, _)| id.kind().contains("rotations")).count(), 8 + 6 + 1 + 6);
    // Eight rows are in use: for four members and two ciphertexts.
    let (members, ciphertexts, tokens, rows) = (4, 2, 4, 3);
    let distance = |token: usize, from: usize| u64::from((token % 16).abs_diff(from).count_ones());
    let appended: u64 = (0..19).map(|token| distance(token, 4) + distance(token, 5)).sum();
    let scores = members * (tokens + ciphertexts * rows) + 1;
    let sums = 1 + 2 * tokens;
    let outputs = members * (ciphertexts * rows + tokens);
    assert_eq!(counts.rotations, appended + scores + sums + outputs);
}

#[test]
fn rejects_heads_that_do_not_fit() {
    let shape = shape(7);
    let new = |heads, key_value_heads, head_dim| CacheLayout::new(&shape, heads, key_value_heads, head_dim);
    assert!(new(8, 4, 16).is_ok());
    for (heads, key_value_heads, head_dim) in [(0, 1, 4), (4, 0, 4), (6, 4, 4), (4, 2, 0), (8, 4, 32), (8, 1, 4)] {
        assert!(new(heads, key_value_heads, head_dim).is_err(), "{heads}, {key_value_heads}, {head_dim}");
    }
}

#[test]
fn rejects_operands_of_another_layout() {
    let shape = shape(8);
    let e = clear(&shape);
    let heads = Heads { heads: 4, key_value_heads: 2, head_dim: 8 };
    let layout = heads.layout(&shape).unwrap();
    assert!(layout.pack_queries(&[0.0; 16]).is_err());
    assert!(layout.pack_keys(&[0.0; 32]).is_err());
    assert!(layout.unpack_queries(&[0.0; 255]).is_err());
    let x = slots(&e, &vec![0.0; shape.degree], Level(9));
    let mut cache = KeyValueCache::default();
    let none = PublicPages::none();
    assert!(layout.scores(&e, &x, (&none, &cache), &heads.map()).is_err(), "an empty cache");
    assert!(layout.weighted_values(&e, &[], (&none, &cache)).is_err());
    assert!(layout.sum_over_keys(&e, &[], 1).is_err());
    layout.append(&e, &mut cache, &x, &x).unwrap();
    let lower = e.lower(&x, Level(8)).unwrap();
    let refused = layout.append(&e, &mut cache, &lower, &x).unwrap_err().to_string();
    assert!(refused.contains("append: keys") && refused.contains("level 8"), "{refused}");
    assert!(layout.append(&e, &mut cache, &x, &lower).is_err());
    assert_eq!(cache.length(), 1);
    let map = ScoreMap { scale: 1.0, centres: vec![0.0; 3] };
    assert!(layout.scores(&e, &x, (&none, &cache), &map).is_err());
    assert!(layout.weighted_values(&e, std::slice::from_ref(&x), (&none, &cache)).is_err(), "a group has two members");
    let behind = layout.cache_behind(vec![x.clone()], vec![x.clone()], 1, 2).unwrap();
    assert!(layout.scores(&e, &x, (&none, &behind), &heads.map()).is_err(), "public tokens that nobody gave");
    assert!(layout.cache_behind(vec![x.clone()], vec![x.clone()], layout.tokens(), layout.tokens()).is_err());
    assert!(layout.pages(&PublicCache::unknown(1, heads.head_dim, 3).unwrap()).is_err(), "another number of heads");
    assert!(layout.select(&e, &[x.clone(), x.clone()], 1.0, 1).is_err());
    assert!(layout.select(&e, &[], 1.0, 0).is_err());
}
