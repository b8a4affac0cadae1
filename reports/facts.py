"""Records of facts (parameters, method, circumstances) as short texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ots.model.metric import Metric, Value
from ots.reports.plain import plain
from ots.reports.quantity import shown
from ots.reports.words import Words

_UNITS = {"_seconds": "s", "_ratio": "1", "_bytes": "By", "_bits_per_second": "bit/s"}


def texts(record: Mapping[str, Any], words: Words) -> list[str]:
    """A record's plain facts; what is missing or nested is left out."""
    return [
        named(name, value, words)
        for name, value in record.items()
        if value is not None and not isinstance(value, Mapping | list | tuple)
    ]


def named(name: str, value: object, words: Words) -> str:
    """`loop lag p99 400 µs` from `loop_lag_p99_seconds` and 0.0004."""
    suffix = next((suffix for suffix in _UNITS if name.endswith(suffix)), "")
    if suffix and isinstance(value, int | float) and not isinstance(value, bool):
        return f"{words.fact(name.removesuffix(suffix))} {shown(float(value), _UNITS[suffix], name)}"
    if isinstance(value, float):
        value = f"{value:.3g}"
    return f"{words.fact(name)} {words.state(value)}"


def spaced(name: str) -> str:
    return plain(name).replace("_", " ")


_FIRST = ("count", "interval", "duration", "connections", "timeout", "size", "interface", "source")


def _place(item: tuple[str, Any]) -> tuple[int, str]:
    """What most people ask for first comes first; a stored report has its parameters by name."""
    name = item[0]
    return (_FIRST.index(name) if name in _FIRST else len(_FIRST)), name


def parameters(params: Mapping[str, Any]) -> list[str]:
    """Parameters as `count 25`, without those that were left open."""
    return [
        f"{spaced(name)} {_listed(value)}"
        for name, value in sorted(params.items(), key=_place)
        if not (value is None or value is False or value in ("auto", "", [], {}))
    ]


def method(metrics: Sequence[Metric]) -> dict[str, Value]:
    """How a step was measured: the facts that its metrics state; where they differ, those of the first."""
    facts: dict[str, Value] = {}
    for metric in metrics:
        for name, value in metric.method.items():
            if value is not None:
                facts.setdefault(name, value)
    return facts


def _listed(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join(_listed(item) for item in value)
    return plain("yes" if value is True else value)
