//! What leads to a cache and away from it: projections of one token, of a block, SoftMax over cached tokens; against plain arithmetic.

use crate::support::{Random, clear, close, shape};
use fhe_circuits::crossing::climb_corrected;
use fhe_circuits::{
    Accuracy, CacheFill, CacheLayout, ChannelFactors, Functions, Interval, Passage, PrefixRows, PublicCache,
    PublicPages, RotaryAngles, RowModule, ScoreLayout, Softmax, SoftmaxVariant, SoftmaxWindows, SumCrossing,
    VectorLayout,
};
use fhe_ckks::{CircuitShape, Clear, ClearSlots, Client, Copies, Level, SlotArithmetic, Spacing};
use proptest::prelude::*;

const BASE: f64 = 10_000.0;

/// Slots with these numbers, at so many compute levels.
fn slots(e: &Clear, values: &[f64], levels: usize) -> ClearSlots {
    let shape = e.shape().clone();
    let coefficients: Vec<f64> = (0..shape.degree).map(|p| values[shape.slot_of_coefficient(p)]).collect();
    let encrypted = e.encrypt(&coefficients, shape.full_scale).unwrap();
    climb_corrected(e, &[encrypted], levels).unwrap().remove(0)
}

fn numbers(x: &ClearSlots) -> Vec<f64> {
    x.values().iter().map(|value| value.re).collect()
}

/// A head turned to its position, by the definition: complex numbers of channels `j` and `j + head_dim / 2`.
fn turned(head: &[f64], position: usize) -> Vec<f64> {
    let half = head.len() / 2;
    let angle = |pair: usize| position as f64 * BASE.powf(-2.0 * pair as f64 / head.len() as f64);
    let channel = |channel: usize| {
        let (pair, (sine, cosine)) = (channel % half, angle(channel % half).sin_cos());
        if channel < half {
            head[pair] * cosine - head[pair + half] * sine
        } else {
            head[pair] * sine + head[pair + half] * cosine
        }
    };
    (0..head.len()).map(channel).collect()
}

fn all_turned(heads: &[f64], head_dim: usize, position: usize) -> Vec<f64> {
    heads.chunks(head_dim).flat_map(|head| turned(head, position)).collect()
}

fn layout(shape: &CircuitShape, key_value_heads: usize, group: usize, head_dim: usize) -> Option<CacheLayout> {
    CacheLayout::new(shape, key_value_heads * group, key_value_heads, head_dim).ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_projected_token_arrives_in_its_places(
        key_value_heads in 1_usize..4, group in 1_usize..4, log_head_dim in 1_u32..4, position in 0_usize..100, seed in any::<u64>()
    ) {
        let shape = shape(9);
        let head_dim = 1 << log_head_dim;
        let Some(layout) = layout(&shape, key_value_heads, group, head_dim) else { return Ok(()) };
        let e = clear(&shape);
        let input = VectorLayout::input(&shape, 40, 1).unwrap();
        let projection = layout.projection(&input).unwrap();
        let mut random = Random::new(seed);
        let (projected, factors) = (random.vector(layout.projected_channels()), random.vector(layout.projected_channels()));
        let angles = RotaryAngles::new(BASE, head_dim, vec![position]);
        let map = layout.placement(&projection, &angles, &ChannelFactors::Each(factors.clone())).unwrap();
        let tensor: Vec<_> = projection.pack_slots(&projected).unwrap().iter().map(|values| slots(&e, values, 1)).collect();
        let placed = map.apply(&e, &tensor).unwrap();
        prop_assert!(placed.iter().all(|x| e.level(x) == Level(shape.slots_to_coefficients_levels)));
        let scaled: Vec<f64> = projected.iter().zip(&factors).map(|(x, factor)| x * factor).collect();
        let (queries, others) = scaled.split_at(layout.heads() * head_dim);
        let (keys, values) = others.split_at(key_value_heads * head_dim);
        close(&numbers(&placed[0]), &layout.pack_queries(&all_turned(queries, head_dim, position)).unwrap(), 1e-5);
        close(&numbers(&placed[1]), &layout.pack_keys(&all_turned(keys, head_dim, position)).unwrap(), 1e-5);
        close(&numbers(&placed[2]), &layout.pack_values(values).unwrap(), 1e-5);
    }

    #[test]
    fn a_block_becomes_the_cache_that_its_tokens_would_grow(
        key_value_heads in 1_usize..4, log_head_dim in 1_u32..4, log_tokens in 2_u32..6, prefix in 0_usize..3,
        public in 0_usize..50, seed in any::<u64>()
    ) {
        let (shape, head_dim, tokens) = (shape(9), 1 << log_head_dim, 1 << log_tokens);
        let Some(layout) = layout(&shape, key_value_heads, 1, head_dim) else { return Ok(()) };
        let e = clear(&shape);
        let module = RowModule::new(&shape, tokens).unwrap();
        let mut random = Random::new(seed);
        let length = prefix + 1 + (seed % (tokens - prefix) as u64) as usize;
        // Behind a public context there is no prefix.
        let public = if prefix > 0 { 0 } else { public };
        let fill = CacheFill::new(&layout, module, public, length).unwrap();
        let channels = key_value_heads * head_dim;
        let context = [(); 2].map(|()| random.vector(key_value_heads * public * head_dim));
        let pages = match public {
            0 => PublicPages::none(),
            _ => {
                let floats = context.each_ref().map(|numbers| numbers.iter().map(|&x| x as f32).collect::<Vec<_>>());
                let [keys, values] = floats;
                layout.pages(&PublicCache::new(key_value_heads, head_dim, keys, values).unwrap()).unwrap()
            }
        };
        // Channels x block positions, of keys and of values, and what stands in the rows of the prefix.
        // Half as large as they may be, so that turned ones are too.
        let mut halves = |count: usize| random.vector(count).into_iter().map(|x| 0.5 * x).collect::<Vec<_>>();
        let tensors = [(); 2].map(|()| halves(channels * tokens));
        let rows = [(); 2].map(|()| halves(channels * prefix));
        let factors = [(); 2].map(|()| random.vector(channels));
        let angles = RotaryAngles::new(BASE, head_dim, (0..tokens).collect());
        let climbed = |tensor: &[f64]| -> Vec<ClearSlots> {
            let packed = fill.projection().pack(tensor).unwrap();
            let encrypted: Vec<_> = packed.iter().map(|vector| e.encrypt(vector, shape.full_scale).unwrap()).collect();
            climb_corrected(&e, &encrypted, 3).unwrap()
        };
        let [keys, values] = tensors.each_ref().map(|tensor| climbed(tensor));
        let prefix_rows = rows.each_ref().map(|rows| match prefix {
            0 => PrefixRows::none(),
            _ => PrefixRows::new(prefix, rows.clone()).unwrap(),
        });
        let factor = factors.each_ref().map(|factors| ChannelFactors::Each(factors.clone()));
        let cache = fill
            .fill(&e, [&keys, &values], &angles, factor.each_ref(), (prefix_rows.each_ref(), &pages))
            .unwrap();
        prop_assert_eq!((cache.length(), cache.public()), (public + length, public));

        // The same cache, token by token.
        let mut grown = fhe_circuits::KeyValueCache::default();
        for token in 0..public {
            let of = |numbers: &[f64]| -> Vec<f64> {
                let entry = |head: usize, channel: usize| numbers[(head * public + token) * head_dim + channel];
                (0..channels).map(|channel| entry(channel / head_dim, channel % head_dim)).collect()
            };
            let packed = [layout.pack_keys(&of(&context[0])).unwrap(), layout.pack_values(&of(&context[1])).unwrap()];
            let [key, value] = packed.map(|values| slots(&e, &values, 2));
            layout.append(&e, &mut grown, &key, &value).unwrap();
        }
        for position in 0..length {
            let own = |tensor: usize| -> Vec<f64> {
                (0..channels)
                    .map(|channel| match position {
                        position if position < prefix => rows[tensor][channel * prefix + position],
                        position => tensors[tensor][channel * tokens + position] * factors[tensor][channel],
                    })
                    .collect()
            };
            let key = if position < prefix { own(0) } else { all_turned(&own(0), head_dim, position) };
            let packed = [layout.pack_keys(&key).unwrap(), layout.pack_values(&own(1)).unwrap()];
            let [key, value] = packed.map(|values| slots(&e, &values, 2));
            layout.append(&e, &mut grown, &key, &value).unwrap();
        }
        let whole = public / layout.tokens();
        prop_assert_eq!(cache.ciphertexts(), grown.ciphertexts() - whole);
        let grown = grown.keys()[whole..].iter().chain(&grown.values()[whole..]);
        for (found, expected) in cache.keys().iter().chain(cache.values()).zip(grown) {
            prop_assert_eq!(e.level(found), e.level(expected));
            close(&numbers(found), &numbers(expected), 1e-5);
        }
    }
}

/// SoftMax over a cache of two ciphertexts, by sums that rotations make: in three rounds where probabilities cross once more, in two where they keep
/// their levels.
#[test]
fn softmax_over_a_cache_is_softmax() {
    softmax_is_softmax::<true>(3, 6, 0);
    softmax_is_softmax::<false>(2, 6, CacheLayout::VALUE_LEVELS + CacheLayout::PLACEMENT_LEVELS);
}

/// Heads that share nothing leave rows in which scores and sums repeat: both cross in copies.
#[test]
fn softmax_in_copies_is_softmax() {
    let (shape, length) = (shape(9), 37);
    let layout = CacheLayout::new(&shape, 2, 2, 8).unwrap();
    assert_eq!((layout.score_copies(length), layout.score_ciphertexts(length)), (Copies(2), 1));
    assert_eq!(layout.scores_of::<true>(length).sum_crossing(), SumCrossing::Rotations(Copies(4)));
    softmax_is_softmax::<true>(3, 2, 0);
    softmax_is_softmax::<false>(2, 2, CacheLayout::VALUE_LEVELS + CacheLayout::PLACEMENT_LEVELS);
}

fn softmax_is_softmax<const CROSSING: bool>(rounds: usize, heads: usize, left: usize) {
    let shape = shape(9);
    let layout = CacheLayout::new(&shape, heads, 2, 8).unwrap();
    let length = layout.tokens() + 5;
    let (e, scores) = (clear(&shape), layout.scores_of::<CROSSING>(length));
    let (half_width, mut random) = (6.0, Random::new(11));
    let centres: Vec<f64> = (0..heads).map(|head| 0.5 * head as f64).collect();
    let windows = SoftmaxWindows {
        centres: centres.clone(),
        half_width,
        denominator: Interval::new(length as f64 * (-2.0 * half_width).exp(), length as f64),
        first_sum: None,
    };
    let variant = SoftmaxVariant::NormalizeAndSquare { rounds };
    let accuracy = Accuracy { tolerance: 1e-6, functions: Functions::Polynomial };
    let softmax = Softmax::new(variant, &windows, 8, &shape, accuracy, &scores).unwrap();
    assert!(softmax.score_levels() <= shape.compute_levels, "{}", softmax.score_levels());
    let exact: Vec<Vec<f64>> = centres
        .iter()
        .map(|centre| random.vector(length).into_iter().map(|score| centre + half_width * score).collect())
        .collect();
    let mut packed = vec![vec![0.0; shape.degree]; layout.score_ciphertexts(length)];
    for (head, scores) in exact.iter().enumerate() {
        for (position, score) in scores.iter().enumerate() {
            for place in layout.score_places(length, head, position) {
                let map = softmax.score_map();
                packed[place.ciphertext][place.slot] = score * map.scale * 8_f64.sqrt() - map.centres[head];
            }
        }
    }
    let distorted: Vec<ClearSlots> = packed
        .iter()
        .map(|values| {
            let coefficients: Vec<f64> = (0..shape.degree).map(|p| values[shape.slot_of_coefficient(p)]).collect();
            let encrypted = e.encrypt(&coefficients, shape.full_scale).unwrap();
            let undistorted = climb_corrected(&e, &[encrypted], 0).unwrap();
            // As they cross in a step.
            let passage = Passage { copies: layout.score_copies(length), ..Passage::dense(softmax.score_levels()) };
            passage.cross(&e, &undistorted).unwrap().remove(0)
        })
        .collect();
    let mut crossing = |sums: Vec<ClearSlots>, passage: fhe_circuits::Passage| passage.cross(&e, &sums);
    // Either all, or those of one member of each group and then the other's: together, once in their places.
    let probabilities = if CROSSING {
        softmax.apply(&e, &scores, &distorted, &mut crossing).unwrap()
    } else {
        let selections = layout.selections(length);
        let selected = softmax.apply_selected(&e, &scores, (&distorted, &selections), &mut crossing).unwrap();
        assert_eq!(selected.len(), layout.group() * 2);
        let sum = |sum: Option<ClearSlots>, x: &ClearSlots| Some(sum.map_or(x.clone(), |sum| e.add(&sum, x).unwrap()));
        vec![selected.iter().fold(None, sum).unwrap()]
    };
    let left = Level(shape.slots_to_coefficients_levels + left);
    assert!(probabilities.iter().all(|x| e.level(x) == left));
    let mut expected = vec![vec![0.0; shape.degree]; probabilities.len()];
    for (head, scores) in exact.iter().enumerate() {
        let total: f64 = scores.iter().map(|score| score.exp()).sum();
        for (position, score) in scores.iter().enumerate() {
            for place in layout.score_places(length, head, position) {
                expected[place.ciphertext][place.slot] = score.exp() / total;
            }
        }
    }
    for (found, expected) in probabilities.iter().zip(&expected) {
        close(&numbers(found), expected, 2e-3);
    }
}

#[test]
fn rejects_projections_of_other_heads() {
    let shape = shape(9);
    let layout = CacheLayout::new(&shape, 4, 2, 8).unwrap();
    let input = VectorLayout::input(&shape, 40, 1).unwrap();
    let projection = layout.projection(&input).unwrap();
    let angles = |head_dim, positions| RotaryAngles::new(BASE, head_dim, positions);
    let one = ChannelFactors::Common(1.0);
    assert!(layout.placement(&projection, &angles(8, vec![3]), &one).is_ok());
    assert!(layout.placement(&projection, &angles(4, vec![3]), &one).is_err());
    assert!(layout.placement(&projection, &angles(8, vec![3, 4]), &one).is_err());
    assert!(layout.placement(&projection, &angles(8, vec![3]), &ChannelFactors::Each(vec![1.0; 3])).is_err());
    assert!(layout.placement(&input.product(9).unwrap(), &angles(8, vec![3]), &one).is_err());
    let module = RowModule::new(&shape, 16).unwrap();
    assert!(CacheFill::new(&layout, module, 0, 0).is_err());
    assert!(CacheFill::new(&layout, module, 0, 17).is_err());
    assert!(layout.cache::<u8>(vec![1], vec![], 3).is_err());
    assert!(layout.output(&shape, 3).is_err(), "a block that is no power of two");
}

/// At the size of SmolLM2: few rotations, since one product's places are as free as they can be.
#[test]
fn projections_reach_their_places_by_few_rotations() {
    let shape = CircuitShape { degree: 1 << 16, small_degree: 1 << 12, ..shape(9) };
    let layout = CacheLayout::new(&shape, 9, 3, 64).unwrap();
    let input = VectorLayout::input(&shape, 576, 1).unwrap();
    let projection = layout.projection(&input).unwrap();
    let angles = RotaryAngles::new(BASE, 64, vec![5]);
    let map = layout.placement(&projection, &angles, &ChannelFactors::Common(1.0)).unwrap();
    // Sixteen for what arrives, sixteen for what it is turned with; one of them is none.
    assert_eq!(map.rotations(), 31);
    // What comes from a product returns in sixteen copies, and what goes to one lies thirty-two slots apart.
    assert_eq!((projection.copies(), input.spacing()), (Copies(16), Spacing(32)));
    assert_eq!(input.product(5000).unwrap().copies(), Copies(1), "two groups side by side");
    assert_eq!((layout.score_copies(129), layout.score_copies(257)), (Copies(8), Copies(4)));
    let module = RowModule::new(&shape, 128).unwrap();
    let fill = CacheFill::new(&layout, module, 0, 128).unwrap();
    assert_eq!(fill.projection().ciphertexts(), 2);
}

#[test]
fn rejects_selections_and_fills_of_another_layout() {
    let shape = shape(9);
    let (layout, e) = (CacheLayout::new(&shape, 4, 2, 8).unwrap(), clear(&shape));
    let (scores, length) = (layout.scores_of::<false>(3), 3);
    let windows = SoftmaxWindows {
        centres: vec![0.0; 4],
        half_width: 2.0,
        denominator: Interval::new(0.05, 3.0),
        first_sum: None,
    };
    let prepared = |variant| Softmax::new(variant, &windows, 8, &shape, 1e-6, &scores).unwrap();
    let rounds = prepared(SoftmaxVariant::NormalizeAndSquare { rounds: 2 });
    let slots = [slots(&e, &vec![0.0; shape.degree], 12)];
    let selections = layout.selections(length);
    let mut crossing = |sums: Vec<ClearSlots>, passage: fhe_circuits::Passage| passage.cross(&e, &sums);
    assert!(rounds.apply_selected(&e, &scores, (&slots, &selections), &mut crossing).is_ok());
    assert!(rounds.apply_selected(&e, &scores, (&[], &selections), &mut crossing).is_err(), "no scores");
    let crossed = layout.scores_of::<true>(length);
    assert!(rounds.apply_selected(&e, &crossed, (&slots, &selections), &mut crossing).is_err(), "another contract");
    let outside = [fhe_circuits::Selection { ciphertext: 1, mask: vec![0.0; shape.degree].into() }];
    assert!(rounds.apply_selected(&e, &scores, (&slots, &outside), &mut crossing).is_err(), "another ciphertext");

    let module = RowModule::new(&shape, 16).unwrap();
    let fill = CacheFill::new(&layout, module, 0, 5).unwrap();
    let tensor = vec![slots[0].clone(); fill.projection().ciphertexts()];
    let angles = |positions: usize| RotaryAngles::new(BASE, 8, (0..positions).collect());
    let (one, few) = (ChannelFactors::Common(1.0), ChannelFactors::Each(vec![1.0; 3]));
    let (none, other) = (PrefixRows::none(), PrefixRows::new(1, vec![0.0; 3]).unwrap());
    let filled = |angles: &RotaryAngles, factors: &ChannelFactors, prefix: &PrefixRows| {
        fill.fill(&e, [&tensor, &tensor], angles, [&one, factors], ([&none, prefix], &PublicPages::none())).is_ok()
    };
    assert!(filled(&angles(16), &one, &none));
    assert!(
        !filled(&angles(8), &one, &none) && !filled(&angles(16), &few, &none) && !filled(&angles(16), &one, &other)
    );
    let input = VectorLayout::input(&shape, 20, 1).unwrap();
    assert!(input.selected(&[3, 4]).is_ok());
    assert!(input.selected(&[3, 3]).is_err() && input.selected(&[20]).is_err() && input.selected(&[]).is_err());
    assert!(VectorLayout::in_blocks(&shape, 0, 4).is_err() && VectorLayout::in_blocks(&shape, 20, 3).is_err());
}
