"""What is measured: planned rows, the process that measures them, and what that process needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .workshop import Workshop

GIBIBYTE = 1 << 30


class Unavailable(Exception):
    """The machine cannot run a library; the message says what it lacks and how to get it."""


@dataclass(frozen=True)
class Planned:
    """A row that a session is to yield. An operation means the same for every library."""

    operation: str
    parameters: str
    limbs: int | None = None
    # How many operations one timed call does, for engines that share work between them.
    batch: int = 1


@dataclass(frozen=True)
class Command:
    """A process that prints one JSON object per measurement on its standard output."""

    arguments: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    directory: Path | None = None


@dataclass(frozen=True)
class Session:
    """One process of one library with one number of threads. Sessions run one after the other, never side by side."""

    library: str
    version: str
    # Tells the sessions of a library apart, as in `bootstrapping of 2^10 slots`.
    name: str
    threads: int
    planned: tuple[Planned, ...]
    # Files and folders, relative to the repository, whose contents the numbers depend on.
    sources: tuple[str, ...]
    # Installs or builds the library once; raises `Unavailable`.
    prepare: Callable[[Workshop], None]
    # The process to run; the argument asks for the fewest runs that still give a figure.
    command: Callable[[Workshop, bool], Command]
    # Bytes of free memory and disk without which the session is not tried.
    memory: int = GIBIBYTE
    disk: int = GIBIBYTE
    # Flags of /proc/cpuinfo without which the library does not run.
    processor_flags: tuple[str, ...] = ()
    # `predicted` for figures that are computed from counts.
    basis: str = "measured"

    def title(self) -> str:
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return f"{self.library} {self.version}, {self.name}, {threads}"
