"""Thresholds and expressions: what holds, which limit is weaker, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ots.model.metric import L_STATS, MetricDef
from ots.schema.expression import Expression, ExpressionError, weaker
from ots.schema.threshold import Threshold, ThresholdWritten, planned_needed, understand
from ots.units import Dimension

RTT = MetricDef("knock_rtt_seconds", "s", "sample", "", "", L_STATS)
LOSS = MetricDef("knock_packet_loss_ratio", "1", "aggregate", "", "", ("value",))
STATE = MetricDef("port_state", "", "state", "", "", ("value",))
RATE = MetricDef("fetch_throughput_bits_per_second", "bit/s", "attempt", "", "", ("mean", "median", "p10"))
SHARE = MetricDef("fetch_goodput_ratio", "1", "attempt", "", "", ("value",))


@pytest.mark.parametrize(
    ("text", "dimension", "inside", "outside"),
    [
        ("< 60 ms", "duration", 0.0599, 0.06),
        ("<= 60 ms", "duration", 0.06, 0.0601),
        ("> 60 ms", "duration", 0.0601, 0.06),
        (">= 50 Mbit/s", "rate", 5e7, 4.99e7),
        ("== 3", "number", 3.0, 3.1),
        ("!= 3", "number", 3.1, 3.0),
        ("in [1, 2]", "number", 2.0, 1.5),
        ("between 10 ms and 20 ms", "duration", 0.02, 0.021),
        ("between 10ms, 20ms", "duration", 0.01, 0.009),
        ("<= 0.1 %", "ratio", 0.001, 0.0011),
        (">= -95 dBm", "power", -95.0, -96.0),
        ("== open", None, "open", "closed"),
        ("!= open", None, "closed", "open"),
        ("in [open, 'filtered']", None, "filtered", "closed"),
        ("== true", None, True, False),
    ],
)
def test_holds(text: str, dimension: Dimension | None, inside: Any, outside: Any) -> None:
    """An expression says what is required; comparison is exact."""
    expression = Expression.parse(text, dimension)
    assert expression.holds(inside)
    assert not expression.holds(outside)


def test_infinitely_late_breaches_every_upper_bound() -> None:
    """A lost sample, put at infinity, is above any limit."""
    late = Expression.parse("< 60 ms", "duration")
    assert late.upper_bound
    assert not late.holds(math.inf)
    assert not Expression.parse(">= 1 Mbit/s", "rate").upper_bound


@pytest.mark.parametrize(
    ("text", "dimension", "message"),
    [
        ("60 ms", "duration", "'60 ms' is no limit: write what must hold, such as '< 200 ms'"),
        ("< 60", "duration", "'< 60': 60 has no unit: write 60 ms or 60 s"),
        ("=> 60 ms", "duration", "'=> 60 ms': write >= 60 ms"),
        ("= 60 ms", "duration", "'= 60 ms': write == 60 ms"),
        ("≤ 1 %", "ratio", "'≤ 1 %': write <= 1 %"),
        ("", "ratio", "expected what must hold, such as '< 1 %'"),
        ("<", "ratio", "'<' is no limit: write what must hold, such as '< 1 %'"),
        ("between 1 ms", "duration", "'between 1 ms': write between A and B"),
        ("between 2 ms and 1 ms", "duration", "'between 2 ms and 1 ms': the smaller value comes first"),
        ("< open", None, "'< open': a state is compared with ==, != or in [a, b]"),
        ("in [a, ]", None, "'' is no word: letters and digits, or quotes around it"),
        ("x" * 300, "number", "expected what must hold, such as '< 5'"),
    ],
)
def test_expression_refuses(text: str, dimension: Dimension | None, message: str) -> None:
    """What is no expression is refused with what would be one."""
    with pytest.raises(ExpressionError) as caught:
        Expression.parse(text, dimension)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("fail", "warn", "answer"),
    [
        ("< 150 ms", "< 60 ms", True),
        ("< 60 ms", "< 150 ms", False),
        ("< 60 ms", "< 60 ms", False),
        ("<= 60 ms", "< 60 ms", True),
        ("> 10 ms", "> 20 ms", True),
        ("> 150 ms", "< 60 ms", False),
        ("between 1 ms 9 ms", "between 2 ms 8 ms", True),
        ("between 1 ms 9 ms", "between 2 ms 10 ms", False),
        ("in [1 ms, 2 ms]", "== 1 ms", True),
        ("!= 5 ms", "< 5 ms", True),
        ("< 5 ms", "!= 5 ms", False),
    ],
)
def test_weaker(fail: str, warn: str, answer: bool) -> None:
    """`fail` is weaker than `warn` if it holds wherever warn does, and elsewhere too."""
    assert weaker(Expression.parse(fail, "duration"), Expression.parse(warn, "duration")) is answer


_NUMBERS = st.sampled_from(["1", "2", "3", "4"])
_EXPRESSIONS = st.one_of(
    st.tuples(st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), _NUMBERS).map(" ".join),
    st.lists(_NUMBERS, min_size=1, max_size=3).map(lambda numbers: f"in [{', '.join(numbers)}]"),
    st.lists(_NUMBERS, min_size=2, max_size=2).map(lambda pair: "between {} and {}".format(*sorted(pair))),
)


@given(fail=_EXPRESSIONS, warn=_EXPRESSIONS)
def test_weaker_agrees_with_trying_every_value(fail: str, warn: str) -> None:
    """The decision from a few points is the same as from a fine grid over the whole range."""
    weak, strong = Expression.parse(fail, "number"), Expression.parse(warn, "number")
    grid = [step / 4 for step in range(-4, 25)]
    implied = all(weak.holds(value) for value in grid if strong.holds(value))
    more = any(weak.holds(value) and not strong.holds(value) for value in grid)
    assert weaker(weak, strong) == (implied and more)


def _understood(definition: MetricDef, **fields: Any) -> Threshold:
    threshold = understand(ThresholdWritten(metric=definition.key, **fields), [definition])
    assert isinstance(threshold, Threshold)
    return threshold


@pytest.mark.parametrize(
    ("definition", "stat"),
    [(RTT, "median"), (LOSS, "value"), (RATE, "median"), (SHARE, "value"), (STATE, "value")],
)
def test_default_statistic(definition: MetricDef, stat: str) -> None:
    """Median for samples and attempts, value for aggregates and states, if the metric has it."""
    limit = {"RTT": "< 1 s", "STATE": "== open"}.get("STATE" if definition is STATE else "RTT", "")
    limit = {"s": "< 1 s", "1": "< 1 %", "bit/s": "< 1 Mbit/s", "": "== open"}[definition.unit]
    assert _understood(definition, fail=limit).stat == stat


@pytest.mark.parametrize(
    ("definition", "fields", "needed"),
    [
        (RTT, {"stat": "p95", "fail": "< 60 ms"}, 25),
        (RTT, {"stat": "p99", "fail": "< 60 ms"}, 125),
        (RTT, {"stat": "median", "fail": "< 60 ms"}, 1),
        (RTT, {"stat": "median", "fail": "< 60 ms", "min_samples": 40}, 50),
        (RATE, {"stat": "p10", "fail": "> 1 Mbit/s"}, 13),
        (LOSS, {"fail": "<= 1 %"}, 100),
        (LOSS, {"warn": "<= 0.5 %", "fail": "<= 1 %"}, 200),
        (LOSS, {"fail": ">= 99.9 %"}, 1000),
        (LOSS, {"fail": "<= 0 %"}, 1),
        (LOSS, {"fail": "<= 1 %", "min_samples": 20}, 20),
        (SHARE, {"fail": ">= 99 %"}, 1),
    ],
)
def test_planned_needed(definition: MetricDef, fields: dict[str, Any], needed: int) -> None:
    """The samples that a plan must hold: METRICS' 25, 125 and 100, and what follows from the limit."""
    assert planned_needed(_understood(definition, **fields), definition) == needed
