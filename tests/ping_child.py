"""Runs ping or trace in a process of its own, so that a test can put it into a network namespace or take its
rights away: `python -m tests.ping_child '[{"targets": […], "params": {…}}]'` prints the results as JSON."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

import msgspec
import psutil

from ots.probe import AttemptData
from ots.registry import kinds
from tests.recording import record


def _sockets() -> int:
    """Open sockets of this process."""
    found = 0
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found += os.readlink(entry).startswith("socket:")
        except FileNotFoundError:
            continue
    return found


def _plain(attempt: AttemptData) -> dict[str, Any]:
    return {
        "target": attempt.target,
        "outcome": attempt.outcome,
        "error": msgspec.to_builtins(attempt.error),
        "flags": list(attempt.flags),
        "method": dict(attempt.method),
        "series": [
            {
                "key": key,
                "labels": dict(labels),
                "t": [s.t for s in samples],
                "v": [s.value for s in samples],
                "why": [s.reason for s in samples],
            }
            for (key, labels), samples in attempt.series.items()
        ],
    }


async def _run(spec: dict[str, Any]) -> dict[str, Any]:
    probe = kinds()[spec.get("probe", "ping")]
    recording = await record(
        probe,
        spec["targets"],
        spec.get("params"),
        cancel_after=spec.get("cancel_after"),
        limit=spec.get("limit", 30),
    )
    return {
        "attempts": [_plain(attempt) for attempt in recording.attempts],
        "metrics": msgspec.to_builtins(recording.metrics()),
        "log": [line.text for line in recording.log.lines],
        "artifacts": {name: data.decode() for name, data in recording.artifacts.items()},
        "missing": [requirement.missing() for requirement in probe.requires],
    }


async def _main(specs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All at the same time; what is left behind counts for all of them."""
    before = _sockets()
    documents = await asyncio.gather(*(_run(spec) for spec in specs))
    left = {
        "sockets_left": _sockets() - before,
        "children_left": len(psutil.Process().children()),
        "threads_left": threading.active_count() - 1,
    }
    return [document | left for document in documents]


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_main(json.loads(sys.argv[1])))))  # noqa: T201 (its answer to the test)
