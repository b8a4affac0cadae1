"""udp_echo over a link of known delay that loses on one way, beside irtt.

Published tolerance: loss each way is the emulator's, give or take one packet (the handshake's are lost in
turn with the rest); the delay of each way and the round trip are within 1.5 ms of the emulator's,
which sleeps in Python, and within 1 ms of irtt's in the same minute.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.test_loaded_latency import median, ots
from tests.peers.require import require
from tests.ping_lab import Lab, lab

FAR = "10.9.3.1"
DELAY, EVERY = 0.02, 10

pytestmark = [pytest.mark.netns, pytest.mark.slow]


@pytest.fixture
def link() -> Iterator[Lab]:
    """20 ms each way; every tenth packet from near is lost."""
    with lab() as built:
        built.host("near")
        built.host("far")
        built.slow_wire("near", "10.9.3.2/24", "far", f"{FAR}/24", delay=DELAY, lose=EVERY)
        ours = [sys.executable, "-m", "ots.server.peers", "--host", FAR, "--stay", "--udp-echo-port", "2113"]
        theirs = [require("irtt"), "server", "-b", f"{FAR}:2112"]
        children = [
            subprocess.Popen([*built.inside("far"), *command], stdout=subprocess.PIPE, text=True)
            for command in (ours, theirs)
        ]
        try:
            for child in children:
                assert child.stdout is not None and child.stdout.readline()
            yield built
        finally:
            for child in children:
                child.terminate()
                child.communicate()


def ratio(step: dict[str, Any], key: str, **labels: str) -> float:
    (found,) = [m for m in step["metrics"] if m["key"] == key and labels.items() <= m["labels"].items()]
    return float(found["stats"]["value"])


def test_delay_and_loss_of_each_way_are_the_links(link: Lab) -> None:
    """100 packets: ten lost on the way up, none down; 20 ms each way; irtt sees the same."""
    arguments = ["--count", "100", "--interval", "10ms", "--timeout", "500ms"]
    (step,) = ots(link, "udp-echo", f"{FAR}:2113", *arguments)["steps"]
    assert ratio(step, "udp_echo_ow_loss_ratio", direction="up") == pytest.approx(1 / EVERY, abs=0.011)
    assert ratio(step, "udp_echo_ow_loss_ratio", direction="down") == 0
    for way in ("up", "down"):
        assert median(step, "udp_echo_owd_seconds", direction=way) == pytest.approx(DELAY, abs=0.0015)
    ours = median(step, "udp_echo_rtt_seconds")
    assert ours == pytest.approx(2 * DELAY, abs=0.003)
    said = link.run(
        *("near", require("irtt"), "client", "-Q", "-o", "-", "-d", "1s", "-i", "10ms", "-l", "64"),
        *("--wait=500ms", f"{FAR}:2112"),
    )
    stats = json.loads(said)["stats"]
    assert stats["upstream_loss_percent"] == pytest.approx(100 / EVERY, abs=1.1)
    assert stats["downstream_loss_percent"] == 0
    assert ours == pytest.approx(stats["rtt"]["median"] / 1e9, abs=0.001)
