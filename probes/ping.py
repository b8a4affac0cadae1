"""ICMP echo: round-trip time, loss and delay variation of hosts, and who answers in a network."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Sequence

from ots.i18n import N_, _
from ots.model.metric import Metric
from ots.netio.binding import interface_index
from ots.netio.icmp import sockets as icmp_socket
from ots.netio.icmp.members import Members
from ots.netio.worker import side_by_side
from ots.probe import (
    Address,
    AttemptData,
    Context,
    Estimate,
    Failed,
    Probe,
    Requirement,
    Target,
    Targets,
)
from ots.probes import _ping_metrics as published
from ots.probes._ping_hosts import Hosts, ask
from ots.probes._ping_params import Family, PingParams, addresses, streams_of, widest
from ots.probes._ping_record import Progress
from ots.probes._ping_sweep import Networks, sweep


class Ping(Probe):
    """One echo session over all hosts and networks of a step."""

    kind = "ping"
    example = "127.0.0.1"
    version = 1
    summary = N_("Round-trip time, loss and jitter by ICMP echo; which addresses of a network answer.")
    targets = Targets(forms=("host", "network"), many=True)
    Params = PingParams
    metrics = published.METRICS
    round_trip = published.RTT.key
    requires = (Requirement("program", "ICMP", icmp_socket.missing, icmp_socket.REMEDY),)

    def estimate(self, targets: Sequence[Target], params: PingParams) -> Estimate:
        duration, sent = 0.0, 0
        for target, stream in zip(targets, streams_of(targets, params), strict=True):
            family: Family = "6" if ":" in target.host else "4"
            duration = max(duration, stream.duration)
            sent += stream.rounds * stream.size * params.packet_bytes(family)
        return Estimate(duration, sent, sent, params.resolve_timeout + duration + params.timeout)

    def warnings(self, targets: Sequence[Target], params: PingParams) -> list[str]:
        found = []
        if params.timeout > params.count * params.interval:
            found.append(
                _(
                    "timeout is longer than count × interval: if a reply is missing, "
                    "the step waits the whole timeout"
                )
            )
        for target in targets:
            limit = widest(target, params)
            if limit is not None:
                found.append(
                    _("{target} is wider than /{prefix}: it will not be swept").format(
                        target=target.text, prefix=limit
                    )
                )
        return found

    def samples_planned(self, metric: str, targets: Sequence[Target], params: PingParams) -> int | None:
        if metric == published.REACHABILITY.key:
            return sum(target.network is None for target in targets)
        if metric in (published.SWEEP_RTT.key, published.SWEEP_RATIO.key):
            return min((addresses(target) for target in targets if target.network), default=0)
        if metric in (published.IPDV.key, published.JITTER.key, published.JITTER_RFC3550.key):
            return params.count - 1
        if metric in (published.RTT.key, published.LOSS.key, published.PDV.key, published.TTL.key):
            return params.count
        return None if metric in (published.BURST.key, published.REORDERED.key) else 1

    async def run(self, ctx: Context, targets: Sequence[Target], params: PingParams) -> None:
        found = await asyncio.gather(*(_find(ctx, target, params) for target in targets))
        hosts = [
            (target, got) for target, got in zip(targets, found, strict=True) if isinstance(got, Address)
        ]
        networks = [
            (target, got) for target, got in zip(targets, found, strict=True) if isinstance(got, Members)
        ]
        progress = Progress(ctx, _planned(hosts, networks, params))
        runs = [ask(ctx, hosts, params, progress)] if hosts else []
        runs += [sweep(ctx, networks, params, progress)] if networks else []
        await side_by_side(runs)

    def summarise(self, attempts: Sequence[AttemptData], params: PingParams) -> list[Metric]:
        return published.summarise(attempts, params.segment)


async def _find(ctx: Context, target: Target, params: PingParams) -> Address | Members | None:
    """A host's address or a network's members; None, with its attempt ended, if they can't be had."""
    try:
        if target.network is not None:
            return _sweepable(ctx, target, params)
        address = await ctx.net.resolve(target.host, params.route, timeout=params.resolve_timeout)
        _refuse_groups(address)
    except Failed as failure:
        ctx.failed(target.text, failure)
        return None
    return address


def _sweepable(ctx: Context, target: Target, params: PingParams) -> Members:
    limit = widest(target, params)
    if limit is not None:
        remedy = None if params.allow_wide else N_("Say allow_wide: true, or give a part of the network.")
        raise Failed("config", "config", "TOO_WIDE", f"{target.text} is wider than /{limit}", remedy=remedy)
    assert target.network is not None
    family: Family = "4" if target.network.version == 4 else "6"
    if params.family not in ("auto", family):
        raise Failed("config", "config", "FAMILY", f"{target.text} is IPv{family}, asked is {params.family}")
    if ctx.net.guard is not None:
        ctx.net.guard.permit_network(target.network)
        ctx.net.guard.permit_stream(None, params.sweep_rate, addresses(target) * params.sweep_count)
    scope = interface_index(params.interface) if params.interface and target.network.is_link_local else 0
    return Members(target.network, scope)


def _refuse_groups(address: Address) -> None:
    ip = ipaddress.ip_address(address.ip)
    if ip.is_multicast or ip.is_unspecified or address.ip == "255.255.255.255":
        raise Failed("config", "config", "NO_HOST", f"{address.ip} is no address of a single host")


def _planned(hosts: Hosts, networks: Networks, params: PingParams) -> int:
    asked = sum(len(members) for target, members in networks)
    return len(hosts) * params.requests + asked * params.sweep_count
