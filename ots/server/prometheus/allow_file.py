"""Reads the list of what may be probed; every fault is reported at its line.

allow:
  - host: "*.example.org"
    ports: [443, 8000-8099]
  - network: 10.1.0.0/16
"""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from ots.schema.place import InFile, Place, Within
from ots.schema.shape import check
from ots.server.prometheus.allow_list import AllowList, Listed, Name, Ports, spelled_address, wholly_never
from ots.strictyaml import Problem, YamlError, compose, resolve

_LABEL = r"(?!-)[a-z0-9_-]{1,63}(?<!-)"
_PATTERN = re.compile(rf"\*|(?:\*\.)?{_LABEL}(?:\.{_LABEL})*")
_RANGE = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")


def _one_or_many(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid")

    host: str | None = None
    network: str | None = None
    ports: Annotated[list[int | str] | None, BeforeValidator(_one_or_many), Field(min_length=1)] = None


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    allow: list[Any]


def read_allow_list(text: str | bytes, source: str) -> AllowList:
    """The list that a file holds; YamlError with every problem found. An empty list allows nothing."""
    problems: list[Problem] = []
    tree = compose(text, source)
    data = resolve(tree, problems, source)
    place = InFile(source, tree, problems, frozenset())
    file = check(_File, data, place, "the file")
    names: list[Name] = []
    networks: list[Listed] = []
    for number, written in enumerate(file.allow if file is not None else ()):
        _read(written, Within(place, ("allow", number)), names, networks)
    if problems:
        raise YamlError(problems)
    return AllowList(names, networks)


def _read(written: Any, place: Place, names: list[Name], networks: list[Listed]) -> None:
    entry = check(_Entry, written, place, "an entry")
    if entry is None:
        return
    if (entry.host is None) == (entry.network is None):
        place.problem((), "an entry has either a host or a network")
        return
    ports = _ports(entry.ports, place)
    if entry.host is not None:
        pattern = entry.host.lower().rstrip(".")
        if spelled_address(entry.host) is not None:
            place.problem(("host",), f"{entry.host} is an address: write network: {entry.host}")
        elif not _PATTERN.fullmatch(pattern) or pattern.rpartition(".")[2][:1].isdigit():
            place.problem(("host",), f"{entry.host!r} is no host name: www.example.org, *.example.org or *")
        else:
            names.append(Name(pattern, ports))
    elif entry.network is not None:
        network = _network(entry.network, place)
        if network is not None:
            networks.append(Listed(network, ports))


def _network(text: str, place: Place) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        network = ipaddress.ip_network(text)
    except ValueError as error:
        place.problem(("network",), f"{text!r} is no network: {error}")
        return None
    kind = wholly_never(network)
    if kind is not None:
        place.problem(("network",), f"{text}: {kind} addresses are never probed, listed or not")
        return None
    if network.version == 6 and network.prefixlen >= 96 and network.network_address.ipv4_mapped is not None:
        place.problem(("network",), f"{text}: list the IPv4 network that is mapped")
        return None
    return network


def _ports(written: list[int | str] | None, place: Place) -> Ports:
    if written is None:
        return Ports()
    found = []
    for number, one in enumerate(written):
        match = _RANGE.fullmatch(str(one))
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not 1 <= first <= last <= 65535:
            place.problem(("ports", number), f"{one!r} is no port: 443, or 8000-8099")
            continue
        found.append(range(first, last + 1))
    return Ports(tuple(found))
