//! Layouts are inverse on both sides, and coefficients become the slots they promise.

use crate::support::{Random, clear, close, shape};
use fhe_circuits::crossing::{climb_corrected, descend};
use fhe_circuits::{Layout, Place, RowModule};
use fhe_ckks::{Client, SlotArithmetic};
use proptest::prelude::*;

/// A geometry and the places of some channels: all different, some channels in several, one in none.
fn layouts() -> impl Strategy<Value = Layout> {
    (4_u32..10, 1_u32..6, 1_usize..40, any::<u64>()).prop_filter_map(
        "at least two rows",
        |(log_degree, tokens, channels, seed)| {
            let module = RowModule::new(&shape(log_degree), 1 << tokens).ok()?;
            let mut places: Vec<Place> = (0..3)
                .flat_map(|ciphertext| (0..module.rows()).map(move |slot_row| Place { ciphertext, slot_row }))
                .collect();
            let keys = Random::new(seed).vector(places.len());
            places.sort_by(|a, b| {
                let key = |place: &Place| keys[place.ciphertext * module.rows() + place.slot_row];
                key(a).total_cmp(&key(b))
            });
            let mut channels = vec![Vec::new(); channels.min(places.len()) + 1];
            let owners = channels.len() - 1;
            for (index, place) in places.into_iter().take(2 * owners).enumerate() {
                channels[index % owners].push(place);
            }
            Layout::new(module, channels).ok()
        },
    )
}

proptest! {
    #[test]
    fn unpacking_is_the_inverse_of_packing(layout in layouts(), seed in any::<u64>()) {
        let tokens = layout.module().tokens();
        let mut tensor = Random::new(seed).vector(layout.channels() * tokens);
        for channel in 0..layout.channels() {
            if layout.places(channel).is_empty() {
                tensor[channel * tokens..][..tokens].fill(0.0);
            }
        }
        let packed = layout.pack(&tensor).unwrap();
        prop_assert_eq!(&layout.unpack(&packed).unwrap(), &tensor);
        let entries = packed.iter().flatten().filter(|value| **value != 0.0).count();
        let places: usize = (0..layout.channels()).map(|channel| layout.places(channel).len()).sum();
        prop_assert_eq!(entries, places * tokens, "no entry overwrites another");
    }

    #[test]
    fn sums_over_places_are_linear(layout in layouts(), seed in any::<u64>()) {
        let tokens = layout.module().tokens();
        let tensor = Random::new(seed).vector(layout.channels() * tokens);
        let sums = layout.unpack_sums(&layout.pack(&tensor).unwrap()).unwrap();
        let expected = (0..tensor.len()).map(|entry| tensor[entry] * layout.places(entry / tokens).len() as f64);
        close(&sums, &expected.collect::<Vec<_>>(), 1e-12);
    }

    #[test]
    fn coefficients_become_the_promised_slots(layout in layouts(), seed in any::<u64>()) {
        let module = layout.module();
        let e = clear(&shape(module.slots().trailing_zeros()));
        let tensor = Random::new(seed).vector(layout.channels() * module.tokens());
        let packed = layout.pack(&tensor).unwrap();
        let encrypted: Vec<_> = packed.iter().map(|vector| e.encrypt(vector, e.shape().full_scale).unwrap()).collect();
        let climbed = climb_corrected(&e, &encrypted, 0).unwrap();
        for channel in 0..layout.channels() {
            for place in layout.places(channel) {
                for position in 0..module.tokens() {
                    let (half, token) = module.half_and_token(position);
                    let slot = module.slot(half, place.slot_row, token);
                    prop_assert_eq!(module.slot_row(slot), place.slot_row);
                    prop_assert_eq!(module.coefficient(place.slot_row, position), module.coefficient_of_slot(slot));
                    let found = climbed[place.ciphertext].values()[slot].re;
                    prop_assert!((found - tensor[channel * module.tokens() + position]).abs() < 1e-7);
                }
            }
        }
        // And back.
        let unit = (1_u64 << 40) as f64;
        let back = descend(&e, &climbed, unit).unwrap();
        let back: Vec<Vec<f64>> = back.iter().map(|x| e.decrypt(x).unwrap().unwrap()).collect();
        for (found, expected) in back.iter().zip(&packed) {
            close(found, expected, 1e-7);
        }
    }

    #[test]
    fn dense_rows_are_coefficient_rows_in_order(log_degree in 4_u32..10, channels in 1_usize..200) {
        let module = RowModule::new(&shape(log_degree), 4).unwrap();
        let layout = Layout::dense(module, channels);
        prop_assert_eq!(layout.ciphertexts(), channels.div_ceil(module.rows()));
        for channel in 0..channels {
            prop_assert_eq!(layout.matrix_row(layout.places(channel)[0]), channel);
        }
    }
}

#[test]
fn rejects_blocks_that_do_not_fit() {
    for tokens in [0, 1, 12, 1 << 9] {
        assert!(RowModule::new(&shape(9), tokens).is_err(), "{tokens} tokens");
    }
}

#[test]
fn rejects_places_outside_or_shared() {
    let module = RowModule::new(&shape(5), 4).unwrap();
    let place = |slot_row| Place { ciphertext: 0, slot_row };
    assert!(Layout::new(module, vec![vec![place(7)], vec![place(8)]]).is_err());
    assert!(Layout::new(module, vec![vec![place(3)], vec![place(3)]]).is_err());
}

#[test]
fn rejects_tensors_of_another_size() {
    let layout = Layout::dense(RowModule::new(&shape(5), 4).unwrap(), 5);
    assert!(layout.pack(&[0.0; 19]).is_err());
    assert!(layout.unpack(&[vec![0.0; 16]]).is_err());
    assert!(layout.unpack(&[vec![0.0; 32], vec![0.0; 32]]).is_err());
}
