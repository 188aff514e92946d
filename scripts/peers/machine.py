"""The machine that numbers are measured on: what it is, and what is free of it now."""

from __future__ import annotations

import os
import platform
import shutil
from functools import cache
from pathlib import Path

from .measurement import GIBIBYTE, Session, Unavailable


@cache
def describe() -> dict:
    """The machine as records describe it. The family and model of the processor are part of its name: virtual machines
    report processors of different generations, twice as fast on the same code, under one marketing name."""
    processor = _processor()
    name = processor.get("model name", platform.processor())
    if "cpu family" in processor and "model" in processor:
        name = f"{name} (family {processor['cpu family']}, model {processor['model']})"
    flags = processor_flags()
    widest = next((flag for flag in ("avx512ifma", "avx2") if flag in flags), "baseline")
    return {
        "cpu": name,
        "arch": platform.machine(),
        "vector_extension": widest,
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": _memory("MemTotal:"),
    }


def check_needs(session: Session, folder: Path) -> None:
    """Raises `Unavailable` when the session would not fit the machine as it is now."""
    lacking = [flag for flag in session.processor_flags if flag not in processor_flags()]
    if lacking:
        raise Unavailable(f"needs a processor with {', '.join(lacking)}")
    cores = describe()["cores"]
    if session.threads > cores:
        raise Unavailable(f"needs {session.threads} cores, this process may use {cores}")
    disk = shutil.disk_usage(folder)
    for what, needed, free, all_there_is in (
        ("memory", session.memory, _memory("MemAvailable:"), _memory("MemTotal:")),
        ("disk space", session.disk, disk.free, disk.total),
    ):
        if free < needed:
            # Not how much is free now: the same reason is to read the same the next time.
            amounts = f"{needed / GIBIBYTE:.1f} GiB of free {what}, of {all_there_is / GIBIBYTE:.1f} GiB less is free"
            raise Unavailable(f"needs {amounts}; stop what else runs, or use a larger machine")


def seconds_waited() -> float:
    """Seconds since boot in which some task waited for a processor; constant where the system does not tell."""
    try:
        first = Path("/proc/pressure/cpu").read_text().splitlines()[0]
        return int(first.rsplit("=", 1)[1]) / 1e6
    except (OSError, IndexError, ValueError):
        return 0.0


def load() -> float:
    """Tasks that ran or waited during the last minute, on average."""
    return os.getloadavg()[0]


@cache
def processor_flags() -> frozenset[str]:
    processor = _processor()
    return frozenset(processor.get("flags", processor.get("Features", "")).split())


@cache
def _processor() -> dict[str, str]:
    try:
        first = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.split(":", 1) for line in first.splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}


def _memory(key: str) -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) * 1024
    return 0
