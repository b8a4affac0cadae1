"""Turns the events of an echo run into samples of the attempts they belong to."""

from __future__ import annotations

import csv
import io
import math
import socket
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ots.model.metric import Value
from ots.netio.binding import socket_family
from ots.netio.icmp.stream import Event, Extra, Refusal, Settled
from ots.probe import Address, Context, Failed, Target
from ots.probes import _ping_metrics as published

WARMUP = {"warmup": "yes"}
"""The label of samples that were declared to be left out."""

_LOCAL = 100e-6
"""A round trip that no network does: something on this machine answered (a VPN client, an offload)."""

_LABELLED_HOSTS = 1024
"""Addresses of one network that get a label of their own; the artifact names all."""

_SLIPS_WORTH_A_FLAG = 0.01


@dataclass(slots=True)
class _Host:
    """What is known of one target so far."""

    target: Target
    addresses: Sequence[Address]
    requests: int = 0
    sent: int = 0
    replies: int = 0
    slips: int = 0
    late: list[float] = field(default_factory=list)
    in_flight: int = 0
    first: float = math.inf
    last: float = 0.0
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
        if self.failures and (self.target.network is None or not self.sent):
            return self.first_failure[self.failures.most_common(1)[0][0]]
        if self.target.network is not None:
            return None
        late = f"; {len(self.late)} came after the timeout" if self.late else ""
        return Failed("loss", "first_byte", "NO_REPLY", f"no reply to {self.requests} requests{late}")


@dataclass(slots=True)
class _Swept:
    """The best that came of one address of a network."""

    t: float
    rtt: float | None
    reason: str


class EchoRecord:
    """Receives events in the event loop and records them through the context."""

    def __init__(
        self,
        ctx: Context,
        reached: Sequence[tuple[Target, Sequence[Address]]],
        *,
        warmup: int,
        planned: int,
        packet_bytes: dict[str, int],
    ) -> None:
        self._ctx = ctx
        self._hosts = [_Host(target, addresses) for target, addresses in reached]
        self._owner = [host for host in self._hosts for _ in host.addresses]
        self._addresses = [address for host in self._hosts for address in host.addresses]
        self._warmup = warmup
        self._planned = planned
        self._packet_bytes = packet_bytes
        self._settled = 0
        self._swept: dict[int, _Swept] = {}

    @property
    def destinations(self) -> Sequence[Address]:
        """All addresses, in the order in which events number them."""
        return self._addresses

    def deliver(self, events: Sequence[Event]) -> None:
        """Records a batch, then books its bytes."""
        sent = received = 0
        for event in events:
            host = self._owner[event.destination]
            size = self._packet_bytes[self._addresses[event.destination].family]
            match event:
                case Settled():
                    sent += size * event.sent
                    received += size * (event.rtt is not None)
                    self._settle(host, event)
                case Extra():
                    received += size
                    self._note(host, event)
                case Refusal():
                    host.blame(event.failure())
                    self._ctx.record(
                        published.ICMP_ERRORS.key,
                        1,
                        target=host.target.text,
                        type=str(event.type),
                        code=str(event.code),
                    )
        self._ctx.progress(min(1.0, self._settled / self._planned) if self._planned else None)
        self._ctx.budget.spend(sent=sent, received=received)

    def _settle(self, host: _Host, event: Settled) -> None:
        self._settled += 1
        host.requests += 1
        host.sent += event.sent
        host.slips += event.slipped
        host.first = min(host.first, event.t)
        host.last = max(host.last, event.t + (event.rtt or 0.0))
        if event.failure is not None and not event.sent:
            host.blame(event.failure)
        if event.reason == "cancelled":
            host.in_flight += 1
        elif host.target.network is not None:
            self._sweep(event)
        else:
            self._record(host, event)
        if event.rtt is not None:
            host.fastest = event.rtt if host.fastest is None else min(host.fastest, event.rtt)

    def _record(self, host: _Host, event: Settled) -> None:
        labels = WARMUP if event.place < self._warmup else {}
        target = host.target.text
        self._ctx.record(
            published.RTT.key, event.rtt, target=target, t=event.t, reason=event.reason, **labels
        )
        if event.rtt is not None:
            host.replies += not labels
            if event.ttl is not None:
                self._ctx.record(published.TTL.key, event.ttl, target=target, t=event.t, **labels)

    def _sweep(self, event: Settled) -> None:
        known = self._swept.get(event.destination)
        reason = event.reason or ""
        if known is None:
            self._swept[event.destination] = _Swept(event.t, event.rtt, reason)
        elif event.rtt is not None and (known.rtt is None or event.rtt < known.rtt):
            known.t, known.rtt = event.t, event.rtt
        elif known.rtt is None and reason not in ("", "loss"):
            known.reason = reason

    def _note(self, host: _Host, event: Extra) -> None:
        if event.kind == "late" and event.rtt is not None:
            host.late.append(event.rtt)
        elif event.kind == "duplicate":
            self._ctx.record(published.DUPLICATES.key, 1, target=host.target.text)

    def close(self, timeout: float, **facts: Value | None) -> None:
        """Records what is known only at the end, also at an early one: sweeps, slips, late replies."""
        first = 0
        for host in self._hosts:
            last = first + len(host.addresses)
            if host.target.network is not None:
                self._close_sweep(host, range(first, last), timeout)
            first = last
            self._ctx.method(
                target=host.target.text,
                **facts,
                schedule_slips=host.slips,
                late_replies=len(host.late),
                late_longest_seconds=max(host.late, default=None),
                in_flight=host.in_flight,
            )
            if host.slips > _SLIPS_WORTH_A_FLAG * host.requests:
                self._ctx.flag("schedule_slip", target=host.target.text)
            if host.fastest is not None and host.fastest < _LOCAL and not _is_own(host.addresses):
                self._ctx.flag("suspicious_local", target=host.target.text)

    def judge(self) -> None:
        """Ends the attempts that failed."""
        for host in self._hosts:
            failure = host.verdict()
            if failure is not None:
                self._ctx.failed(host.target.text, failure)

    def _close_sweep(self, host: _Host, numbers: range, timeout: float) -> None:
        target, labelled = host.target.text, 0
        for number in numbers:
            swept = self._swept.get(number)
            if swept is None:
                continue
            labels = {}
            if swept.rtt is not None:
                host.replies += 1
                labelled += 1
                labels = {"host": self._addresses[number].ip} if labelled <= _LABELLED_HOSTS else {}
            self._ctx.record(
                published.SWEEP_RTT.key,
                swept.rtt,
                target=target,
                t=swept.t,
                reason=None if swept.rtt is not None else swept.reason,
                **labels,
            )
        if host.requests:
            silent = any(number in self._swept and self._swept[number].rtt is None for number in numbers)
            took = host.last - host.first + (timeout if silent else 0.0)
            self._ctx.record(published.SWEEP_DURATION.key, took, target=target)
            table = _table(self._rows(numbers))
            self._ctx.artifact(f"sweep-{target.replace('/', '-').replace(':', '_')}.csv", "text/csv", table)

    def _rows(self, numbers: range) -> Iterator[tuple[str, str, str]]:
        for number in numbers:
            swept = self._swept.get(number)
            if swept is not None:
                state = "up" if swept.rtt is not None else swept.reason
                yield self._addresses[number].ip, state, "" if swept.rtt is None else f"{swept.rtt:.6f}"


def _table(rows: Iterator[tuple[str, str, str]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("address", "state", "rtt_seconds"))
    writer.writerows(rows)
    return text.getvalue().encode()


def _is_own(addresses: Sequence[Address]) -> bool:
    """Whether one of these is this machine's: one that can be bound to."""
    for address in addresses:
        with socket.socket(socket_family(address), socket.SOCK_DGRAM) as trial:
            try:
                trial.bind(address.sockaddr(0))
            except OSError:
                continue
            return True
    return False
