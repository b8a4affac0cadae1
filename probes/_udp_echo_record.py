"""Turns what came of each request into samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ots.netio.udp_echo import wire
from ots.netio.udp_echo.clocks import Comparison
from ots.netio.udp_echo.session import EchoRun, Event, Extra, Settled, lost_at
from ots.probe import Context, Failed
from ots.probes import _udp_echo_metrics as published

_SLIPS_WORTH_A_FLAG = 0.01


class UDPEchoRecord:
    """Receives events in the event loop and records them through the context."""

    def __init__(
        self, ctx: Context, run: EchoRun, clocks: Comparison, planned: int, packet_bytes: int
    ) -> None:
        self._ctx = ctx
        self._run = run
        self._clocks = clocks
        self._planned = planned
        self._packet_bytes = packet_bytes
        self._settled = 0
        self._slips = 0
        self._in_flight = 0
        self._lost: dict[int, float] = {}
        self._late: dict[int, float] = {}
        self._duplicates = 0
        self._overtaken = 0
        self._one_way: list[tuple[float, float, float]] = []
        """Of each answer: when it was asked, and the two ways by the clocks of two machines."""
        self._failures: Counter[str] = Counter()
        self._first_failure: dict[str, Failed] = {}

    def deliver(self, events: Sequence[Event]) -> None:
        """Records a batch, then books its bytes."""
        sent = received = 0
        for event in events:
            match event:
                case Settled():
                    sent += event.sent
                    received += event.answer is not None or event.late is not None
                    self._settle(event)
                case Extra():
                    received += 1
                    if event.late is None:
                        self._duplicates += 1
                        self._ctx.record(published.DUPLICATES.key, 1, direction="down")
                    else:
                        self._late[event.sequence] = event.late
        self._ctx.progress(min(1.0, self._settled / self._planned))
        size = self._packet_bytes
        self._ctx.budget.spend(sent=sent * size, received=received * size)

    def _settle(self, event: Settled) -> None:
        self._settled += 1
        self._slips += event.slipped
        if event.failure is not None:
            self._failures[event.failure.error.code] += 1
            self._first_failure.setdefault(event.failure.error.code, event.failure)
        if event.reason == "cancelled":
            self._in_flight += 1
            return
        answer = event.answer
        rtt = None if answer is None else answer.rtt
        self._ctx.record(published.RTT.key, rtt, t=event.t, reason=event.reason)
        if answer is None:
            if event.sent:
                self._lost[event.sequence] = event.t
            if event.late is not None:
                self._late[event.sequence] = event.late
            return
        self._overtaken += answer.overtook
        self._ctx.record(published.HELD.key, answer.held, t=event.t)
        self._one_way.append((event.t, answer.up, answer.down))

    def close(self, reports: Sequence[wire.Report]) -> None:
        """Records what only the whole run shows, also at an early end."""
        self._record_ways()
        for sequence, t in self._lost.items():
            where = "late" if sequence in self._late else lost_at(sequence, self._run, reports)
            self._ctx.record(published.LOST_AT.key, where, t=t)
        for _ in range(self._overtaken):
            self._ctx.record(published.REORDERED.key, 1, direction="down")
        limited = None
        if reports:
            last = reports[-1]
            limited = last.limited
            for definition, number in (
                (published.DUPLICATES, last.duplicates),
                (published.REORDERED, last.reordered),
            ):
                for _ in range(number):
                    self._ctx.record(definition.key, 1, direction="up")
        self._ctx.method(
            timestamp_source=self._run.timestamp_source,
            schedule_slips=self._slips,
            late_replies=len(self._late),
            late_longest_seconds=max(self._late.values(), default=None),
            in_flight=self._in_flight,
            strange_packets=self._run.strange,
            responder_reported=bool(reports),
            responder_limited=limited,
        )
        if self._slips > _SLIPS_WORTH_A_FLAG * max(1, self._settled):
            self._ctx.flag("schedule_slip")
        if limited:
            self._ctx.flag("rate_limited")
        if self._run.clock_stepped:
            self._ctx.flag("clock_step")

    def _record_ways(self) -> None:
        """Of each way what can be said: its variation always, its delay only by clocks that are known."""
        if not self._one_way:
            return
        known = self._clocks.error is not None
        least = {"up": min(up for _, up, _ in self._one_way), "down": min(d for _, _, d in self._one_way)}
        for t, up, down in self._one_way:
            for direction, delay in (("up", up), ("down", down)):
                self._ctx.record(published.OW_PDV.key, delay - least[direction], t=t, direction=direction)
                if known:
                    self._ctx.record(published.OWD.key, max(0.0, delay), t=t, direction=direction)
            self._ctx.record(published.OWD_DIFFERENCE.key, up - down, t=t)

    def verdict(self) -> Failed | None:
        """Why the attempt failed, or None if it didn't."""
        if self._run.replies:
            return None
        if self._failures:
            return self._first_failure[self._failures.most_common(1)[0][0]]
        late = f"; {len(self._late)} came after the timeout" if self._late else ""
        return Failed("loss", "first_byte", "NO_REPLY", f"no reply to {self._settled} requests{late}")
