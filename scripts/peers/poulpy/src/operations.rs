//! Single operations at a ciphertext width, with the widest key digits that the width allows.

use crate::stopwatch::{time, time_once};
use poulpy_ckks::api::{
    CKKSAddOps, CKKSAllOpsTmpBytes, CKKSEncodingHostOps, CKKSEncryptOps, CKKSModuleInfos, CKKSMulOps, CKKSRotateOps,
};
use poulpy_ckks::layouts::{CKKSCiphertextAlloc, CKKSPlaintextAlloc};
use poulpy_ckks::test_suite::CKKSTestParams;
use poulpy_ckks::test_suite::helpers::{gen_atk, gen_sk_with_raw, gen_tsk, test_vector_1, test_vector_2};
use poulpy_ckks::{GLWEPlaintextMeta, Scale, SetCKKSInfos, SlotsKind};
use poulpy_core::GLWENormalize;
use poulpy_core::layouts::LWEInfos;
use poulpy_hal::api::{ScratchOwnedAlloc, ScratchOwnedBorrow};
use poulpy_hal::layouts::{HostBytesBackend, Module, ScratchOwned};
use poulpy_hal::source::Source;
use std::collections::HashMap;

type Engine = super::Engine;

const DEGREE: usize = 1 << 16;
/// Bits of a level, as in the library's presets.
const SCALE: usize = 35;
/// Bits of a limb of the representation, and limbs of a key digit: one digit of 672 bits at a width of 636.
const RADIX: usize = 56;
const DIGIT_LIMBS: usize = 12;
/// Hamming weight of the dense secret, as in the library's presets.
const WEIGHT: usize = 1024;

pub(crate) fn measure(width: &str, runs: usize) -> Result<(), String> {
    let width: usize = width.parse().map_err(|_| format!("width `{width}` is no number of bits, such as 636"))?;
    let parameters = CKKSTestParams {
        n: DEGREE,
        base2k: RADIX,
        k: width,
        prec_meta: GLWEPlaintextMeta { scale: Scale::Log(SCALE), slots: SlotsKind::Complex, log_sparsity: 0 },
        prec_log_budget: 17,
        hw: WEIGHT,
        dsize: DIGIT_LIMBS,
        rank: 1,
    };
    let slots = DEGREE / 2;
    let module = Module::<Engine>::new(DEGREE as u64);
    let host = Module::<HostBytesBackend>::new(DEGREE as u64);
    let (raw_secret, secret) = gen_sk_with_raw(&parameters, &module, &host, [0; 32]);
    let mut sum = module.ckks_ciphertext_alloc_from_glwe_infos(&parameters.glwe_layout());
    sum.set_meta(parameters.prec().meta);
    let bytes = module.ckks_all_ops_with_atk_tmp_bytes(
        &sum,
        &parameters.prec(),
        &parameters.tsk_layout(),
        &parameters.atk_layout(),
    );
    let encoding = CKKSEncodingHostOps::<Engine, f64>::ckks_encoding_host_tmp_bytes(&module, slots);
    let mut scratch = ScratchOwned::<Engine>::alloc(bytes.max(encoding));
    let tensor_key = gen_tsk(&parameters, &module, &raw_secret, &mut scratch.borrow());
    let element = module.ckks_galois_element(1);
    let (rotation_key, times) =
        time_once(|| gen_atk(&parameters, &module, element, &raw_secret, &mut scratch.borrow()));
    let facts = [("modulus_bits", width.to_string()), ("level_bits", SCALE.to_string())];
    times.report("key-generation", &facts);
    let rotation_keys = HashMap::from([(element, rotation_key)]);

    let mut encrypted = Vec::new();
    for (values, seed) in [test_vector_1::<f64>(slots), test_vector_2::<f64>(slots)].into_iter().zip([3, 4]) {
        let mut plain = module.ckks_plaintext_alloc_from_slots(slots, RADIX.into(), parameters.prec().k());
        plain.set_meta(parameters.prec().meta);
        module.ckks_encode_slots_host_into(&mut plain, &values.0, &values.1, &mut scratch.borrow()).expect("slots fit");
        let mut cipher = module.ckks_ciphertext_alloc_from_glwe_infos(&parameters.glwe_layout());
        let (mut mask, mut noise) = (Source::new([seed; 32]), Source::new([seed + 6; 32]));
        module
            .ckks_encrypt_sk(&mut cipher, &plain, &secret, &mut mask, &mut noise, &mut scratch.borrow())
            .expect("the plaintext fits the ciphertext");
        encrypted.push(cipher);
    }
    let (left, right) = (&encrypted[0], &encrypted[1]);

    time(5 * runs, || {
        module.ckks_add_into(&mut sum, left, right, &mut scratch.borrow()).expect("equal layouts");
        module.glwe_normalize_assign(&mut sum, &mut scratch.borrow());
    })
    .report("add", &[facts.as_slice(), &[("note", "\"normalised\"".into())]].concat());
    let mut rescaled = parameters.glwe_layout();
    rescaled.k = (width - SCALE).into();
    let mut product = module.ckks_ciphertext_alloc_from_glwe_infos(&rescaled);
    product.set_meta(parameters.prec().meta);
    time(runs, || {
        module.ckks_mul_into(&mut product, left, right, &tensor_key, &mut scratch.borrow()).expect("equal layouts")
    })
    .report("multiply-relinearise-rescale", &facts);
    time(runs, || {
        module.ckks_rotate_into(1, &mut sum, left, &rotation_keys, &mut scratch.borrow()).expect("the key is there")
    })
    .report("rotate", &facts);
    Ok(())
}
