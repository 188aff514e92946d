"""The record file: JSON Lines, one row per measurement, only ever growing by whole lines."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import subprocess
from dataclasses import asdict
from datetime import datetime, timezone
from functools import cache
from pathlib import Path

from . import machine
from .measurement import Planned, Session

# Raised whenever a field changes its meaning; the reader is experiments/src/comparison/measurement.rs.
SCHEMA = 1

# What makes two rows measurements of the same thing.
IDENTITY = ("basis", "library", "version", "operation", "parameters", "limbs", "batch", "threads", "sources")


class Record:
    """The rows of a suite on disk."""

    def __init__(self, repository: Path, suite: str):
        self.repository = repository
        self.path = repository / "results" / suite / f"{suite}.jsonl"
        # The lock that the harness takes when it writes to the file.
        self.lock = repository / ".runs" / f"journal-{suite}.lock"
        self.rows = self._read()

    def holds(self, session: Session, planned: Planned) -> bool:
        """Whether the planned row was measured on such a machine, with that library and those sources."""
        wanted = self._key(self._frame(session, planned))
        return any(row["status"] == "ok" and self._key(row) == wanted for row in self.rows)

    def add(self, session: Session, planned: Planned, found: dict) -> dict:
        """Appends what was found about a planned row, status ok unless it says otherwise."""
        row = {**self._frame(session, planned), **found}
        self._append(row)
        return row

    def add_unmeasured(self, session: Session, planned: Planned, status: str, reason: str) -> None:
        """Appends why there is no measurement, unless that is the last thing known about it."""
        row = {**self._frame(session, planned), "status": status, "reason": reason}
        last = next((known for known in reversed(self.rows) if self._key(known) == self._key(row)), None)
        if last is None or (last["status"], last["reason"]) != (status, reason):
            self._append(row)

    def _frame(self, session: Session, planned: Planned) -> dict:
        """Everything about a row but what was measured."""
        return {
            "schema": SCHEMA,
            "basis": session.basis,
            "status": "ok",
            "reason": None,
            "library": session.library,
            "version": session.version,
            **asdict(planned),
            "threads": session.threads,
            "machine": machine.describe(),
            "date": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "commit": commit(self.repository),
            "dirty": is_dirty(self.repository, session.sources),
            "sources": hash_of_sources(self.repository, session.sources),
        }

    @staticmethod
    def _key(row: dict) -> tuple:
        host = row["machine"]
        of_machine = tuple(host[name] for name in ("cpu", "arch", "vector_extension", "cores"))
        return tuple(row[name] for name in IDENTITY) + of_machine

    def _read(self) -> list[dict]:
        lines = _whole_lines(self.path.read_bytes()).splitlines() if self.path.exists() else []
        rows = []
        for number, line in enumerate(lines, start=1):
            try:
                rows.append(json.loads(line))
            except ValueError as error:
                remedy = "repair or remove that line (`git diff` shows what changed)"
                raise SystemExit(f"{self.path}:{number}: not a row: {error}; {remedy}") from error
        return rows

    def _append(self, row: dict) -> None:
        """Writes a whole line or none. A last line that was left without its end counts as never written."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.lock.parent.mkdir(parents=True, exist_ok=True)
        with self.lock.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with self.path.open("ab+") as file:
                file.seek(0)
                file.truncate(len(_whole_lines(file.read())))
                file.write(json.dumps(row, separators=(",", ":"), ensure_ascii=False).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        self.rows.append(row)


def _whole_lines(content: bytes) -> bytes:
    return content[: content.rfind(b"\n") + 1]


@cache
def commit(repository: Path) -> str:
    return _git(repository, "rev-parse", "HEAD").strip()


@cache
def is_dirty(repository: Path, sources: tuple[str, ...]) -> bool:
    return bool(_git(repository, "status", "--porcelain", "--", *sources).strip())


@cache
def hash_of_sources(repository: Path, sources: tuple[str, ...]) -> str:
    """Sixteen hexadecimal digits that change with any file the numbers depend on, committed or not. It, not the commit,
    decides whether a row is measured again: most commits do not touch what a row depends on."""
    listed = _git(repository, "ls-files", "-co", "--exclude-standard", "-z", "--", *sources)
    digest = hashlib.sha256()
    for name in sorted(filter(None, listed.split("\0"))):
        path = repository / name
        if path.is_file():
            digest.update(name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _git(repository: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(repository), *arguments], capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else ""
