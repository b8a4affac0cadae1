"""What a server speaks, found out by asking for what only one protocol has."""

from __future__ import annotations

from ots.netio.speed.client import Reply, SpeedClient
from ots.netio.speed.server import ProtocolName, base_of, below
from ots.netio.speed.service import Visit
from ots.probe import Failed

_QUESTIONS: tuple[tuple[str, ProtocolName], ...] = (
    ("speed/info", "ots"),
    ("speed/empty", "ots"),
    ("empty.php", "librespeed"),
    ("backend/empty.php", "librespeed"),
    ("speedtest/latency.txt", "mini"),
)


async def detect(visit: Visit) -> ProtocolName:
    """The protocol; a ws or wss URL is ndt7. `Failed` where none fits, or nobody answers."""
    if visit.target.scheme in ("ws", "wss"):
        return "ndt7"
    base = base_of(visit.target)
    client = SpeedClient(visit.way)
    try:
        for path, protocol in _QUESTIONS:
            reply = await client.exchange("GET", below(base, path))
            if reply.accepted and _fits(path, reply):
                return protocol
    finally:
        await client.close()
    raise Failed(
        "unsupported",
        "first_byte",
        "UNKNOWN_PROTOCOL",
        "the server answers, but none of the protocols is spoken below this URL",
        remedy="Name the folder in which the test lies, or the protocol.",
    )


def _fits(path: str, reply: Reply) -> bool:
    if path == "speed/info":
        return bool(reply.document())
    if path.endswith("latency.txt"):
        return reply.body.startswith(b"test=test")
    return not reply.body
