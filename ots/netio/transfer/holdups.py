"""What held connections up, by looks at them ten times a second: their windows, and who did not read."""

from __future__ import annotations

from dataclasses import dataclass

from ots.model.metric import Value
from ots.netio.tcpinfo import Arriving, Connection, arriving, sending
from ots.netio.transfer.meter import Flow

FILLED = 0.8
"""Share of the window that went within a round trip from which on the window is taken to be full."""


@dataclass(slots=True)
class _Seen:
    """One connection so far, in seconds; what is added up is weighted with the time that it held."""

    since: float
    arriving: Arriving | None = None
    acked: int | None = None
    seconds: float = 0.0
    window_full: float = 0.0
    unread: float = 0.0
    all_sent: float = 0.0
    round_trips: float = 0.0
    quiet: float = 0.0
    window: float = 0.0
    largest: int = 0


class Holdups:
    """Constant in memory; `sent` says which end of the connections we are."""

    def __init__(self, *, sent: bool) -> None:
        self._sent = sent
        self._seen: dict[int, _Seen] = {}

    def look(self, now: float, flow: Flow) -> None:
        """One more look at a connection, if it has content."""
        connection = flow.connection
        if flow.begin is None or connection is None or connection.fileno() < 0:
            return
        seen = self._seen.setdefault(flow.number, _Seen(now))
        passed = now - seen.since
        seen.since = now
        if self._sent:
            self._look_as_sender(seen, passed, flow, connection)
        else:
            self._look_as_receiver(seen, passed, connection)

    def facts(self) -> dict[str, Value | None]:
        """All connections together, for the record; without a figure where the kernel doesn't tell."""
        known = [seen for seen in self._seen.values() if seen.seconds > 0]
        seconds = sum(seen.seconds for seen in known)
        if not known:
            return {"watched_seconds": None}
        facts: dict[str, Value | None] = {
            "watched_seconds": round(seconds, 6),
            "window_full_seconds": round(sum(seen.window_full for seen in known), 6),
            "loaded_rtt_seconds": round(sum(seen.round_trips for seen in known) / seconds, 6),
        }
        if not self._sent:
            facts["unread_seconds"] = round(sum(seen.unread for seen in known), 6)
            facts["quiet_mean_seconds"] = round(sum(seen.quiet for seen in known) / seconds, 6)
            return facts
        facts["all_sent_seconds"] = round(sum(seen.all_sent for seen in known), 6)
        if most := sum(seen.largest * seen.seconds for seen in known):
            facts["peer_window_share"] = round(sum(seen.window for seen in known) / most, 3)
        return facts

    def _look_as_sender(self, seen: _Seen, passed: float, flow: Flow, connection: Connection) -> None:
        side, info = sending(connection), flow.info
        if side is None or info is None or info.bytes_acked is None:
            return
        before, seen.acked = seen.acked, info.bytes_acked
        if before is None or passed <= 0:
            return
        seen.seconds += passed
        seen.round_trips += info.rtt * passed
        seen.window += side.window * passed
        seen.largest = max(seen.largest, side.window, flow.first_window)
        if not side.unsent:
            seen.all_sent += passed
        if (info.bytes_acked - before) * info.rtt >= FILLED * side.window * passed:
            seen.window_full += passed

    def _look_as_receiver(self, seen: _Seen, passed: float, connection: Connection) -> None:
        info, before = arriving(connection), seen.arriving
        if info is None:
            return
        seen.arriving = info
        if before is None or passed <= 0:
            return
        seen.seconds += passed
        seen.round_trips += info.rtt * passed
        seen.quiet += info.quiet * passed
        if info.waiting >= info.window:
            seen.unread += passed
        elif (info.bytes - before.bytes) * info.rtt >= FILLED * info.window * passed:
            seen.window_full += passed
