"""Turns what a sweep found out into samples of its networks' attempts, and a table of all addresses."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence

from ots.model.metric import Value
from ots.netio.icmp.swept import Host, Swept
from ots.probe import Context, Target
from ots.probes import _ping_metrics as published
from ots.probes._ping_record import Progress, is_suspicious

_LABELLED_HOSTS = 1024
"""Addresses of one network that get a label of their own; the artifact names all."""


class SweepRecord:
    """Books bytes while a sweep runs, and records through the context when it has ended."""

    def __init__(
        self,
        ctx: Context,
        networks: Sequence[tuple[Target, Swept]],
        *,
        packet_bytes: Mapping[str, int],
        progress: Progress,
    ) -> None:
        self._ctx = ctx
        self._networks = networks
        # A step's networks may be of both families; a packet is booked as one of the larger header.
        self._bytes = max(packet_bytes[swept.members.family] for _, swept in networks)
        self._progress = progress

    def tick(self, sent: int, received: int) -> None:
        """Books packets that came or went since the last time."""
        self._progress.add(sent)
        self._ctx.budget.spend(sent=sent * self._bytes, received=received * self._bytes)

    def close(self, timeout: float, **facts: Value | None) -> None:
        """Records all, also at an early end."""
        for target, swept in self._networks:
            hosts = list(swept.hosts())
            self._record(target.text, swept, hosts)
            duration = swept.duration(timeout)
            if duration is not None:
                self._ctx.record(published.SWEEP_DURATION.key, duration, target=target.text)
                name = f"sweep-{target.text.replace('/', '-').replace(':', '_')}.csv"
                self._ctx.artifact(name, "text/csv", _table(_rows(swept, hosts)))
            for (kind, code), count in swept.refusals.items():
                self._ctx.record(
                    published.ICMP_ERRORS.key, count, target=target.text, type=str(kind), code=str(code)
                )
            self._ctx.method(
                target=target.text,
                **facts,
                duplicates=swept.duplicates,
                late_replies=swept.late,
                late_longest_seconds=swept.late_longest,
                in_flight=swept.in_flight,
            )
            fastest = swept.fastest()
            if fastest is not None and is_suspicious(swept.rtts[fastest], swept.members[fastest]):
                self._ctx.flag("suspicious_local", target=target.text)

    def judge(self) -> None:
        """Ends the attempts of networks to which nothing could be sent."""
        for target, swept in self._networks:
            failure = swept.commonest()
            if failure is not None and not swept.sent:
                self._ctx.failed(target.text, failure)

    def _record(self, target: str, swept: Swept, hosts: Sequence[Host]) -> None:
        labelled = 0
        for host in hosts:
            labels = {}
            if host.rtt is not None:
                labelled += 1
                labels = {"host": swept.members[host.number].ip} if labelled <= _LABELLED_HOSTS else {}
            self._ctx.record(
                published.SWEEP_RTT.key,
                host.rtt,
                target=target,
                t=host.t,
                reason=host.reason or None,
                **labels,
            )


def _rows(swept: Swept, hosts: Sequence[Host]) -> Iterator[tuple[str, str, str]]:
    for host in hosts:
        ip = swept.members[host.number].ip
        yield (ip, "up", f"{host.rtt:.6f}") if host.rtt is not None else (ip, host.reason, "")


def _table(rows: Iterator[tuple[str, str, str]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("address", "state", "rtt_seconds"))
    writer.writerows(rows)
    return text.getvalue().encode()
