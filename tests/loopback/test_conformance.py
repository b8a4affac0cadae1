"""What every registered probe must keep to, whoever wrote it: its declaration, its metrics, its manners.

A probe's sample case `cases/KIND.yaml` says what to measure; the embedded peers answer.
"""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import importlib
import re
import threading
import time
from collections.abc import Iterator, Sequence
from importlib.resources import files

import jsonschema
import psutil
import pytest

from ots.engine.attempt import GRACE
from ots.model.metric import MetricDef
from ots.probe import Probe
from ots.registry import kinds
from ots.schema.case import Step
from ots.schema.load import load_case
from ots.schema.quantity import WRITTEN
from ots.server.peers.process import Peers
from ots.stats import distribution
from tests.recording import Recording, record

KINDS = list(kinds())

KEY = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
UNIT_OF_SUFFIX = {
    "bits_per_second": "bit/s",
    "meters_per_second": "m/s",
    "seconds": "s",
    "bytes": "By",
    "ratio": "1",
    "hertz": "Hz",
    "meters": "m",
    "degrees": "deg",
    "dbm": "dB[mW]",
    "db": "dB",
    "celsius": "Cel",
    "amperes": "A",
    "rpm": "{round_trip}/min",
    "mos": "1",
    "score": "1",
    "timestamp": "1",
}
"""The closed list of unit suffixes, and the UCUM unit that goes with each. A longer suffix comes first."""

EXCEPTIONS = re.compile(
    r"page_cls|host_load_1m|voice_r_factor|.*_(test_bytes_full_loading|bytes_transferred|bytes_used)"
    r"|.*_(days_left|pixels|cn0_db_hertz|rxqual|cqi|grade)"
)
"""Keys whose ending says nothing of their unit, and that are neither counts nor states."""

RESERVED = ("total", "count", "sum", "bucket", "created", "info")
"""Endings that OpenMetrics appends by itself."""

BESIDE = {
    "ping": {"sweep"},
    "http_check": {"tcp", "tls"},
    "tcp_connect": {"port", "connect"},
    "tls_handshake": {"tcp", "connect"},
    "mail_send": {"smtp", "tcp"},
    "mail_fetch": {"imap", "pop3", "tcp"},
    "mail_delivery": {"smtp", "imap", "pop3", "tcp"},
    "trace": {"path"},
    "speedtest": {"speed"},
    "responsiveness": {"load"},
}
"""First words of a kind's keys that are not the kind's own."""

BOUNDS = {"ci95_low", "ci95_high"}


@pytest.fixture(params=KINDS)
def probe(request: pytest.FixtureRequest) -> Probe:
    """Each registered probe; one that does not load fails here with its reason."""
    return kinds()[request.param]


@pytest.fixture
def steps(probe: Probe, peers: Peers) -> list[Step]:
    """The steps of the probe's sample case that use it, pointed at the embedded peers."""
    text = (files("ots.cases") / f"{probe.kind}.yaml").read_text("utf-8")
    variables = peers.variables()
    case = load_case(text, f"cases/{probe.kind}.yaml", kinds(), variables)
    found = [step for step in case.steps if step.kind.kind == probe.kind]
    assert found, "the sample case of a kind uses it"
    return found


def recorded(probe: Probe, step: Step, **more: float) -> Recording:
    """One attempt at what the step names, in an event loop of its own."""
    targets: Sequence[str] = [target.text for target in step.targets]
    if not probe.targets.many:
        targets = targets[:1]
    params = step.params.model_dump()
    limit, cancel_after = more.get("limit", 60.0), more.get("cancel_after")
    recording = asyncio.run(record(probe, targets, params, limit=limit, cancel_after=cancel_after))
    # What was not closed complains now, in the test that it belongs to.
    gc.collect()
    return recording


def briefly(step: Step) -> Step:
    """The step with a transfer of a second at most: for tests in which its figures don't matter."""
    duration = getattr(step.params, "duration", None)
    if not isinstance(duration, int | float):
        return step
    return dataclasses.replace(step, params=step.params.model_copy(update={"duration": min(duration, 1.0)}))


# What it declares.


def test_it_says_what_it_is(probe: Probe) -> None:
    """A docstring, a one-sentence summary, an example of its own grammar, a version."""
    assert importlib.import_module(type(probe).__module__).__doc__
    assert re.fullmatch(r"[A-Z][^\n]{10,110}[.?]", probe.summary), "one sentence that a menu can show"
    assert re.fullmatch(KEY, probe.kind)
    assert probe.version >= 1
    probe.targets.parse(probe.example)


def test_every_parameter_is_explained(probe: Probe) -> None:
    """Each has a description, and a default unless it is required."""
    for name, field in probe.Params.model_fields.items():
        assert field.description and field.description.rstrip().endswith("."), name
    assert probe.Params.model_config.get("extra") == "forbid"
    assert probe.Params.model_config.get("frozen")


def test_its_parameters_have_a_json_schema_that_fits_them(probe: Probe, steps: list[Step]) -> None:
    """What a case would write of the parameters is valid by the schema, and by the probe itself."""
    schema = probe.Params.model_json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    for step in steps:
        written = step.params.model_dump(mode="json", exclude_none=True)
        jsonschema.validate(written, schema)
        assert probe.Params.model_validate(written, context=dict(WRITTEN)) == step.params


def test_its_metrics_have_lawful_keys_and_units(probe: Probe) -> None:
    """Keys are made by the rules, the unit and the suffix agree, statistics are known."""
    keys = [metric.key for metric in probe.metrics]
    assert len(keys) == len(set(keys))
    for metric in probe.metrics:
        assert re.fullmatch(KEY, metric.key), metric.key
        assert not metric.key.endswith(tuple(f"_{ending}" for ending in RESERVED)), metric.key
        first = metric.key.partition("_")[0]
        assert first in {probe.kind.partition("_")[0], *BESIDE.get(probe.kind, ())}, metric.key
        assert _unit_agrees(metric), f"{metric.key} in {metric.unit}"
        assert metric.stats and set(metric.stats) <= distribution.NAMES, metric.key
        assert metric.title and metric.definition, metric.key


def _unit_agrees(metric: MetricDef) -> bool:
    for suffix, unit in UNIT_OF_SUFFIX.items():
        if metric.key.endswith(f"_{suffix}") and not re.fullmatch(EXCEPTIONS, metric.key):
            return metric.unit == unit
    if re.fullmatch(r"\{[a-z_ ]+\}", metric.unit):
        return True
    # Without a suffix and not counted in things: an exception of the list, a state, or a yes or no.
    return metric.unit == "1" or re.fullmatch(EXCEPTIONS, metric.key) is not None


def test_an_estimate_is_finite_and_needs_no_network(probe: Probe, steps: list[Step]) -> None:
    """The planner can tell how long it may take, and how many samples of each metric to expect."""
    for step in steps:
        estimate = probe.estimate(step.targets, step.params)
        assert 0 < estimate.duration < 3600
        assert all(moved is None or moved >= 0 for moved in (estimate.received, estimate.sent))
        for metric in probe.metrics:
            planned = probe.samples_planned(metric.key, step.targets, step.params)
            assert planned is None or planned >= 0
        assert all(isinstance(warning, str) for warning in probe.warnings(step.targets, step.params))


# What it measures.


def test_nothing_tried_makes_no_wrong_figure(probe: Probe, steps: list[Step]) -> None:
    """Without any attempt, whatever metrics it makes are null and say why."""
    for metric in probe.summarise([], steps[0].params):
        assert metric.n_valid == 0
        for stat, value in metric.stats.items():
            if value is None:
                assert stat in BOUNDS or metric.nulls.get(f"stats.{stat}"), f"{metric.key}.{stat}"
            else:
                assert value == 0, f"{metric.key}.{stat}"


def test_the_sample_case_gives_what_was_declared(
    probe: Probe, steps: list[Step], capfd: pytest.CaptureFixture[str]
) -> None:
    """It succeeds against the peers, prints nothing, and makes declared metrics and series only."""
    declared = {metric.key: metric for metric in probe.metrics}
    for step in steps:
        recording = recorded(probe, step)
        assert [attempt.error for attempt in recording.attempts] == [None] * len(recording.attempts)
        assert {key for attempt in recording.attempts for key, _ in attempt.series} <= set(declared)
        metrics = recording.metrics()
        assert metrics
        for metric in metrics:
            definition = declared[metric.key]
            assert (metric.unit, metric.type) == (definition.unit, definition.type), metric.key
            assert metric.def_version == definition.def_version
            assert set(definition.stats) <= set(metric.stats), metric.key
            extra = set(metric.stats) - set(definition.stats) - BOUNDS
            assert {stat.removesuffix("_incl_loss") for stat in extra} <= distribution.NAMES, metric.key
            missing = {stat for stat, value in metric.stats.items() if value is None} - BOUNDS
            assert missing <= {name.removeprefix("stats.") for name in metric.nulls}, metric.key
            assert metric.n >= metric.n_valid + metric.n_lost
    assert capfd.readouterr() == ("", "")


# Its manners.


def test_it_ends_in_time_when_cancelled(probe: Probe, steps: list[Step]) -> None:
    """A cancel at any moment ends it within the engine's grace; what it had measured can be summarised."""
    for moment in (0.0, 0.02, 0.2):
        start = time.monotonic()
        recording = recorded(probe, steps[0], cancel_after=moment)
        assert time.monotonic() - start < moment + GRACE
        assert not [line for line in recording.log.lines if "tidy up" in str(line)]
        recording.metrics()


def test_it_ends_at_its_deadline(probe: Probe, steps: list[Step]) -> None:
    """The time limit of the attempt holds, and what was measured until then can be summarised."""
    start = time.monotonic()
    recording = recorded(probe, steps[0], limit=0.1)
    assert time.monotonic() - start < 0.1 + GRACE
    assert all(a.error is None or a.error.class_ == "timeout" for a in recording.attempts)
    recording.metrics()


def test_it_leaves_nothing_behind(probe: Probe, steps: list[Step]) -> None:
    """No task, thread, socket or file outlives a run, be it whole or cancelled."""
    brief = briefly(steps[0])
    recorded(probe, brief)
    before = _held()
    recorded(probe, brief)
    recorded(probe, steps[0], cancel_after=0.05)
    # The interpreter closes what only a reference cycle holds when it collects; a probe must not rely on it.
    assert _held() == before


def _held() -> tuple[int, list[str], list[int]]:
    gc.collect()
    process = psutil.Process()
    threads = sorted(thread.name for thread in threading.enumerate())
    return process.num_fds(), threads, sorted(child.pid for child in process.children())


def _sample_cases() -> Iterator[str]:
    for entry in files("ots.cases").iterdir():
        if entry.name.endswith(".yaml"):
            yield entry.name.removesuffix(".yaml")


def test_every_kind_has_a_sample_case() -> None:
    """`cases/` shows how each built-in probe is used."""
    built_in = {kind for kind in kinds() if kinds().origin(kind).distribution == "built-in"}
    assert built_in <= set(_sample_cases())
