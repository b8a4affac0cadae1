"""This machine as the policy sees it: its own addresses, where its server is, whom it may load."""

from __future__ import annotations

import ipaddress
import logging
import socket
from ipaddress import IPv4Interface
from urllib.parse import urlsplit

from ots.netio.attachment.interface import interfaces
from ots.netio.speed.server_list import BadList
from ots.policy.aiming import Machine
from ots.session.intent import Listed
from ots.session.speed_servers import Servers

log = logging.getLogger("ots.session")

_PORTS = {"https": 443, "http": 80}


def machine(server: str | None) -> Machine:
    """The machine as it is attached now, managed from the URL `server`. OSError where the kernel is mute."""
    own, broadcasts = set(), set()
    for interface in interfaces():
        for address in interface.addresses:
            own.add(ipaddress.ip_address(address.ip))
            if address.family == "4" and address.prefix < 31:
                broadcasts.add(IPv4Interface(f"{address.ip}/{address.prefix}").network.broadcast_address)
    return Machine(frozenset(own), frozenset(broadcasts), _management(server))


def listed_servers() -> Listed:
    """Hosts and ports of the speed test servers for which somebody answers: the signed list, the program, or
    the owner of this machine. For a list that was only fetched nobody does. None where a list can't be used.
    """
    try:
        targets = [known.server.target for known in Servers().known if known.origin != "fetched"]
    except BadList as error:
        log.warning("The list of servers can't be used, so none of it may be loaded: %s", error)
        return frozenset()
    return frozenset((target.host.lower(), target.port or 443) for target in targets)


def _management(server: str | None) -> frozenset[tuple[str, int]]:
    """The server by its name and by all of its addresses."""
    if server is None:
        return frozenset()
    parts = urlsplit(server)
    host, port = parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 443)
    found = {host.rstrip(".")}
    try:
        found |= {str(at[0]).partition("%")[0] for *_, at in socket.getaddrinfo(host, port)}
    except (OSError, UnicodeError) as error:
        log.info("The server's name can't be resolved now: %s", error)
    return frozenset((each, port) for each in found)
