"""The most that this machine's own software can move: a figure near it isn't taken for the network's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

NEAR = 0.5
"""Share of the ceiling from which on a result may be the probe's own limit."""


@dataclass(frozen=True, slots=True)
class Ceilings:
    """Bits per second by `key`, as a calibration against our own server on loopback has found them."""

    bits_per_second: Mapping[str, float] = field(default_factory=dict)

    def of(self, kind: str, *, tls: bool, connections: int) -> float | None:
        """What a probe reaches with so many connections; None where nobody has measured it."""
        return self.bits_per_second.get(key(kind, tls=tls, several=connections > 1))


def key(kind: str, *, tls: bool, several: bool) -> str:
    """How a ceiling is called: `http_download, tls, several`."""
    return ", ".join([kind, *(["tls"] if tls else []), "several" if several else "one"])
