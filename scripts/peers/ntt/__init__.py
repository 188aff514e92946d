"""tfhe-ntt and concrete-ntt: transforms of one limb and of sixteen in turn."""

from ..measurement import Command, Planned, Session
from ..workshop import Workshop

PARAMETERS = "N = 2^16, one 50-bit prime"


def _prepare(workshop: Workshop) -> None:
    workshop.cargo_build("ntt")


def _session(library: str, version: str) -> Session:
    def command(workshop: Workshop, quick: bool) -> Command:
        return Command([workshop.program("ntt", "ntt-peers"), library, "40" if quick else "400"])

    return Session(
        library=library,
        version=version,
        name="transforms",
        threads=1,
        planned=(
            Planned("ntt-forward", PARAMETERS, limbs=1),
            Planned("ntt-inverse", PARAMETERS, limbs=1),
            Planned("ntt-forward-16-limbs", PARAMETERS, limbs=16),
        ),
        sources=("scripts/peers/ntt",),
        prepare=_prepare,
        command=command,
    )


SESSIONS = [_session("tfhe-ntt", "0.7.1"), _session("concrete-ntt", "0.2.0")]
