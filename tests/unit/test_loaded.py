"""Latency under load of a companion: only what falls into the load's working conditions counts."""

from __future__ import annotations

import pytest

from ots.engine.loaded import Span, Under, idle_round_trips, loaded_metrics, working_conditions
from ots.model.metric import Metric, Value
from ots.model.outcome import Outcome
from ots.probe import AttemptData, Sample

KEY = "ping_rtt_seconds"


def attempt(
    *trips: tuple[float, float | None, str | None],
    target: str = "a",
    outcome: Outcome = "success",
    triggers: dict[str, float] | None = None,
    method: dict[str, Value | None] | None = None,
) -> AttemptData:
    return AttemptData(
        index=0,
        cycle=0,
        target=target,
        outcome=outcome,
        error=None,
        t=10.0,
        duration=5.0,
        triggers=triggers or {},
        series={(KEY, ()): [Sample(t, value, reason) for t, value, reason in trips]},
        method=method or {},
        flags=(),
    )


def found(metrics: list[Metric], key: str, **labels: str) -> Metric:
    (metric,) = [m for m in metrics if m.key == key and labels.items() <= m.labels.items()]
    return metric


def test_working_conditions_begin_behind_the_warm_up() -> None:
    """First content at 11 s and 1.5 s of warm-up: the load is at work from 12.5 s to its end."""
    load = attempt(triggers={"first_content": 11.0, "completed": 14.0}, method={"warmup_seconds": 1.5})
    assert working_conditions([load]) == [Span(12.5, 14.0)]


def test_what_says_nothing_of_itself_was_at_work_all_the_time_and_what_failed_never() -> None:
    """A page as the load: from its start to its end."""
    assert working_conditions([attempt(), attempt(outcome="failure")]) == [Span(10.0, 15.0)]


def test_only_the_window_counts_and_idle_is_taken_off() -> None:
    """Idle 10 ms; 110, 130, 120 ms and a loss in the window; before and after it anything."""
    trips = [(12.0, 9.0, None), (12.6, 0.11, None), (12.8, 0.13, None), (13.0, 0.12, None)]
    lost: list[tuple[float, float | None, str | None]] = [
        (13.2, None, "loss"),
        (13.3, None, "permission"),
        (14.0, 9.0, None),
    ]
    under = Under("down", [Span(12.5, 14.0)], {"a": [0.009, 0.01, 0.011]})
    metrics = loaded_metrics(KEY, [attempt(*trips, *lost)], under)
    assert found(metrics, "load_rtt_seconds").n == 4
    assert found(metrics, "load_rtt_seconds", direction="down").stats["median"] == 0.12
    growth = found(metrics, "load_rtt_increase_seconds", statistic="median")
    assert growth.stats["median"] == pytest.approx(0.11)
    assert found(metrics, "load_loss_ratio").stats["value"] == 0.25
    assert found(metrics, "load_jitter_seconds").stats["value"] == pytest.approx(0.015)
    assert found(metrics, "load_bufferbloat_grade").stats["mode"] == "C"
    p95 = found(metrics, "load_rtt_increase_seconds", statistic="p95")
    assert (p95.stats["median"], p95.nulls["stats.median"]) == (None, "too_few_samples")


def test_without_an_idle_step_there_is_no_growth_and_no_grade() -> None:
    """The round trips are told; how far they grew is null, with the reason."""
    under = Under("up", [Span(10.0, 15.0)], {})
    metrics = loaded_metrics(KEY, [attempt((11.0, 0.1, None))], under)
    growth = found(metrics, "load_rtt_increase_seconds", statistic="median")
    assert (growth.stats["median"], growth.nulls["stats.median"]) == (None, "no_idle_step")
    assert not [metric for metric in metrics if metric.key == "load_bufferbloat_grade"]


def test_a_step_with_nothing_in_the_window_has_no_figures() -> None:
    """It measured, but not under load."""
    under = Under("down", [Span(20.0, 30.0)], {"a": [0.01]})
    assert loaded_metrics(KEY, [attempt((11.0, 0.1, None))], under) == []


def test_idle_round_trips_are_those_of_the_same_target() -> None:
    """Lost ones are none."""
    steps = [attempt((1.0, 0.1, None), (2.0, None, "loss")), attempt((1.0, 0.3, None), target="b")]
    assert idle_round_trips(KEY, steps) == {"a": [0.1], "b": [0.3]}
