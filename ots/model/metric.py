"""A metric's definition (what a probe declares) and its record (what a report holds)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec

MetricType = Literal["sample", "series", "attempt", "aggregate", "state"]
Better = Literal["lower", "higher", "neither"]
Value = float | int | str | bool
StatValue = Value | dict[str, int] | None

L_STATS = ("min", "mean", "median", "p95", "p99", "max", "stddev")
"""The statistics of a latency-like metric, beside n, n_valid and n_lost."""


@dataclass(frozen=True, slots=True)
class MetricDef:
    """One metric that a probe declares.

    `key` carries the unit as its suffix; `unit` is UCUM (`s`, `By`, `bit/s`, `1`, `{packet}`).
    `stats` are the names of the statistics that the metric is published with; the first is its headline.
    `title` is what a person reads, in English; renderers translate it. `definition` says from which event to
    which event, `source` names the standard.
    """

    key: str
    unit: str
    type: MetricType
    title: str
    definition: str
    stats: tuple[str, ...] = ("value",)
    better: Better = "neither"
    source: str = ""
    def_version: int = 1


class Metric(msgspec.Struct, kw_only=True):
    """One metric of one step for one set of labels.

    `n = n_valid + n_lost + n_invalid`. A statistic that could not be computed is null and `nulls` has its
    reason under `stats.<name>`.
    """

    key: str
    def_version: int = 1
    type: MetricType
    unit: str
    labels: dict[str, str] = {}
    n: int
    n_valid: int
    n_lost: int
    stats: dict[str, StatValue]
    nulls: dict[str, str] = {}
    method: dict[str, Value | None] = {}
    quality_flags: list[str] = []


class Series(msgspec.Struct, kw_only=True):
    """Raw observations of one key and one set of labels, in columns.

    `t` counts seconds from the run's start; `v` is null where the observation is missing, and `nulls` has the
    reason under the position in the column; `a` is the index of the attempt that made the observation.
    """

    key: str
    labels: dict[str, str]
    t: list[float]
    v: list[Value | None]
    a: list[int]
    nulls: dict[str, str] = {}
