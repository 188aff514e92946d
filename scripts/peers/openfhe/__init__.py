"""OpenFHE's wheel: bootstrapping of full and of sparse slots, and operations at ten limbs."""

from ..measurement import GIBIBYTE, Command, Planned, Session
from ..workshop import Workshop

# The last part of the version names the Ubuntu release the wheel is built for, and with it CPython 3.10.
VERSION = "1.6.1.0.22.4"
PYTHON = "3.10"
PACKAGES = [f"openfhe=={VERSION}", "numpy==2.2.6"]

BOOTSTRAPPING = "scale 2^59, depth 20, 3 digits, log PQ about 1660, sparse secret encapsulated"
OPERATIONS = "scale 2^50, depth 24, 3 digits"


def _prepare(workshop: Workshop) -> None:
    workshop.install("openfhe", PYTHON, PACKAGES)


def _session(name: str, arguments: list[str], threads: int, planned: tuple[Planned, ...], memory: float) -> Session:
    def command(workshop: Workshop, quick: bool) -> Command:
        program = [workshop.python("openfhe"), "-m", "peers.openfhe.measure", *arguments]
        environment = {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(workshop.repository / "scripts")}
        return Command([*program, *(["--quick"] if quick else [])], environment)

    return Session(
        library="openfhe",
        version=VERSION,
        name=name,
        threads=threads,
        planned=planned,
        sources=("scripts/peers/openfhe", "scripts/peers/timing.py"),
        prepare=_prepare,
        command=command,
        memory=int(memory * GIBIBYTE),
    )


def _sessions(threads: int) -> list[Session]:
    full, sparse = (f"N = 2^16, 2^{slots} slots, {BOOTSTRAPPING}" for slots in (15, 10))
    names = ("add", "rescale", "multiply-relinearise-rescale", "rotate", "rotate-hoisted", "key-generation")
    single = tuple(Planned(name, f"N = 2^16, {OPERATIONS}", limbs=10) for name in names)
    return [
        _session("operations", ["operations"], threads, single, 5),
        _session(
            "bootstrapping of 2^15 slots",
            ["bootstrapping", "--log-slots", "15"],
            threads,
            (Planned("bootstrap-keys", full), Planned("bootstrap-full", full)),
            9.5,
        ),
        _session(
            "bootstrapping of 2^10 slots",
            ["bootstrapping", "--log-slots", "10"],
            threads,
            (Planned("bootstrap-keys", sparse), Planned("bootstrap-sparse", sparse)),
            8,
        ),
    ]


SESSIONS = [session for threads in (1, 2) for session in _sessions(threads)]
