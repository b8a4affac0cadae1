"""Turns what came of a trace's probes into samples of its attempt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from ots.i18n import N_
from ots.netio.trace.path import changes, distinct, loop
from ots.netio.trace.session import PathSession, Plan, Settled
from ots.probe import Address, Context, Failed
from ots.probes import _trace_metrics as published
from ots.probes._trace_live import LiveTable

_SLIPS_WORTH_A_FLAG = 0.01


class PathRecord:
    """Collects what is settled, shows it, and records it in the end, also in an early one.

    A probe of the first cycles may have gone beyond the destination before it was known to be there: only
    when all is over is it clear which probes count.
    """

    def __init__(self, ctx: Context, destination: Address, plan: Plan) -> None:
        self._ctx = ctx
        self._destination = destination
        self._plan = plan
        self._start = ctx.clock.monotonic()
        self._settled: list[Settled] = []
        self._late: list[Settled] = []
        self._live = LiveTable(destination.ip)
        self._unattributed = 0

    @property
    def reached(self) -> bool:
        return any(_arrived(event) for event in self._settled)

    @property
    def slowest(self) -> float:
        """The longest round trip to the destination so far, in seconds."""
        return max((event.rtt or 0.0 for event in self._settled if _arrived(event)), default=0.0)

    def settle(self, event: Settled) -> None:
        """Takes what came of a probe, shows it and books its bytes."""
        if event.late:
            self._late.append(event)
        else:
            self._settled.append(event)
            self._live.add(event)
            fraction = (event.cycle + event.ttl / self._plan.most) / self._plan.count
            self._ctx.progress(min(1.0, fraction), self._live.text())
        received = 0 if event.heard is None else event.heard.size
        self._ctx.budget.spend(sent=event.sent, received=received)

    def close(self, session: PathSession) -> None:
        """Records samples, path and circumstances."""
        self._unattributed = session.unattributed
        counted = self._counted(session.end)
        usual = _usual(counted)
        for event in sorted(counted, key=lambda event: event.t):
            self._record(event, usual.get(event.ttl))
        self._record_whole(counted)
        self._record_path(counted)
        in_flight = sum(event.reason == "cancelled" for event in self._settled)
        sent = len(self._settled)
        self._ctx.method(
            timestamp_source=session.timestamp_source,
            probes_sent=sent,
            schedule_slips=session.slips,
            late_answers=len(self._late),
            unattributed=session.unattributed,
            in_flight=in_flight,
        )
        if session.slips > _SLIPS_WORTH_A_FLAG * sent:
            self._ctx.flag("schedule_slip")
        if session.clock_stepped:
            self._ctx.flag("clock_step")

    def judge(self) -> None:
        """Raises the failure that the trace ends with, if it does."""
        if self.reached:
            return
        refusals = [event for event in (*self._settled, *self._late) if _refused(event)]
        if refusals:
            raise self._refusal(refusals)
        path = _usual(self._settled)
        turning = loop(path)
        if turning is not None:
            hop, addresses = turning
            turn = " > ".join(addresses)
            raise Failed(
                "unreachable",
                "request",
                "LOOP",
                f"packets go round in a loop from hop {hop} on: {turn}",
                retryable=True,
                remedy=N_("Tell the operator of these routers: their routes point at each other."),
            )
        if self._unattributed:
            remedy = N_("Some answers quote too little to tell which probe they belong to: try parallel 1.")
        else:
            remedy = N_("A firewall may drop these probes and not others: try protocol icmp, udp or tcp.")
        last = f"last answer from {path[max(path)]} at hop {max(path)}" if path else "nor did any router"
        raise Failed(
            "timeout",
            "first_byte",
            "NO_REPLY",
            f"{self._destination.ip} did not answer; {last}",
            retryable=True,
            remedy=remedy,
        )

    def _refusal(self, refusals: Iterable[Settled]) -> Failed:
        seen = Counter(
            (event.heard.sign, event.heard.told, event.heard.address, event.ttl)
            for event in refusals
            if event.heard is not None
        )
        sign, told, address, hop = seen.most_common(1)[0][0]
        return Failed("unreachable", "request", sign, f"{told}, says {address} at hop {hop}", retryable=True)

    def _counted(self, end: int | None) -> list[Settled]:
        """The probes that count: up to where the path ended in their cycle. Where it never ended, up to the
        first hop that never answered behind the last that did."""
        ends: dict[int, int] = {}
        for event in self._settled:
            if event.final:
                ends[event.cycle] = min(event.ttl, ends.get(event.cycle, event.ttl))
        answered = max((event.ttl for event in self._settled if event.heard is not None), default=0)
        usual = end if end is not None else min(ends.values(), default=answered + 1)
        return [
            event
            for event in self._settled
            if event.ttl <= ends.get(event.cycle, usual) and event.reason != "cancelled"
        ]

    def _record(self, event: Settled, usual: str | None) -> None:
        """One probe at its hop; one without an answer counts for the address that usually answers there."""
        hop = str(event.ttl)
        key = published.RTT.key
        if event.heard is None:
            whose = {} if usual is None else {"address": usual}
            self._ctx.record(key, None, t=event.t, reason=event.reason, hop=hop, **whose)
            return
        address = event.heard.address
        self._ctx.record(key, event.rtt, t=event.t, hop=hop, address=address)
        if event.heard.labels:
            labels = event.heard.labels
            self._ctx.record(published.MPLS.key, labels, t=event.t, hop=hop, address=address)

    def _record_whole(self, counted: list[Settled]) -> None:
        """The destination's round trips: of each cycle its answer, or a loss where its probe had none."""
        arrivals = {event.cycle: event for event in counted if _arrived(event)}
        usual = Counter(event.ttl for event in arrivals.values()).most_common(1)
        last = usual[0][0] if usual else None
        sent = _by_cycle(self._settled)
        for cycle, asked in _by_cycle(counted).items():
            if cycle in arrivals:
                self._ctx.record(published.RTT.key, arrivals[cycle].rtt, t=arrivals[cycle].t)
                continue
            final = next((event for event in asked if event.ttl == last), None)
            if last is None and self._complete(sent[cycle]):
                final = max(asked, key=lambda event: event.ttl)
            if final is not None:
                reason = "unreachable" if _refused(final) else "loss"
                self._ctx.record(published.RTT.key, None, t=final.t, reason=reason)

    def _complete(self, cycle: Sequence[Settled]) -> bool:
        """Whether every probe of a cycle was sent and settled by the network."""
        through = any(event.final for event in cycle) or max(event.ttl for event in cycle) == self._plan.most
        return through and all(event.reason != "cancelled" for event in cycle)

    def _record_path(self, counted: list[Settled]) -> None:
        arrivals = [event for event in counted if _arrived(event)]
        unfinished = any(event.reason == "cancelled" for event in self._settled) or not self._settled
        reason = "cancelled" if self._settled else "no_samples"
        if arrivals:
            self._ctx.record(published.HOPS.key, min(event.ttl for event in arrivals))
            self._ctx.record(published.REACHED.key, True)
        else:
            not_reached = reason if unfinished else "not_reached"
            self._ctx.record(published.HOPS.key, None, reason=not_reached)
            reached = None if unfinished else False
            self._ctx.record(published.REACHED.key, reached, reason=not_reached)
        paths = [
            {event.ttl: event.heard.address for event in cycle if event.heard is not None}
            for cycle in _by_cycle(counted).values()
        ]
        known = any(paths)
        why = None if known else reason if unfinished else "loss"
        self._ctx.record(published.CHANGES.key, changes(paths) if known else None, reason=why)
        self._ctx.record(published.DISTINCT.key, distinct(paths) if known else None, reason=why)
        refused = next((event for event in counted if _refused(event)), None)
        if refused is not None and refused.heard is not None and not arrivals:
            self._ctx.method(refused=refused.heard.sign, refused_at_hop=refused.ttl)
        took = self._ctx.clock.monotonic() - self._start
        self._ctx.record(published.DURATION.key, took)


def _by_cycle(events: Iterable[Settled]) -> dict[int, list[Settled]]:
    cycles: dict[int, list[Settled]] = {}
    for event in events:
        cycles.setdefault(event.cycle, []).append(event)
    return dict(sorted(cycles.items()))


def _arrived(event: Settled) -> bool:
    return event.heard is not None and event.heard.meaning == "reply" and event.rtt is not None


def _refused(event: Settled) -> bool:
    return event.heard is not None and event.heard.meaning == "refused"


def _usual(settled: Iterable[Settled]) -> dict[int, str]:
    """The address that answered most at each hop."""
    seen: dict[int, Counter[str]] = {}
    for event in settled:
        if event.heard is not None:
            seen.setdefault(event.ttl, Counter())[event.heard.address] += 1
    return {hop: addresses.most_common(1)[0][0] for hop, addresses in seen.items()}
