"""From samples to a Metric record: the one place where metrics are made and their numbers checked finite."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from ots.model.metric import Metric, MetricDef, StatValue, Value
from ots.stats import distribution, interval


def of_samples(
    definition: MetricDef,
    values: Sequence[Value | None],
    *,
    labels: Mapping[str, str] | None = None,
    invalid: int = 0,
    method: Mapping[str, Value | None] | None = None,
    flags: Sequence[str] = (),
) -> Metric:
    """The declared statistics over observations; None is a lost one, `invalid` more were never valid.

    States (strings, booleans) get `mode`, `distinct` or `histogram`. `ci95_low` and `ci95_high` bound the
    metric's first statistic where it is a mean, a median or a percentile; null where n is too small.
    """
    if any(isinstance(value, str | bool) for value in values):
        return _of_states(definition, values, labels, invalid, method, flags)
    numbers = [float(value) for value in values if isinstance(value, int | float)]
    for number in numbers:
        if not math.isfinite(number):
            raise ValueError(f"{definition.key}: {number} is not a finite number")
    ordered = sorted(numbers)
    stats: dict[str, StatValue] = {}
    nulls: dict[str, str] = {}
    lost = len(values) - len(numbers)
    for stat in definition.stats:
        if stat == "first":
            first = values[0] if values else None
            value, reason = (first, None) if first is not None else (None, "loss" if values else "no_samples")
        else:
            value, reason = distribution.compute(stat, ordered)
        if reason == "no_samples" and lost:
            reason = "loss"
        stats[stat] = value
        if reason is not None:
            nulls[f"stats.{stat}"] = reason
    _add_interval(definition, ordered, stats, nulls)
    return Metric(
        key=definition.key,
        def_version=definition.def_version,
        type=definition.type,
        unit=definition.unit,
        labels=dict(labels or {}),
        n=len(values) + invalid,
        n_valid=len(numbers),
        n_lost=lost,
        stats=stats,
        nulls=nulls,
        method=dict(method or {}),
        quality_flags=list(flags),
    )


def of_value(
    definition: MetricDef,
    value: StatValue,
    *,
    n: int = 1,
    n_valid: int | None = None,
    n_lost: int = 0,
    reason: str | None = None,
    labels: Mapping[str, str] | None = None,
    method: Mapping[str, Value | None] | None = None,
    flags: Sequence[str] = (),
    extra: Mapping[str, StatValue] | None = None,
) -> Metric:
    """An aggregate with one value; a None value needs its reason."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{definition.key}: {value} is not a finite number")
    if value is None and reason is None:
        raise ValueError(f"{definition.key}: a missing value needs a reason")
    stats: dict[str, StatValue] = {"value": value, **(extra or {})}
    return Metric(
        key=definition.key,
        def_version=definition.def_version,
        type=definition.type,
        unit=definition.unit,
        labels=dict(labels or {}),
        n=n,
        n_valid=n - n_lost if n_valid is None else n_valid,
        n_lost=n_lost,
        stats=stats,
        nulls={f"stats.{stat}": reason or "no_samples" for stat, found in stats.items() if found is None},
        method=dict(method or {}),
        quality_flags=list(flags),
    )


def of_ratio(
    definition: MetricDef,
    hits: int,
    n: int,
    *,
    labels: Mapping[str, str] | None = None,
    method: Mapping[str, Value | None] | None = None,
    flags: Sequence[str] = (),
) -> Metric:
    """The ratio hits/n with its Wilson interval; null for n = 0."""
    bounds = interval.wilson(hits, n)
    low, high = bounds if bounds is not None else (None, None)
    return of_value(
        definition,
        hits / n if n else None,
        n=n,
        reason=None if n else "no_samples",
        labels=labels,
        method=method,
        flags=flags,
        extra={"ci95_low": low, "ci95_high": high},
    )


def _of_states(
    definition: MetricDef,
    values: Sequence[Value | None],
    labels: Mapping[str, str] | None,
    invalid: int,
    method: Mapping[str, Value | None] | None,
    flags: Sequence[str],
) -> Metric:
    present = [value for value in values if value is not None]
    counts = Counter(str(value) for value in present)
    common = Counter(present).most_common(1)[0][0]
    known: dict[str, StatValue] = {
        "value": common,
        "mode": common,
        "first": present[0],
        "distinct": len(counts),
        "histogram": dict(counts),
    }
    return Metric(
        key=definition.key,
        def_version=definition.def_version,
        type=definition.type,
        unit=definition.unit,
        labels=dict(labels or {}),
        n=len(values) + invalid,
        n_valid=len(present),
        n_lost=len(values) - len(present),
        stats={stat: known[stat] for stat in definition.stats},
        nulls={},
        method=dict(method or {}),
        quality_flags=list(flags),
    )


def _add_interval(
    definition: MetricDef, ordered: Sequence[float], stats: dict[str, StatValue], nulls: dict[str, str]
) -> None:
    headline = definition.stats[0]
    if headline == "mean":
        bounds = interval.of_mean(ordered)
    elif headline == "median" or headline in distribution.PERCENTILES:
        bounds = interval.of_percentile(ordered, distribution.PERCENTILES.get(headline, 0.5))
    else:
        return
    stats["ci95_low"], stats["ci95_high"] = bounds if bounds is not None else (None, None)
    if bounds is None:
        nulls["stats.ci95_low"] = nulls["stats.ci95_high"] = distribution.TOO_FEW
