"""Lattigo v6.2, as the Go library inside the wheel of orion-fhe: bootstrapping and operations on one thread."""

import sys

from ..measurement import GIBIBYTE, Command, Planned, Session, Unavailable
from ..workshop import Workshop

VERSION = "6.2.0"
WHEEL = "orion-fhe==1.0.2"
# Whatever runs this: the library is loaded by ctypes and does not care which Python the wheel is for.
WHEEL_OPTIONS = ["--python-version", "3.11", "--only-binary", ":all:"]
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
PACKAGES = ["numpy==2.2.6"]
LIBRARY = "orion/backend/lattigo/lattigo-linux.so"

CHAIN = "residual chain 60 + 9 x 40, log PQ 1546, secret of weight 192, ephemeral secret of weight 32"


def _prepare(workshop: Workshop) -> None:
    workshop.install("lattigo", PYTHON, PACKAGES)
    library = workshop.unpack_wheel("lattigo", WHEEL, WHEEL_OPTIONS) / LIBRARY
    if not library.is_file():
        raise Unavailable(f"the wheel {WHEEL} holds no {LIBRARY}; another version may keep it elsewhere")


def _session(name: str, arguments: list[str], planned: tuple[Planned, ...], memory: float) -> Session:
    def command(workshop: Workshop, quick: bool) -> Command:
        library = str(workshop.folder / "lattigo" / "wheel" / LIBRARY)
        program = [workshop.python("lattigo"), "-m", "peers.lattigo.measure", *arguments, "--library", library]
        # Lattigo computes on one thread; more would only let its garbage collector run beside it.
        environment = {"GOMAXPROCS": "1", "PYTHONPATH": str(workshop.repository / "scripts")}
        return Command([*program, *(["--quick"] if quick else [])], environment)

    return Session(
        library="lattigo",
        version=VERSION,
        name=name,
        threads=1,
        planned=planned,
        sources=("scripts/peers/lattigo", "scripts/peers/timing.py"),
        prepare=_prepare,
        command=command,
        memory=int(memory * GIBIBYTE),
    )


def _sessions() -> list[Session]:
    full, sparse = (f"N = 2^16, 2^{slots} slots, {CHAIN}" for slots in (15, 10))
    names = ("add", "multiply-relinearise-rescale", "rotate")
    single = tuple(Planned(name, f"N = 2^16, {CHAIN}", limbs=10) for name in names)
    return [
        _session("operations", ["operations"], single, 6),
        _session(
            "bootstrapping of 2^10 slots",
            ["bootstrapping", "--log-slots", "10"],
            (Planned("bootstrap-keys", sparse), Planned("bootstrap-sparse", sparse)),
            11.5,
        ),
        _session(
            "bootstrapping of 2^15 slots",
            ["bootstrapping", "--log-slots", "15"],
            (Planned("bootstrap-keys", full), Planned("bootstrap-full", full)),
            20,
        ),
    ]


SESSIONS = _sessions()
