"""One probe on its way: what is asked for, what it may use, and what it brings back."""

from __future__ import annotations

import hashlib
import ipaddress
from dataclasses import dataclass, field
from datetime import UTC

from ots.clock import Clock
from ots.model.outcome import Phase
from ots.netio.certificate import first_end
from ots.netio.errors import TIMER
from ots.probe import Address, Failed, Route
from ots.server.prometheus.connections import Connections
from ots.server.prometheus.figures import Figures
from ots.server.prometheus.gate import Gate
from ots.server.prometheus.module import Family
from ots.server.prometheus.module_file import LoadedModule

_LINES = 200
_LONGEST = 500


class Journal:
    """What happened, line by line, for whoever asks with debug=true. No secret goes in."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._start = clock.monotonic()
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        """Notes a line. A target's words may be in it: what can't be printed is replaced."""
        if len(self.lines) < _LINES:
            clean = "".join(char if char.isprintable() else "?" for char in text[:_LONGEST])
            self.lines.append(f"{self._clock.monotonic() - self._start:9.6f} {clean}")


@dataclass(slots=True)
class Errand:
    """`deadline` is on the clock's monotonic time; `hostname` takes the target's place in Host and SNI."""

    target: str
    loaded: LoadedModule
    deadline: float
    clock: Clock
    gate: Gate
    connections: Connections
    hostname: str | None = None
    figures: Figures = field(default_factory=Figures)
    journal: Journal = field(init=False)

    def __post_init__(self) -> None:
        self.journal = Journal(self.clock)
        self.figures.start("probe_dns_lookup_time_seconds", "probe_ip_protocol", "probe_ip_addr_hash")

    def left(self, phase: Phase) -> float:
        """Seconds that are left; `Failed`, class `timeout`, if there are none."""
        left = self.deadline - self.clock.monotonic()
        if left <= 0:
            raise Failed("timeout", phase, TIMER, "the time for the probe is over", retryable=True)
        return left

    def route(self, address: Address) -> Route:
        """The way to an address, from the module's own."""
        return Route(address.family, None, self.loaded.source)

    async def admit(self, host: str, port: int | None, options: Family, *, first: bool = True) -> Address:
        """The address to connect to; of the `first` one its figures are published."""
        address = await self.gate.admit(
            host,
            port,
            prefer=options.preferred_ip_protocol,
            fallback=options.ip_protocol_fallback,
            timeout=self.left("resolve"),
        )
        if first:
            self.figures.set("probe_dns_lookup_time_seconds", address.lookup)
            self.figures.set("probe_ip_protocol", int(address.family))
            self.figures.set("probe_ip_addr_hash", hash_of(address.ip))
        self.journal.note(f"{host} is {address.ip}, found in {address.lookup:.6f} s")
        return address

    def certificates(self, chain: tuple[bytes, ...], version: str | None) -> None:
        """What a finished handshake tells."""
        end = first_end(chain)
        if end is not None:
            self.figures.set("probe_ssl_earliest_cert_expiry", end.timestamp())
            self.journal.note(f"the first certificate to expire does so at {end.astimezone(UTC).isoformat()}")
        if chain:
            self.figures.set("probe_ssl_last_chain_info", 1, fingerprint_sha256=fingerprint(chain[0]))
        if version is not None:
            self.figures.set("probe_tls_version_info", 1, version=version.replace("TLSv", "TLS "))


def fingerprint(certificate: bytes) -> str:
    """SHA-256 of a certificate in DER, in lower-case hex."""
    return hashlib.sha256(certificate).hexdigest()


def hash_of(ip: str) -> int:
    """FNV-1a, 32 bits, of an address's bytes (draft-eastlake-fnv): what blackbox_exporter publishes."""
    value = 0x811C9DC5
    for byte in ipaddress.ip_address(ip).packed:
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return value
