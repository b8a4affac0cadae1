"""Latency under load of a step that ran `during` another: its round trips while the load was at work, set
against those of an earlier step without load. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from ots.model.metric import Metric, Value
from ots.model.outcome import ErrorClass, outcome_of
from ots.probe import AttemptData, Sample
from ots.schema.load_metrics import GRADE, INCREASE, JITTER, LOSS, RTT
from ots.stats import delay, distribution
from ots.stats.responsiveness import grade
from ots.stats.summary import of_ratio, of_samples, of_value

_NO_IDLE = "no_idle_step"


@dataclass(frozen=True, slots=True)
class Span:
    """From when to when a load was at work, in seconds since the run's start."""

    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Under:
    """What the samples of a companion stand under: the load's direction and working conditions, and the round
    trips by target that an earlier step took without load."""

    direction: str
    spans: Sequence[Span]
    idle: Mapping[str, Sequence[float]]


def working_conditions(load: Sequence[AttemptData]) -> list[Span]:
    """When the load's attempts were at work: from the end of the warm-up behind the first content, as far as
    the probe says these, to the attempt's last content. Failed attempts were no load."""
    spans = []
    for attempt in load:
        if attempt.outcome != "success":
            continue
        warmup = attempt.method.get("warmup_seconds")
        start = attempt.triggers.get("first_content", attempt.t)
        start += float(warmup) if isinstance(warmup, int | float) else 0.0
        end = attempt.triggers.get("completed", attempt.t + attempt.duration)
        if end > start:
            spans.append(Span(start, end))
    return spans


def idle_round_trips(key: str, attempts: Sequence[AttemptData]) -> dict[str, list[float]]:
    """The round trips of a step without load, by target."""
    found: dict[str, list[float]] = {}
    for attempt in attempts:
        numbers = [float(v) for v in attempt.values(key) if isinstance(v, int | float)]
        found.setdefault(attempt.target, []).extend(numbers)
    return found


def loaded_metrics(key: str, attempts: Sequence[AttemptData], under: Under) -> list[Metric]:
    """The metrics of each target that has samples in working conditions."""
    metrics: list[Metric] = []
    for target in dict.fromkeys(attempt.target for attempt in attempts):
        own = [attempt for attempt in attempts if attempt.target == target]
        samples = [sample for attempt in own for sample in attempt.samples(key)]
        trains = list(_trains(samples, under.spans))
        if any(trains):
            method = dict(own[-1].method)
            metrics += _of_target(target, trains, under, method)
    return metrics


def _trains(samples: Sequence[Sample], spans: Sequence[Span]) -> Iterator[list[float | None]]:
    """Of each span of the load, its round trips in order; None where one was lost."""
    for span in spans:
        yield [
            None if sample.value is None else float(sample.value)
            for sample in sorted(samples, key=lambda sample: sample.t)
            if span.start <= sample.t < span.end
            and (sample.value is not None or outcome_of(cast(ErrorClass, sample.reason)) == "failure")
        ]


def _of_target(
    target: str, trains: Sequence[Sequence[float | None]], under: Under, method: dict[str, Value | None]
) -> list[Metric]:
    labels = {"target": target, "direction": under.direction}
    trips = [trip for train in trains for trip in train]
    came = sorted(trip for trip in trips if trip is not None)
    changes = [change for train in trains for change in delay.ipdv(train)]
    idle = sorted(under.idle.get(target, ()))
    metrics = [
        of_samples(RTT, trips, labels=labels, method=method),
        of_ratio(LOSS, len(trips) - len(came), len(trips), labels=labels, method=method),
        of_value(
            JITTER,
            delay.jitter(changes),
            n=len(changes),
            reason=None if changes else "too_few_samples",
            labels=labels,
            method=method,
        ),
    ]
    base = distribution.median(idle) if idle else None
    for statistic in ("median", "p95"):
        metrics.append(_growth(statistic, came, base, labels, method))
    if base is not None and came:
        letter = grade(distribution.median(came) - base)
        metrics.append(of_samples(GRADE, [letter], labels=labels, method=method))
    return metrics


def _growth(
    statistic: str,
    came: Sequence[float],
    base: float | None,
    labels: Mapping[str, str],
    method: dict[str, Value | None],
) -> Metric:
    value, reason = distribution.compute(statistic, came)
    grown = None
    if base is None:
        reason = _NO_IDLE
    elif isinstance(value, int | float):
        grown = value - base
    metric = of_samples(
        INCREASE,
        [] if grown is None else [grown],
        labels={**labels, "statistic": statistic},
        method=method,
    )
    if grown is None:
        metric.nulls |= {f"stats.{stat}": reason or "no_samples" for stat in INCREASE.stats}
    return metric
