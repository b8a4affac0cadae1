"""The hops of a trace while it runs, as a small table of text."""

from __future__ import annotations

from dataclasses import dataclass

from ots.i18n import _
from ots.netio.trace.session import Settled

_ADDRESS_WIDTH = 15


@dataclass(slots=True)
class _Hop:
    address: str = ""
    sent: int = 0
    answered: int = 0
    last: float = 0.0
    total: float = 0.0
    best: float = float("inf")
    worst: float = 0.0


class LiveTable:
    """One line for each hop up to the last that answered: what a person wants to see moving."""

    def __init__(self, destination: str) -> None:
        self._destination = destination
        self._hops: dict[int, _Hop] = {}
        self._end: int | None = None

    def add(self, event: Settled) -> None:
        if event.reason == "cancelled":
            return
        hop = self._hops.setdefault(event.ttl, _Hop())
        hop.sent += 1
        if event.heard is None or event.rtt is None:
            return
        hop.address = event.heard.address
        hop.answered += 1
        hop.last = event.rtt
        hop.total += event.rtt
        hop.best = min(hop.best, event.rtt)
        hop.worst = max(hop.worst, event.rtt)
        if event.final:
            self._end = event.ttl if self._end is None else min(self._end, event.ttl)

    def text(self) -> str:
        """A first line for beside the progress bar, then the table."""
        last = self._end or max((ttl for ttl, hop in self._hops.items() if hop.answered), default=0)
        width = max([_ADDRESS_WIDTH, *(len(hop.address) for hop in self._hops.values())])
        lines = [
            self._destination,
            f"{'':>3} {_('address'):<{width}} {_('loss'):>6} {_('sent'):>5} "
            f"{_('last'):>7} {_('mean'):>7} {_('best'):>7} {_('worst'):>7}  ms",
        ]
        for ttl in range(1, last + 1):
            hop = self._hops.get(ttl, _Hop())
            loss = f"{100 * (1 - hop.answered / hop.sent):.0f} %" if hop.sent else ""
            line = f"{ttl:>3} {hop.address or '—':<{width}} {loss:>6} {hop.sent:>5}"
            if hop.answered:
                for value in (hop.last, hop.total / hop.answered, hop.best, hop.worst):
                    line += f" {value * 1e3:>7.1f}"
            lines.append(line)
        return "\n".join(lines)
