"""The HAR files that a report keeps beside it: one for each page load of a step, read with suspicion.

HAR 1.2 (HTTP Archive): `log` with `pages` and `entries`, times in milliseconds. A report and its files may
come from elsewhere, so that nothing of their shape is taken for granted.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ots.model.report import Artifact, Report, Step

LARGEST = 64 * 1024 * 1024
"""Bytes of a file that are read; a page of 5,000 resources has about 5 MB."""


@dataclass(frozen=True, slots=True)
class Archive:
    """The file of one page load; `log` is None where it is not at hand or no HAR, and `lack` says which."""

    step: Step
    artifact: Artifact
    log: Mapping[str, Any] | None
    lack: str | None = None


def archives(report: Report, artifacts: Mapping[str, bytes]) -> Iterator[Archive]:
    """Every HAR file that the report names, in the order of its steps."""
    for step in report.steps:
        yield from archives_of(step, artifacts)


def archives_of(step: Step, artifacts: Mapping[str, bytes]) -> Iterator[Archive]:
    """The HAR files of one step, in the order of its attempts."""
    for artifact in step.artifacts:
        if artifact.name.endswith(".har") and artifact.media_type.partition(";")[0] == "application/json":
            log, lack = _read(artifacts.get(artifact.sha256))
            yield Archive(step, artifact, log, lack)


def records(value: object) -> list[dict[str, Any]]:
    """The objects of a list; everything else is left out."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def record(value: object) -> dict[str, Any]:
    """The object, or an empty one in place of anything else."""
    return value if isinstance(value, dict) else {}


def _read(data: bytes | None) -> tuple[Mapping[str, Any] | None, str | None]:
    if data is None:
        return None, "not_at_hand"
    if len(data) > LARGEST:
        return None, "too_large"
    try:
        document = json.loads(data, parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError):
        return None, "no_har"
    log = record(record(document).get("log"))
    return (log, None) if isinstance(log.get("entries"), list) else (None, "no_har")


def _finite(text: str) -> float:
    """`NaN` is no JSON, and `1e999` would come out as what is none."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no finite number")
    return number
