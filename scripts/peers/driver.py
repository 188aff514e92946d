"""Runs one session: prepares its library, starts its process, and records each measurement as soon as it is printed."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time

from . import machine
from .measurement import Planned, Session, Unavailable
from .record import Record
from .workshop import Workshop, last_words

# A session that takes longer is stuck.
LIMIT_SECONDS = 3600


def run(session: Session, missing: list[Planned], record: Record, workshop: Workshop, quick: bool) -> str:
    """Measures what is missing; returns how it ended: `ok`, `skipped` or `failed`. Says so in one line."""
    try:
        machine.check_needs(session, workshop.folder)
        session.prepare(workshop)
    except Unavailable as reason:
        for planned in missing:
            record.add_unmeasured(session, planned, "skipped", str(reason))
        print(f"{session.title()}: skipped: {reason}", flush=True)
        return "skipped"
    print(f"{session.title()}: measuring", flush=True)
    reason = _measure(session, missing, record, workshop, quick)
    for planned in missing:
        record.add_unmeasured(session, planned, "failed", reason or "its program printed no such measurement")
    if missing:
        print(f"{session.title()}: failed: {reason or f'{len(missing)} measurements did not come'}", flush=True)
        return "failed"
    if reason:
        print(f"{session.title()}: all measured, then {reason}", flush=True)
    return "ok"


def _measure(
    session: Session, missing: list[Planned], record: Record, workshop: Workshop, quick: bool
) -> str | None:
    """Runs the session's process and takes what it yields off the list of what is missing; returns why it failed."""
    command = session.command(workshop, quick)
    log = workshop.folder / f"{session.library}-{session.name.replace(' ', '-').replace('^', '')}-{session.threads}.log"
    with log.open("w") as errors:
        process = subprocess.Popen(
            command.arguments,
            cwd=command.directory or workshop.repository,
            env={**os.environ, **command.environment},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        watchdog = threading.Timer(LIMIT_SECONDS, process.kill)
        watchdog.start()
        try:
            _record_rows(process, session, missing, record)
            code = process.wait()
        finally:
            stuck = not watchdog.is_alive()
            watchdog.cancel()
            process.kill()
    if stuck:
        return f"stopped after {LIMIT_SECONDS} s; its output is in {log.relative_to(workshop.repository)}"
    if code != 0:
        ended = "the system ended it, probably for memory" if code == -9 else last_words(log.read_text())
        return f"ended with {code}: {ended}; its output is in {log.relative_to(workshop.repository)}"
    return None


def _record_rows(process: subprocess.Popen, session: Session, missing: list[Planned], record: Record) -> None:
    waited, since = machine.seconds_waited(), time.monotonic()
    for line in process.stdout:
        try:
            found = json.loads(line)
        except ValueError:
            # Not ours, or torn by a process that died: how it ended is told apart from this.
            continue
        planned = _planned_for(found, missing)
        # A program measures all it knows; what is recorded already, or is not asked for, is not recorded again.
        if planned is None:
            continue
        missing.remove(planned)
        if found.get("status", "ok") != "ok":
            record.add_unmeasured(session, planned, found["status"], found["reason"])
            print(f"  {planned.operation}: {found['status']}: {found['reason']}", flush=True)
            continue
        now, waited_now = time.monotonic(), machine.seconds_waited()
        found["waiting_share"] = round((waited_now - waited) / max(now - since, 1e-9), 4)
        waited, since = waited_now, now
        record.add(session, planned, found)
        print(f"  {planned.operation}: {_shown(found['seconds']['median'])}", flush=True)


def _planned_for(found: object, missing: list[Planned]) -> Planned | None:
    """The planned row that a printed object belongs to; it names its parameters where an operation has several rows."""
    if not isinstance(found, dict):
        return None
    for planned in missing:
        parameters = found.get("parameters", planned.parameters)
        if (found.get("operation"), parameters) == (planned.operation, planned.parameters):
            return planned
    return None


def _shown(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"
