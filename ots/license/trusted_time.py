"""What time it is for licences, when the machine's clock may be wrong or set by an interested hand. Pure.

    trusted now = max(wall clock + offset to the server, floor)

The floor is the latest time that somebody trusted has stated: a server's answer, a licence's `issued_at`. It
never advances by the machine's own clock, so one accidental jump to 2037 burns no licence. What is remembered
is sealed with a key of this installation; if it is lost or changed, only depth of protection is lost.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

EARLIEST = 1_793_491_200.0
"""2026-11-01: before that there were no licences. A clock that says so is wrong beyond doubt."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What an installation remembers.

    Floor and offset in seconds; serial and id of the newest licence of each line that was in force here; the
    ids of licences that a server has withdrawn; the serial of the newest revocation list of each signing key.
    """

    floor: float = 0.0
    offset: float = 0.0
    newest: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    withdrawn: frozenset[str] = frozenset()
    revocations: Mapping[str, int] = field(default_factory=dict)


def trusted_now(wall: float, memory: Memory, stated: Iterable[float] = ()) -> float:
    """Seconds since 1970. `stated` are times of verified licences: they count if the clock is wrong beyond
    doubt, as it is after a start without a battery."""
    now = max(wall + memory.offset, memory.floor)
    return now if now >= EARLIEST else max([now, *stated])


def heard(memory: Memory, stated: float, wall: float | None = None) -> Memory:
    """The memory after somebody authenticated has stated the time; with `wall`, they stated it just now."""
    offset = memory.offset if wall is None else stated - wall
    return replace(memory, floor=max(memory.floor, stated), offset=offset)


def in_force(memory: Memory, line: str, serial: int, licence_id: str) -> Memory:
    """The memory after a licence of this line was put in force."""
    return replace(memory, newest={**memory.newest, line: (serial, licence_id)})


def withdrawn(memory: Memory, licence_ids: Iterable[str]) -> Memory:
    """The memory after a server has withdrawn these licences."""
    return replace(memory, withdrawn=memory.withdrawn | frozenset(licence_ids))


def seal(memory: Memory, key: bytes) -> bytes:
    """The memory as a file holds it."""
    content = {
        "floor": memory.floor,
        "offset": memory.offset,
        "newest": {line: list(newest) for line, newest in memory.newest.items()},
        "withdrawn": sorted(memory.withdrawn),
        "revocations": dict(memory.revocations),
    }
    return json.dumps({**content, "mac": _mac(content, key)}, indent=1, sort_keys=True).encode()


def unseal(data: bytes, key: bytes) -> Memory | None:
    """The memory that a file holds; None for what was not sealed with this key."""
    try:
        content = json.loads(data)
        mac = content.pop("mac")
        if not hmac.compare_digest(str(mac), _mac(content, key)):
            return None
        memory = Memory(
            float(content["floor"]),
            float(content["offset"]),
            {str(line): (int(serial), str(name)) for line, (serial, name) in content["newest"].items()},
            frozenset(str(identifier) for identifier in content["withdrawn"]),
            {str(key): int(serial) for key, serial in content["revocations"].items()},
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return memory if math.isfinite(memory.floor) and math.isfinite(memory.offset) else None


def _mac(content: Mapping[str, Any], key: bytes) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    return hmac.new(key, b"ots-licence-memory\0" + text, hashlib.sha256).hexdigest()
