"""poulpy-ckks on its AVX-512 IFMA backend: its fastest preset of bootstrapping, and operations at 636 bits."""

from ..measurement import GIBIBYTE, Command, Planned, Session
from ..workshop import Workshop

VERSION = "0.10.0"
PRESET = "n16_d35_k685_p19_s2c_ffr_ci"
# The width of a ciphertext that the library's other preset of this size leaves after bootstrapping.
WIDTH = 636
OPERATIONS = ("add", "multiply-relinearise-rescale", "rotate", "key-generation")


def _prepare(workshop: Workshop) -> None:
    workshop.cargo_build("poulpy")


def _session(name: str, subject: str, threads: int, planned: tuple[Planned, ...], runs: tuple[int, int], memory: float):
    def command(workshop: Workshop, quick: bool) -> Command:
        arguments = [name, subject, str(threads), str(runs[0] if quick else runs[1])]
        environment = {"RAYON_NUM_THREADS": str(threads)}
        return Command([workshop.program("poulpy", "poulpy-peer"), *arguments], environment)

    return Session(
        library="poulpy-ckks",
        version=VERSION,
        name=name,
        threads=threads,
        planned=planned,
        sources=("scripts/peers/poulpy",),
        prepare=_prepare,
        command=command,
        memory=int(memory * GIBIBYTE),
        disk=2 * GIBIBYTE,
        processor_flags=("avx512ifma",),
    )


def _sessions(threads: int) -> list[Session]:
    preset = f"N = 2^16, 2^15 complex slots, preset {PRESET}"
    bootstrapping = tuple(Planned(operation, preset) for operation in ("bootstrap-keys", "bootstrap-full"))
    single = tuple(Planned(operation, "N = 2^16, one key digit") for operation in OPERATIONS)
    return [
        _session("operations", str(WIDTH), threads, single, (2, 11), 2),
        _session("bootstrapping", PRESET, threads, bootstrapping, (1, 5), 20.5),
    ]


SESSIONS = [session for threads in (1, 2) for session in _sessions(threads)]
