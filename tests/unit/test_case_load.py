"""Loading right cases: what comes out is what the planner needs."""

from __future__ import annotations

import hashlib

import pytest

from ots.schema.case import Case
from ots.schema.kinds import Kind
from ots.schema.load import CaseError, load_case
from tests.unit.case_kinds import KINDS, FetchParams, KnockParams

WHOLE = """\
ots: 1                                  # case format
id: office-broadband
version: 3
title: {en: Office broadband, zh: 办公室宽带}
tags: {floor: "2"}
vars: {host: 192.0.2.1, server: "http://${host}:8080"}
precheck: {probe: knock, target: "${host}", wait: 5 s, on_fail: skip}
time_limit: 10 min
on_failure: stop
steps:
  - id: gateway
    probe: knock
    target: ["${host}", 192.0.2.2]
    params: {count: 400, interval: 20 ms, timeout: 2 s, family: 4}
    repeat: 2
    pause: 1 s
    thresholds:
      - {metric: knock_rtt_seconds, stat: p95, warn: "< 60 ms", fail: "< 150 ms", where: {target: 192.0.2.2}}
      - {metric: knock_packet_loss_ratio, fail: "<= 1 %", confidence: 95 %, id: loss, reason: contract}
  - {id: neighbours, probe: knock, target: 192.0.2.0/28}
  - parallel:
      - {id: one, probe: knock, target: 192.0.2.1, on_failure: continue}
      - {id: two, probe: login, target: "192.0.2.1:25", params: {user: me, password: "${secret:mail}"}}
  - {id: down, probe: fetch_page, target: "${server}/down", params: {duration: 4 s, size: 10 MB, share: 80 %}}
  - {id: loaded, probe: knock, target: 192.0.2.1, during: down, time_limit: 10 s}
  - id: again
    probe: knock
    for_each: {host: [a.example, b.example], n: [10, 20]}
    target: "${host}"
    params: {count: "${n}"}
    when: "steps.gateway.verdict == 'pass'"
    require_success: 80 %
    expect: failure
schedule: {cron: "*/15 * * * *", zone: Asia/Shanghai}
"""


def _load(text: str, **variables: str) -> Case:
    return load_case(text, "office.yaml", KINDS, variables)


def _step(**fields: str) -> str:
    rest = "".join(f"    {name}: {value}\n" for name, value in fields.items())
    return f"ots: 1\nid: c\nsteps:\n  - id: a\n    probe: knock\n    target: 192.0.2.1\n{rest}"


def test_the_head() -> None:
    """What stands beside the steps arrives with its types."""
    case = _load(WHOLE)
    assert (case.id, case.version, case.on_failure, case.time_limit) == ("office-broadband", 3, "stop", 600.0)
    assert case.title == {"en": "Office broadband", "zh": "办公室宽带"}
    assert case.tags == {"floor": "2"}
    assert case.sha256 == hashlib.sha256(WHOLE.encode()).hexdigest()
    assert case.schedule is not None
    assert (case.schedule.every, case.schedule.cron, case.schedule.zone) == (
        None,
        "*/15 * * * *",
        "Asia/Shanghai",
    )
    assert case.precheck is not None
    assert (case.precheck.target.text, case.precheck.wait, case.precheck.on_fail) == (
        "192.0.2.1",
        5.0,
        "skip",
    )
    assert case.variables == {"host", "server", "n"}


def test_the_blocks() -> None:
    """Every top-level entry is a block; instances of one step follow each other in theirs."""
    case = _load(WHOLE)
    assert [(tuple(step.key for step in block.steps), block.parallel) for block in case.blocks] == [
        (("gateway",), False),
        (("neighbours",), False),
        (("one", "two"), True),
        (("down",), False),
        (("loaded",), False),
        (
            (
                "again[host=a.example,n=10]",
                "again[host=a.example,n=20]",
                "again[host=b.example,n=10]",
                "again[host=b.example,n=20]",
            ),
            False,
        ),
    ]


def test_a_step() -> None:
    """A step's parameters are checked and in base units; its thresholds are understood."""
    step = _load(WHOLE).steps[0]
    assert isinstance(step.params, KnockParams)
    assert (step.params.count, step.params.interval, step.params.family) == (400, 0.02, "4")
    assert (step.repeat, step.pause, step.retries, step.on_failure, step.line) == (2, 1.0, 1, "stop", 11)
    first, second = step.thresholds
    assert (first.id, first.unit, first.where) == ("knock_rtt_seconds.p95", "s", {"target": "192.0.2.2"})
    assert first.warn is not None
    assert first.warn.holds(0.0599)
    assert not first.warn.holds(0.06)
    assert (second.id, second.confidence, second.reason) == ("loss", 0.95, "contract")


def test_instances_differ_in_their_variables() -> None:
    """`for_each` wins over the case's variables and reaches parameters with their types."""
    again = [step for step in _load(WHOLE).steps if step.id == "again"]
    assert [(step.targets[0].text, step.params.model_dump()["count"]) for step in again] == [
        ("a.example", 10),
        ("a.example", 20),
        ("b.example", 10),
        ("b.example", 20),
    ]
    assert again[0].instance == "host=a.example,n=10"
    assert (again[0].require_success, again[0].expect) == (0.8, "failure")
    assert again[0].when is not None
    assert again[0].when.references() == {"gateway"}


def test_given_variables_win() -> None:
    """What the caller gives wins over the case's own, also inside its other variables."""
    down = next(step for step in _load(WHOLE, host="192.0.2.9").steps if step.id == "down")
    assert down.targets[0].host == "192.0.2.9"
    assert isinstance(down.params, FetchParams)
    assert (down.params.size, down.params.share) == (10_000_000, 0.8)


def test_a_given_value_is_taken_literally() -> None:
    """A value from outside can't bring in another variable or more YAML."""
    text = "ots: 1\nid: c\nvars: {h: x}\nsteps:\n  - {id: a, probe: knock, target: '${h}'}\n"
    with pytest.raises(CaseError, match=r"no target"):
        _load(text, h="${secret:x}, b: {c: 1}")


def test_params_are_written_as_in_a_case() -> None:
    """A report shows parameters as a case would write them, and a secret only by its name."""
    steps = {step.id: step for step in _load(WHOLE).steps}
    assert steps["gateway"].params.model_dump(mode="json")["interval"] == "20 ms"
    assert steps["down"].params.model_dump(mode="json")["size"] == "10 MB"
    assert steps["two"].params.model_dump(mode="json")["password"] == "${secret:mail}"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("all", "all"),
        ("any", "any"),
        ("3", 3),
        ("0.5", 0.5),
        ("80 %", 0.8),
        ('"2"', 2),
        ("1", 1),
        ("1.0", 1.0),
    ],
)
def test_require_success(written: str, meant: str | int | float) -> None:
    """A whole number counts attempts, a fraction or a percentage is a share of them."""
    required = _load(_step(repeat="5", require_success=written)).steps[0].require_success
    assert required == meant
    assert type(required) is type(meant)


@pytest.mark.parametrize(
    ("stat", "count"), [("p95", 25), ("p99", 125), ("stddev", 3), ("median", 1), ("max", 1)]
)
def test_a_percentile_needs_its_samples_with_a_fifth_lost(stat: str, count: int) -> None:
    """The smallest plan that supports a statistic loads, and one sample fewer doesn't."""
    limit = f'[{{metric: knock_rtt_seconds, stat: {stat}, fail: "< 1 s"}}]'
    assert _load(_step(params=f"{{count: {count}}}", thresholds=limit)).steps[0].thresholds
    if count > 1:
        with pytest.raises(CaseError, match=f"set count to {count} or more"):
            _load(_step(params=f"{{count: {count - 1}}}", thresholds=limit))


@pytest.mark.parametrize(("limit", "count"), [("<= 1 %", 100), ("< 5 %", 20), (">= 98 %", 50), ("<= 0 %", 1)])
def test_a_ratio_needs_one_over_its_limit(limit: str, count: int) -> None:
    """A share can't be told finer than one sample of those planned."""
    threshold = f'[{{metric: knock_packet_loss_ratio, fail: "{limit}"}}]'
    assert _load(_step(params=f"{{count: {count}}}", thresholds=threshold)).steps[0].thresholds
    if count > 1:
        with pytest.raises(CaseError, match=f"set count to {count} or more"):
            _load(_step(params=f"{{count: {count - 1}}}", thresholds=threshold))


def test_repeats_count_as_samples() -> None:
    """Five times five knocks are twenty-five samples."""
    limit = '[{metric: knock_rtt_seconds, stat: p95, fail: "< 1 s"}]'
    assert _load(_step(params="{count: 5}", repeat="5", thresholds=limit)).steps[0].thresholds


def test_an_unknown_number_of_samples_is_not_judged() -> None:
    """Where a probe can't say how many samples come, the run decides."""
    text = (
        "ots: 1\nid: c\nsteps:\n  - {id: a, probe: fetch_page, target: 'http://192.0.2.1/',"
        " thresholds: [{metric: fetch_page_interval_bits_per_second, stat: p05, fail: '>= 1 Mbit/s'}]}\n"
    )
    assert _load(text).steps[0].thresholds[0].stat == "p05"


def test_warnings() -> None:
    """What is legal and probably not meant is said, with the step's name."""
    case = _load(_step(params="{count: 2, interval: 100 ms}", time_limit="50 ms"))
    assert case.warnings == (
        "a: timeout is longer than all knocks together",
        "a: it may take 200 ms, and its time_limit of 50 ms would cut it off",
    )


def test_a_probe_that_cannot_be_imported_is_a_problem_of_the_case() -> None:
    """A broken third-party probe gives its reason, not a traceback."""

    class Broken(dict[str, Kind]):
        def __getitem__(self, kind: str) -> Kind:
            raise LookupError("knock from somewhere: ImportError: no module")

    with pytest.raises(CaseError, match="the probe 'knock' can't be used: knock from somewhere"):
        load_case(_step(), "c.yaml", Broken(KINDS), {})


def test_problems_without_end_stop_at_some_hundred() -> None:
    """A file that is wrong in thousands of places does not keep anybody waiting."""
    with pytest.raises(CaseError) as caught:
        _load("ots: 1\nid: c\n" + "".join(f"k{n}: 1\n" for n in range(9000)))
    assert len(caught.value.problems) == 300


def test_bytes_load_like_text() -> None:
    """A caller may hand over what it read."""
    assert load_case(WHOLE.encode(), "office.yaml", KINDS, {}) == _load(WHOLE)
