"""What trace publishes: the metrics of METRICS 3.4 made from recorded samples. Pure.

A key without the label `hop` is about the whole path, to the destination and back; with it, about the answers
of one router. Of a hop where several machines answered each has its own round-trip times.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from ots.i18n import N_
from ots.model.metric import Metric, MetricDef, Value
from ots.netio.pooling import Pool, by_target
from ots.netio.trace.path import jump, persisting
from ots.probe import AttemptData, Sample
from ots.stats.distribution import median
from ots.stats.summary import of_ratio, of_samples, of_value

HOPS = MetricDef(
    key="trace_hops",
    unit="{hop}",
    type="attempt",
    title=N_("Hops"),
    definition=N_("smallest hop limit with which a probe reached the destination"),
)
RTT = MetricDef(
    key="trace_hop_rtt_seconds",
    unit="s",
    type="sample",
    title=N_("Round-trip time"),
    definition=N_(
        "probe with hop limit h sent -> time exceeded, unreachable or reply received; without the label hop: "
        "of the destination"
    ),
    stats=("median", "min", "p95", "max"),
    better="lower",
    source="RFC 2681",
)
LOSS = MetricDef(
    key="trace_hop_loss_ratio",
    unit="1",
    type="aggregate",
    title=N_("Loss"),
    definition=N_(
        "probes without an answer within the timeout / probes sent; without the label hop: to the "
        "destination. A router's own unanswered probes are loss on the path only as far as they persist to "
        "the end"
    ),
    better="lower",
    source="RFC 6673",
)
REACHED = MetricDef(
    key="trace_reached",
    unit="1",
    type="attempt",
    title=N_("Destination reached"),
    definition=N_("whether the destination answered a probe"),
    better="higher",
)
JUMP = MetricDef(
    key="trace_rtt_jump_hop",
    unit="{hop}",
    type="attempt",
    title=N_("Largest jump at hop"),
    definition=N_(
        "hop with the largest increment of the median round-trip time that persists to the end; the method "
        "says how much"
    ),
)
CHANGES = MetricDef(
    key="trace_path_changes",
    unit="{change}",
    type="aggregate",
    title=N_("Path changes"),
    definition=N_("cycles in which another address answered at some hop than before; silence is no change"),
    better="lower",
)
DISTINCT = MetricDef(
    key="trace_paths_distinct",
    unit="{path}",
    type="aggregate",
    title=N_("Different paths"),
    definition=N_("the fewest paths that explain the answers of all cycles"),
)
MPLS = MetricDef(
    key="trace_mpls_labels",
    unit="1",
    type="attempt",
    title=N_("MPLS labels"),
    definition=N_("label stack that a router told with its answer: label, experimental, bottom, TTL"),
    source="RFC 4950",
)
ASN = MetricDef(
    key="trace_asn_path",
    unit="1",
    type="attempt",
    title=N_("AS path"),
    definition=N_("autonomous systems of the hops"),
)
PATH_MTU = MetricDef(
    key="path_mtu_bytes",
    unit="By",
    type="attempt",
    title=N_("Path MTU"),
    definition=N_("largest IP packet that the destination answered while cutting it up was forbidden"),
    better="higher",
    source="RFC 1191; RFC 8201; RFC 8899",
)
DURATION = MetricDef(
    key="trace_duration_seconds",
    unit="s",
    type="attempt",
    title=N_("Duration of the trace"),
    definition=N_("first probe sent -> last answer or timeout"),
)

METRICS = (HOPS, RTT, LOSS, REACHED, PATH_MTU, JUMP, CHANGES, DISTINCT, MPLS, ASN, DURATION)


def summarise(attempts: Sequence[AttemptData]) -> list[Metric]:
    """All metrics of a step: of each target's path, then of each of its hops."""
    return [metric for pool in by_target(attempts) for metric in _of_target(pool)]


@dataclass(slots=True)
class _Hop:
    """What was sampled at one hop limit: the answers by address, and how many probes had none."""

    answers: dict[str, list[float]] = field(default_factory=dict)
    silent: int = 0
    labels: dict[str, Counter[str]] = field(default_factory=dict)

    @property
    def sent(self) -> int:
        return self.silent + sum(len(rtts) for rtts in self.answers.values())

    @property
    def addresses(self) -> list[str]:
        """The one that answered most comes first."""
        return sorted(self.answers, key=lambda address: -len(self.answers[address]))

    @property
    def loss(self) -> float:
        return self.silent / self.sent


def _of_target(pool: Pool) -> list[Metric]:
    hops = _hops(pool.attempts)
    whole = _Frame(pool)
    rtts = pool.values(RTT.key)
    return [
        whole.one(HOPS),
        whole.samples(RTT, rtts),
        whole.ratio(LOSS, rtts.count(None), len(rtts)),
        whole.one(REACHED),
        *([whole.one(PATH_MTU)] if any(attempt.values(PATH_MTU.key) for attempt in pool.attempts) else []),
        _jump(whole, hops),
        whole.one(CHANGES, add=True),
        whole.one(DISTINCT),
        *_of_hops(pool, hops),
        *([] if any(hop.labels for hop in hops.values()) else [whole.missing(MPLS, "none_found")]),
        whole.missing(ASN, "no_lookups"),
        whole.one(DURATION),
    ]


def _hops(attempts: Sequence[AttemptData]) -> dict[int, _Hop]:
    hops: dict[int, _Hop] = {}
    for attempt in attempts:
        for labels in attempt.label_sets(RTT.key):
            if "hop" not in labels:
                continue
            hop = hops.setdefault(int(labels["hop"]), _Hop())
            samples = attempt.samples(RTT.key, **labels)
            answers = _numbers(samples)
            hop.silent += len(samples) - len(answers)
            if answers:
                hop.answers.setdefault(labels["address"], []).extend(answers)
        for labels in attempt.label_sets(MPLS.key):
            seen = hops.setdefault(int(labels["hop"]), _Hop()).labels
            for sample in attempt.samples(MPLS.key, **labels):
                seen.setdefault(labels["address"], Counter())[str(sample.value)] += 1
    return dict(sorted(hops.items()))


def _numbers(samples: Sequence[Sample]) -> list[float]:
    return [float(sample.value) for sample in samples if isinstance(sample.value, int | float)]


def _of_hops(pool: Pool, hops: dict[int, _Hop]) -> list[Metric]:
    """Round-trip times by hop and address, the silence of a hop with the address that answered most."""
    lasting = persisting({number: hop.loss for number, hop in hops.items()})
    metrics: list[Metric] = []
    for number, hop in hops.items():
        for place, address in enumerate(hop.addresses or [""]):
            frame = _Frame(pool, number, address)
            lost = hop.silent if place == 0 else 0
            metrics.append(frame.samples(RTT, [*hop.answers.get(address, []), *[None] * lost]))
            if place == 0:
                loss = frame.ratio(LOSS, hop.silent, hop.sent)
                loss.method["persists_to_end"] = lasting[number] >= hop.loss
                metrics.append(loss)
            if address in hop.labels:
                metrics.append(frame.value(MPLS, hop.labels[address].most_common(1)[0][0]))
    return metrics


def _jump(whole: _Frame, hops: dict[int, _Hop]) -> Metric:
    medians = {
        number: median(sorted(rtt for rtts in hop.answers.values() for rtt in rtts))
        for number, hop in hops.items()
        if hop.answers
    }
    found = jump(medians)
    if found is None:
        return whole.missing(JUMP, "too_few_samples")
    hop, increment = found
    metric = whole.value(JUMP, hop)
    metric.method["jump_seconds"] = increment
    return metric


class _Frame:
    """What metrics of one target, or of one of its hops, have in common."""

    def __init__(self, pool: Pool, hop: int | None = None, address: str = "") -> None:
        self._pool = pool
        self._labels = {"target": pool.target}
        if hop is not None:
            self._labels["hop"] = str(hop)
        if address:
            self._labels["address"] = address

    def samples(self, definition: MetricDef, values: Sequence[Value | None]) -> Metric:
        pool = self._pool
        return of_samples(definition, values, labels=self._labels, method=pool.method, flags=pool.flags)

    def ratio(self, definition: MetricDef, hits: int, n: int) -> Metric:
        pool = self._pool
        return of_ratio(definition, hits, n, labels=self._labels, method=pool.method, flags=pool.flags)

    def value(self, definition: MetricDef, value: Value) -> Metric:
        pool = self._pool
        return of_value(definition, value, labels=self._labels, method=pool.method, flags=pool.flags)

    def missing(self, definition: MetricDef, reason: str) -> Metric:
        return of_value(definition, None, n=0, reason=reason, labels=self._labels, method=self._pool.method)

    def one(self, definition: MetricDef, *, add: bool = False) -> Metric:
        """The value of each attempt: of one attempt itself, of several their median, or with `add` the sum;
        null with the reason that the last attempt gave."""
        samples = [sample for attempt in self._pool.attempts for sample in attempt.samples(definition.key)]
        present = [sample.value for sample in samples if sample.value is not None]
        if not present:
            reason = next((sample.reason for sample in reversed(samples) if sample.reason), "no_samples")
            return self.missing(definition, reason)
        numbers = [value for value in present if isinstance(value, int | float)]
        if add and len(numbers) == len(present):
            return self.value(definition, sum(numbers))
        return self.samples(definition, present)
