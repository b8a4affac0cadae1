"""What one kind of issuer may do, as data; None is no limit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ots.policy.hours import Hours
from ots.policy.pattern import ANY, Pattern

Heavy = Literal["never", "consented", "any"]

HEAVY = frozenset(
    {"ftp_download", "ftp_upload", "http_download", "http_upload", "responsiveness", "speedtest"}
    | {"mail_delivery", "mail_send"}
)
"""Kinds that put a load on a host or write to it."""

LIGHT = frozenset(
    {"dns_lookup", "http_check", "ping", "tcp_connect", "tls_handshake", "trace", "udp_echo", "web_page"}
)

NO_PORT = 0
"""The port of what has none: an entry for some ports doesn't mean it."""
PORTLESS = frozenset({"ping", "trace"})
"""Kinds that may send what has no port."""

MANY_FLOWS = 6
"""More connections at once than a browser opens to a host are a load as well."""

PACKETS_PER_SECOND = 10.0
PACKETS = 100
STRANGERS = 64
PORTS = 8
MINUTE = 60.0
START_SPREAD = 60.0
"""What a remote run may do to a host whose owner has agreed to nothing: so many packets (echo requests,
datagrams, connections) a second and a run; so many such hosts in a run and so many ports of one, for more is
a scan, whether or not it is written as a network; one run in so many seconds, started at random within so
many. No setting raises them: ten thousand agents in strange hands are a nuisance to a host, and no flood."""


@dataclass(frozen=True, slots=True)
class Rule:
    """The limits of one kind of issuer.

    `probes` are kinds (None: every kind). `targets` say where packets may go; `trusted` name hosts for which
    this machine's owner answers: they count as having agreed to a load. `packets_per_second` and `flows`
    (connections at once) hold at any moment of a run, `packets` and `bytes_per_run` for a whole one,
    `bytes_per_day` for all of a UTC day, `duration` in seconds. Empty `roles`, `projects` and `hours` are no
    limit; empty `secrets` are none at all. `licence_bound` names the numbers that the licence has narrowed.
    """

    probes: frozenset[str] | None = None
    targets: tuple[Pattern, ...] = (Pattern(ANY),)
    trusted: tuple[Pattern, ...] = ()
    heavy: Heavy = "any"
    packets_per_second: float | None = None
    packets: int | None = None
    flows: int | None = None
    bytes_per_run: int | None = None
    bytes_per_day: int | None = None
    duration: float | None = None
    hours: tuple[Hours, ...] = ()
    roles: frozenset[str] = frozenset()
    projects: frozenset[str] = frozenset()
    secrets: frozenset[str] | None = None
    licence_bound: frozenset[str] = frozenset()

    def whose(self, name: str) -> str:
        """Who sets one of the numbers, for a sentence's end."""
        return " by the licence" if name in self.licence_bound else ""

    @property
    def nothing(self) -> bool:
        """Whether it refuses every kind."""
        return self.probes is not None and not self.probes

    @property
    def limitless(self) -> bool:
        """Whether it lets everything pass, so that nothing need be watched."""
        return self == Rule()


NOTHING = Rule(probes=frozenset(), targets=(), heavy="never", secrets=frozenset())
"""Refuses everything."""
