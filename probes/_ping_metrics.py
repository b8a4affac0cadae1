"""What ping publishes: the metrics of METRICS 3.1 and 3.1b, made from recorded samples. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from ots.i18n import N_
from ots.model.metric import L_STATS, Metric, MetricDef, Value
from ots.model.outcome import ErrorClass, outcome_of
from ots.probe import AttemptData
from ots.stats import delay
from ots.stats.summary import of_ratio, of_samples, of_value
from ots.stats.tally import EchoTally

RTT = MetricDef(
    key="ping_rtt_seconds",
    unit="s",
    type="sample",
    title=N_("Round-trip time"),
    definition="echo request handed to the interface -> matching reply (token, sequence, source) received",
    stats=("median", *(stat for stat in L_STATS if stat != "median"), "mdev", "p10", "p90", "first"),
    better="lower",
    source="RFC 2681; TS 102 250-2 §6.3",
)
LOSS = MetricDef(
    key="ping_packet_loss_ratio",
    unit="1",
    type="aggregate",
    title=N_("Packet loss"),
    definition="requests with no valid reply within the timeout after sending / requests sent",
    better="lower",
    source="RFC 6673; TS 102 250-2 §6.3",
)
SENT = MetricDef(
    key="ping_requests_sent",
    unit="{packet}",
    type="aggregate",
    title=N_("Requests sent"),
    definition="counted echo requests: without warm-up, without those on their way at a cancellation",
)
RECEIVED = MetricDef(
    key="ping_replies_received",
    unit="{packet}",
    type="aggregate",
    title=N_("Replies received"),
    definition="requests answered in time; duplicates are not counted",
)
DUPLICATES = MetricDef(
    key="ping_duplicates",
    unit="{packet}",
    type="aggregate",
    title=N_("Duplicate replies"),
    definition="further replies to a request that had been answered",
    better="lower",
    source="RFC 5560",
)
REORDERED = MetricDef(
    key="ping_reordered_ratio",
    unit="1",
    type="aggregate",
    title=N_("Replies out of order"),
    definition="replies that arrived after the reply to a later request / replies received",
    better="lower",
    source="RFC 4737",
)
IPDV = MetricDef(
    key="ping_ipdv_seconds",
    unit="s",
    type="sample",
    title=N_("Delay variation between neighbours"),
    definition="rtt(i) - rtt(i-1) of requests sent one after the other and both answered; signed",
    stats=("median", "p05", "p95", "mean_abs"),
    source="RFC 3393; RFC 5481 §4.1",
)
JITTER = MetricDef(
    key="ping_jitter_seconds",
    unit="s",
    type="aggregate",
    title=N_("Jitter"),
    definition="mean of |rtt(i) - rtt(i-1)|",
    better="lower",
    source="derived from RFC 3393",
)
JITTER_RFC3550 = MetricDef(
    key="ping_jitter_rfc3550_seconds",
    unit="s",
    type="aggregate",
    title=N_("Jitter (RFC 3550)"),
    definition="J += (|rtt(i) - rtt(i-1)| - J) / 16, last value",
    better="lower",
    source="RFC 3550 §6.4.1",
)
PDV = MetricDef(
    key="ping_pdv_seconds",
    unit="s",
    type="sample",
    title=N_("Delay above the minimum"),
    definition="rtt(i) - smallest rtt of the step",
    stats=("p95", "p99", "p999"),
    better="lower",
    source="RFC 5481 §4.2; ITU-T Y.1540",
)
TTL = MetricDef(
    key="ping_ttl_hops",
    unit="{hop}",
    type="sample",
    title=N_("TTL of the replies"),
    definition="TTL or hop limit of each counted reply as it arrived",
    stats=("mode", "distinct"),
)
BURST = MetricDef(
    key="ping_loss_burst_packets",
    unit="{packet}",
    type="sample",
    title=N_("Longest gap"),
    definition="lengths of the runs of consecutive losses; 0 where nothing was lost",
    stats=("max", "mean"),
    better="lower",
    source="RFC 3357",
)
ICMP_ERRORS = MetricDef(
    key="ping_icmp_errors",
    unit="{packet}",
    type="aggregate",
    title=N_("ICMP errors"),
    definition="ICMP errors that quoted a request, one metric for each type and code",
    better="lower",
    source="RFC 792; RFC 4443",
)
REACHABILITY = MetricDef(
    key="ping_reachability_ratio",
    unit="1",
    type="aggregate",
    title=N_("Targets reachable"),
    definition="hosts with at least one reply / hosts measured",
    better="higher",
    source="RFC 2678",
)
SWEEP_SCANNED = MetricDef(
    key="sweep_hosts_scanned",
    unit="{host}",
    type="aggregate",
    title=N_("Addresses asked"),
    definition="distinct addresses of the network to which a request was sent in any sweep of the step",
)
SWEEP_UP = MetricDef(
    key="sweep_hosts_up",
    unit="{host}",
    type="aggregate",
    title=N_("Addresses up"),
    definition="distinct addresses of the network that answered in any sweep of the step",
)
SWEEP_RATIO = MetricDef(
    key="sweep_up_ratio",
    unit="1",
    type="aggregate",
    title=N_("Share of addresses up"),
    definition="addresses that answered in any sweep of the step / addresses asked",
)
SWEEP_DURATION = MetricDef(
    key="sweep_duration_seconds",
    unit="s",
    type="attempt",
    title=N_("Duration of the sweep"),
    definition="first request sent -> last reply or timeout",
    better="lower",
)
SWEEP_RTT = MetricDef(
    key="sweep_rtt_seconds",
    unit="s",
    type="sample",
    title=N_("Round-trip time by host"),
    definition="the smallest round-trip time of each address that answered, once for each sweep",
    stats=("median", *(stat for stat in L_STATS if stat != "median")),
    better="lower",
    source="RFC 2681",
)

HOST_METRICS = (
    RTT,
    LOSS,
    SENT,
    RECEIVED,
    DUPLICATES,
    REORDERED,
    IPDV,
    JITTER,
    JITTER_RFC3550,
    PDV,
    TTL,
    BURST,
)
SWEEP_METRICS = (SWEEP_SCANNED, SWEEP_UP, SWEEP_RATIO, SWEEP_DURATION, SWEEP_RTT)
METRICS = (*HOST_METRICS, ICMP_ERRORS, REACHABILITY, *SWEEP_METRICS)


def summarise(attempts: Sequence[AttemptData], segment: int | None) -> list[Metric]:
    """All metrics of a step: of each host, of its segments of `segment` requests, and of each network."""
    metrics: list[Metric] = []
    by_target: dict[str, list[AttemptData]] = {}
    for attempt in attempts:
        by_target.setdefault(attempt.target, []).append(attempt)
    measured = reached = 0
    for target, own in by_target.items():
        if "/" in target:
            metrics += _of_network(target, own)
            continue
        metrics += _of_host(target, own, segment)
        if any(attempt.outcome in ("success", "failure") for attempt in own):
            measured += 1
            reached += any(_reached(attempt) for attempt in own)
    if measured:
        metrics.append(of_ratio(REACHABILITY, reached, measured))
    return metrics


def _reached(attempt: AttemptData) -> bool:
    if isinstance(attempt.tally, EchoTally):
        return attempt.tally.received > 0
    return any(value is not None for value in attempt.values(RTT.key))


@dataclass(frozen=True, slots=True)
class _Train:
    """The counted requests of one attempt, in the order of sending where every one of them was kept."""

    rtts: Sequence[float | None]
    differences: Sequence[float]
    bursts: Sequence[int]
    hops: Sequence[Value | None]
    reordered: int
    duplicates: int
    invalid: int
    """Requests that say nothing about the network, because this machine did not let them out."""


def _train(attempt: AttemptData) -> _Train:
    if isinstance(attempt.tally, EchoTally):
        return _tallied(attempt.tally)
    samples = sorted(attempt.samples(RTT.key), key=lambda sample: sample.t)
    counted = [sample for sample in samples if sample.value is not None or is_loss(sample.reason)]
    rtts = [None if sample.value is None else float(sample.value) for sample in counted]
    return _Train(
        rtts,
        delay.ipdv(rtts),
        delay.loss_bursts(rtts),
        attempt.values(TTL.key),
        delay.reordered([sample.t for sample in counted], rtts),
        len(attempt.samples(DUPLICATES.key)),
        len(samples) - len(counted),
    )


def _tallied(tally: EchoTally) -> _Train:
    return _Train(
        tally.round_trips(),
        tally.differences.values(),
        list(tally.bursts.elements()),
        list(tally.hops.elements()),
        tally.reordered,
        tally.duplicates,
        tally.invalid,
    )


def is_loss(reason: str | None) -> bool:
    """The reason of a missing round-trip time is an error class: is it the network's?"""
    return outcome_of(cast(ErrorClass, reason)) == "failure"


def _of_host(target: str, attempts: Sequence[AttemptData], segment: int | None) -> list[Metric]:
    trains = [_train(attempt) for attempt in attempts]
    rtts = [rtt for train in trains for rtt in train.rtts]
    differences = [difference for train in trains for difference in train.differences]
    bursts = [burst for train in trains for burst in train.bursts]
    received = sum(rtt is not None for rtt in rtts)
    hops = [value for train in trains for value in train.hops]
    frame = _Frame({"target": target}, _method(attempts), _flags(attempts))
    metrics = [
        frame.samples(RTT, rtts, sum(train.invalid for train in trains)),
        frame.ratio(LOSS, len(rtts) - received, len(rtts)),
        frame.count(SENT, len(rtts)),
        frame.count(RECEIVED, received),
        frame.count(DUPLICATES, sum(train.duplicates for train in trains)),
        frame.ratio(REORDERED, sum(train.reordered for train in trains), received),
        frame.samples(IPDV, differences),
        *frame.jitters(len(differences), *_jitters(attempts, differences)),
        frame.samples(PDV, delay.pdv(rtts)),
        frame.samples(TTL, hops),
        frame.samples(BURST, bursts or [0] * bool(rtts)),
        *_icmp_errors(frame, attempts),
    ]
    for number, first in enumerate(range(0, len(rtts), segment) if segment else (), start=1):
        part = rtts[first : first + (segment or 0)]
        framed = _Frame({"target": target, "segment": str(number)}, frame.method, frame.flags)
        metrics.append(framed.samples(RTT, part))
        metrics.append(framed.ratio(LOSS, part.count(None), len(part)))
        differences = delay.ipdv(part)
        metrics += framed.jitters(
            len(differences), delay.jitter(differences), delay.jitter_rfc3550(differences)
        )
    return metrics


def _of_network(target: str, attempts: Sequence[AttemptData]) -> list[Metric]:
    """The network's state over all attempts, and what each attempt measured.

    An address counts once however often it was asked, and is up if it answered in any attempt. Round trips
    and durations are observations: every attempt adds its own.
    """
    frame = _Frame({"target": target}, _method(attempts), _flags(attempts))
    sweeps = [_sweep(attempt) for attempt in attempts]
    known = {host for sweep in sweeps for host in sweep.hosts}
    # Hosts without a label can't be told apart: of them there are at least as many as one sweep saw.
    up = max(len(known), max(len(sweep.rtts) for sweep in sweeps))
    # Each sweep asks the addresses in the same order, so the longest one asked all that any did.
    asked = max(up, max(len(sweep.rtts) + sweep.silent for sweep in sweeps))
    rtts: list[float | None] = [rtt for sweep in sweeps for rtt in (*sweep.rtts, *[None] * sweep.silent)]
    durations = [value for attempt in attempts for value in attempt.values(SWEEP_DURATION.key)]
    return [
        frame.count(SWEEP_SCANNED, asked),
        frame.count(SWEEP_UP, up),
        frame.ratio(SWEEP_RATIO, up, asked),
        frame.samples(SWEEP_DURATION, durations),
        frame.samples(SWEEP_RTT, rtts, sum(sweep.unsent for sweep in sweeps)),
        *_icmp_errors(frame, attempts),
    ]


@dataclass(frozen=True, slots=True)
class _Sweep:
    """What one attempt saw of a network."""

    hosts: set[str]
    """Addresses that answered and have a label."""
    rtts: Sequence[float]
    """The round trip of each address that answered."""
    silent: int
    unsent: int
    """Addresses that were never asked, because this machine did not let the requests out."""


def _sweep(attempt: AttemptData) -> _Sweep:
    hosts: set[str] = set()
    rtts: list[float] = []
    silent = unsent = 0
    for labels in attempt.label_sets(SWEEP_RTT.key):
        for sample in attempt.samples(SWEEP_RTT.key, **labels):
            if sample.value is None:
                lost = is_loss(sample.reason)
                silent, unsent = silent + lost, unsent + (not lost)
                continue
            rtts.append(float(sample.value))
            if "host" in labels:
                hosts.add(labels["host"])
    return _Sweep(hosts, rtts, silent, unsent)


@dataclass(frozen=True, slots=True)
class _Frame:
    """What all metrics of one target have in common."""

    labels: Mapping[str, str]
    method: Mapping[str, Value | None]
    flags: Sequence[str]

    def samples(self, definition: MetricDef, values: Sequence[Value | None], invalid: int = 0) -> Metric:
        return of_samples(
            definition, values, labels=self.labels, invalid=invalid, method=self.method, flags=self.flags
        )

    def ratio(self, definition: MetricDef, hits: int, n: int) -> Metric:
        return of_ratio(definition, hits, n, labels=self.labels, method=self.method, flags=self.flags)

    def count(self, definition: MetricDef, number: int, **labels: str) -> Metric:
        return of_value(
            definition, number, labels={**self.labels, **labels}, method=self.method, flags=self.flags
        )

    def jitters(self, n: int, mean: float | None, smoothed: float | None) -> list[Metric]:
        return [
            of_value(
                definition,
                value,
                n=n,
                reason=None if n else "too_few_samples",
                labels=self.labels,
                method=self.method,
                flags=self.flags,
            )
            for definition, value in ((JITTER, mean), (JITTER_RFC3550, smoothed))
        ]


def _jitters(
    attempts: Sequence[AttemptData], differences: Sequence[float]
) -> tuple[float | None, float | None]:
    """Both jitters; of tallied attempts the mean over all and the smoothed one of the last."""
    tallies = [attempt.tally for attempt in attempts if isinstance(attempt.tally, EchoTally)]
    if not tallies:
        return delay.jitter(differences), delay.jitter_rfc3550(differences)
    told = [tally for tally in tallies if tally.jitter is not None]
    if not told:
        return None, None
    weights = sum(tally.differences.n for tally in told)
    mean = sum((tally.jitter or 0.0) * tally.differences.n for tally in told) / weights
    return mean, told[-1].jitter_rfc3550


def _icmp_errors(frame: _Frame, attempts: Sequence[AttemptData]) -> list[Metric]:
    counts: Counter[tuple[str, str]] = Counter()
    for attempt in attempts:
        if isinstance(attempt.tally, EchoTally):
            counts.update(attempt.tally.errors)
        for labels in attempt.label_sets(ICMP_ERRORS.key):
            for value in attempt.values(ICMP_ERRORS.key, **labels):
                counts[labels["type"], labels["code"]] += int(value or 0)
    return [
        frame.count(ICMP_ERRORS, number, type=kind, code=code)
        for (kind, code), number in sorted(counts.items())
    ]


def _method(attempts: Sequence[AttemptData]) -> dict[str, Value | None]:
    """How it was measured, as the last attempt that got so far says."""
    return dict(next((attempt.method for attempt in reversed(attempts) if attempt.method), {}))


def _flags(attempts: Sequence[AttemptData]) -> list[str]:
    return list(dict.fromkeys(flag for attempt in attempts for flag in attempt.flags))
