"""OTS as its users run it: one `ots` command in a process of its own, figures read from its JSON report."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.child import Done, run


@dataclass(frozen=True, slots=True)
class Measured:
    """What one step of a report says, and the process that said it."""

    step: dict[str, Any]
    done: Done

    def value(self, key: str, statistic: str = "value") -> float:
        """A statistic of a metric; RuntimeError, with the step's error, where it is missing."""
        found = [metric for metric in self.step["metrics"] if metric["key"] == key]
        value = found[0]["stats"].get(statistic) if found else None
        if value is None:
            raise RuntimeError(f"no {key}.{statistic}: {[each['error'] for each in self.step['attempts']]}")
        return float(value)

    def method(self, key: str) -> dict[str, Any]:
        """How a metric was measured."""
        return next(dict(metric["method"]) for metric in self.step["metrics"] if metric["key"] == key)


def measure(arguments: Sequence[str], *, prefix: Sequence[str] = (), timeout: float = 180.0) -> Measured:
    """Runs `ots ARGUMENTS` with a data folder of its own; `prefix` is what runs it, such as `ip netns exec`.

    RuntimeError unless it exits 0, 1 or 2: measured, with whatever verdict.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "report.json"
        done = run(
            [*prefix, sys.executable, "-m", "ots", *arguments, "--format", "json", "--output", str(file)],
            env={"OTS_DATA_DIR": folder},
            ok=(0, 1, 2),
            timeout=timeout,
        )
        (step,) = json.loads(file.read_text("utf-8"))["steps"]
    return Measured(step, done)
