//! Attention over slots against the definition, through every step that moves or masks an entry.

use crate::support::{Random, clear, close, shape};
use fhe_circuits::crossing::{climb_corrected, descend};
use fhe_circuits::{
    ChannelFactors, Interval, Layout, Passage, PrefixRows, RotaryAngles, RowModule, ScoreLayout, SlotAttention,
    Softmax, SoftmaxVariant, SoftmaxWindows, SumCrossing,
};
use fhe_ckks::{CircuitShape, Client, Level, SlotArithmetic};
use proptest::prelude::*;

/// One case: sizes and a block mask.
#[derive(Clone, Debug)]
struct Case {
    log_degree: u32,
    tokens: usize,
    heads: usize,
    key_value_heads: usize,
    head_dim: usize,
    /// Start of each prompt; positions before the first are padding and attend to themselves.
    starts: Vec<usize>,
    /// Positions at which keys and values are public; all attend to them.
    prefix: usize,
}

impl Case {
    fn attends(&self, query: usize, key: usize) -> bool {
        let prompt = |position: usize| self.starts.iter().filter(|&&start| start <= position).count();
        query == key || key < self.prefix || (key < query && prompt(key) > 0 && prompt(key) == prompt(query))
    }

    fn attention(&self, shape: &CircuitShape) -> SlotAttention {
        let module = RowModule::new(shape, self.tokens).unwrap();
        SlotAttention::new(module, self.heads, self.head_dim, |query, key| self.attends(query, key)).unwrap()
    }

    fn position(&self, position: usize) -> usize {
        position - self.starts.iter().copied().filter(|&start| start <= position).max().unwrap_or(position)
    }
}

/// The definition, on heads x channels x tokens.
struct Reference<'a> {
    case: &'a Case,
    base: f64,
    /// Keys and values of the prefix.
    prefix: [Vec<f64>; 2],
}

impl Reference<'_> {
    fn at(&self, tensor: &[f64], head: usize, channel: usize, token: usize) -> f64 {
        tensor[(head * self.case.head_dim + channel) * self.case.tokens + token]
    }

    fn turned(&self, tensor: &[f64], head: usize, channel: usize, token: usize) -> f64 {
        let pairs = self.case.head_dim / 2;
        let pair = channel % pairs;
        let angle = self.case.position(token) as f64 * self.base.powf(-2.0 * pair as f64 / self.case.head_dim as f64);
        let (x, y) = (self.at(tensor, head, pair, token), self.at(tensor, head, pair + pairs, token));
        if channel < pairs { x * angle.cos() - y * angle.sin() } else { y * angle.cos() + x * angle.sin() }
    }

    fn score(&self, q: &[f64], k: &[f64], head: usize, query: usize, key: usize) -> f64 {
        let group = head / (self.case.heads / self.case.key_value_heads);
        let key_channel = |c| match key < self.case.prefix {
            true => self.prefix[0][(group * self.case.head_dim + c) * self.case.prefix + key],
            false => self.turned(k, group, c, key),
        };
        let products = (0..self.case.head_dim).map(|c| self.turned(q, head, c, query) * key_channel(c));
        products.sum::<f64>() / (self.case.head_dim as f64).sqrt()
    }

    fn value(&self, v: &[f64], group: usize, channel: usize, key: usize) -> f64 {
        match key < self.case.prefix {
            true => self.prefix[1][(group * self.case.head_dim + channel) * self.case.prefix + key],
            false => self.at(v, group, channel, key),
        }
    }
}

fn cases() -> impl Strategy<Value = Case> {
    let sizes = (9_u32..12, 1_u32..5, 1_usize..6, 1_usize..4);
    (sizes, prop::collection::vec(0_usize..32, 1..4), 0_usize..3, 0_usize..5).prop_filter_map(
        "a head fits",
        |((log_degree, log_tokens, half_dim, key_value_heads), starts, extra, prefix)| {
            let tokens = 1_usize << log_tokens;
            let rows = (1_usize << log_degree) / tokens;
            let head_dim = 2 * half_dim;
            let starts = starts.into_iter().map(|start| start % tokens).collect();
            let heads = key_value_heads * (1 + extra);
            (head_dim.next_power_of_two() <= rows).then_some(Case {
                log_degree,
                tokens,
                heads,
                key_value_heads,
                head_dim,
                starts,
                prefix: prefix % tokens,
            })
        },
    )
}

/// Whether a sparse bootstrap of the ring has as many copies as sums over keys cross in.
fn copies_exist(shape: &CircuitShape, attention: &SlotAttention) -> bool {
    let SumCrossing::Copies(copies) = attention.sum_crossing() else { return false };
    shape.check_copies("test", copies).is_ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn attention_is_the_definition(case in cases(), seed in 0_u64..1000) {
        check(&case, seed, SoftmaxVariant::ExpInverse);
    }

    #[test]
    fn attention_that_normalises_and_squares_is_the_definition(case in cases(), seed in 0_u64..1000, rounds in 1_usize..4) {
        // Sums over keys are averages over as many copies as a sparse bootstrap of these rings has.
        let attention = case.attention(&shape(case.log_degree));
        prop_assume!(copies_exist(&shape(case.log_degree), &attention));
        check(&case, seed, SoftmaxVariant::NormalizeAndSquare { rounds });
    }

    #[test]
    fn attention_by_one_reciprocal_or_by_iterations_is_the_definition(case in cases(), seed in 0_u64..1000, iterated: bool) {
        let attention = case.attention(&shape(case.log_degree));
        prop_assume!(copies_exist(&shape(case.log_degree), &attention));
        check(&case, seed, if iterated { SoftmaxVariant::ExpGoldschmidt } else { SoftmaxVariant::ExpSlimInverse });
    }
}

#[test]
fn a_prompt_that_straddles_the_halves_uses_advanced_replicas() {
    let case =
        Case { log_degree: 10, tokens: 16, heads: 2, key_value_heads: 1, head_dim: 4, starts: vec![1, 12], prefix: 1 };
    let attention = case.attention(&shape(case.log_degree));
    assert!(attention.heads().replicas() > 1);
    assert!(attention.schedule().steps().iter().any(|step| step.swapped && step.first_offset < 0));
    check(&case, 1, SoftmaxVariant::ExpInverse);
    check(&case, 1, SoftmaxVariant::NormalizeAndSquare { rounds: 3 });
    check(&case, 1, SoftmaxVariant::ExpSlimInverse);
    check(&case, 1, SoftmaxVariant::ExpGoldschmidt);
}

#[test]
fn several_ciphertexts_of_heads_and_of_scores() {
    // 16 rows: 4 heads of 4 channels each fill a ciphertext, and 16 offsets take 8 ciphertexts of scores, two in each.
    let case =
        Case { log_degree: 9, tokens: 32, heads: 6, key_value_heads: 3, head_dim: 4, starts: vec![0, 16], prefix: 0 };
    let attention = case.attention(&shape(case.log_degree));
    assert_eq!((attention.heads().ciphertexts(), attention.heads().replicas()), (2, 1));
    assert_eq!(attention.score_blocks().len(), 2 * 8);
    check(&case, 2, SoftmaxVariant::ExpInverse);
    check(&case, 2, SoftmaxVariant::NormalizeAndSquare { rounds: 3 });
    check(&case, 2, SoftmaxVariant::ExpSlimInverse);
    check(&case, 2, SoftmaxVariant::ExpGoldschmidt);
}

fn check(case: &Case, seed: u64, variant: SoftmaxVariant) {
    let shape = shape(case.log_degree);
    let e = clear(&shape);
    let mut random = Random::new(seed);
    let attention = case.attention(&shape);
    let prefix = [0, 1].map(|_| random.vector(case.key_value_heads * case.head_dim * case.prefix));
    let [prefix_keys, prefix_values] =
        prefix.each_ref().map(|rows| PrefixRows::new(case.prefix, rows.clone()).unwrap());
    let reference = Reference { case, base: 100.0, prefix };
    let angles = RotaryAngles::new(100.0, case.head_dim, (0..case.tokens).map(|b| case.position(b)).collect());

    let entries = |heads: usize| heads * case.head_dim * case.tokens;
    let [q, k, v] = [case.heads, case.key_value_heads, case.key_value_heads].map(|heads| random.vector(entries(heads)));
    let queries = attention.heads().projection(case.heads).unwrap();
    let keys = attention.heads().projection(case.key_value_heads).unwrap();
    let range = 2.0;
    // Every channel is as much larger as its row of weights may have made it.
    let magnification = |channel: usize| [1.0, 1.5, 2.0, 1.25, 1.75][channel % 5];
    let ranges = |heads: usize| {
        ChannelFactors::Each((0..heads * case.head_dim).map(|channel| range / magnification(channel)).collect())
    };
    let up = |layout: &Layout, tensor: &[f64], levels: usize| {
        let magnified: Vec<f64> =
            tensor.iter().enumerate().map(|(entry, x)| x * magnification(entry / case.tokens)).collect();
        let packed = layout.pack(&magnified).unwrap();
        let unit = shape.full_scale / range;
        let encrypted: Vec<_> = packed.iter().map(|vector| e.encrypt(vector, unit).unwrap()).collect();
        climb_corrected(&e, &encrypted, levels).unwrap()
    };
    let levels = SlotAttention::PLACEMENT_LEVELS + SlotAttention::SCORE_LEVELS;
    let placed_queries = attention.place_queries(&e, &angles, &up(&queries, &q, levels), ranges(case.heads)).unwrap();
    let placed_keys =
        attention.place_keys(&e, &angles, &up(&keys, &k, levels), ranges(case.key_value_heads), &prefix_keys).unwrap();

    // Windows of the scores as calibration would find them.
    let live: Vec<(usize, usize)> = (0..case.tokens)
        .flat_map(|query| (0..case.tokens).map(move |key| (query, key)))
        .filter(|&(query, key)| case.attends(query, key))
        .collect();
    let centres: Vec<f64> = (0..case.heads).map(|head| 0.1 * head as f64).collect();
    let half_width = (0..case.heads)
        .flat_map(|head| live.iter().map(move |&(query, key)| (head, query, key)))
        .map(|(head, query, key)| (reference.score(&q, &k, head, query, key) - centres[head]).abs())
        .fold(0.1, f64::max);
    let denominator = |head: usize, query: usize| {
        let keys = live.iter().filter(|pair| pair.0 == query).map(|pair| pair.1);
        keys.map(|key| (reference.score(&q, &k, head, query, key) - centres[head] - half_width).exp()).sum::<f64>()
    };
    let all = (0..case.heads).flat_map(|head| (0..case.tokens).map(move |query| (head, query)));
    let denominators: Vec<f64> = all.map(|(head, query)| denominator(head, query)).collect();
    let low = denominators.iter().copied().fold(f64::INFINITY, f64::min) * 0.99;
    let high = denominators.iter().copied().fold(0.0, f64::max) * 1.01;
    let windows =
        SoftmaxWindows { centres: centres.clone(), half_width, denominator: Interval::new(low, high), first_sum: None };
    let softmax = Softmax::new(variant, &windows, case.head_dim, &shape, 1e-7, &attention).unwrap();

    let scores = attention.scores(&e, &placed_queries, &placed_keys, softmax.score_map()).unwrap();
    let floor = Level(shape.slots_to_coefficients_levels);
    assert!(scores.iter().all(|score| e.level(score) == floor), "scores consume what they state");
    for (block, score) in attention.score_blocks().iter().zip(&scores) {
        let map = softmax.score_map();
        let expected = attention.score_plain(block, |pair| {
            let product = reference.score(&q, &k, pair.head, pair.query, pair.key) * (case.head_dim as f64).sqrt();
            map.scale * product - map.centres[pair.head]
        });
        let found: Vec<f64> = score.values().iter().map(|value| value.re).collect();
        assert_eq!(found.len(), shape.degree);
        assert!(found.iter().all(|score| score.abs() <= 1.0));
        close(&found, &expected, 1e-6);
    }

    let output_levels = SlotAttention::PROBABILITY_LEVELS;
    let crossed = descend(&e, &scores, shape.full_scale).unwrap();
    let climbed = fhe_circuits::crossing::climb(&e, &crossed, softmax.score_levels()).unwrap();
    let mut crossing = |sums: Vec<_>, passage: Passage| passage.cross(&e, &sums);
    let probabilities = softmax.apply(&e, &attention, &climbed, &mut crossing).unwrap();
    assert!(
        probabilities.iter().all(|p| e.level(p) == Level(floor.0 + output_levels)),
        "SoftMax consumes what it states"
    );

    let values = up(&keys, &v, SlotAttention::PLACEMENT_LEVELS + SlotAttention::VALUE_LEVELS);
    let values = attention.place_values(&e, &values, ranges(case.key_value_heads), &prefix_values).unwrap();
    // Of iterations as many may be missing as the levels leave out; each row of probabilities is off by that as a whole.
    let division = softmax.polynomials().last().map_or(0.0, |polynomial| polynomial.fitted.error);
    let tolerance = if variant == SoftmaxVariant::ExpGoldschmidt { f64::max(1e-5, 2.0 * division) } else { 1e-5 };
    let outputs = attention.weighted_values(&e, &probabilities, &values).unwrap();
    assert!(outputs.iter().all(|x| e.level(x) == floor), "weighted values consume what they state");
    let outputs = descend(&e, &outputs, 1e9).unwrap();
    let decrypted: Vec<Vec<f64>> = outputs.iter().map(|x| e.decrypt(x).unwrap().unwrap()).collect();
    let found = queries.unpack_sums(&decrypted).unwrap();
    let mut expected = vec![0.0; found.len()];
    for &(query, key) in &live {
        for head in 0..case.heads {
            let group = head / (case.heads / case.key_value_heads);
            let weight = (reference.score(&q, &k, head, query, key) - windows.centres[head] - half_width).exp()
                / denominator(head, query);
            for channel in 0..case.head_dim {
                expected[(head * case.head_dim + channel) * case.tokens + query] +=
                    weight * reference.value(&v, group, channel, key);
            }
        }
    }
    close(&found, &expected, tolerance);
}

/// Two heads of four channels over sixteen tokens.
fn small() -> SlotAttention {
    let module = RowModule::new(&shape(9), 16).unwrap();
    SlotAttention::new(module, 2, 4, |query, key| key <= query).unwrap()
}

fn windows(heads: usize, half_width: f64, denominator: (f64, f64)) -> SoftmaxWindows {
    let denominator = Interval::new(denominator.0, denominator.1);
    SoftmaxWindows { centres: vec![0.0; heads], half_width, denominator, first_sum: None }
}

#[test]
fn more_rounds_of_renormalisation_carry_wider_denominators() {
    let new = |ratio: f64| {
        let windows = windows(2, 6.0, (0.5 / ratio, 0.5));
        Softmax::new(SoftmaxVariant::ExpInverse, &windows, 4, &shape(9), 1e-6, &small())
    };
    let cost = |ratio: f64| {
        let softmax = new(ratio).unwrap();
        let division = softmax.exp_inverse().unwrap();
        (division.inverse().levels(), division.rounds())
    };
    let [narrow, middle, wide] = [2.0, 100.0, 3000.0].map(cost);
    assert!(narrow.0 + narrow.1 <= middle.0 + middle.1 && middle.0 + middle.1 < wide.0 + wide.1);
    assert!(narrow.1 >= 1, "renormalisation removes the noise of the denominators' bootstrap");
    for ratio in [2.0, 100.0, 3000.0] {
        let softmax = new(ratio).unwrap();
        let division = softmax.exp_inverse().unwrap();
        assert!(division.inverse().error().powi(1 << division.rounds()) <= 1e-6);
        assert_eq!(softmax.score_levels(), division.exponential().levels() + 4 + division.rounds());
        assert_eq!(softmax.crossing_levels(), division.inverse().levels() + 3 + division.rounds());
    }
    assert!(matches!(new(1e7), Err(fhe_circuits::CircuitError::Approximation { .. })));
}

#[test]
fn rejects_windows_of_softmax_that_make_no_sense() {
    let new = |windows| Softmax::new(SoftmaxVariant::ExpInverse, &windows, 4, &shape(9), 1e-6, &small());
    assert!(new(windows(2, 1.0, (0.1, 1.0))).is_ok());
    for bad in [windows(2, 0.0, (0.1, 1.0)), windows(2, f64::NAN, (0.1, 1.0)), windows(2, 1.0, (-0.1, 1.0))] {
        assert!(new(bad).is_err());
    }
    // Denominators smaller than the smallest exponential.
    assert!(new(windows(2, 1.0, (1e-9, 1e-3))).is_err());
}

#[test]
fn rejects_heads_that_do_not_fit() {
    let module = RowModule::new(&shape(7), 16).unwrap();
    let new = |heads, head_dim| SlotAttention::new(module, heads, head_dim, |q, k| k <= q);
    assert!(new(2, 8).is_ok());
    for (heads, head_dim) in [(0, 8), (2, 0), (2, 3), (2, 10)] {
        assert!(new(heads, head_dim).is_err(), "{heads} heads of {head_dim} channels in 8 rows");
    }
    assert!(new(6, 4).unwrap().heads().projection(4).is_err(), "4 key heads for 6 query heads");
}

#[test]
fn rejects_queries_that_attend_to_nothing() {
    let module = RowModule::new(&shape(7), 16).unwrap();
    let refused = SlotAttention::new(module, 1, 4, |query, key| key < query).unwrap_err();
    assert!(refused.to_string().contains("query 0"), "{refused}");
}

#[test]
fn rejects_operands_of_another_layout() {
    let shape = shape(9);
    let e = clear(&shape);
    let module = RowModule::new(&shape, 16).unwrap();
    let attention = SlotAttention::new(module, 2, 4, |query, key| key <= query).unwrap();
    let angles = |positions: usize, head_dim| RotaryAngles::new(100.0, head_dim, (0..positions).collect());
    let ciphertext = e.encrypt(&vec![0.0; shape.degree], 1.0).unwrap();
    let slots = climb_corrected(&e, &[ciphertext], 4).unwrap();
    assert!(attention.place_queries(&e, &angles(15, 4), &slots, 1.0).is_err());
    let none = PrefixRows::none();
    assert!(attention.place_keys(&e, &angles(16, 6), &slots, 1.0, &none).is_err());
    assert!(attention.place_queries(&e, &angles(16, 4), &[], 1.0).is_err());
    assert!(attention.place_values(&e, &[], 1.0, &none).is_err());
    // Heads that two query heads cannot share, and more positions than the block has.
    for (positions, numbers) in [(1, 3 * 4), (1, 5), (17, 17 * 4)] {
        let prefix = PrefixRows::new(positions, vec![0.5; numbers]).unwrap();
        let refused = attention.place_values(&e, &slots, 1.0, &prefix).unwrap_err().to_string();
        assert!(refused.contains("channels and positions of the prefix"), "{refused}");
        assert!(attention.place_keys(&e, &angles(16, 4), &slots, 1.0, &prefix).is_err());
    }
    for wrong in [0, 3, 9] {
        let factors = || ChannelFactors::Each(vec![1.0; wrong]);
        assert!(attention.place_queries(&e, &angles(16, 4), &slots, factors()).is_err(), "{wrong} factors");
        assert!(attention.place_keys(&e, &angles(16, 4), &slots, factors(), &none).is_err(), "{wrong} factors");
        assert!(attention.place_values(&e, &slots, factors(), &none).is_err(), "{wrong} factors");
    }
    let keys = attention.place_keys(&e, &angles(16, 4), &slots, 1.0, &none).unwrap();
    let softmax =
        |heads| Softmax::new(SoftmaxVariant::ExpInverse, &windows(heads, 1.0, (0.1, 1.0)), 4, &shape, 1e-6, &attention);
    assert!(attention.scores(&e, &[], &keys, softmax(2).unwrap().score_map()).is_err());
    assert!(attention.scores(&e, &slots, &keys, softmax(3).unwrap().score_map()).is_err());
    assert!(attention.weighted_values(&e, &[], &keys).is_err());
    let mut crossing = |slots: Vec<_>, _| Ok(slots);
    assert!(softmax(2).unwrap().apply(&e, &attention, &[], &mut crossing).is_err());
}
