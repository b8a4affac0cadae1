"""From recorded samples to ping's metrics: denominators, segments, networks, and attempts that failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from ots.model.metric import Metric
from ots.model.outcome import ErrorClass, outcome_of
from ots.probe import AttemptData, Failed, Sample
from ots.probes._ping_params import PingParams
from ots.probes.ping import Ping

RTT, LOSS, SWEEP = "ping_rtt_seconds", "ping_packet_loss_ratio", "sweep_rtt_seconds"
Values = Sequence[float | str]
"""Round-trip times in order of sending; a text is the reason why there is none."""


def attempt(
    values: Values = (),
    *,
    target: str = "192.0.2.1",
    failed: ErrorClass | None = None,
    key: str = RTT,
    index: int = 0,
    more: Mapping[tuple[str, tuple[tuple[str, str], ...]], Sequence[Sample]] | None = None,
    **facts: Any,
) -> AttemptData:
    samples = [
        Sample(float(place), None, value) if isinstance(value, str) else Sample(float(place), value)
        for place, value in enumerate(values)
    ]
    error = Failed(failed, "request", "X").error if failed is not None else None
    return AttemptData(
        index=index,
        cycle=0,
        target=target,
        outcome=outcome_of(failed) if failed is not None else "success",
        error=error,
        t=0.0,
        duration=1.0,
        triggers={},
        series={(key, ()): samples, **(more or {})} if samples else dict(more or {}),
        method=facts,
        flags=(),
    )


def summary(*attempts: AttemptData, **params: Any) -> list[Metric]:
    return Ping().summarise(attempts, PingParams.model_validate(params))


def one(metrics: Sequence[Metric], key: str, **labels: str) -> Metric:
    (found,) = [
        metric
        for metric in metrics
        if metric.key == key
        and labels.items() <= metric.labels.items()
        and ("segment" in labels) == ("segment" in metric.labels)
    ]
    return found


def test_the_golden_vector() -> None:
    """RTT 10 to 18 and 40 ms: median 14.5, p90 18, and no p95 of ten samples."""
    metrics = summary(attempt([ms / 1000 for ms in (*range(10, 19), 40)]))
    rtt = one(metrics, RTT)
    assert rtt.stats["median"] == pytest.approx(0.0145)
    assert rtt.stats["p90"] == 0.018
    assert rtt.stats["p95"] is None and rtt.nulls["stats.p95"] == "too_few_samples"
    assert rtt.stats["first"] == 0.010
    assert next(iter(rtt.stats)) == "median"


def test_each_jitter_has_its_name() -> None:
    """20, 22, 21, 30, 20 ms: 5.5 ms by mean difference, 1.310 ms by RFC 3550."""
    metrics = summary(attempt([0.020, 0.022, 0.021, 0.030, 0.020]))
    assert one(metrics, "ping_jitter_seconds").stats["value"] == pytest.approx(0.0055)
    assert one(metrics, "ping_jitter_rfc3550_seconds").stats["value"] == pytest.approx(0.00131, abs=5e-7)
    assert one(metrics, "ping_ipdv_seconds").stats["mean_abs"] == pytest.approx(0.0055)
    assert one(metrics, "ping_jitter_seconds").n == 4


def test_losses_count_and_refusals_of_this_machine_do_not() -> None:
    """Loss and unreachable are in the denominator; a request that this machine forbade is not."""
    metrics = summary(attempt([0.01, "loss", "unreachable", 0.01, "permission", "loss"]))
    loss = one(metrics, LOSS)
    assert loss.stats["value"] == pytest.approx(3 / 5)
    rtt = one(metrics, RTT)
    assert (rtt.n, rtt.n_valid, rtt.n_lost) == (6, 2, 3)
    assert one(metrics, "ping_requests_sent").stats["value"] == 5
    assert one(metrics, "ping_loss_burst_packets").stats["max"] == 2


def test_total_loss_has_reasons() -> None:
    """Where nothing came back the statistics are null because of loss, and the ratio is 1."""
    metrics = summary(attempt(["loss"] * 4, failed="loss"))
    rtt = one(metrics, RTT)
    assert rtt.stats["median"] is None and rtt.nulls["stats.median"] == "loss"
    assert one(metrics, LOSS).stats["value"] == 1.0
    assert one(metrics, "ping_reachability_ratio").stats["value"] == 0.0
    assert one(metrics, "ping_loss_burst_packets").stats["max"] == 4


def test_invalid_attempts_are_in_no_ratio() -> None:
    """Permission, configuration and cancellation are ours: such a target is not counted as measured."""
    metrics = summary(
        attempt([0.01]),
        attempt(target="192.0.2.2", failed="permission"),
        attempt(target="192.0.2.3", failed="dns"),
    )
    reach = one(metrics, "ping_reachability_ratio")
    assert (reach.n, reach.stats["value"]) == (2, 0.5)
    assert one(metrics, LOSS, target="192.0.2.3").stats["value"] is None


def test_no_attempt_gives_no_metric() -> None:
    """A step that never ran has nothing to publish."""
    assert summary() == []


def test_nothing_lost_is_a_burst_of_zero() -> None:
    """The longest gap without a loss is 0, so that a limit on it can be judged."""
    assert one(summary(attempt([0.01, 0.02])), "ping_loss_burst_packets").stats["max"] == 0


def test_attempts_are_joined_without_a_seam() -> None:
    """Two attempts make one distribution; no difference and no burst runs across their border."""
    metrics = summary(attempt([0.01, "loss"]), attempt(["loss", 0.05], index=1))
    assert one(metrics, RTT).n == 4
    assert one(metrics, "ping_loss_burst_packets").stats["max"] == 1
    assert one(metrics, "ping_ipdv_seconds").n == 0


def test_segments_stand_beside_the_whole() -> None:
    """Each k requests have their own figures under their number; the whole has no such label."""
    metrics = summary(attempt([0.01, "loss", 0.03, 0.03, 0.05]), segment=2)
    assert one(metrics, LOSS, segment="1").stats["value"] == 0.5
    assert one(metrics, RTT, segment="2").stats["median"] == 0.03
    assert one(metrics, RTT, segment="3").n == 1
    assert one(metrics, RTT).n == 5


def test_reordering_is_read_from_times() -> None:
    """A reply that took longer than the gap to the next is overtaken."""
    assert one(summary(attempt([1.5, 0.1, 0.1])), "ping_reordered_ratio").stats["value"] == pytest.approx(
        1 / 3
    )


def test_icmp_errors_by_type_and_code() -> None:
    """One metric for each type and code."""
    key = "ping_icmp_errors"
    metrics = summary(
        attempt(
            ["unreachable"] * 3,
            failed="unreachable",
            more={
                (key, (("code", "1"), ("type", "3"))): [Sample(0.0, 1), Sample(1.0, 1)],
                (key, (("code", "0"), ("type", "11"))): [Sample(2.0, 1)],
            },
        )
    )
    assert one(metrics, key, type="3", code="1").stats["value"] == 2
    assert one(metrics, key, type="11", code="0").stats["value"] == 1


def test_a_network_counts_addresses() -> None:
    """Up, asked and their ratio; per-host round trips are lost where an address is silent."""
    metrics = summary(
        attempt(
            ["loss", "unreachable"],
            target="192.0.2.0/29",
            key=SWEEP,
            more={
                (SWEEP, (("host", "192.0.2.1"),)): [Sample(0.0, 0.01)],
                (SWEEP, (("host", "192.0.2.2"),)): [Sample(0.1, 0.03)],
                ("sweep_duration_seconds", ()): [Sample(0.0, 1.25)],
            },
        )
    )
    assert one(metrics, "sweep_hosts_scanned").stats["value"] == 4
    assert one(metrics, "sweep_hosts_up").stats["value"] == 2
    assert one(metrics, "sweep_up_ratio").stats["value"] == 0.5
    assert one(metrics, "sweep_duration_seconds").stats["value"] == 1.25
    rtt = one(metrics, SWEEP)
    assert (rtt.n, rtt.n_lost) == (4, 2)
    assert rtt.stats["median"] == pytest.approx(0.02)
    assert not [metric for metric in metrics if metric.key.startswith("ping_")]


def swept(*up: int, silent: int, index: int = 0) -> AttemptData:
    """One sweep of a /29 of which these last bytes answered."""
    return attempt(
        ["loss"] * silent,
        target="192.0.2.0/29",
        key=SWEEP,
        index=index,
        more={(SWEEP, (("host", f"192.0.2.{last}"),)): [Sample(0.0, 0.01 * (index + 1))] for last in up},
    )


def test_an_address_counts_once_however_often_it_was_asked() -> None:
    """Over two sweeps of six addresses three were up at least once; each sweep has its own round trips."""
    metrics = summary(swept(1, 2, silent=4), swept(2, 3, silent=4, index=1))
    assert one(metrics, "sweep_hosts_scanned").stats["value"] == 6
    assert one(metrics, "sweep_hosts_up").stats["value"] == 3
    ratio = one(metrics, "sweep_up_ratio")
    assert (ratio.n, ratio.stats["value"]) == (6, 0.5)
    rtt = one(metrics, SWEEP)
    assert (rtt.n, rtt.n_valid, rtt.n_lost) == (12, 4, 8)
    assert rtt.stats["median"] == pytest.approx(0.015)


def test_a_sweep_that_was_cut_short_does_not_shrink_the_network() -> None:
    """The longest sweep says how many were asked; an address that was never asked is in no ratio."""
    whole, short = swept(1, silent=5), swept(1, silent=1, index=1)
    assert one(summary(whole, short), "sweep_hosts_scanned").stats["value"] == 6
    barred = attempt(["loss", "permission"], target="192.0.2.0/29", key=SWEEP)
    assert one(summary(barred), "sweep_hosts_scanned").stats["value"] == 1
    assert one(summary(barred), SWEEP).n == 2


def test_hosts_without_a_label_count_at_least_as_often_as_one_sweep_saw_them() -> None:
    """Beyond the labelled ones addresses can't be told apart; two sweeps don't make them twice as many."""
    sweeps = [attempt([0.01] * 5, target="192.0.2.0/29", key=SWEEP, index=index) for index in range(2)]
    assert one(summary(*sweeps), "sweep_hosts_up").stats["value"] == 5


def test_every_metric_is_declared() -> None:
    """Nothing is published that the probe did not declare, under unique keys."""
    declared = [definition.key for definition in Ping.metrics]
    assert len(declared) == len(set(declared)) == 19
    published = summary(attempt([0.01] * 3), attempt([0.01], target="192.0.2.0/30", key=SWEEP), segment=2)
    assert {metric.key for metric in published} <= set(declared)


def test_estimate_and_plan() -> None:
    """Duration, bytes and planned samples follow from the parameters alone."""
    ping = Ping()
    host, network = ping.targets.parse("192.0.2.1"), ping.targets.parse("192.0.2.0/24")
    params = PingParams(count=25, interval=0.2, timeout=2.0)
    alone = ping.estimate([host], params)
    assert alone.duration == pytest.approx(24 * 0.2)
    assert alone.patience == pytest.approx(24 * 0.2 + 2 + params.resolve_timeout)
    assert alone.sent == alone.received == 25 * 84
    swept = ping.estimate([network], PingParams(sweep_rate=100, sweep_count=2, timeout=1.0))
    assert swept.sent == 2 * 254 * 84
    assert swept.duration == pytest.approx(2.54 + 2.53)
    assert ping.samples_planned(RTT, [host], params) == 25
    assert ping.samples_planned("ping_jitter_seconds", [host], params) == 24
    assert ping.samples_planned("sweep_up_ratio", [network], params) == 254
    assert ping.estimate([], params).duration == 0


def test_warnings() -> None:
    """A timeout longer than the whole schedule, and a network that will be refused, are told beforehand."""
    ping = Ping()
    host, wide = ping.targets.parse("192.0.2.1"), ping.targets.parse("10.0.0.0/8")
    assert ping.warnings([host], PingParams()) == []
    (slow,) = ping.warnings([host], PingParams(count=2, interval=0.1, timeout=5.0))
    assert "if a reply is missing" in slow
    assert ping.warnings([wide], PingParams()) == ["10.0.0.0/8 is wider than /16: it will not be swept"]
    assert "/112" in ping.warnings([ping.targets.parse("fd00::/111")], PingParams())[0]
    assert ping.warnings([ping.targets.parse("10.0.0.0/16")], PingParams()) == []
