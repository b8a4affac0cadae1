"""What is seen of the way out while a probe runs, in a namespace of its own."""

from __future__ import annotations

import json
import sys

import pytest

from tests.ping_lab import Lab, lab

pytestmark = pytest.mark.netns

_CHILD = """
import json, subprocess, sys
from ots.netio.attachment.surroundings import Surroundings
from ots.probe import Route, Target
from ots.probes.ping import Ping
from contextlib import closing
with closing(Surroundings([Ping.targets.parse("10.9.1.2")], Route())) as around:
    for command in json.loads(sys.argv[1]):
        subprocess.run(command.split(), check=True, capture_output=True)
    passed = around.end()
print(json.dumps([passed.received_bytes, passed.sent_bytes, passed.changes]))
"""


def seen(built: Lab, *commands: str) -> tuple[int | None, int | None, list[str]]:
    received, sent, changes = json.loads(
        built.run("near", sys.executable, "-c", _CHILD, json.dumps(list(commands)))
    )
    return received, sent, changes


def test_bytes_and_changes_of_the_way() -> None:
    with lab() as built:
        built.host("near")
        built.host("far")
        built.wire("near", "10.9.1.1/24", "far", "10.9.1.2/24")
        built.run("near", "ip", "route", "add", "default", "via", "10.9.1.2")
        received, sent, changes = seen(built, "ping -c 10 -i 0.002 -s 1000 10.9.1.2")
        assert received is not None and sent is not None
        assert changes == []
        assert 10 * 1042 <= received <= 10 * 1042 + 2000
        assert 10 * 1042 <= sent <= 10 * 1042 + 2000
        assert seen(built, "ip address add 10.9.3.1/24 dev to-far")[2] == []
        assert seen(built, "ip address del 10.9.3.1/24 dev to-far")[2] == ["address"]
        gone_and_back = ("ip route del default", "ip route add default via 10.9.1.2")
        assert seen(built, *gone_and_back)[2] == ["gateway"]
        assert "link_lost" in seen(built, "ip link set to-far down", "ip link set to-far up")[2]
        elsewhere = ("ip link add other type veth peer another", "ip link set other up", "ip link del other")
        assert seen(built, *elsewhere)[2] == []
