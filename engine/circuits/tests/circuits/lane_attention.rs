//! Attention over lanes against the definition: every index map in the clear, one head group encrypted.

use crate::encrypted::{Instance, SlotClient};
use std::sync::Arc;

use crate::support::{Random, clear, close, shape};
use fhe_circuits::crossing::{SINE_LEVELS, climb_corrected, correct};
use fhe_circuits::lane_attention::LanePair;
use fhe_circuits::{
    Accuracy, ChannelFactors, Functions, Interval, LaneAttention, LaneScores, Layout, LivePair, Passage, PrefixRows,
    RotaryAngles, ScoreContract, ScoreLayout, SlotAttention, Softmax, SoftmaxVariant, SoftmaxWindows,
};
use fhe_ckks::{CircuitShape, Client, LaneProducts, SlotArithmetic};
use proptest::prelude::*;

/// Sizes of one attention.
#[derive(Clone, Copy, Debug)]
struct Case {
    log_degree: u32,
    tokens: usize,
    heads: usize,
    key_value_heads: usize,
    head_dim: usize,
    /// The integer that stands for 1 in a factor is two to this.
    unit_bits: i32,
    /// Positions at which keys and values are public.
    prefix: usize,
}

const BASE: f64 = 10_000.0;

impl Case {
    fn unit(&self) -> f64 {
        2f64.powi(self.unit_bits)
    }

    fn attention(&self, shape: &CircuitShape) -> LaneAttention {
        LaneAttention::new(shape, self.tokens, self.heads, self.key_value_heads, self.head_dim).unwrap()
    }

    /// Heads x channels x tokens.
    fn at(&self, tensor: &[f64], head: usize, channel: usize, token: usize) -> f64 {
        tensor[(head * self.head_dim + channel) * self.tokens + token]
    }

    fn turned(&self, tensor: &[f64], head: usize, channel: usize, token: usize) -> f64 {
        let pairs = self.head_dim / 2;
        let pair = channel % pairs;
        let angle = token as f64 * BASE.powf(-2.0 * pair as f64 / self.head_dim as f64);
        let (x, y) = (self.at(tensor, head, pair, token), self.at(tensor, head, pair + pairs, token));
        if channel < pairs { x * angle.cos() - y * angle.sin() } else { y * angle.cos() + x * angle.sin() }
    }

    fn key_head(&self, head: usize) -> usize {
        head / (self.heads / self.key_value_heads)
    }

    fn score(&self, q: &[f64], k: &[f64], head: usize, query: usize, key: usize) -> f64 {
        let head_of_key = self.key_head(head);
        let [prefix, _] = self.prefix_rows();
        let key_channel = |c| match key < self.prefix {
            true => prefix[(head_of_key * self.head_dim + c) * self.prefix + key],
            false => self.turned(k, head_of_key, c, key),
        };
        (0..self.head_dim).map(|c| self.turned(q, head, c, query) * key_channel(c)).sum()
    }

    fn value(&self, v: &[f64], head: usize, channel: usize, key: usize) -> f64 {
        let [_, prefix] = self.prefix_rows();
        match key < self.prefix {
            true => prefix[(self.key_head(head) * self.head_dim + channel) * self.prefix + key],
            false => self.at(v, self.key_head(head), channel, key),
        }
    }

    /// Keys and values of the prefix.
    fn prefix_rows(&self) -> [Vec<f64>; 2] {
        [8, 9].map(|seed| Random::new(seed).vector(self.key_value_heads * self.head_dim * self.prefix))
    }

    /// Queries, keys and values.
    fn inputs(&self) -> [Vec<f64>; 3] {
        let mut random = Random::new(5);
        [self.heads, self.key_value_heads, self.key_value_heads]
            .map(|heads| random.vector(heads * self.head_dim * self.tokens))
    }

    /// Any function of scores stands for probabilities.
    fn weight(head: usize, query: usize, key: usize) -> f64 {
        ((3 * head + 5 * query + 7 * key) as f64).sin()
    }

    /// Opened scores, and the output in slots, from coefficients; both in units of their own.
    fn run<E: LaneProducts, C: Client<E>>(&self, e: &E, client: &C) -> (Vec<E::Slots>, Vec<E::Slots>) {
        let (attention, shape) = (self.attention(e.shape()), e.shape().clone());
        let layout = attention.layout();
        let [q, k, v] = self.inputs();
        let angles = RotaryAngles::new(BASE, self.head_dim, (0..self.tokens).collect());
        // Channels arrive at scales of their own, as rows of weights may have left them.
        let magnification = |channel: usize| [1.0, 0.5, 0.75, 0.625, 0.875][channel % 5];
        let factors = |heads: usize, factor: f64| {
            ChannelFactors::Each((0..heads * self.head_dim).map(|channel| factor / magnification(channel)).collect())
        };
        let [prefix_keys, prefix_values] = self.prefix_rows();
        let prefix_keys = prefix_keys.into_iter().map(|number| 0.5 * number).collect();
        let rows = |numbers: Vec<f64>| PrefixRows::new(self.prefix, numbers).unwrap();
        let projected = |layout: Layout, tensor: &[f64], levels: usize| {
            let magnified: Vec<f64> =
                tensor.iter().enumerate().map(|(entry, x)| x * magnification(entry / self.tokens)).collect();
            let packed = layout.pack(&magnified).unwrap();
            let encrypted: Vec<_> =
                packed.iter().map(|packed| client.encrypt(packed, shape.full_scale).unwrap()).collect();
            climb_corrected(e, &encrypted, levels + LaneAttention::FACTOR_LEVELS).unwrap()
        };
        let raised = |products: &[E::Coefficients], levels: usize| {
            let raised = e.half_bootstrap(&products.iter().collect::<Vec<_>>(), SINE_LEVELS + levels).unwrap();
            correct(e, &raised).unwrap()
        };

        let queries = projected(layout.queries().unwrap(), &q, LaneAttention::QUERY_LEVELS);
        let queries = attention.place_queries(e, &angles, &queries, factors(self.heads, 0.5)).unwrap();
        let keys = projected(layout.keys().unwrap(), &k, LaneAttention::KEY_LEVELS);
        let keys =
            attention.place_keys(e, &angles, &keys, factors(self.key_value_heads, 0.5), &rows(prefix_keys)).unwrap();
        let scores = attention.scores(e, &queries, &keys, [self.unit(); 2]).unwrap();
        assert_eq!(scores.len(), layout.sets() * layout.score_ciphertexts());
        let unit = self.unit() * self.unit() / shape.lane_divisor;
        assert!(scores.iter().all(|score| (e.unit(score) / unit - 1.0).abs() < 1e-9));
        // One level for the lanes, one for the weights, one for the factors.
        let opened = attention.open_scores(e, &raised(&scores, 2 + LaneAttention::FACTOR_LEVELS), 1.0).unwrap();

        let normal = shape.full_scale / unit;
        let probabilities: Vec<_> = (opened.iter().enumerate())
            .map(|(number, slots)| {
                let (set, ciphertext) = (number / layout.score_ciphertexts(), number % layout.score_ciphertexts());
                let weight = |pair: LanePair| normal * Self::weight(pair.head, pair.query, pair.key);
                e.plain_combination(&[(slots, &layout.score_plain(set, ciphertext, weight))]).unwrap()
            })
            .collect();
        let values = projected(layout.keys().unwrap(), &v, LaneAttention::KEY_LEVELS);
        let values =
            attention.place_values(e, &values, factors(self.key_value_heads, 1.0), &rows(prefix_values)).unwrap();
        let outputs = attention.weighted_values(e, &probabilities, &values, [self.unit() / 16.0, self.unit()]).unwrap();
        let output = attention.open_output(e, &raised(&outputs, LaneAttention::OUTPUT_LEVELS), 1.0).unwrap();
        assert_eq!(e.level(&output[0]).0, shape.slots_to_coefficients_levels);
        (opened, output)
    }

    /// Both products against the definition, to these tolerances.
    fn compare(&self, shape: &CircuitShape, (scores, output): (&[Vec<f64>], &[Vec<f64>]), tolerances: [f64; 2]) {
        let attention = self.attention(shape);
        let layout = attention.layout();
        let [q, k, v] = self.inputs();
        let unit = self.unit() * self.unit() / shape.lane_divisor;
        let mut seen = 0;
        for (number, slots) in scores.iter().enumerate() {
            let (set, ciphertext) = (number / layout.score_ciphertexts(), number % layout.score_ciphertexts());
            for (slot, pair) in layout.pairs(set, ciphertext) {
                let expected = 0.25 * self.score(&q, &k, pair.head, pair.query, pair.key);
                let found = slots[slot] * shape.full_scale / unit;
                let wrong = (found - expected).abs();
                assert!(wrong < tolerances[0], "{self:?} {pair:?}: {found}, expected {expected}");
                seen += 1;
            }
        }
        assert_eq!(seen, self.heads * self.tokens * self.tokens);

        let packed: Vec<Vec<f64>> = (output.iter())
            .map(|slots| {
                let coefficient = |p: usize| slots[shape.slot_of_coefficient(p)] * 16.0 * shape.full_scale / unit;
                (0..shape.degree).map(coefficient).collect()
            })
            .collect();
        let found = layout.queries().unwrap().unpack(&packed).unwrap();
        let mut expected = Vec::with_capacity(found.len());
        for head in 0..self.heads {
            let probability =
                |query: usize, key: usize| 0.25 * self.score(&q, &k, head, query, key) * Self::weight(head, query, key);
            let rows: Vec<Vec<f64>> =
                (0..self.tokens).map(|query| (0..self.tokens).map(|key| probability(query, key)).collect()).collect();
            for channel in 0..self.head_dim {
                for row in &rows {
                    let terms = row.iter().enumerate();
                    expected.push(terms.map(|(key, p)| p * self.value(&v, head, channel, key)).sum());
                }
            }
        }
        close(&found, &expected, tolerances[1]);
    }
}

/// On a ring of `2^11` a ciphertext of lanes has 256 coefficients; sixteen tokens leave eight lanes.
const CASES: [Case; 7] = [
    Case { log_degree: 11, tokens: 16, heads: 4, key_value_heads: 2, head_dim: 16, unit_bits: 39, prefix: 0 },
    Case { log_degree: 11, tokens: 16, heads: 8, key_value_heads: 8, head_dim: 4, unit_bits: 39, prefix: 1 },
    Case { log_degree: 11, tokens: 16, heads: 9, key_value_heads: 3, head_dim: 8, unit_bits: 39, prefix: 0 },
    Case { log_degree: 11, tokens: 8, heads: 4, key_value_heads: 1, head_dim: 16, unit_bits: 39, prefix: 6 },
    Case { log_degree: 11, tokens: 32, heads: 6, key_value_heads: 2, head_dim: 32, unit_bits: 39, prefix: 2 },
    Case { log_degree: 11, tokens: 16, heads: 12, key_value_heads: 12, head_dim: 6, unit_bits: 39, prefix: 4 },
    Case { log_degree: 12, tokens: 16, heads: 16, key_value_heads: 4, head_dim: 64, unit_bits: 39, prefix: 1 },
];

#[test]
fn attention_is_that_of_every_head() {
    for case in &CASES {
        let shape = shape(case.log_degree);
        let e = clear(&shape);
        let (scores, output) = case.run(&e, &e);
        let numbers = |slots: &[_]| slots.iter().map(|x| e.numbers(x)).collect::<Vec<_>>();
        case.compare(&shape, (&numbers(&scores), &numbers(&output)), [1e-6, 1e-5]);
    }
}

/// The real ring at the size of a layer of Llama-3-8B: 14 GiB and some minutes.
#[test]
#[ignore = "the real ring: cargo real-attention"]
fn attention_of_llama_3_under_encryption() {
    let case =
        Case { log_degree: 16, tokens: 128, heads: 32, key_value_heads: 8, head_dim: 128, unit_bits: 40, prefix: 1 };
    encrypted(case, "n16-llama", [1e-2, 1e-1]);
}

/// One head group under encryption, after a plan without data that executes the same operations.
#[test]
fn encrypted_attention_is_that_of_every_head() {
    encrypted(CASES[0], "n11-toy", [2e-3, 2e-2]);
}

/// Public rows cost no operation: the plan of the circuit with them is the plan without.
#[test]
fn encrypted_attention_behind_a_public_prefix() {
    let case = Case { prefix: 3, ..CASES[0] };
    encrypted(case, "n11-toy", [2e-3, 2e-2]);
    let counts = |case: Case| {
        let (planner, metered) = Instance::new("n11-toy").planner();
        case.run(&planner, &metered);
        (planner.counts(), planner.key_switches())
    };
    assert_eq!(counts(case), counts(CASES[0]));
}

fn encrypted(case: Case, parameters: &str, tolerances: [f64; 2]) {
    let instance = Instance::new(parameters);
    let shape = instance.parameters.shape().clone();
    let (planner, metered) = instance.planner();
    case.run(&planner, &metered);
    let server = instance.server(&planner);
    let (scores, output) = case.run(&server, &instance.client);
    assert_eq!(server.counts(), planner.counts());
    assert_eq!(server.key_switches(), planner.key_switches());
    let numbers = |slots: &[_]| slots.iter().map(|x| instance.client.numbers(x)).collect::<Vec<_>>();
    case.compare(&shape, (&numbers(&scores), &numbers(&output)), tolerances);
}

/// SoftMax over lanes: sums of exponentials and probabilities, from coefficients of lanes.
struct SoftmaxCase {
    case: Case,
    half_width: f64,
    variant: SoftmaxVariant,
}

impl SoftmaxCase {
    fn scores(&self, shape: &CircuitShape) -> LaneScores {
        LaneScores::new(Arc::new(self.case.attention(shape)), |query, key| key <= query).unwrap()
    }

    fn softmax(&self, shape: &CircuitShape) -> Softmax {
        let windows = SoftmaxWindows {
            centres: (0..self.case.heads).map(|head| 0.1 * head as f64).collect(),
            half_width: self.half_width,
            denominator: Interval::new((-2.0 * self.half_width).exp(), self.case.tokens as f64),
            first_sum: None,
        };
        Softmax::new(self.variant, &windows, self.case.head_dim, shape, 1e-6, &self.scores(shape)).unwrap()
    }

    /// Normalised scores, of dead pairs too, and probabilities.
    fn run<E: LaneProducts, C: Client<E>>(&self, e: &E, client: &C) -> (Vec<E::Slots>, Vec<E::Slots>) {
        let (shape, scores, softmax) = (e.shape().clone(), self.scores(e.shape()), self.softmax(e.shape()));
        let lanes = scores.attention().layout().lanes();
        let coefficients: Vec<_> = (0..scores.ciphertexts())
            .map(|index| {
                let numbers = Random::new(index as u64).vector(shape.degree);
                client.encrypt(&numbers, shape.full_scale).unwrap()
            })
            .collect();
        let raised = e.half_bootstrap(&coefficients.iter().collect::<Vec<_>>(), softmax.score_levels()).unwrap();
        // A lane is a sum of twice as many coefficients.
        let factor = 0.5 / lanes as f64;
        let opened = scores.attention().open_scores(e, &correct(e, &raised).unwrap(), factor).unwrap();
        let mut crossing = |sums: Vec<E::Slots>, passage: Passage| passage.cross(e, &sums);
        let probabilities = softmax.apply(e, &scores, &opened, &mut crossing).unwrap();
        let floor = shape.slots_to_coefficients_levels + ScoreContract::LANES.output_levels;
        assert!(probabilities.iter().all(|p| e.level(p).0 == floor), "SoftMax consumes what it states");
        (opened, probabilities)
    }

    /// Probabilities against the definition.
    fn compare(&self, shape: &CircuitShape, opened: &[Vec<f64>], probabilities: &[Vec<f64>], tolerance: f64) {
        let (scores, softmax, tokens) = (self.scores(shape), self.softmax(shape), self.case.tokens);
        let mut exponentials = vec![0.0; self.case.heads * tokens * tokens];
        let index = |head: usize, query: usize, key: usize| (head * tokens + query) * tokens + key;
        for (ciphertext, slots) in opened.iter().enumerate() {
            for (slot, pair) in scores.live_pairs(ciphertext) {
                let score = softmax.score(pair.head, slots[slot]);
                exponentials[index(pair.head, pair.query, pair.key)] = score.exp();
            }
        }
        let sums: Vec<f64> = exponentials.chunks(tokens).map(|keys| keys.iter().sum()).collect();
        for (ciphertext, slots) in probabilities.iter().enumerate() {
            let expected = scores.live_plain(ciphertext, |pair| {
                exponentials[index(pair.head, pair.query, pair.key)] / sums[pair.head * tokens + pair.query]
            });
            close(slots, &expected, tolerance);
        }
    }
}

#[test]
fn softmax_over_lanes_divides_by_the_sum_over_keys_and_leaves_dead_pairs_zero() {
    for case in CASES {
        softmax_in_the_clear(SoftmaxCase { case, half_width: 1.5, variant: SoftmaxVariant::ExpInverse }, 1e-5);
    }
}

#[test]
fn normalising_and_squaring_over_lanes_is_the_same_function() {
    for case in CASES {
        for rounds in [1, 3] {
            let variant = SoftmaxVariant::NormalizeAndSquare { rounds };
            softmax_in_the_clear(SoftmaxCase { case, half_width: 1.5, variant }, 1e-5);
        }
    }
    // What no single reciprocal carries: denominators that span a factor of 10^8.
    let variant = SoftmaxVariant::NormalizeAndSquare { rounds: 3 };
    softmax_in_the_clear(SoftmaxCase { case: CASES[0], half_width: 8.0, variant }, 1e-5);
}

#[test]
fn one_exponential_and_a_reciprocal_or_iterations_over_lanes_are_the_same_function() {
    for case in CASES {
        for variant in [SoftmaxVariant::ExpSlimInverse, SoftmaxVariant::ExpGoldschmidt] {
            for half_width in [0.25, 1.0] {
                softmax_in_the_clear(SoftmaxCase { case, half_width, variant }, 1e-5);
            }
        }
    }
}

fn softmax_in_the_clear(case: SoftmaxCase, tolerance: f64) {
    let shape = shape(case.case.log_degree);
    let e = clear(&shape);
    // The largest degree may miss the tolerance on the window of a single round.
    let last = case.softmax(&shape).polynomials().last().unwrap().fitted.error;
    let (opened, probabilities) = case.run(&e, &e);
    let numbers = |slots: &[_]| slots.iter().map(|x| e.numbers(x)).collect::<Vec<_>>();
    case.compare(&shape, &numbers(&opened), &numbers(&probabilities), tolerance.max(2.0 * last));
}

/// The budget of the real parameter set, on the score windows of the widest layer of a small model: three rounds fit exactly.
#[test]
fn three_rounds_over_lanes_take_the_levels_that_there_are() {
    let case =
        Case { log_degree: 16, tokens: 128, heads: 9, key_value_heads: 3, head_dim: 64, unit_bits: 39, prefix: 0 };
    let windows = SoftmaxWindows {
        centres: vec![0.0; 9],
        half_width: 58.0,
        denominator: Interval::new((-80.0_f64).exp(), 128.0),
        // A ratio of 1420.
        first_sum: Some(Interval::new(0.09, 128.0)),
    };
    let levels = |compute_levels: usize, rounds: usize| {
        let shape = CircuitShape { compute_levels, ..shape(16) };
        let scores = LaneScores::new(Arc::new(case.attention(&shape)), |query, key| key <= query).unwrap();
        let variant = SoftmaxVariant::NormalizeAndSquare { rounds };
        let softmax =
            Softmax::new(variant, &windows, 64, &shape, 1e-5, &scores).map_err(|refusal| refusal.to_string())?;
        let division = softmax.normalize_and_square().unwrap();
        let passages: Vec<usize> = division.rounds().iter().map(|round| round.passage().levels).collect();
        assert!(passages.iter().all(|levels| *levels <= compute_levels), "{passages:?}");
        assert_eq!(softmax.crossing_levels(), *passages.iter().max().unwrap());
        let slim: Vec<bool> = division.rounds().iter().map(|round| round.is_slim()).collect();
        Ok::<_, String>((softmax.score_levels(), softmax.polynomials()[0].fitted.degree, slim))
    };
    assert_eq!(levels(14, 3), Ok((14, 15, vec![true; 3])));
    assert!(levels(13, 3).unwrap_err().contains("levels"));
}

/// What each of them carries of the real set's 14 levels: the iteration takes 2^10 to do what a polynomial of degree 128 does.
#[test]
fn one_reciprocal_carries_wider_denominators_than_iterations_do() {
    let case =
        Case { log_degree: 16, tokens: 128, heads: 9, key_value_heads: 3, head_dim: 64, unit_bits: 39, prefix: 0 };
    let shape = shape(16);
    let scores = LaneScores::new(Arc::new(case.attention(&shape)), |query, key| key <= query).unwrap();
    let new = |variant: SoftmaxVariant, ratio: f64| {
        let denominator = Interval::new(2.0 / ratio, 2.0);
        let windows = SoftmaxWindows { centres: vec![0.0; 9], half_width: 10.0, denominator, first_sum: None };
        Softmax::new(variant, &windows, 64, &shape, 1e-5, &scores)
    };
    let slim = new(SoftmaxVariant::ExpSlimInverse, 100.0).unwrap();
    let reciprocal = slim.exp_slim_inverse().unwrap().reciprocal();
    let window = reciprocal.window();
    assert!(reciprocal.is_slim() && (window.half_width() - 1.0).abs() < 1e-9, "{window}");
    // The corrected sine, lanes, the exponential, its product, the factor; and where it waits below, the reciprocal, joined.
    let exponential = levels_of(slim.polynomials()[0].fitted.degree);
    assert_eq!(slim.score_levels(), 3 + exponential + 2);
    assert_eq!(slim.crossing_levels(), reciprocal.passage().levels);
    assert_eq!(slim.crossing_levels(), 2 + slim.polynomials()[1].fitted.degree.ilog2() as usize + 2);
    // No split of that degree is as close as the largest that is not slim.
    let wide = new(SoftmaxVariant::ExpSlimInverse, 4000.0).unwrap();
    assert!(!wide.exp_slim_inverse().unwrap().reciprocal().is_slim());
    assert_eq!(wide.crossing_levels(), 2 + 8);

    let iterated = new(SoftmaxVariant::ExpGoldschmidt, 100.0).unwrap();
    let division = iterated.exp_goldschmidt().unwrap();
    assert_eq!(division.iterations(), 10);
    assert_eq!(iterated.crossing_levels(), 2 + 10 + 2);
    let degrees: Vec<usize> = iterated.polynomials().iter().map(|polynomial| polynomial.fitted.degree).collect();
    assert_eq!(degrees, [15, 1023], "a root and a division");
    assert_eq!(iterated.score_levels(), 3 + 4 + division.squarings() + 2);
    let refusal = new(SoftmaxVariant::ExpGoldschmidt, 1000.0).unwrap_err().to_string();
    assert!(refusal.contains("Goldschmidt") && refusal.contains("degree 1023"), "{refusal}");
    assert!(new(SoftmaxVariant::ExpSlimInverse, 1000.0).is_ok());
    let refusal = new(SoftmaxVariant::ExpSlimInverse, 1e6).unwrap_err();
    assert!(matches!(refusal, fhe_circuits::CircuitError::Approximation { .. }));
}

fn levels_of(degree: usize) -> usize {
    (degree + 1).ilog2() as usize
}

#[test]
fn encrypted_softmax_over_lanes_is_the_definition() {
    encrypted_softmax(SoftmaxVariant::ExpInverse, 1e-3);
}

/// Errors before the last round cancel; those of the last are a half bootstrap's, relative to the window of a sum of squares.
#[test]
fn encrypted_normalising_and_squaring_over_lanes_is_the_definition() {
    encrypted_softmax(SoftmaxVariant::NormalizeAndSquare { rounds: 3 }, 4e-3);
}

/// The half bootstrap of a sum leaves its error, relative to the smallest sum, undiminished.
#[test]
fn encrypted_softmax_of_one_reciprocal_or_of_iterations_over_lanes_is_the_definition() {
    encrypted_softmax(SoftmaxVariant::ExpSlimInverse, 4e-3);
    encrypted_softmax(SoftmaxVariant::ExpGoldschmidt, 4e-3);
}

fn encrypted_softmax(variant: SoftmaxVariant, tolerance: f64) {
    let (case, instance) = (SoftmaxCase { case: CASES[0], half_width: 1.0, variant }, Instance::new("n11-toy"));
    let shape = instance.parameters.shape().clone();
    let (planner, metered) = instance.planner();
    case.run(&planner, &metered);
    let server = instance.server(&planner);
    let (opened, probabilities) = case.run(&server, &instance.client);
    assert_eq!(server.counts(), planner.counts());
    let numbers = |slots: &[_]| slots.iter().map(|x| instance.client.numbers(x)).collect::<Vec<_>>();
    case.compare(&shape, &numbers(&opened), &numbers(&probabilities), tolerance);
}

#[test]
fn a_sum_over_keys_arrives_in_every_field_of_its_half() {
    for case in CASES {
        let shape = shape(case.log_degree);
        let e = clear(&shape);
        let scores = LaneScores::new(Arc::new(case.attention(&shape)), |query, key| key <= query).unwrap();
        let value = |pair: LivePair| Case::weight(pair.head, pair.query, pair.key);
        let mut first = 0;
        for (set, length) in scores.set_lengths().into_iter().enumerate() {
            let plains: Vec<Vec<f64>> =
                (first..first + length).map(|ciphertext| scores.live_plain(ciphertext, value)).collect();
            let slots: Vec<_> = plains.iter().map(|plain| e.slots(&e, plain, 5)).collect();
            let sum = scores.sum_over_keys(&e, &slots).unwrap();
            assert_eq!(e.level(&sum).0, 5 - ScoreContract::LANES.sum_levels);
            let found = e.numbers(&sum);
            let arrives = scores.sum_plain(set, 1.0);
            // Every pair of the set, dead or not, is a place where its query's sum stands.
            for ciphertext in first..first + length {
                let expected = scores.pair_plain(ciphertext, |pair| {
                    (0..=pair.query).map(|key| Case::weight(pair.head, pair.query, key)).sum()
                });
                let places = scores.pair_plain(ciphertext, |_| 1.0);
                for slot in (0..shape.degree).filter(|&slot| places[slot] == 1.0) {
                    assert!((found[slot] - expected[slot]).abs() < 1e-5 && arrives[slot] == 1.0);
                }
            }
            assert!(found.iter().zip(&arrives).all(|(sum, arrives)| *arrives == 1.0 || *sum == 0.0));
            first += length;
        }
    }
}

#[test]
fn rejects_scores_that_no_layout_has() {
    let (case, shape) = (CASES[0], shape(11));
    let attention = Arc::new(case.attention(&shape));
    assert!(
        LaneScores::new(Arc::clone(&attention), |query, key| key < query).unwrap_err().to_string().contains("query 0")
    );
    let e = clear(&shape);
    let scores = LaneScores::new(Arc::clone(&attention), |query, key| key <= query).unwrap();
    assert!(scores.sum_over_keys(&e, &[]).is_err());
    assert!(attention.open_scores(&e, &[], f64::NAN).is_err());
    assert!(attention.lanes_of(&[0.0; 4]).unwrap()[0].is_nan());
    let windows = SoftmaxWindows {
        centres: vec![0.0; 4],
        half_width: 1.0,
        denominator: Interval::new(0.1, 16.0),
        first_sum: None,
    };
    let in_slots = SlotAttention::new(scores.attention().layout().module(), 4, 16, |query, key| key <= query).unwrap();
    let variant = SoftmaxVariant::ExpInverse;
    let of_slots = Softmax::new(variant, &windows, 16, &shape, 1e-6, &in_slots).unwrap();
    let of_lanes = Softmax::new(variant, &windows, 16, &shape, 1e-6, &scores).unwrap();
    let mut crossing = |slots: Vec<_>, _| Ok(slots);
    let other = of_slots.apply(&e, &scores, &[], &mut crossing).unwrap_err().to_string();
    assert!(other.contains("layout of the scores"), "{other}");
    assert!(of_lanes.apply(&e, &scores, &[], &mut crossing).is_err());
    let refusal = |rounds: usize, functions: Functions, windows: &SoftmaxWindows| {
        let variant = SoftmaxVariant::NormalizeAndSquare { rounds };
        let accuracy = Accuracy { tolerance: 1e-6, functions };
        Softmax::new(variant, windows, 16, &shape, accuracy, &scores).unwrap_err().to_string()
    };
    assert!(refusal(0, Functions::Polynomial, &windows).contains("rounds"));
    assert!(refusal(5, Functions::Polynomial, &windows).contains("rounds"));
    assert!(refusal(3, Functions::Exact, &windows).contains("functions"));
    let first_sum = Some(Interval::new(0.0, 1.0));
    assert!(refusal(3, Functions::Polynomial, &SoftmaxWindows { first_sum, ..windows.clone() }).contains("first sum"));
    let first_sum = Some(Interval::new(1e-9, 1.0));
    let wide = refusal(3, Functions::Polynomial, &SoftmaxWindows { first_sum, ..windows });
    assert!(wide.contains("sum of squares") || wide.contains("exponential"), "{wide}");
}

#[test]
fn rejects_exact_functions_and_windows_that_one_reciprocal_or_iterations_do_not_carry() {
    let (case, shape) = (CASES[0], shape(11));
    let scores = LaneScores::new(Arc::new(case.attention(&shape)), |query, key| key <= query).unwrap();
    for variant in [SoftmaxVariant::ExpSlimInverse, SoftmaxVariant::ExpGoldschmidt] {
        let refusal = |half_width: f64, low: f64, functions: Functions, compute_levels: usize| {
            let denominator = Interval::new(low, 16.0);
            let windows = SoftmaxWindows { centres: vec![0.0; 4], half_width, denominator, first_sum: None };
            let shape = CircuitShape { compute_levels, ..shape.clone() };
            let accuracy = Accuracy { tolerance: 1e-6, functions };
            Softmax::new(variant, &windows, 16, &shape, accuracy, &scores).err().map(|refusal| refusal.to_string())
        };
        assert_eq!(refusal(1.0, 1.0, Functions::Polynomial, 14), None);
        let part = |refusal: Option<String>, part: &str| {
            let refusal = refusal.unwrap();
            assert!(refusal.contains(part), "{variant:?}: {refusal}");
        };
        part(refusal(1.0, 1.0, Functions::Exact, 14), "functions");
        part(refusal(1.0, 1e-9, Functions::Polynomial, 14), "required at most 1.56e-2");
        part(refusal(f64::NAN, 1.0, Functions::Polynomial, 14), "half width");
        part(refusal(1.0, -1.0, Functions::Polynomial, 14), "denominator");
        part(refusal(1e5, 1.0, Functions::Polynomial, 14), "exponential of a fraction of the scores");
        part(refusal(1.0, 1.0, Functions::Polynomial, 6), "levels");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn layouts_are_layouts(log_tokens in 2_u32..6, shared in 1_usize..10, key_value_heads in 1_usize..10, pairs in 1_usize..20) {
        let heads = shared * key_value_heads;
        let case = Case { log_degree: 11, tokens: 1 << log_tokens, heads, key_value_heads, head_dim: 2 * pairs, unit_bits: 39, prefix: 0 };
        let layout = fhe_circuits::LaneLayout::new(&shape(11), case.tokens, heads, key_value_heads, case.head_dim).unwrap();
        // Construction refuses two entries in one place.
        let (queries, keys) = (layout.queries().unwrap(), layout.keys().unwrap());
        prop_assert_eq!(queries.channels(), heads * case.head_dim);
        prop_assert_eq!(keys.channels(), key_value_heads * case.head_dim);
        prop_assert!(queries.ciphertexts() <= layout.sets() * layout.query_ciphertexts());
        for slot in 0..shape(11).degree {
            prop_assert_eq!(layout.exchanged(layout.exchanged(slot)), slot);
        }
        let mut pairs = std::collections::HashSet::new();
        for set in 0..layout.sets() {
            for ciphertext in 0..layout.score_ciphertexts() {
                let mut slots = std::collections::HashSet::new();
                for (slot, pair) in layout.pairs(set, ciphertext) {
                    prop_assert!(slots.insert(slot), "two pairs in slot {}", slot);
                    prop_assert!(pairs.insert((pair.head, pair.query, pair.key)));
                }
            }
        }
        prop_assert_eq!(pairs.len(), heads * case.tokens * case.tokens);
    }
}

#[test]
fn rejects_sizes_that_do_not_fit() {
    let new = |tokens, heads, key_value_heads, head_dim| {
        LaneAttention::new(&shape(11), tokens, heads, key_value_heads, head_dim).err().map(|error| error.to_string())
    };
    assert!(new(16, 4, 2, 16).is_none());
    assert!(new(16, 4, 3, 16).unwrap().contains("key and value heads"));
    assert!(new(16, 4, 0, 16).is_some());
    assert!(new(16, 4, 2, 7).unwrap().contains("head_dim"));
    assert!(new(2, 4, 2, 16).unwrap().contains("tokens"));
    assert!(new(12, 4, 2, 16).is_some());
    assert!(new(256, 4, 2, 16).is_some());
}

#[test]
fn rejects_operands_of_other_layouts() {
    let case = CASES[0];
    let (e, attention) = (clear(&shape(11)), case.attention(&shape(11)));
    let angles = RotaryAngles::new(BASE, case.head_dim, (0..case.tokens).collect());
    let short = RotaryAngles::new(BASE, case.head_dim, vec![0]);
    let packed = attention.layout().keys().unwrap().pack(&[0.1; 2 * 16 * 16]).unwrap();
    let slots: Vec<_> = packed.iter().map(|packed| e.slots(&e, packed, 6)).collect();
    assert!(attention.place_queries(&e, &short, &slots, 1.0).is_err());
    assert!(attention.place_queries(&e, &angles, &[], 1.0).is_err());
    let none = PrefixRows::none();
    assert!(attention.place_keys(&e, &short, &slots, 1.0, &none).is_err());
    assert!(attention.place_values(&e, &[], 1.0, &none).is_err());
    let two = || ChannelFactors::Each(vec![1.0; 2]);
    assert!(attention.place_queries(&e, &angles, &slots, two()).is_err());
    assert!(attention.place_keys(&e, &angles, &slots, two(), &none).is_err());
    assert!(attention.place_values(&e, &slots, two(), &none).is_err());
    // A channel too few, and more positions than the block has.
    for (positions, numbers) in [(1, 2 * 16 - 1), (17, 17 * 2 * 16)] {
        let prefix = PrefixRows::new(positions, vec![0.5; numbers]).unwrap();
        let refused = attention.place_keys(&e, &angles, &slots, 1.0, &prefix).unwrap_err().to_string();
        assert!(refused.contains("channels and positions of the prefix"), "{refused}");
        assert!(attention.place_values(&e, &slots, 1.0, &prefix).is_err());
    }
    assert!(attention.scores(&e, &[], &slots, [case.unit(); 2]).is_err());
    assert!(attention.weighted_values(&e, &slots, &[], [case.unit(); 2]).is_err());
}

#[test]
fn rejects_rows_of_a_prefix_that_are_no_numbers_or_too_few() {
    assert!(PrefixRows::new(2, vec![0.0; 5]).unwrap_err().to_string().contains("a multiple of 2 positions"));
    assert!(PrefixRows::new(0, vec![0.0; 5]).is_err());
    assert!(PrefixRows::new(1, vec![0.0, f64::NAN]).unwrap_err().to_string().contains("finite"));
    assert!(PrefixRows::new(0, vec![]).unwrap().is_empty());
}
