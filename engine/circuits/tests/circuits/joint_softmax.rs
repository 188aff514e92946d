//! One SoftMax over encrypted and public keys against the definition, in the clear and encrypted, behind both ways to multiply with public keys.

use std::sync::Arc;

use crate::encrypted::{Instance, SlotClient};
use crate::support::{Random, clear, close, shape};
use fhe_circuits::{
    Interval, JointProbabilities, JointSoftmax, JointSums, JointTerms, KeyRows, LaneAttention, LaneScores,
    LastDivision, Passage, PublicCache, PublicContract, PublicLayout, RowModule, ScoreContract, ScoreLayout, SlotPlace,
    SlotProducts, SoftmaxWindows, WeightLayout,
};
use fhe_ckks::{CircuitShape, Evaluator, SlotArithmetic};

/// Both ways end where their products begin; what is left of the levels is for scores.
const WEIGHTS: PublicContract =
    PublicContract { score_levels: 12, output_levels: 0, last_division: LastDivision::OfTerms };
const SLOTS: PublicContract =
    PublicContract { score_levels: 11, output_levels: 1, last_division: LastDivision::OfOutputs };

#[derive(Clone, Copy, Debug)]
struct Case {
    log_degree: u32,
    tokens: usize,
    heads: usize,
    key_heads: usize,
    head_dim: usize,
    keys: usize,
    half_width: f64,
    rounds: usize,
    first_sum: Option<Interval>,
    contract: PublicContract,
}

/// Several ciphertexts of queries with a padded last block; several sets of heads; all heads in one ciphertext.
const CASES: [Case; 3] = [
    Case {
        log_degree: 11,
        tokens: 16,
        heads: 6,
        key_heads: 3,
        head_dim: 32,
        keys: 75,
        half_width: 6.0,
        rounds: 3,
        first_sum: None,
        contract: WEIGHTS,
    },
    Case {
        log_degree: 11,
        tokens: 32,
        heads: 8,
        key_heads: 4,
        head_dim: 16,
        keys: 32,
        half_width: 3.0,
        rounds: 2,
        first_sum: None,
        contract: WEIGHTS,
    },
    Case {
        log_degree: 11,
        tokens: 16,
        heads: 6,
        key_heads: 3,
        head_dim: 32,
        keys: 45,
        half_width: 3.0,
        rounds: 2,
        first_sum: None,
        contract: SLOTS,
    },
];

/// Where the public keys of a case lie.
struct Public {
    key_rows: Vec<KeyRows>,
    /// Ciphertext of queries and slot of a row of a block.
    slot: Box<dyn Fn(usize, usize, usize) -> (usize, usize)>,
    rows: usize,
    exchange: Vec<i64>,
}

impl Case {
    fn scores(&self, shape: &CircuitShape) -> LaneScores {
        let Self { tokens, heads, key_heads, head_dim, .. } = *self;
        let attention = LaneAttention::new(shape, tokens, heads, key_heads, head_dim).unwrap();
        LaneScores::new(Arc::new(attention), |query, key| key <= query).unwrap()
    }

    fn public(&self, shape: &CircuitShape) -> Public {
        let Self { tokens, heads, key_heads, head_dim, keys, .. } = *self;
        let module = RowModule::new(shape, tokens).unwrap();
        if self.contract == WEIGHTS {
            let layout = WeightLayout::new(shape, module, [heads, key_heads], head_dim, keys).unwrap();
            let key_rows = (0..layout.ciphertexts()).map(|ciphertext| layout.key_rows(ciphertext)).collect();
            let rows = layout.channel_rows();
            let slot = Box::new(move |head, row, query| layout.slot(head, row, query));
            return Public { key_rows, rows, slot, exchange: vec![] };
        }
        let ones = vec![1.0; key_heads * keys * head_dim];
        let cache = PublicCache::new(key_heads, head_dim, ones.clone(), ones).unwrap();
        let layout = PublicLayout::new(module, heads, key_heads, head_dim).unwrap();
        let key_rows = vec![SlotProducts::new(&layout, &cache).unwrap().key_rows()];
        let rows = layout.channel_rows();
        let exchange = layout.exchange_steps();
        Public { key_rows, rows, slot: Box::new(move |head, row, query| (0, layout.slot(head, row, query))), exchange }
    }

    fn sums(&self, shape: &CircuitShape) -> JointSums {
        let public = self.public(shape);
        let first = |head, query| {
            let (ciphertext, slot) = (public.slot)(head, 0, query);
            SlotPlace { ciphertext, slot }
        };
        JointSums::new(&self.scores(shape), public.key_rows.clone(), first, &public.exchange).unwrap()
    }

    fn windows(&self) -> SoftmaxWindows {
        SoftmaxWindows {
            centres: vec![0.0; self.heads],
            half_width: self.half_width,
            denominator: Interval::new((-2.0 * self.half_width).exp(), (self.tokens + self.keys) as f64),
            first_sum: self.first_sum,
        }
    }

    fn softmax(&self, shape: &CircuitShape) -> JointSoftmax {
        let sums = self.sums(shape);
        JointSoftmax::new(self.rounds, &self.windows(), self.head_dim, shape, 1e-6, (&sums, self.contract)).unwrap()
    }

    /// Normalised scores: of encrypted keys by ciphertexts, of public keys by ciphertexts of queries and blocks, padding keys included.
    fn numbers(&self, shape: &CircuitShape) -> JointTerms<Vec<f64>> {
        let mut random = Random::new(self.keys as u64);
        let own = (0..self.scores(shape).ciphertexts()).map(|_| random.vector(shape.degree)).collect();
        let blocks = |rows: &KeyRows| (0..rows.blocks()).map(|_| random.vector(shape.degree)).collect();
        JointTerms { own, public: self.public(shape).key_rows.iter().map(blocks).collect() }
    }

    fn run<E: Evaluator>(&self, e: &E, client: &impl SlotClient<E>) -> JointProbabilities<E::Slots> {
        let shape = e.shape().clone();
        let lowest = shape.slots_to_coefficients_levels;
        let (softmax, sums, numbers) = (self.softmax(&shape), self.sums(&shape), self.numbers(&shape));
        let own_levels = lowest + softmax.own_score_levels() - ScoreContract::LANES.opening_levels;
        let own: Vec<_> = numbers.own.iter().map(|scores| client.slots(e, scores, own_levels)).collect();
        let own = softmax.own_squares(e, &sums, &own).unwrap();
        let public = numbers.public.iter().zip(sums.key_rows()).map(|(blocks, rows)| {
            let square = |(block, scores): (usize, &Vec<f64>)| {
                let scores = client.slots(e, scores, lowest + softmax.public_score_levels());
                softmax.public_squares(e, rows, block, &scores).unwrap()
            };
            blocks.iter().enumerate().map(square).collect()
        });
        let terms = JointTerms { own, public: public.collect() };
        let mut crossing = |sums: Vec<E::Slots>, passage: Passage| {
            assert!(passage.levels <= softmax.crossing_levels());
            passage.cross(e, &sums)
        };
        let found = softmax.normalise(e, &sums, terms, &mut crossing).unwrap();
        let own_floor = lowest + ScoreContract::LANES.output_levels;
        assert!(found.own.iter().all(|p| e.level(p).0 == own_floor), "SoftMax consumes what it states");
        let deferred = usize::from(self.contract.last_division == LastDivision::OfOutputs);
        let public_floor = lowest + self.contract.output_levels + deferred;
        assert!(found.public.iter().flatten().all(|p| e.level(p).0 == public_floor), "SoftMax consumes what it states");
        assert_eq!(found.factors.len(), deferred * found.public.len());
        assert!(found.factors.iter().all(|factor| e.level(factor).0 >= public_floor), "factors have levels for a mask");
        found
    }

    fn compare(&self, shape: &CircuitShape, found: &JointProbabilities<Vec<f64>>, tolerance: f64) {
        let Self { tokens, heads, keys, .. } = *self;
        let (scores, public, numbers) = (self.scores(shape), self.public(shape), self.numbers(shape));
        let exponential = |number: f64| (self.half_width * (1.0 + 1.0 / 1024.0) * number).exp();
        let mut sums = vec![0.0; heads * tokens];
        for (ciphertext, slots) in numbers.own.iter().enumerate() {
            for (slot, pair) in scores.live_pairs(ciphertext) {
                sums[pair.head * tokens + pair.query] += exponential(slots[slot]);
            }
        }
        let public_slot = |head: usize, key: usize, query: usize| {
            let (ciphertext, slot) = (public.slot)(head, key % public.rows, query);
            (ciphertext, key / public.rows, slot)
        };
        let all = || (0..heads * tokens * keys).map(|i| (i / keys / tokens, i / keys % tokens, i % keys));
        for (head, query, key) in all() {
            let (ciphertext, block, slot) = public_slot(head, key, query);
            sums[head * tokens + query] += exponential(numbers.public[ciphertext][block][slot]);
        }

        for (ciphertext, slots) in numbers.own.iter().enumerate() {
            let mut expected = vec![0.0; shape.degree];
            for (slot, pair) in scores.live_pairs(ciphertext) {
                expected[slot] = exponential(slots[slot]) / sums[pair.head * tokens + pair.query];
            }
            close(&found.own[ciphertext], &expected, tolerance);
        }
        let mut expected: Vec<Vec<Vec<f64>>> = numbers.public.clone();
        expected.iter_mut().flatten().for_each(|slots| slots.fill(0.0));
        for (head, query, key) in all() {
            let (ciphertext, block, slot) = public_slot(head, key, query);
            let exponential = exponential(numbers.public[ciphertext][block][slot]);
            expected[ciphertext][block][slot] = exponential / sums[head * tokens + query];
        }
        for (ciphertext, (found_blocks, expected)) in found.public.iter().zip(&expected).enumerate() {
            for (found_block, expected) in found_blocks.iter().zip(expected) {
                // Idle slots are anything before they meet a factor of zero.
                let divided: Vec<f64> = match found.factors.get(ciphertext) {
                    None => found_block.clone(),
                    Some(factors) => found_block.iter().zip(factors).map(|(term, factor)| term * factor).collect(),
                };
                close(&divided, expected, tolerance);
            }
        }
    }
}

fn read<E: Evaluator>(
    client: &impl SlotClient<E>,
    found: &JointProbabilities<E::Slots>,
) -> JointProbabilities<Vec<f64>> {
    let numbers = |slots: &Vec<E::Slots>| slots.iter().map(|x| client.numbers(x)).collect();
    JointProbabilities {
        own: numbers(&found.own),
        public: found.public.iter().map(numbers).collect(),
        factors: numbers(&found.factors),
    }
}

#[test]
fn probabilities_of_both_kinds_of_keys_share_their_sums() {
    for case in CASES {
        let shape = shape(case.log_degree);
        let e = clear(&shape);
        case.compare(&shape, &read(&e, &case.run(&e, &e)), 2e-5);
    }
}

#[test]
fn encrypted_probabilities_of_both_kinds_of_keys_are_the_definition() {
    for case in [CASES[0], CASES[2]] {
        let instance = Instance::new("n11-toy");
        let (planner, metered) = instance.planner();
        case.run(&planner, &metered);
        let server = instance.server(&planner);
        let found = case.run(&server, &instance.client);
        assert_eq!(server.counts(), planner.counts());
        assert_eq!(server.key_switches(), planner.key_switches());
        case.compare(instance.parameters.shape(), &read(&instance.client, &found), 4e-3);
    }
}

/// What the real set's 14 levels carry: three rounds beside weights and in slots, where levels for an exponential of degree 15 are left.
#[test]
fn levels_are_those_of_the_real_set() {
    let shape = shape(16);
    let case = |keys, rounds, ratio, contract| Case {
        log_degree: 16,
        tokens: 128,
        heads: 9,
        key_heads: 3,
        head_dim: 64,
        keys,
        half_width: 30.0,
        rounds,
        first_sum: Some(Interval::new(500.0 / ratio, 500.0)),
        contract,
    };
    let weights = case(3968, 3, 5000.0, WEIGHTS).softmax(&shape);
    assert_eq!([weights.own_score_levels(), weights.public_score_levels()], [14, 10]);
    // From where the reciprocal of 127 degrees meets the terms after it, two ways down.
    let crossings =
        |softmax: &JointSoftmax| softmax.rounds().iter().map(|round| round.passage().levels).collect::<Vec<_>>();
    assert_eq!(crossings(&weights)[0], 7 + 7);
    assert_eq!(weights.crossing_levels(), 14);
    let slots = case(3968, 3, 5000.0, SLOTS).softmax(&shape);
    assert_eq!([slots.own_score_levels(), slots.public_score_levels()], [14, 11]);
    assert_eq!(crossings(&slots)[0], 7 + 7);
    assert_eq!(slots.crossing_levels(), 14);
    let refused = |case: Case| {
        let sums = case.sums(&shape);
        let windows = case.windows();
        let refused = JointSoftmax::new(case.rounds, &windows, case.head_dim, &shape, 1e-6, (&sums, case.contract));
        refused.map(|_| ()).unwrap_err().to_string()
    };
    assert!(refused(case(128, 4, 100.0, SLOTS)).contains("levels"));
    assert!(refused(case(128, 5, 100.0, WEIGHTS)).contains("1 to 4"));
    assert!(refused(case(128, 3, 1e6, WEIGHTS)).contains("reciprocal of a sum of squares"));
}

#[test]
fn rejects_places_and_terms_of_other_layouts() {
    let (case, shape) = (CASES[0], shape(CASES[0].log_degree));
    let (e, public) = (clear(&shape), case.public(&shape));
    let first = |head, query| {
        let (ciphertext, slot) = (public.slot)(head, 0, query);
        SlotPlace { ciphertext, slot }
    };
    let refused = JointSums::new(&case.scores(&shape), public.key_rows[..1].to_vec(), first, &[]).unwrap_err();
    assert!(refused.to_string().contains("JointSums::new"), "{refused}");
    let (softmax, sums) = (case.softmax(&shape), case.sums(&shape));
    let one = e.slots(&e, &vec![0.0; shape.degree], 8);
    let refused = softmax.own_squares(&e, &sums, &[one.clone(), one.clone()]).map(|_| ()).unwrap_err();
    assert!(refused.to_string().contains("own_squares"), "{refused}");
    let terms = JointTerms { own: vec![one.clone()], public: vec![vec![one]] };
    let refused = softmax.normalise(&e, &sums, terms, &mut |sums, _| Ok(sums)).map(|_| ()).unwrap_err();
    assert!(refused.to_string().contains("ciphertexts of terms"), "{refused}");
}
