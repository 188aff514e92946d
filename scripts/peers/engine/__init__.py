"""This engine: its criterion benches, and what metering predicts of the same operations."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

from ..measurement import GIBIBYTE, Command, Planned, Session, Unavailable
from ..workshop import Workshop, last_words

REPOSITORY = Path(__file__).resolve().parents[3]
SETTING = "n16-llama"
SOURCES = ("Cargo.toml", "Cargo.lock", "rust-toolchain.toml", "engine/ring", "engine/rlwe", "engine/ckks")

# The benches and, of each, the criterion ids with what they measure. The ids are the benches' own.
KERNELS = ("fhe-ring", "kernels")
OPERATIONS = ("fhe-ckks", "operations")
BOOTSTRAPPING = ("fhe-ckks", "bootstrapping")
TRANSFORM = "N = 2^16, one 50-bit prime"
BENCHES = {
    KERNELS: {
        "ntt/forward/2^16": Planned("ntt-forward", TRANSFORM, limbs=1),
        "ntt/inverse/2^16": Planned("ntt-inverse", TRANSFORM, limbs=1),
        "ntt/batch16": Planned("ntt-forward-16-limbs", "N = 2^16, primes of 50 bits and less", limbs=16),
    },
    OPERATIONS: {
        f"operations/{name}-10-limbs": Planned(operation, SETTING, limbs=10)
        for name, operation in (
            ("add", "add"),
            ("rescale", "rescale"),
            ("multiply", "multiply-relinearise-rescale"),
            ("rotate", "rotate"),
            ("rotate-hoisted", "rotate-hoisted"),
        )
    }
    | {"operations/key-generation": Planned("key-generation", SETTING)},
    BOOTSTRAPPING: {
        "bootstrapping/half": Planned("bootstrap-half", f"{SETTING}, 2^16 coefficients"),
        "bootstrapping/half-batch4": Planned("bootstrap-half-batch4", f"{SETTING}, 2^16 coefficients", batch=4),
        "bootstrapping/half-batch4-8-levels": Planned(
            "bootstrap-half-batch4-8-levels", f"{SETTING}, 2^16 coefficients, raised to 8 levels", batch=4
        ),
        "bootstrapping/half-batch4-4-levels": Planned(
            "bootstrap-half-batch4-4-levels", f"{SETTING}, 2^16 coefficients, raised to 4 levels", batch=4
        ),
        "bootstrapping/full": Planned("bootstrap-full", f"{SETTING}, 2^15 complex slots"),
        "bootstrapping/full-real": Planned("bootstrap-full", f"{SETTING}, 2^16 real slots"),
        "bootstrapping/sparse": Planned("bootstrap-sparse", f"{SETTING}, sparse slots"),
    },
}
# Not an id of criterion: the bench writes it down beside the times.
KEYS = Planned("bootstrap-keys", SETTING)


def planned_of(bench: tuple[str, str]) -> tuple[Planned, ...]:
    """The rows of a bench."""
    return tuple(BENCHES[bench].values()) + ((KEYS,) if bench == BOOTSTRAPPING else ())


def _version() -> str:
    return tomllib.loads((REPOSITORY / "Cargo.toml").read_text())["workspace"]["package"]["version"]


def _check_bench(package: str, bench: str) -> None:
    arguments = ["cargo", "metadata", "--no-deps", "--format-version", "1"]
    try:
        done = subprocess.run(arguments, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise Unavailable("needs Rust; install it with rustup") from error
    if done.returncode != 0:
        raise Unavailable(f"cannot list the benches: {last_words(done.stderr)}")
    packages = {found["name"]: found for found in json.loads(done.stdout)["packages"]}
    targets = packages.get(package, {"targets": []})["targets"]
    if not any(target["name"] == bench and "bench" in target["kind"] for target in targets):
        raise Unavailable(f"{package} has no bench `{bench}` in this checkout")


def _measured(bench: tuple[str, str], threads: int, memory: float) -> Session:
    def command(workshop: Workshop, quick: bool) -> Command:
        program = [sys.executable, "-m", "peers.engine.criterion", *bench, *(["--quick"] if quick else [])]
        environment = {"RAYON_NUM_THREADS": str(threads), "PYTHONPATH": str(workshop.repository / "scripts")}
        return Command(program, environment)

    return Session(
        library="fhe-llama",
        version=_version(),
        name=f"bench {bench[1]}",
        threads=threads,
        planned=planned_of(bench),
        sources=SOURCES,
        prepare=lambda workshop: _check_bench(*bench),
        command=command,
        memory=int(memory * GIBIBYTE),
        disk=4 * GIBIBYTE,
    )


def _predicted(threads: int) -> Session:
    parameters = f"{SETTING}, metered"
    operations = ("multiply-relinearise-rescale", "rotate")
    bootstraps = (("bootstrap-half", 1), ("bootstrap-half-batch4", 4), ("bootstrap-full", 1), ("bootstrap-sparse", 1))
    planned = tuple(Planned(name, parameters, limbs=10) for name in operations) + tuple(
        Planned(name, parameters, batch=batch) for name, batch in bootstraps
    )

    def command(_workshop: Workshop, _quick: bool) -> Command:
        device = f"zen4-{threads}-thread{'s' if threads > 1 else ''}"
        return Command(["cargo", "run", "--release", "--quiet", "--", "predict", SETTING, "--device", device])

    return Session(
        library="fhe-llama",
        version=_version(),
        name="prediction",
        threads=threads,
        planned=planned,
        sources=(*SOURCES, "experiments/src/comparison/prediction.rs"),
        prepare=lambda workshop: None,
        command=command,
        disk=4 * GIBIBYTE,
        basis="predicted",
    )


SESSIONS = [_measured(KERNELS, 1, 2)] + [
    session
    for threads in (1, 2)
    for session in (_predicted(threads), _measured(OPERATIONS, threads, 6), _measured(BOOTSTRAPPING, threads, 16))
]
