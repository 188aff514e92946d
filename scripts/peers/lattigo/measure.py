"""Measures Lattigo through the Go library of the orion-fhe wheel.

usage: GOMAXPROCS=1 python -m peers.lattigo.measure operations|bootstrapping --library PATH [--log-slots 15] [--quick]

Prints one JSON object per measurement. A ring smaller than 2^16 (--log-degree) is not secure: it shows that the program
runs, and its numbers are no measurements.
"""

from __future__ import annotations

import argparse

import numpy as np

from peers.lattigo.binding import CHAIN, LOG_SCALE, Lattigo
from peers.timing import bits, once, repeat, resident_bytes


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("operations", "bootstrapping"))
    parser.add_argument("--library", required=True)
    parser.add_argument("--log-degree", type=int, default=16)
    parser.add_argument("--log-slots", type=int, default=15)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    scheme = Lattigo(options.library, options.log_degree)
    if options.what == "operations":
        operations(scheme, runs=3 if options.quick else 15)
    else:
        bootstrapping(scheme, options.log_slots, runs=1 if options.quick else 5)


def operations(scheme: Lattigo, runs: int) -> None:
    """Single operations at the level that bootstrapping leaves: ten limbs. Each call allocates its result."""
    go = scheme.go
    left, right = (
        scheme.encrypt(values, scheme.top) for values in np.random.default_rng(1).uniform(-1, 1, (2, scheme.slots))
    )
    facts = {"modulus_bits": sum(CHAIN), "level_bits": LOG_SCALE}

    def multiply() -> None:
        product = go.MulRelinCiphertextNew(left, right)
        go.Rescale(product)
        scheme.discard(product)

    repeat(5 * runs, lambda: scheme.discard(go.AddCiphertextNew(left, right))).report("add", **facts)
    repeat(runs, multiply).report("multiply-relinearise-rescale", **facts)
    repeat(runs, lambda: scheme.discard(go.RotateNew(left, 1))).report("rotate", **facts)


def bootstrapping(scheme: Lattigo, log_slots: int, runs: int) -> None:
    """Bootstrapping with the library's default circuit; a sparse ciphertext repeats its slots."""
    slots = 1 << log_slots
    copies = scheme.slots // slots
    before = resident_bytes()
    _, generation = once(lambda: scheme.new_bootstrapper(slots))
    note = "keys and matrices; bytes by growth of the process, matrices and garbage included"
    generation.report("bootstrap-keys", key_bytes=resident_bytes() - before, note=note)
    values = np.tile(np.random.default_rng(1).uniform(-1, 1, slots).astype(np.float32), copies)
    exhausted = scheme.encrypt(values, 0)
    times = repeat(runs, lambda: scheme.discard(scheme.go.Bootstrap(exhausted, slots)))
    refreshed = scheme.go.Bootstrap(exhausted, slots)
    # The wheel multiplies a sparse result by the number of its copies.
    errors = scheme.errors(refreshed, values * copies) / copies
    times.report(
        "bootstrap-full" if copies == 1 else "bootstrap-sparse",
        bits=bits(errors.tolist()),
        levels_left=scheme.level(refreshed),
        level_bits=LOG_SCALE,
        note="real slots",
    )


if __name__ == "__main__":
    main()
