"""A plan in the policy's words: from kinds and parameters to packets, rates and addressees.

The figures are the most that a step can come to; what a third party's probe would send can't be told from its
parameters, so of it only what the engine sees counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from pydantic import BaseModel

from ots.engine.planner import Plan, PlannedBlock, PlannedStep
from ots.policy.planned import Aim, Consent, Intent, Planned
from ots.policy.rule import NO_PORT, PORTLESS
from ots.probe import Target
from ots.schema.quantity import is_secret

PRECHECK = "precheck"
"""The name of a case's precheck among the steps."""

_PAGE_FLOWS = 6
_FILES = ("ca_file",)
_DNS_PORTS = {"udp": 53, "tcp": 53, "tls": 853}

Listed = frozenset[tuple[str, int]]
"""Hosts and ports of the list of servers."""


class _Flow(NamedTuple):
    """To one target in one attempt: packets, packets a second, connections at once."""

    packets: int
    rate: float
    flows: int


def planned_of(plan: Plan, *, listed: Listed = frozenset(), seed: str = "", cycles: int = 1) -> Planned:
    """What a plan intends. `listed` are servers that may be loaded."""
    intents = [intent for block in plan.blocks for intent in _together(block, listed)]
    check = plan.case.precheck
    if check is not None:
        intents.insert(0, _of(PRECHECK, check.kind.kind, [check.target], check.params, listed))
    estimate = plan.estimate
    bounded = estimate.received is not None or estimate.sent is not None
    moved = (estimate.received or 0) + (estimate.sent or 0)
    return Planned(
        tuple(intents), estimate.patience * cycles, moved * cycles if bounded else None, cycles, seed
    )


def _together(block: PlannedBlock, listed: Listed) -> list[Intent]:
    """The steps of a block; those that run side by side share what a run may send at any moment."""
    intents = [_intent(row, listed) for row in block.steps]
    rate = sum(each.rate_in_all for each in intents)
    return [replace(each, rate_in_all=rate) for each in intents]


def _intent(row: PlannedStep, listed: Listed) -> Intent:
    step, estimate = row.step, row.estimate
    moved = (estimate.received or 0) + (estimate.sent or 0)
    return _of(
        step.key,
        row.probe.kind,
        step.targets,
        step.params,
        listed,
        repeat=step.repeat,
        moved=moved if estimate.received is not None or estimate.sent is not None else None,
        seconds=estimate.patience,
        together=row.probe.targets.many,
    )


def _of(
    key: str,
    kind: str,
    targets: Sequence[Target],
    params: BaseModel,
    listed: Listed,
    *,
    repeat: int = 1,
    moved: int | None = 0,
    seconds: float = 0.0,
    together: bool = False,
) -> Intent:
    values: Mapping[str, Any] = {name: getattr(params, name) for name in type(params).model_fields}
    flows = [_flow(kind, target, values) for target in targets]
    packets, rate = max(each.packets for each in flows), max(each.rate for each in flows)
    at_once = [each.flows for each in flows]
    return Intent(
        step=key,
        kind=kind,
        aims=tuple(_aims(kind, targets, values, listed)),
        packets=packets * repeat,
        rate=rate,
        packets_in_all=sum(each.packets for each in flows) * repeat,
        rate_in_all=_rate_in_all(flows) if together else rate,
        flows=min(sum(at_once), values.get("concurrency", sum(at_once))) if together else max(at_once),
        bytes=moved,
        seconds=seconds,
        secrets=_secrets(params),
        files=tuple(str(values[name]) for name in _FILES if values.get(name) is not None),
    )


def _rate_in_all(flows: Sequence[_Flow]) -> float:
    """Networks of a step share one rate; hosts come on top."""
    hosts = sum(each.rate for each in flows if each.flows)
    return hosts + max((each.rate for each in flows if not each.flows), default=0.0)


def _flow(kind: str, target: Target, values: Mapping[str, Any]) -> _Flow:
    interval = float(values.get("interval", 1.0))
    match kind:
        case "ping" if target.network is not None:
            asked = target.network.num_addresses * values["sweep_count"]
            return _Flow(asked, float(values["sweep_rate"]), 0)
        case "ping":
            return _Flow(values["count"] + values["warmup"], 1 / interval, 1)
        case "udp_echo":
            return _Flow(values["count"] + 4, 1 / interval, 1)
        case "trace":
            return _Flow(values["count"] * values["max_hops"], values["max_hops"] / interval, 1)
        case "dns_lookup":
            return _Flow(values["count"] * (values["retries"] + 1), 1 / interval, 1)
        case "tcp_connect" | "tls_handshake":
            return _Flow(values["count"], 1 / interval, 1)
        case "http_check":
            spread = float(values["spread"])
            return _Flow(1 + values["max_redirects"], 1 / spread if spread else 1.0, 1)
        case "web_page":
            return _Flow(values["connections"], min(10.0, float(values["connections"])), _PAGE_FLOWS)
        case "responsiveness":
            return _Flow(values["max_connections"], 1.0, values["max_connections"])
        case "speedtest":
            return _Flow(values["max_connections"], 1.0, values["max_connections"])
    connections = values.get("connections", 1)
    flows = connections if isinstance(connections, int) else 1
    return _Flow(flows, min(10.0, float(flows)), flows)


def _aims(kind: str, targets: Sequence[Target], values: Mapping[str, Any], listed: Listed) -> list[Aim]:
    portless = NO_PORT if kind in PORTLESS else None
    aims = [_aim(target, target.port or values.get("port") or portless, listed) for target in targets]
    if kind == "speedtest" and values.get("servers"):
        aims = [_aim(server.target, server.target.port, listed) for server in values["servers"]]
    if kind == "dns_lookup" and values["server"] is not None:
        host, port = _host_port(values["server"], _DNS_PORTS[values["protocol"]])
        aims = [Aim(values["server"], host, port, None, _listed(host, port, listed))]
    if kind == "mail_delivery":
        parts = urlsplit(values["mailbox"])
        aims.append(Aim(values["mailbox"], parts.hostname or "", parts.port))
    proxy = values.get("proxy", "none")
    if proxy not in ("none", "environment"):
        parts = urlsplit(proxy)
        aims.append(Aim(proxy, parts.hostname or "", parts.port or 3128))
    return aims


def _aim(target: Target, port: int | None, listed: Listed) -> Aim:
    return Aim(target.text, target.host, port, target.network, _listed(target.host, port, listed))


def _listed(host: str, port: int | None, listed: Listed) -> Consent | None:
    return "listed" if port is not None and (host.lower(), port) in listed else None


def _host_port(text: str, port: int) -> tuple[str, int]:
    if text.count(":") > 1 and not text.startswith("["):
        return text, port
    parts = urlsplit(f"//{text}")
    return parts.hostname or text, parts.port or port


def secret_name(reference: str) -> str:
    """The name in `${secret:NAME}`."""
    return reference.removeprefix("${secret:").removesuffix("}")


def _secrets(params: BaseModel) -> frozenset[str]:
    """The names of the secrets that the parameters ask for."""
    return frozenset(
        secret_name(getattr(params, name))
        for name, field in type(params).model_fields.items()
        if is_secret(field) and getattr(params, name) is not None
    )
