"""The HAR files that a report keeps beside it: one for each page load of a step, read with suspicion.

HAR 1.2 (HTTP Archive): `log` with `pages` and `entries`, times in milliseconds. A report and its files may
come from elsewhere, so that nothing of their shape is taken for granted.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from ots.model.report import Artifact, Step

LARGEST = 64 * 1024 * 1024
"""Bytes of a file that are read; a page of 5,000 resources has about 5 MB."""


def named_by(step: Step) -> list[Artifact]:
    """The HAR files that a step names, in the order of its attempts."""
    return [
        artifact
        for artifact in step.artifacts
        if artifact.name.endswith(".har") and artifact.media_type.partition(";")[0] == "application/json"
    ]


def log_of(artifact: Artifact, artifacts: Mapping[str, bytes]) -> dict[str, Any] | None:
    """The `log` of a file; None where the file is not at hand, too large, or no HAR."""
    data = artifacts.get(artifact.sha256)
    if data is None or len(data) > LARGEST:
        return None
    try:
        document = json.loads(data, parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError):
        return None
    log = record(record(document).get("log"))
    return log if isinstance(log.get("entries"), list) else None


def records(value: object) -> list[dict[str, Any]]:
    """The objects of a list; everything else is left out."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def record(value: object) -> dict[str, Any]:
    """The object, or an empty one in place of anything else."""
    return value if isinstance(value, dict) else {}


def _finite(text: str) -> float:
    """`NaN` is no JSON, and `1e999` would come out as what is none."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no finite number")
    return number
