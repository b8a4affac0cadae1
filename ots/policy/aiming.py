"""Where packets may go: a rule's answer for one address, one name or one network."""

from __future__ import annotations

from dataclasses import dataclass

from ots.policy.address import NEVER, Address, Network, parse, place_of, readings
from ots.policy.pattern import ANY, PUBLIC
from ots.policy.planned import Aim
from ots.policy.rule import Rule

_METADATA_NAMES = ("metadata.google.internal", "metadata.goog", "instance-data.ec2.internal")
_MANAGEMENT = "is where this machine's server is managed from"
_LOCAL_NAMES = ("localhost", "ip6-localhost", "ip6-loopback")


@dataclass(frozen=True, slots=True)
class Machine:
    """This machine as others see it: its own addresses, those to which its networks broadcast, and where its
    server is managed from (hosts, by name and by address, with their ports)."""

    addresses: frozenset[Address] = frozenset()
    broadcasts: frozenset[Address] = frozenset()
    management: frozenset[tuple[str, int]] = frozenset()


def address_fault(
    rule: Rule, machine: Machine, ip: str, *, name: str | None, port: int | None, remote: bool
) -> str | None:
    """Why nothing may be sent to this address, None if it may. `name` is what it was looked up for, `port` is
    None where there is none or it isn't known yet."""
    address = parse(ip)
    if remote:
        delicate = _delicate(machine, address, port)
        if delicate is not None:
            return delicate
    if any(pattern.text == ANY and not remote for pattern in rule.targets):
        return None
    entries = (*rule.targets, *rule.trusted)
    if any(pattern.fits_address(address, port) for pattern in entries):
        return None
    place = place_of(address)
    if place != "public":
        said = "is private" if place == "private" else NEVER[place]
        return f"{said}, and no entry of the targets lists it"
    if any(pattern.text == PUBLIC for pattern in rule.targets):
        return None
    if name is not None and any(pattern.fits_name(name, port) for pattern in entries):
        return None
    return "is not among the targets"


def name_fault(rule: Rule, machine: Machine, name: str, port: int | None, *, remote: bool) -> str | None:
    """What is known against a name before it is looked up."""
    wanted = name.lower().rstrip(".")
    if remote and (wanted in _LOCAL_NAMES or wanted.endswith(".localhost")):
        return NEVER["loopback"]
    if remote and wanted in _METADATA_NAMES:
        return NEVER["metadata"]
    if remote and port is not None and (wanted, port) in machine.management:
        return _MANAGEMENT
    entries = (*rule.targets, *rule.trusted)
    if any(
        pattern.text in (PUBLIC, ANY) or pattern.network is not None or pattern.fits_name(wanted, port)
        for pattern in entries
    ):
        return None
    return "is not among the targets"


def network_fault(rule: Rule, network: Network, *, remote: bool) -> str | None:
    """Why a network may not be swept: that is a scan, so an entry must hold the whole of it."""
    if not remote and any(pattern.text == ANY for pattern in rule.targets):
        return None
    if any(pattern.holds(network) for pattern in (*rule.targets, *rule.trusted)):
        if remote:
            for address in (network.network_address, network.broadcast_address):
                place = place_of(address)
                if place in NEVER:
                    return NEVER[place]
        return None
    return "is a network, and no entry of the targets holds the whole of it"


def trusts(rule: Rule, ip: str | None, name: str | None, port: int | None) -> bool:
    """Whether this machine's owner answers for a host."""
    if ip is not None and any(pattern.fits_address(parse(ip), port) for pattern in rule.trusted):
        return True
    return name is not None and any(pattern.fits_name(name, port) for pattern in rule.trusted)


def aim_fault(rule: Rule, machine: Machine, aim: Aim, *, remote: bool) -> str | None:
    """What is known against an aim without looking anything up."""
    if aim.network is not None:
        return network_fault(rule, aim.network, remote=remote)
    literal = literal_of(aim.host)
    if literal is None:
        return name_fault(rule, machine, aim.host, aim.port, remote=remote)
    return address_fault(rule, machine, literal, name=None, port=aim.port, remote=remote)


def literal_of(host: str) -> str | None:
    """The address that a host spells out, None for a name."""
    text = host.removeprefix("[").removesuffix("]")
    try:
        parse(text)
    except ValueError:
        return None
    return text


def _delicate(machine: Machine, address: Address, port: int | None) -> str | None:
    place = place_of(address)
    if place in NEVER:
        return NEVER[place]
    for each in readings(address):
        if each in machine.addresses:
            return "is an address of this machine"
        if each in machine.broadcasts:
            return NEVER["broadcast"]
        if port is not None and (str(each), port) in machine.management:
            return _MANAGEMENT
    return None
