"""What OTS says of its own figures, on a few links of `make lab` (`tests.lab.validity` has all)."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.lab import paced_server as pace
from tests.lab.graded import Machine, machine, paced_server
from tests.lab.link import link, wire
from tests.lab.servers import servers
from tests.lab.validity import transfer

pytestmark = [
    pytest.mark.netns,
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for network namespaces"),
]


@pytest.fixture(scope="module")
def own() -> Iterator[Machine]:
    """This machine, calibrated: nothing is called the link's limit before that."""
    with machine() as made:
        yield made


@pytest.mark.parametrize("way", ["down", "up"])
def test_a_full_bottleneck_is_the_links_limit(own: Machine, way: str) -> None:
    with link(rate_down=20e6, rate_up=20e6, delay=0.005, queue=250_000) as ends, servers(ends) as far:
        found = transfer(own, ends, way, far.ports["http"], f"/speed/{way}")
    assert (found.grade, found.codes) == ("high", ("link_limited",))


def test_without_a_bottleneck_the_link_is_not_blamed(own: Machine) -> None:
    """Two namespaces on one machine: what limits them is the machine."""
    with wire(rate_down=100e9, rate_up=100e9) as ends, servers(ends) as far:
        found = transfer(own, ends, "up", far.ports["http"], "/speed/up")
    assert "ceiling_bits_per_second" in found.step["metrics"][0]["method"]
    assert "link_limited" not in found.codes
    assert found.grade != "high"


def test_a_server_that_sends_in_bursts_is_the_limit(own: Machine) -> None:
    with link(rate_down=50e6, rate_up=50e6, delay=0.01) as ends, paced_server(ends):
        found = transfer(own, ends, "down", pace.BURSTS, "/")
    assert (found.grade, found.codes[0]) == ("low", "server_limited")


def test_an_address_that_is_replaced_changes_the_network(own: Machine) -> None:
    with wire(rate_down=100e6, rate_up=100e6) as ends:
        near = (*ends.prefix, "ip", "address")
        renumber = [
            (*near, "add", "10.78.0.7/24", "dev", "wire"),
            (*near, "del", f"{ends.near_address}/24", "dev", "wire"),
        ]
        asked = ("ping", ends.far_address, "--count", "150", "--interval", "20 ms", "--timeout", "1 s")
        found = own.measure(ends, *asked, meanwhile=renumber)
    assert found.grade == "low"
    assert "changed_network" in found.codes
