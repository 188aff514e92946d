"""Every session there is, in the order in which they run: the light ones first, so that a run cut short yields most."""

from __future__ import annotations

from . import engine, lattigo, ntt, openfhe, poulpy
from .measurement import Session

SESSIONS: list[Session] = [
    session for library in (engine, ntt, openfhe, lattigo, poulpy) for session in library.SESSIONS
]
LIBRARIES: list[str] = list(dict.fromkeys(session.library for session in SESSIONS))
