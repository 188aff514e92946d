"""Measures OpenFHE through its Python wheel.

usage: OMP_NUM_THREADS=1 python -m peers.openfhe.measure operations|bootstrapping [--log-slots 15] [--quick]

Prints one JSON object per measurement. A ring smaller than 2^16 (--log-degree) is not secure: it shows that the program
runs, and its numbers are no measurements.
"""

from __future__ import annotations

import argparse

import numpy as np
import openfhe

from peers.timing import bits, once, repeat, resident_bytes

DIGITS = 3
FIRST_PRIME_BITS = 60
# Factors of the two linear transforms of bootstrapping: its levels are then 16, the fewest at which it is fast.
LEVEL_BUDGET = [3, 3]
# Limbs of the ciphertexts of single operations, as everywhere in this comparison.
LIMBS = 10


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("operations", "bootstrapping"))
    parser.add_argument("--log-degree", type=int, default=16)
    parser.add_argument("--log-slots", type=int, default=15)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.what == "operations":
        operations(options.log_degree, runs=3 if options.quick else 15)
    else:
        bootstrapping(options.log_degree, options.log_slots, runs=1 if options.quick else 5)


def context(log_degree: int, slots: int, scale: int, depth: int, technique):
    """A scheme of the given size with everything switched on that it offers."""
    parameters = openfhe.CCParamsCKKSRNS()
    parameters.SetSecretKeyDist(openfhe.SPARSE_ENCAPSULATED)
    parameters.SetSecurityLevel(openfhe.HEStd_128_classic if log_degree == 16 else openfhe.HEStd_NotSet)
    parameters.SetRingDim(1 << log_degree)
    parameters.SetScalingModSize(scale)
    parameters.SetFirstModSize(FIRST_PRIME_BITS)
    parameters.SetScalingTechnique(technique)
    parameters.SetKeySwitchTechnique(openfhe.HYBRID)
    parameters.SetNumLargeDigits(DIGITS)
    parameters.SetMultiplicativeDepth(depth)
    parameters.SetBatchSize(slots)
    scheme = openfhe.GenCryptoContext(parameters)
    for feature in (openfhe.PKE, openfhe.KEYSWITCH, openfhe.LEVELEDSHE, openfhe.ADVANCEDSHE, openfhe.FHE):
        scheme.Enable(feature)
    return scheme


def operations(log_degree: int, runs: int) -> None:
    """Single operations on ciphertexts of ten limbs; scales are managed by hand, so that each step is timed alone."""
    scale, depth, slots = 50, 24, 1 << (log_degree - 1)
    scheme = context(log_degree, slots, scale, depth, openfhe.FIXEDMANUAL)
    keys = scheme.KeyGen()
    scheme.EvalMultKeyGen(keys.secretKey)
    facts = {"modulus_bits": FIRST_PRIME_BITS + (LIMBS - 1) * scale, "level_bits": scale}
    _, generation = once(lambda: scheme.EvalRotateKeyGen(keys.secretKey, [1]))
    generation.report("key-generation", note="one rotation key for the whole chain", level_bits=scale)
    level = depth + 1 - LIMBS
    left, right = (
        scheme.Encrypt(keys.publicKey, scheme.MakeCKKSPackedPlaintext(list(values), 1, level))
        for values in np.random.default_rng(1).uniform(-1, 1, (2, slots))
    )
    product = scheme.EvalMult(left, right)
    digits = scheme.EvalFastRotationPrecompute(left)
    order = 2 << log_degree
    repeat(5 * runs, lambda: scheme.EvalAdd(left, right)).report("add", **facts)
    repeat(runs, lambda: scheme.Rescale(product)).report("rescale", **facts)
    repeat(runs, lambda: scheme.Rescale(scheme.EvalMult(left, right))).report("multiply-relinearise-rescale", **facts)
    repeat(runs, lambda: scheme.EvalRotate(left, 1)).report("rotate", **facts)
    hoisted = repeat(runs, lambda: scheme.EvalFastRotation(left, 1, order, digits))
    hoisted.report("rotate-hoisted", note="each further rotation of one ciphertext", **facts)


def bootstrapping(log_degree: int, log_slots: int, runs: int) -> None:
    """Bootstrapping with the fewest levels at 128 bits that leave some: 4 of 59 bits."""
    scale, depth, slots = 59, 20, 1 << log_slots
    scheme = context(log_degree, slots, scale, depth, openfhe.FLEXIBLEAUTO)
    scheme.EvalBootstrapSetup(LEVEL_BUDGET, [0, 0], slots)
    keys = scheme.KeyGen()
    scheme.EvalMultKeyGen(keys.secretKey)
    before = resident_bytes()
    _, generation = once(lambda: scheme.EvalBootstrapKeyGen(keys.secretKey, slots))
    count = len(scheme.GetExistingEvalAutomorphismKeyIndices(keys.secretKey.GetKeyTag()))
    generation.report(
        "bootstrap-keys",
        key_bytes=resident_bytes() - before,
        note=f"{count} rotation keys, bytes by growth of the process; plaintexts of the transforms not included",
    )
    values = np.random.default_rng(1).uniform(-1, 1, slots)
    exhausted = scheme.Encrypt(keys.publicKey, scheme.MakeCKKSPackedPlaintext(list(values), 1, depth - 1))
    refreshed = []

    def bootstrap() -> None:
        refreshed[:] = [scheme.EvalBootstrap(exhausted)]

    times = repeat(runs, bootstrap)
    decrypted = scheme.Decrypt(refreshed[0], keys.secretKey)
    decrypted.SetLength(slots)
    errors = np.asarray(decrypted.GetRealPackedValue())[:slots] - values
    times.report(
        "bootstrap-full" if log_slots + 1 == log_degree else "bootstrap-sparse",
        bits=bits(errors.tolist()),
        levels_left=depth - refreshed[0].GetLevel() - (refreshed[0].GetNoiseScaleDeg() - 1),
        level_bits=scale,
        note="real slots; the library adds noise when it decrypts",
    )


if __name__ == "__main__":
    main()
