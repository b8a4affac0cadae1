"""udp_echo against the books of a link that loses both ways, beside irtt."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from bench.product import measure
from tests.lab.link import DOWN, UP, EmulatedLink, Ends, link
from tests.lab.references import run
from tests.lab.row import Row
from tests.lab.servers import servers
from tests.peers.programs import find

_DELAY, _LOSS, _COUNT = 0.010, 0.03, 500
_UDP, _PACKET = 17, 20 + 8 + 200
"""IP protocol, and the size by which the measuring packets are told from those of the handshakes."""


def udp_echo() -> Iterator[Row]:
    """Round trip, and loss of each way packet for packet."""
    condition = f"{_DELAY * 1e3:g} ms and {_LOSS:.0%} loss each way, {_COUNT} packets at 100/s"
    with link(delay=_DELAY, loss=_LOSS, seed=31) as ends, servers(ends) as far, _irtt_server(ends):
        target = f"{far.host}:{far.ports['udp_echo']}"
        measured = measure(
            ["udp-echo", target, "--count", str(_COUNT), "--interval", "10 ms", "--size", "200 B"],
            prefix=ends.prefix,
        )
        lost = _lost(ends)
        text = run(
            ends,
            *(find("irtt"), "client", "-Q", "-o", "-", "-d", f"{_COUNT * 10}ms", "-i", "10ms"),
            *("-l", "200", "--wait=1s", f"{ends.far_address}:2112"),
        )
    said = json.loads(text)["stats"]
    yield Row(
        "UDP echo",
        condition,
        "median round trip",
        "ms",
        2 * _DELAY * 1e3,
        measured.value("udp_echo_rtt_seconds", "median") * 1e3,
        "irtt",
        said["rtt"]["median"] / 1e6,
        tolerance=0.2,
    )
    for way, words in ((UP, "up"), (DOWN, "down")):
        yield Row(
            "UDP echo",
            condition,
            f"lost on the way {words}",
            "packets",
            lost[way],
            _ratio(measured.step, words) * (_COUNT if way == UP else _COUNT - lost[UP]),
            tolerance=0.01,
        )


def _ratio(step: dict[str, object], way: str) -> float:
    metrics = step["metrics"]
    assert isinstance(metrics, list)
    (found,) = [
        each
        for each in metrics
        if each["key"] == "udp_echo_ow_loss_ratio" and each["labels"].get("direction") == way
    ]
    return float(found["stats"]["value"])


def _lost(ends: EmulatedLink) -> tuple[int, int]:
    packets = [fate for fate in ends.fates() if fate.protocol == _UDP and fate.length == _PACKET]
    up, down = (sum(fate.direction == way and fate.left is None for fate in packets) for way in (UP, DOWN))
    return up, down


@contextmanager
def _irtt_server(ends: Ends) -> Iterator[None]:
    process = subprocess.Popen(
        [*ends.far_prefix, find("irtt"), "server", "-b", f"{ends.far_address}:2112"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None and process.stdout.readline()
        yield
    finally:
        process.terminate()
        process.communicate()
