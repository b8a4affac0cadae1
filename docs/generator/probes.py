"""The built-in probes, as the generated pages see them."""

from __future__ import annotations

from ots.probe import Probe
from ots.registry import kinds


def built_in() -> list[Probe]:
    known = kinds()
    broken = {
        kind: reason for kind, reason in known.broken().items() if known.origin(kind).entry_point is None
    }
    if broken:
        raise SystemExit(f"built-in probes that do not load: {broken}")
    return [probe for probe in known.usable() if known.origin(probe.kind).entry_point is None]
