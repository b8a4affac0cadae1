"""What udp_echo publishes, made from recorded samples. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from ots.i18n import N_
from ots.model.metric import L_STATS, Metric, MetricDef
from ots.model.outcome import ErrorClass, outcome_of
from ots.probe import AttemptData
from ots.stats import delay
from ots.stats.summary import of_ratio, of_samples, of_value

_MEDIAN_FIRST = ("median", *(stat for stat in L_STATS if stat != "median"))

RTT = MetricDef(
    key="udp_echo_rtt_seconds",
    unit="s",
    type="sample",
    title=N_("Round-trip time"),
    definition="request handed to the interface -> reply received, less the time the responder kept it",
    stats=(*_MEDIAN_FIRST, "p10", "p90", "first"),
    better="lower",
    source="RFC 2681; RFC 8762",
)
LOSS = MetricDef(
    key="udp_echo_packet_loss_ratio",
    unit="1",
    type="aggregate",
    title=N_("Packet loss"),
    definition="requests with no valid reply within the timeout after sending / requests sent",
    better="lower",
    source="RFC 6673",
)
OW_LOSS = MetricDef(
    key="udp_echo_ow_loss_ratio",
    unit="1",
    type="aggregate",
    title=N_("Packet loss one way"),
    definition="up: requests that never reached the responder / sent; down: replies that never came back / "
    "requests that had arrived",
    better="lower",
    source="RFC 7680",
)
LOST_AT = MetricDef(
    key="udp_echo_lost_at",
    unit="1",
    type="state",
    title=N_("Where packets were lost"),
    definition="each unanswered request: lost on the way up or down by the responder's books, late (it "
    "came after the timeout) or unknown (the responder did not tell)",
    stats=("mode", "histogram"),
)
SENT = MetricDef(
    key="udp_echo_requests_sent",
    unit="{packet}",
    type="aggregate",
    title=N_("Requests sent"),
    definition="without those on their way at a cancellation and those that this machine did not let out",
)
RECEIVED = MetricDef(
    key="udp_echo_replies_received",
    unit="{packet}",
    type="aggregate",
    title=N_("Replies received"),
    definition="requests answered in time; duplicates are not counted",
)
DUPLICATES = MetricDef(
    key="udp_echo_duplicates",
    unit="{packet}",
    type="aggregate",
    title=N_("Duplicates"),
    definition="up: further copies of a request at the responder; down: further copies of a reply here",
    better="lower",
    source="RFC 5560",
)
REORDERED = MetricDef(
    key="udp_echo_reordered_ratio",
    unit="1",
    type="aggregate",
    title=N_("Packets out of order"),
    definition="up: requests that arrived after a later one / arrived; down: replies that arrived after one "
    "sent later / received",
    better="lower",
    source="RFC 4737",
)
IPDV = MetricDef(
    key="udp_echo_ipdv_seconds",
    unit="s",
    type="sample",
    title=N_("Delay variation between neighbours"),
    definition="rtt(i) - rtt(i-1) of requests sent one after the other and both answered; signed",
    stats=("median", "p05", "p95", "mean_abs"),
    source="RFC 3393; RFC 5481 §4.1",
)
JITTER = MetricDef(
    key="udp_echo_jitter_seconds",
    unit="s",
    type="aggregate",
    title=N_("Jitter"),
    definition="mean of |rtt(i) - rtt(i-1)|",
    better="lower",
    source="derived from RFC 3393",
)
JITTER_RFC3550 = MetricDef(
    key="udp_echo_jitter_rfc3550_seconds",
    unit="s",
    type="aggregate",
    title=N_("Jitter (RFC 3550)"),
    definition="J += (|rtt(i) - rtt(i-1)| - J) / 16, last value",
    better="lower",
    source="RFC 3550 §6.4.1",
)
PDV = MetricDef(
    key="udp_echo_pdv_seconds",
    unit="s",
    type="sample",
    title=N_("Delay above the minimum"),
    definition="rtt(i) - smallest rtt of the step",
    stats=("p95", "p99", "p999"),
    better="lower",
    source="RFC 5481 §4.2",
)
OW_PDV = MetricDef(
    key="udp_echo_ow_pdv_seconds",
    unit="s",
    type="sample",
    title=N_("Delay above the minimum, one way"),
    definition="delay of one way - smallest delay of that way in the attempt; only the clocks' drift against "
    "each other disturbs it",
    stats=("median", "p95", "p99", "p999", "max"),
    better="lower",
    source="RFC 5481 §4.2",
)
OW_JITTER = MetricDef(
    key="udp_echo_ow_jitter_seconds",
    unit="s",
    type="aggregate",
    title=N_("Jitter one way"),
    definition="mean of |D(i) - D(i-1)| of one way's delays; needs no common time",
    better="lower",
    source="derived from RFC 3393",
)
OW_JITTER_RFC3550 = MetricDef(
    key="udp_echo_ow_jitter_rfc3550_seconds",
    unit="s",
    type="aggregate",
    title=N_("Jitter one way (RFC 3550)"),
    definition="J += (|D(i) - D(i-1)| - J) / 16 of one way's delays, last value",
    better="lower",
    source="RFC 3550 §6.4.1",
)
OWD = MetricDef(
    key="udp_echo_owd_seconds",
    unit="s",
    type="sample",
    title=N_("Delay one way"),
    definition="up: request handed to the interface -> arrived at the responder; down: reply sent -> "
    "received; only where both clocks are one or are kept, else it is not published",
    stats=_MEDIAN_FIRST,
    better="lower",
    source="RFC 7679",
)
OWD_DIFFERENCE = MetricDef(
    key="udp_echo_owd_difference_seconds",
    unit="s",
    type="sample",
    title=N_("Way up less way down"),
    definition="delay up - delay down as the two clocks have it: without synchronised clocks it also holds "
    "twice their difference, and only its changes mean anything",
    stats=("median", "min", "max"),
)
HELD = MetricDef(
    key="udp_echo_responder_seconds",
    unit="s",
    type="sample",
    title=N_("Time at the responder"),
    definition="request arrived at the responder -> reply sent; not part of the round-trip time",
    stats=("median", "p95", "max"),
    better="lower",
)
BURST = MetricDef(
    key="udp_echo_loss_burst_packets",
    unit="{packet}",
    type="sample",
    title=N_("Longest gap"),
    definition="lengths of the runs of consecutive losses; 0 where nothing was lost",
    stats=("max", "mean"),
    better="lower",
    source="RFC 3357",
)

METRICS = (
    RTT,
    LOSS,
    OW_LOSS,
    LOST_AT,
    SENT,
    RECEIVED,
    DUPLICATES,
    REORDERED,
    IPDV,
    JITTER,
    JITTER_RFC3550,
    PDV,
    OW_PDV,
    OW_JITTER,
    OW_JITTER_RFC3550,
    OWD,
    OWD_DIFFERENCE,
    HELD,
    BURST,
)
OF_NEIGHBOURS = frozenset({IPDV.key, JITTER.key, JITTER_RFC3550.key, OW_JITTER.key, OW_JITTER_RFC3550.key})
OF_REQUESTS = frozenset(
    {RTT.key, LOSS.key, OW_LOSS.key, PDV.key, OW_PDV.key, OWD.key, OWD_DIFFERENCE.key, HELD.key}
)
OF_CHANCE = frozenset({BURST.key, REORDERED.key, LOST_AT.key})

_WAYS = ("up", "down")


def summarise(attempts: Sequence[AttemptData]) -> list[Metric]:
    """All metrics of a step, by target."""
    by_target: dict[str, list[AttemptData]] = {}
    for attempt in attempts:
        by_target.setdefault(attempt.target, []).append(attempt)
    return [metric for target, own in by_target.items() for metric in _Summary(target, own).metrics()]


class _Summary:
    """The attempts at one target."""

    def __init__(self, target: str, attempts: Sequence[AttemptData]) -> None:
        self._attempts = attempts
        self._labels = {"target": target}
        self._method = dict(next((a.method for a in reversed(attempts) if a.method), {}))
        self._flags: list[str] = list(dict.fromkeys(flag for a in attempts for flag in a.flags))
        self._unsynced = any(a.method.get("clocks") == "unsynchronised" for a in attempts)
        self._trains = [_train(attempt) for attempt in attempts]

    def metrics(self) -> list[Metric]:
        rtts = [rtt for train in self._trains for rtt in train]
        invalid = sum(len(a.samples(RTT.key)) for a in self._attempts) - len(rtts)
        received = sum(rtt is not None for rtt in rtts)
        bursts = [burst for train in self._trains for burst in delay.loss_bursts(train)]
        differences = [d for train in self._trains for d in delay.ipdv(train)]
        return [
            self._samples(RTT, rtts, invalid=invalid),
            self._ratio(LOSS, len(rtts) - received, len(rtts)),
            *self._losses(len(rtts)),
            self._value(SENT, len(rtts)),
            self._value(RECEIVED, received),
            *self._disorder(received),
            self._samples(IPDV, differences),
            self._jitter(JITTER, delay.jitter(differences), len(differences)),
            self._jitter(JITTER_RFC3550, delay.jitter_rfc3550(differences), len(differences)),
            self._samples(PDV, delay.pdv(rtts)),
            *self._ways(),
            self._samples(HELD, [v for a in self._attempts for v in a.values(HELD.key)]),
            self._samples(BURST, bursts or [0] * bool(rtts)),
        ]

    def _losses(self, sent: int) -> list[Metric]:
        """Loss of each way; null with a reason where the responder did not tell of some request."""
        places = [v for a in self._attempts for v in a.values(LOST_AT.key)]
        up, down = places.count("up"), places.count("down")
        metrics = [self._samples(LOST_AT, places)] if places else []
        if "unknown" in places:
            return [
                *(self._value(OW_LOSS, None, reason="not_told", direction=way) for way in _WAYS),
                *metrics,
            ]
        return [
            self._ratio(OW_LOSS, up, sent, direction="up"),
            self._ratio(OW_LOSS, down, sent - up, direction="down"),
            *metrics,
        ]

    def _disorder(self, received: int) -> list[Metric]:
        """Duplicates and reordering of each way; the way up as the responder told."""
        told = all(a.method.get("responder_reported") for a in self._attempts)
        lost_up = sum(v == "up" for a in self._attempts for v in a.values(LOST_AT.key))
        sent = sum(len(train) for train in self._trains)
        metrics = []
        for way, n in (("up", sent - lost_up), ("down", received)):
            copies, late = (
                sum(len(a.samples(definition.key, direction=way)) for a in self._attempts)
                for definition in (DUPLICATES, REORDERED)
            )
            if way == "up" and not told:
                metrics.append(self._value(DUPLICATES, None, reason="not_told", direction=way))
                metrics.append(self._value(REORDERED, None, reason="not_told", direction=way))
            else:
                metrics.append(self._value(DUPLICATES, copies, direction=way))
                metrics.append(self._ratio(REORDERED, late, n, direction=way))
        return metrics

    def _ways(self) -> list[Metric]:
        metrics = []
        for way in _WAYS:
            trains = [_one_way_train(attempt, way) for attempt in self._attempts]
            changes = [d for train in trains for d in delay.ipdv(train)]
            excess = [v for train in trains for v in train if v is not None]
            metrics += [
                self._samples(OW_PDV, excess, clocks=True, direction=way),
                self._jitter(OW_JITTER, delay.jitter(changes), len(changes), direction=way),
                self._jitter(OW_JITTER_RFC3550, delay.jitter_rfc3550(changes), len(changes), direction=way),
            ]
            delays = [v for a in self._attempts for v in a.values(OWD.key, direction=way)]
            if delays:
                metrics.append(self._samples(OWD, delays, limited=True, direction=way))
        differences = [v for a in self._attempts for v in a.values(OWD_DIFFERENCE.key)]
        return [*metrics, self._samples(OWD_DIFFERENCE, differences, clocks=True)]

    def _samples(
        self,
        definition: MetricDef,
        values: Sequence[float | int | str | bool | None],
        *,
        invalid: int = 0,
        clocks: bool = False,
        limited: bool = False,
        **labels: str,
    ) -> Metric:
        """`clocks`: two machines' clocks stand in it; `limited`: their error must be small against it."""
        flags = list(self._flags)
        if clocks and self._unsynced:
            flags.append("clock_unsynced")
        metric = of_samples(
            definition,
            values,
            labels=self._labels | labels,
            invalid=invalid,
            method=self._method,
            flags=flags,
        )
        error, median = self._method.get("clock_error_seconds"), metric.stats.get("median")
        if limited and isinstance(error, float) and isinstance(median, float) and median < 3 * error:
            metric.quality_flags.append("clock_limited")
        return metric

    def _ratio(self, definition: MetricDef, hits: int, n: int, **labels: str) -> Metric:
        return of_ratio(
            definition, hits, n, labels=self._labels | labels, method=self._method, flags=self._flags
        )

    def _value(
        self, definition: MetricDef, number: float | None, *, reason: str | None = None, **labels: str
    ) -> Metric:
        return of_value(
            definition,
            number,
            n=1,
            reason=reason,
            labels=self._labels | labels,
            method=self._method,
            flags=self._flags,
        )

    def _jitter(self, definition: MetricDef, value: float | None, n: int, **labels: str) -> Metric:
        return of_value(
            definition,
            value,
            n=n,
            reason=None if n else "too_few_samples",
            labels=self._labels | labels,
            method=self._method,
            flags=self._flags,
        )


def _train(attempt: AttemptData) -> list[float | None]:
    """The round trips of the counted requests in the order of sending, None where one was lost."""
    samples = sorted(attempt.samples(RTT.key), key=lambda sample: sample.t)
    return [
        None if sample.value is None else float(sample.value)
        for sample in samples
        if sample.value is not None or outcome_of(cast(ErrorClass, sample.reason)) == "failure"
    ]


def _one_way_train(attempt: AttemptData, way: str) -> list[float | None]:
    """One way's delays over its minimum in the order of sending, None where no reply came."""
    known = {sample.t: sample.value for sample in attempt.samples(OW_PDV.key, direction=way)}
    train: list[float | None] = []
    for sample in sorted(attempt.samples(RTT.key), key=lambda each: each.t):
        value = known.get(sample.t)
        train.append(None if value is None else float(value))
    return train
