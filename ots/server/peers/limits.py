"""What a test server grants its clients, so that none of them can use up what the others need."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Times in seconds. The defaults are those of a public server; LOOPBACK is for peers of demo and tests.

    `connections` are those of one worker, `connections_per_client` those of one address (of a /64 of IPv6)
    over all workers. `header_seconds` bounds a TLS handshake, a request's header and the pause between two
    requests. `max_seconds` and `max_bytes` bound one transfer, `max_seconds` a place too.
    """

    connections: int = 2000
    connections_per_client: int = 64
    header_seconds: float = 10.0
    max_seconds: float = 60.0
    max_bytes: int = 1 << 40
    slots: int = 8
    slots_per_client: int = 2


LOOPBACK = Limits(
    connections=16_000,
    connections_per_client=16_000,
    header_seconds=60.0,
    max_seconds=3600.0,
    slots=64,
    slots_per_client=64,
)
"""One machine that measures against itself."""

HEADER_BYTES = 16 << 10
"""A request's header may be so long."""

DOCUMENT_BYTES = 4 << 10
"""A small document in a request, such as the wish for a place, may be so long."""
