"""One probe from the command line: short names of metrics, and messages that name the option."""

from __future__ import annotations

from typing import Any

import pytest

from ots.model.metric import MetricDef
from ots.schema.load import CaseError, case_of_probe, load_case
from ots.schema.quick import find_metric
from tests.unit.case_kinds import FETCH, KINDS, KNOCK, LOGIN, FakeKind, KnockParams


def _messages(kind: FakeKind, targets: list[str], params: dict[str, object], **more: Any) -> list[str]:
    with pytest.raises(CaseError) as caught:
        case_of_probe(kind, targets, params, **more)
    return [str(problem) for problem in caught.value.problems]


def test_a_case_of_one_step() -> None:
    """Parameters come as text and are checked like a case's."""
    case = case_of_probe(
        KNOCK,
        ["192.0.2.1", "192.0.2.2"],
        {"count": "200", "interval": "10 ms", "family": "4"},
        fail=["loss <= 1 %", "rtt p95 < 60 ms"],
        warn=["rtt p95 < 20ms", "duplicates == 0"],
        repeat=3,
        pause=0.25,
        time_limit=90.0,
    )
    (step,) = case.steps
    assert isinstance(step.params, KnockParams)
    assert (step.params.count, step.params.interval) == (200, 0.01)
    assert (step.repeat, step.pause, step.time_limit, step.line) == (3, 0.25, 90.0, 0)
    assert (case.id, case.version, case.title, len(case.sha256)) == ("knock", None, {}, 64)
    limits = {threshold.id: [limit.text for limit in threshold.limits] for threshold in step.thresholds}
    assert limits == {
        "knock_packet_loss_ratio.value": ["<= 1 %"],
        "knock_rtt_seconds.p95": ["< 60 ms", "< 20ms"],
        "knock_duplicates.value": ["== 0"],
    }


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("rtt", "knock_rtt_seconds"),
        ("loss", "knock_packet_loss_ratio"),
        ("packet_loss", "knock_packet_loss_ratio"),
        ("jitter", "knock_jitter_seconds"),
        ("sweep_rtt", "sweep_rtt_seconds"),
        ("knock_rtt_seconds", "knock_rtt_seconds"),
        ("hosts_up", "sweep_hosts_up"),
    ],
)
def test_short_names(name: str, key: str) -> None:
    """A unique end of a key is enough, and the probe's own metrics come first."""
    metric = find_metric(name, KNOCK)
    assert isinstance(metric, MetricDef)
    assert metric.key == key


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "bits_per_second",
            "'bits_per_second' may be fetch_page_interval_bits_per_second or "
            "fetch_page_throughput_bits_per_second: write which",
        ),
        ("throughputs", "fetch_page has no metric 'throughputs': did you mean 'throughput'?"),
        ("zzz", "fetch_page has no metric 'zzz' (known: bytes, goodput, interval, throughput)"),
    ],
)
def test_short_names_refused(name: str, message: str) -> None:
    """A name that fits several metrics lists them; one that fits none says what there is."""
    assert find_metric(name, FETCH) == message


def test_every_problem_names_its_option() -> None:
    """There is no file, so a message says which option or argument it is about."""
    assert _messages(
        KNOCK,
        ["192.0.2.300"],
        {"count": "many", "interval": "20", "nix": 1},
        fail=["los <= 1 %", "rtt < 60", "nonsense"],
        warn=["rtt mean < 5 ms", "rtt mean < 6 ms"],
    ) == [
        "--count: expected a whole number, got 'many'",
        "--fail 'los <= 1 %': knock has no metric 'los': did you mean 'loss'?",
        "--fail 'nonsense': expected a metric and what must hold, such as 'rtt p95 < 60 ms' or 'loss <= 1 %'",
        "--fail 'rtt < 60': '< 60': 60 has no unit: write 60 ms or 60 s",
        "--interval: 20 has no unit: write 20 ms or 20 s",
        "--nix: unknown key 'nix' (known: count, family, interface, interval, timeout, verify)",
        "--warn 'rtt mean < 6 ms': rtt has two --warn: write one",
        "target: '192.0.2.300' is no IPv4 address: four numbers from 0 to 255",
    ]


def test_too_few_samples_propose_an_option() -> None:
    """The proposal is in the caller's words."""
    assert _messages(KNOCK, ["192.0.2.1"], {}, fail=["loss <= 1 %"]) == [
        "--fail 'loss <= 1 %': knock_packet_loss_ratio value <= 1 %: needs 100 planned samples, "
        "and there are 20: give --count 100 or more"
    ]


@pytest.mark.parametrize("place", ["env:MAIL_PASSWORD", "file:/run/secrets/mail", "prompt"])
def test_only_the_command_line_says_where_a_secret_lies(place: str) -> None:
    """A user at the terminal may name a file or a variable; a case, which may come from afar, may not."""
    case = case_of_probe(LOGIN, ["192.0.2.1"], {"user": "me", "password": place})
    assert case.steps[0].params.model_dump()["password"] == f"${{secret:{place}}}"
    for written in (place, f"$${{secret:{place}}}", f"${{secret:{place}}}"):
        params = f"{{user: x, password: '{written}'}}"
        text = f"ots: 1\nid: c\nsteps:\n  - {{id: a, probe: login, target: h, params: {params}}}"
        if place != "prompt" or not written.startswith("$"):
            with pytest.raises(CaseError, match="a secret is never written down"):
                load_case(text, "c.yaml", KINDS, {})


def test_a_missing_parameter_and_a_secret_on_the_command_line() -> None:
    """A password given as itself is refused and not repeated."""
    messages = _messages(LOGIN, ["192.0.2.1"], {"password": "hunter2"})
    assert messages == [
        "login needs 'user'",
        '--password: a secret is never written down: write "${secret:NAME}" and give its value at run time',
    ]
