"""Runs one of this engine's criterion benches and prints what criterion stored: one JSON object per measurement.

usage: RAYON_NUM_THREADS=1 python3 -m peers.engine.criterion PACKAGE BENCH [--quick]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from . import BENCHES, BOOTSTRAPPING, KEYS, REPOSITORY

CRITERION = REPOSITORY / "target" / "criterion"
QUICK = ["--sample-size", "10", "--warm-up-time", "0.5", "--measurement-time", "1"]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("package")
    parser.add_argument("bench")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    bench = (options.package, options.bench)
    target = ["cargo", "bench", "--package", options.package, "--bench", options.bench]
    # Built first and apart, so that the compiler's memory is not taken for the bench's.
    _run([*target, "--no-run"])
    started = time.time()
    ids = "|".join(re.escape(name) for name in BENCHES[bench])
    peak = _run([*target, "--", f"^({ids})$", *(QUICK if options.quick else [])])
    estimates = _stored_since(started)
    facts = _facts_since(started, options.bench)
    for name, planned in BENCHES[bench].items():
        if name not in estimates:
            row = {"status": "skipped", "reason": f"the bench measures no `{name}` in this checkout"}
        else:
            row = {**estimates[name], **_fields(facts.get(name, {})), "memory_bytes": peak}
        print(json.dumps({"operation": planned.operation, "parameters": planned.parameters, **row}), flush=True)
    if bench == BOOTSTRAPPING:
        print(json.dumps({"operation": KEYS.operation, **_key_row(facts)}), flush=True)


def _run(command: list[str]) -> int:
    """Runs a command with its output on this one's standard error; returns the most memory a process of it held."""
    process = subprocess.Popen(command, cwd=REPOSITORY, stdout=sys.stderr)
    _, status, usage = os.wait4(process.pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if code != 0:
        sys.exit(f"`{' '.join(command)}` ended with {code}")
    return usage.ru_maxrss * 1024


def _stored_since(started: float) -> dict[str, dict]:
    """Times by id, of benches that criterion ran since then; what earlier runs left is not ours."""
    found = {}
    for path in CRITERION.glob("**/new/benchmark.json"):
        if path.stat().st_mtime < started:
            continue
        sample = json.loads((path.parent / "sample.json").read_text())
        nanoseconds = [duration / count for duration, count in zip(sample["times"], sample["iters"], strict=True)]
        median = json.loads((path.parent / "estimates.json").read_text())["median"]["point_estimate"]
        found[json.loads(path.read_text())["full_id"]] = {
            "seconds": {"median": median / 1e9, "min": min(nanoseconds) / 1e9, "max": max(nanoseconds) / 1e9},
            # Minimum and maximum are over samples; a sample is the mean of several iterations.
            "runs": len(nanoseconds),
        }
    return found


def _facts_since(started: float, bench: str) -> dict[str, dict]:
    """What the bench itself wrote down about its ids beside the times; benches need not write anything."""
    path = CRITERION / f"fhe-llama-{bench}.json"
    return json.loads(path.read_text()) if path.is_file() and path.stat().st_mtime >= started else {}


def _fields(facts: dict) -> dict:
    """A bench's own facts under the names that records use."""
    row = {
        name: facts[name] for name in ("levels_left", "modulus_bits", "key_bytes", "table_bytes") if name in facts
    }
    if "scale_bits" in facts:
        row["level_bits"] = facts["scale_bits"]
    if "mean_bits" in facts and "worst_bits" in facts:
        # Bits of precision are positive here; as log2 of an error they would be negative.
        row["bits"] = {"mean": abs(facts["mean_bits"]), "worst": abs(facts["worst_bits"])}
    return row


def _key_row(facts: dict[str, dict]) -> dict:
    """Generation of all keys of bootstrapping, which the bench does once."""
    known = [entry for entry in facts.values() if "key_generation_seconds" in entry]
    if not known:
        return {"status": "skipped", "reason": "the bench writes down no key generation in this checkout"}
    entry = max(known, key=lambda entry: entry.get("key_bytes", 0))
    seconds = entry["key_generation_seconds"]
    return {
        "seconds": {"median": seconds, "min": seconds, "max": seconds},
        "runs": 1,
        "note": "all keys of bootstrapping",
        **{name: entry[name] for name in ("key_bytes", "table_bytes") if name in entry},
    }


if __name__ == "__main__":
    main()
