"""How a peer's Python program times an operation and reports it: one JSON object a line."""

from __future__ import annotations

import json
import math
import os
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Times:
    """Wall-clock and processor seconds of repeated runs."""

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.processor: list[float] = []

    def add(self, run: Callable[[], Any]) -> Any:
        processor, wall = _processor_seconds(), time.perf_counter()
        result = run()
        self.wall.append(time.perf_counter() - wall)
        self.processor.append(_processor_seconds() - processor)
        return result

    def report(self, operation: str, **facts: Any) -> None:
        """Prints the measurement; `facts` are further fields of its row."""
        row = {
            "operation": operation,
            "seconds": {"median": statistics.median(self.wall), "min": min(self.wall), "max": max(self.wall)},
            "runs": len(self.wall),
            "processor_seconds": statistics.median(self.processor),
            "memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        }
        print(json.dumps({**row, **facts}), flush=True)


def repeat(runs: int, run: Callable[[], Any]) -> Times:
    """Times an operation after one run to warm up."""
    run()
    times = Times()
    for _ in range(runs):
        times.add(run)
    return times


def once(run: Callable[[], Any]) -> tuple[Any, Times]:
    """The result and the time of a single run."""
    times = Times()
    return times.add(run), times


def bits(errors) -> dict[str, float]:
    """Precision from the errors of values in [-1, 1]: minus log2 of their mean and of the worst."""
    errors = [abs(error) for error in errors]
    return {"mean": -math.log2(statistics.fmean(errors)), "worst": -math.log2(max(errors))}


def resident_bytes() -> int:
    """Memory of this process now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _processor_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
