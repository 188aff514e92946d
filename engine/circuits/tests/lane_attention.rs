//! Attention over lanes against the definition: every index map, in the clear.

mod support;

use fhe_circuits::crossing::{climb_corrected, correct};
use fhe_circuits::{LaneAttention, Layout, RotaryAngles};
use fhe_ckks::{Clear, Client, Evaluator};
use proptest::prelude::*;
use support::{Random, clear, close, shape};

/// Sizes of one attention.
#[derive(Clone, Copy, Debug)]
struct Case {
    log_degree: u32,
    tokens: usize,
    heads: usize,
    key_value_heads: usize,
    head_dim: usize,
}

const BASE: f64 = 10_000.0;
const UNIT: f64 = (1_u64 << 39) as f64;

impl Case {
    fn attention(&self) -> LaneAttention {
        LaneAttention::new(&shape(self.log_degree), self.tokens, self.heads, self.key_value_heads, self.head_dim)
            .unwrap()
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
        (0..self.head_dim).map(|c| self.turned(q, head, c, query) * self.turned(k, head_of_key, c, key)).sum()
    }

    /// A projection as corrected slots.
    fn projected(
        &self,
        e: &Clear,
        layout: &Layout,
        tensor: &[f64],
        levels: usize,
    ) -> Vec<<Clear as fhe_ckks::SlotArithmetic>::Slots> {
        let full = shape(self.log_degree).full_scale;
        let encrypted: Vec<_> =
            layout.pack(tensor).unwrap().iter().map(|packed| e.encrypt(packed, full).unwrap()).collect();
        climb_corrected(e, &encrypted, levels).unwrap()
    }

    fn check(&self) {
        let (e, attention, shape) = (clear(&shape(self.log_degree)), self.attention(), shape(self.log_degree));
        let layout = attention.layout();
        let mut random = Random::new(5);
        let q = random.vector(self.heads * self.head_dim * self.tokens);
        let [k, v] = [(); 2].map(|()| random.vector(self.key_value_heads * self.head_dim * self.tokens));
        let angles = RotaryAngles::new(BASE, self.head_dim, (0..self.tokens).collect());
        let factors = LaneAttention::FACTOR_LEVELS;
        let levels = |own: usize| own + factors;

        let queries = self.projected(&e, &layout.queries().unwrap(), &q, levels(LaneAttention::QUERY_LEVELS));
        let queries = attention.place_queries(&e, &angles, &queries, 0.5).unwrap();
        let keys = self.projected(&e, &layout.keys().unwrap(), &k, levels(LaneAttention::KEY_LEVELS));
        let keys = attention.place_keys(&e, &angles, &keys, 0.5).unwrap();
        let scores = attention.scores(&e, &queries, &keys, [UNIT, UNIT]).unwrap();
        assert_eq!(scores.len(), layout.sets() * layout.score_ciphertexts());
        let unit = UNIT * UNIT / shape.lane_divisor;
        assert!(scores.iter().all(|score| (e.unit(score) / unit - 1.0).abs() < 1e-12));

        let opened = {
            let raised = e.half_bootstrap(&scores.iter().collect::<Vec<_>>(), 3 + factors + 1).unwrap();
            attention.open_scores(&e, &correct(&e, &raised).unwrap()).unwrap()
        };
        let normal = shape.full_scale / unit;
        for (number, slots) in opened.iter().enumerate() {
            let (set, ciphertext) = (number / layout.score_ciphertexts(), number % layout.score_ciphertexts());
            let mut seen = 0;
            for (slot, pair) in layout.pairs(set, ciphertext) {
                let expected = 0.25 * self.score(&q, &k, pair.head, pair.query, pair.key);
                let found = slots.values()[slot].re * normal;
                assert!((found - expected).abs() < 1e-6, "{self:?} {pair:?}: {found}, expected {expected}");
                seen += 1;
            }
            assert!(seen > 0);
        }

        // Any function of the scores stands for probabilities; padding heads must be zero.
        let weights = |head: usize, query: usize, key: usize| ((3 * head + 5 * query + 7 * key) as f64).sin();
        let probabilities: Vec<_> = (opened.iter().enumerate())
            .map(|(number, slots)| {
                let (set, ciphertext) = (number / layout.score_ciphertexts(), number % layout.score_ciphertexts());
                let plain =
                    layout.score_plain(set, ciphertext, |pair| normal * weights(pair.head, pair.query, pair.key));
                e.plain_combination(&[(slots, &plain)]).unwrap()
            })
            .collect();
        let values = self.projected(&e, &layout.keys().unwrap(), &v, levels(LaneAttention::KEY_LEVELS));
        let values = attention.place_values(&e, &values, 1.0).unwrap();
        let units = [UNIT / 16.0, UNIT];
        let outputs = attention.weighted_values(&e, &probabilities, &values, units).unwrap();
        let unit = units[0] * units[1] / shape.lane_divisor;
        let raised = e.half_bootstrap(&outputs.iter().collect::<Vec<_>>(), 2 + LaneAttention::OUTPUT_LEVELS).unwrap();
        let opened = attention.open_output(&e, &correct(&e, &raised).unwrap()).unwrap();
        let normal = shape.full_scale / unit;
        let packed: Vec<Vec<f64>> = (opened.iter())
            .map(|slots| {
                let coefficient = |p: usize| slots.values()[shape.slot_of_coefficient(p)].re * normal;
                (0..shape.degree).map(coefficient).collect()
            })
            .collect();
        let found = layout.queries().unwrap().unpack(&packed).unwrap();
        let mut expected = Vec::with_capacity(found.len());
        for head in 0..self.heads {
            let sums: Vec<Vec<f64>> = (0..self.tokens)
                .map(|query| {
                    (0..self.tokens)
                        .map(|key| 0.25 * self.score(&q, &k, head, query, key) * weights(head, query, key))
                        .collect()
                })
                .collect();
            for channel in 0..self.head_dim {
                for sums in &sums {
                    let terms = sums.iter().enumerate();
                    expected.push(terms.map(|(key, p)| p * self.at(&v, self.key_head(head), channel, key)).sum());
                }
            }
        }
        close(&found, &expected, 1e-5);
    }
}

/// On a ring of `2^11` a ciphertext of lanes has 256 coefficients; sixteen tokens leave eight lanes.
const CASES: [Case; 7] = [
    Case { log_degree: 11, tokens: 16, heads: 4, key_value_heads: 2, head_dim: 16 },
    Case { log_degree: 11, tokens: 16, heads: 8, key_value_heads: 8, head_dim: 4 },
    Case { log_degree: 11, tokens: 16, heads: 9, key_value_heads: 3, head_dim: 8 },
    Case { log_degree: 11, tokens: 8, heads: 4, key_value_heads: 1, head_dim: 16 },
    Case { log_degree: 11, tokens: 32, heads: 6, key_value_heads: 2, head_dim: 32 },
    Case { log_degree: 11, tokens: 16, heads: 12, key_value_heads: 12, head_dim: 6 },
    Case { log_degree: 12, tokens: 16, heads: 16, key_value_heads: 4, head_dim: 64 },
];

#[test]
fn attention_is_that_of_every_head() {
    CASES.iter().for_each(Case::check);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn layouts_are_layouts(log_tokens in 2_u32..6, shared in 1_usize..10, key_value_heads in 1_usize..10, pairs in 1_usize..20) {
        let heads = shared * key_value_heads;
        let case = Case { log_degree: 11, tokens: 1 << log_tokens, heads, key_value_heads, head_dim: 2 * pairs };
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
    let (e, attention) = (clear(&shape(11)), case.attention());
    let angles = RotaryAngles::new(BASE, case.head_dim, (0..case.tokens).collect());
    let short = RotaryAngles::new(BASE, case.head_dim, vec![0]);
    let slots = case.projected(&e, &attention.layout().keys().unwrap(), &vec![0.1; 2 * 16 * 16], 5);
    assert!(attention.place_queries(&e, &short, &slots, 1.0).is_err());
    assert!(attention.place_queries(&e, &angles, &[], 1.0).is_err());
    assert!(attention.place_keys(&e, &short, &slots, 1.0).is_err());
    assert!(attention.place_values(&e, &[], 1.0).is_err());
    assert!(attention.scores(&e, &[], &slots, [UNIT; 2]).is_err());
    assert!(attention.weighted_values(&e, &slots, &[], [UNIT; 2]).is_err());
}
