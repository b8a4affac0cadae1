"""Ping when this machine's kernel doesn't take a request: no room, or a firewall of its own."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

from ots.netio.icmp import sockets as icmp_socket
from ots.netio.icmp.session import _Wire
from ots.probe import Address
from ots.probes.ping import Ping
from tests.peers.require import all_required
from tests.recording import record

QUICK = {"count": 20, "interval": 0.01, "timeout": 0.5}
Send = Callable[[_Wire, int, Address], None]


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[int], bool]], None]:
    """`refuse(errno, when)`: a call of send to the kernel fails where `when(number of the call)` says so."""
    if icmp_socket.allowed() is None:
        if all_required():
            pytest.fail("missing: the right to open an ICMP socket", pytrace=False)
        pytest.skip("missing: the right to open an ICMP socket")
    send: Send = _Wire.send

    def refusing(error: int, when: Callable[[int], bool]) -> None:
        calls = iter(range(1_000_000))

        def trial(wire: _Wire, number: int, address: Address) -> None:
            if when(next(calls)):
                raise OSError(error, "refused")
            send(wire, number, address)

        monkeypatch.setattr(_Wire, "send", trial)

    return refusing


@pytest.mark.parametrize("error", [errno.ENOBUFS, errno.EAGAIN])
async def test_no_room_in_the_kernel_delays_and_loses_nothing(
    refuse: Callable[[int, Callable[[int], bool]], None], error: int
) -> None:
    """A full queue is tried again: each request leaves, and those that left late are counted as slips."""
    refuse(error, lambda call: 10 <= call < 40)
    recording = await record(Ping(), "127.0.0.1", QUICK)
    assert recording.metric("ping_rtt_seconds").n_valid == 20
    assert recording.metric("ping_packet_loss_ratio").stats["value"] == 0
    slips = recording.only.method["schedule_slips"]
    assert isinstance(slips, int) and slips >= 1
    assert "schedule_slip" in recording.only.flags


async def test_a_firewall_of_this_machine_is_no_loss(
    refuse: Callable[[int, Callable[[int], bool]], None],
) -> None:
    """What the kernel forbade to send is no request to the network: invalid, not lost."""
    refuse(errno.EPERM, lambda call: call % 4 == 0)
    recording = await record(Ping(), "127.0.0.1", QUICK)
    rtt, loss = recording.metric("ping_rtt_seconds"), recording.metric("ping_packet_loss_ratio")
    assert (rtt.n, rtt.n_valid, rtt.n_lost) == (20, 15, 0)
    assert (loss.n, loss.stats["value"]) == (15, 0)
    assert {
        sample.reason for sample in recording.only.samples("ping_rtt_seconds") if sample.value is None
    } == {"permission"}


async def test_a_firewall_that_forbids_all_is_a_permission_error(
    refuse: Callable[[int, Callable[[int], bool]], None],
) -> None:
    """Nothing left this machine: no verdict on the target, and no rate."""
    refuse(errno.EPERM, lambda call: True)
    recording = await record(Ping(), "127.0.0.1", QUICK)
    assert recording.only.error is not None
    assert (recording.only.outcome, recording.only.error.class_) == ("invalid", "permission")
    assert recording.metric("ping_packet_loss_ratio").stats["value"] is None
