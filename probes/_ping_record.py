"""Turns the events of an echo run to hosts into samples of the attempts they belong to."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ots.model.metric import Value
from ots.netio.binding import socket_family
from ots.netio.icmp.stream import Event, Extra, Refusal, Settled
from ots.probe import Address, Context, Failed, Target
from ots.probes import _ping_metrics as published
from ots.stats.histogram import NARROWEST
from ots.stats.tally import EchoTally

WARMUP = {"warmup": "yes"}
"""The label of samples that were declared to be left out."""

_LOCAL = 100e-6
"""A round trip that no network does: something on this machine answered (a VPN client, an offload)."""

_SLIPS_WORTH_A_FLAG = 0.01


@dataclass(slots=True)
class _Host:
    """What is known of one target so far."""

    target: Target
    address: Address
    requests: int = 0
    replies: int = 0
    slips: int = 0
    late: int = 0
    latest: float | None = None
    tally: EchoTally | None = None
    in_flight: int = 0
    fastest: float | None = None
    failures: Counter[str] = field(default_factory=Counter)
    first_failure: dict[str, Failed] = field(default_factory=dict)

    def blame(self, failure: Failed) -> None:
        self.failures[failure.error.code] += 1
        self.first_failure.setdefault(failure.error.code, failure)

    def verdict(self) -> Failed | None:
        """Why the attempt failed, or None if it didn't: the commonest thing that was said, else loss."""
        if self.replies:
            return None
        if self.failures:
            return self.first_failure[self.failures.most_common(1)[0][0]]
        late = f"; {self.late} came after the timeout" if self.late else ""
        return Failed("loss", "first_byte", "NO_REPLY", f"no reply to {self.requests} requests{late}")


class Progress:
    """How many of the planned requests are behind us, over all that runs side by side in a step."""

    def __init__(self, ctx: Context, planned: int) -> None:
        self._ctx = ctx
        self._planned = planned
        self._done = 0

    def add(self, count: int) -> None:
        self._done += count
        self._ctx.progress(min(1.0, self._done / self._planned) if self._planned else None)


class EchoRecord:
    """Receives events in the event loop and records them through the context."""

    def __init__(
        self,
        ctx: Context,
        reached: Sequence[tuple[Target, Address]],
        *,
        warmup: int,
        packet_bytes: Mapping[str, int],
        progress: Progress,
        every: int = 1,
    ) -> None:
        self._ctx = ctx
        self._hosts = [_Host(target, address) for target, address in reached]
        self._every = every
        if every > 1:
            for host in self._hosts:
                host.tally = EchoTally(warmup)
        self._warmup = warmup
        self._packet_bytes = packet_bytes
        self._progress = progress

    @property
    def destinations(self) -> Sequence[Address]:
        """All addresses, in the order in which events number them."""
        return [host.address for host in self._hosts]

    def deliver(self, events: Sequence[Event]) -> None:
        """Records a batch, then books its bytes."""
        sent = received = settled = 0
        for event in events:
            host = self._hosts[event.destination]
            size = self._packet_bytes[host.address.family]
            match event:
                case Settled():
                    sent += size * event.sent
                    received += size * (event.rtt is not None)
                    settled += 1
                    self._settle(host, event)
                case Extra():
                    received += size
                    self._note(host, event)
                case Refusal():
                    self._refused(host, event)
        self._progress.add(settled)
        self._ctx.budget.spend(sent=sent, received=received)

    def _refused(self, host: _Host, event: Refusal) -> None:
        host.blame(event.failure())
        kind, code = str(event.type), str(event.code)
        if host.tally is not None:
            host.tally.errors[kind, code] += 1
        else:
            self._ctx.record(published.ICMP_ERRORS.key, 1, target=host.target.text, type=kind, code=code)

    def _settle(self, host: _Host, event: Settled) -> None:
        host.requests += 1
        host.slips += event.slipped
        if event.failure is not None and not event.sent:
            host.blame(event.failure)
        if event.reason == "cancelled":
            host.in_flight += 1
        else:
            self._count(host, event)
            if event.place % self._every == 0:
                self._record(host, event)
        if event.rtt is not None:
            host.fastest = event.rtt if host.fastest is None else min(host.fastest, event.rtt)

    def _count(self, host: _Host, event: Settled) -> None:
        if event.place < self._warmup:
            return
        host.replies += event.rtt is not None
        if host.tally is None:
            return
        if event.rtt is not None:
            host.tally.answered(event.place, event.rtt, event.ttl)
        else:
            host.tally.unanswered(event.place, sent=published.is_loss(event.reason))

    def _record(self, host: _Host, event: Settled) -> None:
        labels = WARMUP if event.place < self._warmup else {}
        target = host.target.text
        self._ctx.record(
            published.RTT.key, event.rtt, target=target, t=event.t, reason=event.reason, **labels
        )
        if event.rtt is not None and event.ttl is not None:
            self._ctx.record(published.TTL.key, event.ttl, target=target, t=event.t, **labels)

    def _note(self, host: _Host, event: Extra) -> None:
        if event.kind == "late" and event.rtt is not None:
            host.late += 1
            host.latest = max(host.latest or 0.0, event.rtt)
        elif event.kind == "duplicate" and host.tally is not None:
            host.tally.duplicates += 1
        elif event.kind == "duplicate":
            self._ctx.record(published.DUPLICATES.key, 1, target=host.target.text)

    def close(self, **facts: Value | None) -> None:
        """Records what is known only at the end, also at an early one: slips, late replies."""
        for host in self._hosts:
            if host.tally is not None:
                host.tally.finish()
                self._ctx.tally(host.tally, target=host.target.text)
                facts = {
                    **facts,
                    "series_keeps_every": self._every,
                    "statistics": "histogram",
                    "statistics_error_ratio": NARROWEST * host.tally.width,
                }
            self._ctx.method(
                target=host.target.text,
                **facts,
                schedule_slips=host.slips,
                late_replies=host.late,
                late_longest_seconds=host.latest,
                in_flight=host.in_flight,
            )
            if host.slips > _SLIPS_WORTH_A_FLAG * host.requests:
                self._ctx.flag("schedule_slip", target=host.target.text)
            if is_suspicious(host.fastest, host.address):
                self._ctx.flag("suspicious_local", target=host.target.text)

    def judge(self) -> None:
        """Ends the attempts that failed."""
        for host in self._hosts:
            failure = host.verdict()
            if failure is not None:
                self._ctx.failed(host.target.text, failure)


def is_suspicious(rtt: float | None, address: Address) -> bool:
    """Whether a round trip is one that no network does, from an address that isn't this machine's."""
    if rtt is None or rtt >= _LOCAL:
        return False
    with socket.socket(socket_family(address), socket.SOCK_DGRAM) as trial:
        try:
            trial.bind(address.sockaddr(0))
        except OSError:
            return True
    return False
