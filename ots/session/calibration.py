"""What this machine reaches against our own server on its loopback: measured once, kept in the data folder.

A ceiling belongs to a machine, its kernel, its Python and this version of OTS; where one of them has changed
it isn't used any more.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ots import __version__
from ots.clock import SystemClock, rfc3339
from ots.engine.attempt import attempt
from ots.engine.budget import DataBudget
from ots.engine.context import AttemptContext, StepLog
from ots.engine.recorder import AttemptRecorder
from ots.registry import kinds
from ots.stats.ceiling import Ceilings, key

FILE = "calibration.json"
SECONDS = 1.0
"""How long each combination transfers."""

_SEVERAL = 4


@dataclass(frozen=True, slots=True)
class Calibration:
    """Ceilings, when they were measured, and whether this is still the machine that they were measured on."""

    made: str
    valid: bool
    ceilings: Ceilings


def machine() -> dict[str, str | int | None]:
    """What a ceiling depends on."""
    return {
        "cpu_count": os.cpu_count(),
        "architecture": platform.machine(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "ots": __version__,
    }


def load(folder: Path) -> Calibration | None:
    """The stored calibration, None if there is none or what is there can't be read as one."""
    try:
        document = json.loads((folder / FILE).read_text("utf-8"))
        found = {str(name): float(rate) for name, rate in document["bits_per_second"].items()}
        return Calibration(str(document["made"]), document["machine"] == machine(), Ceilings(found))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def ceilings(folder: Path) -> Ceilings:
    """What may be compared with; empty without a calibration of this very machine."""
    found = load(folder)
    return found.ceilings if found is not None and found.valid else Ceilings()


def store(folder: Path, found: Mapping[str, float]) -> None:
    """Keeps a calibration. OSError if the folder can't be written."""
    document = {
        "made": rfc3339(SystemClock().wall()),
        "machine": machine(),
        "bits_per_second": dict(found),
    }
    folder.mkdir(parents=True, exist_ok=True)
    written = folder / f"{FILE}.new"
    written.write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    written.replace(folder / FILE)


async def measure(server: Mapping[str, str]) -> AsyncIterator[tuple[str, float | None]]:
    """Measures every combination against the test peers: its key and bit/s, None where it failed.

    `server` are the peers' variables (`server`, `tls`, `ftp`, `ca`).
    """
    for kind, target, params in _combinations(server):
        for connections in (1, _SEVERAL):
            name = key(kind, tls=bool(params), several=connections > 1)
            yield name, await _once(kind, target, {**params, "connections": connections})


def _combinations(server: Mapping[str, str]) -> Iterator[tuple[str, str, dict[str, object]]]:
    tls = f"https://{server['tls']}"
    for kind, path in (("http_download", "/speed/down"), ("http_upload", "/speed/up")):
        yield kind, server["server"] + path, {}
        yield kind, tls + path, {"ca_file": server["ca"]}
    yield "ftp_download", f"{server['ftp']}/speed/down", {}
    yield "ftp_upload", f"{server['ftp']}/in/", {}


async def _once(kind: str, target: str, params: Mapping[str, object]) -> float | None:
    """One attempt, straight on the engine: no report is made of it."""
    probe, clock = kinds()[kind], SystemClock()
    start = clock.monotonic()
    parsed, checked = (
        probe.targets.parse(target),
        probe.Params.model_validate({**params, "duration": SECONDS}),
    )
    log, recorder = StepLog(clock, start), AttemptRecorder(0, 0, parsed.text, 0.0, 0)
    limit = probe.estimate([parsed], checked).patience
    context = AttemptContext(
        {parsed.text: recorder},
        clock=clock,
        start=start,
        deadline=start + limit,
        budget=DataBudget(),
        log=log,
        workdir=Path(os.devnull),
        secret=lambda reference: "",
        keep=lambda name, data: "",
        progress=lambda fraction, text: None,
    )
    await attempt(
        probe, [parsed], checked, context, [recorder], clock=clock, start=start, limit=limit, log=log
    )
    (rate,) = recorder.data().values(f"{kind}_throughput_bits_per_second") or [None]
    return rate if isinstance(rate, float) else None
