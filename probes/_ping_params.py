"""The parameters of ping, and what follows from them alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from ots.i18n import N_
from ots.model.metric import Value
from ots.netio.icmp.members import count as members_of
from ots.netio.icmp.packet import HEADER_BYTES, IP_HEADER_BYTES, TOKEN_BYTES
from ots.netio.icmp.sockets import Options
from ots.netio.icmp.stream import Stream
from ots.probe import NetworkParams, Target
from ots.schema.quantity import Duration, Size

Family = Literal["4", "6"]

_LIMIT, _WIDE_LIMIT = 1 << 16, 1 << 20
"""Addresses that a network may have, without and with `allow_wide`: /16 and /12, in IPv6 /112 and /108."""


class PingParams(NetworkParams):
    """The parameters of ping; everything here but `socket` is part of what the figures mean."""

    count: Annotated[int, Field(ge=1, le=1_000_000, description=N_("Requests to each host."))] = 25
    interval: Annotated[
        Duration, Field(ge=0.001, le=3600, description=N_("Time between two requests to the same address."))
    ] = 0.2
    timeout: Annotated[
        Duration, Field(ge=0.001, le=60, description=N_("A reply that takes longer counts as lost."))
    ] = 2.0
    size: Annotated[
        Size, Field(ge=TOKEN_BYTES, le=65_507, description=N_("Bytes of payload behind the ICMP header."))
    ] = 56
    ttl: Annotated[int, Field(ge=1, le=255, description=N_("Time to live (hop limit) of the requests."))] = 64
    dscp: Annotated[int, Field(ge=0, le=63, description=N_("Differentiated services code point."))] = 0
    df: Annotated[bool, Field(description=N_("Forbid fragmentation on the way."))] = False
    warmup: Annotated[
        int, Field(ge=0, le=1000, description=N_("Requests sent before the counted ones and left out."))
    ] = 0
    segment: Annotated[
        int | None, Field(ge=2, description=N_("Also publish figures for each so many requests."))
    ] = None
    socket: Annotated[
        Literal["auto", "raw", "datagram", "system"],
        Field(description=N_("How to send; auto takes the first that this user may use.")),
    ] = "auto"
    sweep_count: Annotated[
        int, Field(ge=1, le=100, description=N_("Requests to each address of a network."))
    ] = 2
    sweep_rate: Annotated[
        int, Field(ge=1, le=1_000_000, description=N_("Packets a second to networks at most."))
    ] = 1000
    allow_wide: Annotated[
        bool, Field(description=N_("Also sweep networks wider than /16 (IPv4) or /112 (IPv6)."))
    ] = False
    resolve_timeout: Annotated[
        Duration, Field(ge=0.1, le=60, description=N_("How long a host name may take to resolve."))
    ] = 5.0

    @property
    def requests(self) -> int:
        """Requests to a host, warm-up included."""
        return self.warmup + self.count

    def packet_bytes(self, family: Family) -> int:
        """Bytes of a request with its headers, without IP options."""
        return self.size + HEADER_BYTES + IP_HEADER_BYTES[family]

    def packet(self, family: Family) -> dict[str, Value | None]:
        """What the method says of every packet."""
        return {
            "family": family,
            "interface": self.interface,
            "source": self.source,
            "size": self.size,
            "ip_bytes": self.packet_bytes(family),
            "ttl": self.ttl,
            "dscp": self.dscp,
            "df": self.df,
            "timeout": self.timeout,
            "schedule": "periodic",
        }

    @property
    def options(self) -> Options:
        """How every packet leaves the machine."""
        return Options(self.ttl, self.dscp, self.df)


def addresses(target: Target) -> int:
    """How many addresses a target stands for."""
    return 1 if target.network is None else members_of(target.network)


def streams_of(targets: Sequence[Target], params: PingParams) -> list[Stream]:
    """One periodic stream for each target. Hosts are spread over the interval; networks follow one another,
    so that all together keep to the rate."""
    hosts = sum(target.network is None for target in targets)
    swept = sum(addresses(target) for target in targets if target.network is not None)
    period, spacing = max(params.interval, swept / params.sweep_rate), 1 / params.sweep_rate
    streams: list[Stream] = []
    place = asked = 0
    for target in targets:
        if target.network is None:
            start = place * params.interval / hosts
            late = params.interval / 10
            streams.append(Stream(place, params.requests, params.interval, start=start, tolerance=late))
            place += 1
        else:
            size = addresses(target)
            streams.append(Stream(0, params.sweep_count, period, size, spacing, start=asked * spacing))
            asked += size
    return streams


def widest(target: Target, params: PingParams) -> int | None:
    """The shortest prefix that would be swept, where the target's is shorter still; None if it is swept."""
    limit = _WIDE_LIMIT if params.allow_wide else _LIMIT
    if target.network is None or target.network.num_addresses <= limit:
        return None
    return target.network.max_prefixlen - limit.bit_length() + 1
