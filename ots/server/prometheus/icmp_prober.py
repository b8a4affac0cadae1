"""The prober `icmp`: one echo over the sockets of `ots.netio.icmp` with the kernel's stamps, as of ping."""

from __future__ import annotations

from collections.abc import Sequence

from ots.netio.binding import bind_route
from ots.netio.icmp.session import EchoSession
from ots.netio.icmp.sockets import Options, open_socket
from ots.netio.icmp.stream import Event, Settled, Stream, schedule
from ots.probe import Failed
from ots.schema.target import Targets
from ots.server.prometheus.errand import Errand

_GRAMMAR = Targets(forms=("host",))
_SECONDS = "probe_icmp_duration_seconds"


async def probe(errand: Errand) -> None:
    """Makes the probe. `Failed` says why it failed, `NotAllowed` that the list does not allow it, TargetError
    that the target is none."""
    icmp, figures = errand.loaded.module.icmp, errand.figures
    assert icmp is not None
    target = _GRAMMAR.parse(errand.target)
    figures.start_phases(_SECONDS, ("resolve", "setup", "rtt"))
    address = await errand.admit(target.host, None, icmp)
    figures.set(_SECONDS, address.lookup, phase="resolve")
    began = errand.clock.monotonic()
    settled: list[Settled] = []

    def deliver(events: Sequence[Event]) -> None:
        settled.extend(event for event in events if isinstance(event, Settled))

    options = Options(ttl=icmp.ttl, df=icmp.dont_fragment)
    with open_socket(address.family, "auto", options) as opened:
        bind_route(opened.socket, errand.route(address))
        session = EchoSession(
            [address],
            schedule([Stream(0, 1, 0.0)]),
            {address.family: opened},
            size=icmp.payload_size,
            timeout=errand.left("request"),
            clock=errand.clock,
        )
        await session.run(deliver)
    (answer,) = settled
    figures.set(_SECONDS, max(0.0, answer.t - began), phase="setup")
    if answer.rtt is None:
        raise answer.failure or Failed("loss", "first_byte", "NO_REPLY", "no reply came in time")
    figures.set(_SECONDS, answer.rtt, phase="rtt")
    if answer.ttl is not None:
        figures.set("probe_icmp_reply_hop_limit", answer.ttl)
    errand.journal.note(f"reply after {answer.rtt:.6f} s by the stamps of the {session.timestamp_source}")
