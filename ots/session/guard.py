"""Watches over everything that a run sends: where to, how fast, how much. The last word before the wire."""

from __future__ import annotations

import socket
import threading
from collections import deque
from collections.abc import Callable, Sequence
from weakref import WeakSet

from ots.i18n import N_
from ots.model.outcome import Phase
from ots.policy.address import Network, whose
from ots.policy.aiming import Machine, address_fault, literal_of, name_fault, network_fault, trusts
from ots.policy.pattern import ANY
from ots.policy.rule import (
    HEAVY,
    NO_PORT,
    PACKETS,
    PACKETS_PER_SECOND,
    PORTLESS,
    PORTS,
    STRANGERS,
    Rule,
)
from ots.probe import Address, Failed

CODE = "POLICY"
REMEDY = N_(
    "`ots agent policy explain CASE` tells which rule forbids it; the policy is this machine's owner's."
)

_LENIENCE = 0.95
"""The part of a second within which connections may be as many as a second allows: a timer fires late."""


def refused(text: str, phase: Phase = "config") -> Failed:
    """The result of what the policy forbids."""
    return Failed("permission", phase, CODE, text, remedy=REMEDY)


class Pace:
    """Packets of the last moments: never more than `rate` in a second."""

    def __init__(self, rate: float) -> None:
        self._most = max(1, int(rate))
        self._span = self._most / rate
        self._sent: deque[float] = deque(maxlen=self._most)

    def room(self, now: float, packets: int, lenience: float = 1.0) -> bool:
        if packets > self._most:
            return False
        over = len(self._sent) + packets - self._most
        return over <= 0 or now - self._sent[over - 1] >= self._span * lenience

    def book(self, now: float, packets: int) -> None:
        self._sent.extend([now] * packets)


class Watch:
    """What a whole run has sent so far, under one rule.

    `meet` tells that a host which has agreed to nothing is about to be sent to, and says False if another run
    did that less than a minute ago. `consents` are addresses, `listed` hosts and ports of the server list.
    """

    def __init__(
        self,
        rule: Rule,
        machine: Machine,
        *,
        remote: bool,
        monotonic: Callable[[], float],
        meet: Callable[[str], bool] = lambda _ip: True,
        consents: frozenset[str] = frozenset(),
        listed: frozenset[tuple[str, int]] = frozenset(),
    ) -> None:
        self.rule, self.machine, self.remote = rule, machine, remote
        self.now = monotonic
        self.lock = threading.Lock()
        self.consents = consents
        self.listed = set(listed)
        self.sent = 0
        self._meet = meet
        self._met: dict[str, bool] = {}
        self._ports: dict[str, set[int]] = {}
        self._pace = None if rule.packets_per_second is None else Pace(rule.packets_per_second)
        self._strangers: dict[str, tuple[Pace, list[int]]] = {}
        self._open: WeakSet[socket.socket] = WeakSet()

    def over(self, kind: str) -> KindGuard:
        """The guard of one kind of probe."""
        return KindGuard(self, kind)

    def met(self, ip: str, port: int | None) -> str | None:
        """What is against sending to a stranger: another run did so lately, or this one scans."""
        host = whose(ip)
        with self.lock:
            if host not in self._met:
                if len(self._met) >= STRANGERS:
                    return f"would be one of more than {STRANGERS} hosts that have agreed to nothing"
                self._met[host] = self._meet(host)
            if not self._met[host]:
                return "was sent to by another run less than a minute ago, and has not agreed to more"
            ports = self._ports.setdefault(host, set())
            if port:
                ports.add(port)
            return f"would be knocked at at more than {PORTS} ports" if len(ports) > PORTS else None

    def book(self, ip: str, packets: int, *, stranger: bool, lenience: float) -> str | None:
        """Books packets if there is room for them: None then, else what there is no room in."""
        with self.lock:
            now, most = self.now(), self.rule.packets
            if most is not None and self.sent + packets > most:
                raise refused(f"more than the {most} packets that a run may send", "request")
            paces = [] if self._pace is None else [(self._pace, self.rule.packets_per_second)]
            counted = None
            if stranger:
                own, counted = self._strangers.setdefault(whose(ip), (Pace(PACKETS_PER_SECOND), [0]))
                paces.append((own, PACKETS_PER_SECOND))
                if counted[0] + packets > PACKETS:
                    text = f"more than {PACKETS} packets to {ip}, which has not agreed to more"
                    raise refused(text, "request")
            for pace, rate in paces:
                if not pace.room(now, packets, lenience):
                    return f"more than {rate:g} packets a second to {ip if stranger else 'all hosts'}"
            for pace, _rate in paces:
                pace.book(now, packets)
            self.sent += packets
            if counted is not None:
                counted[0] += packets
            return None

    def opened(self, sock: socket.socket) -> bool:
        """Counts a connection; False if it is one too many."""
        with self.lock:
            self._open.add(sock)
            most = self.rule.flows
            return most is None or sum(each.fileno() >= 0 for each in self._open) <= most


class KindGuard:
    """Implements `ots.probe.Guard` for one kind of probe of a run."""

    def __init__(self, watch: Watch, kind: str) -> None:
        self._watch = watch
        self._kind = kind
        self._chosen: set[tuple[str, int]] = set()

    def permit(self, address: Address, port: int | None = None) -> None:
        watch = self._watch
        if self._is_chosen(address, port):
            return
        phase: Phase = "resolve" if port is None else "connect"
        if port is None and self._kind in PORTLESS:
            port = NO_PORT
        name = None if literal_of(address.name) is not None else address.name
        fault = (
            None if name is None else name_fault(watch.rule, watch.machine, name, port, remote=watch.remote)
        )
        fault = fault or address_fault(
            watch.rule, watch.machine, address.ip, name=name, port=port, remote=watch.remote
        )
        if fault is None and self._kind in HEAVY and not self._may_load(address, port):
            fault = "has not agreed to a load"
        if fault is None and self._is_stranger(address, port):
            fault = watch.met(address.ip, port)
        if fault is not None:
            where = address.ip if not port else f"{address.ip} port {port}"
            raise refused(f"{where} {fault}" if name is None else f"{name} is {where}, which {fault}", phase)

    def permit_network(self, network: Network) -> None:
        fault = network_fault(self._watch.rule, network, remote=self._watch.remote)
        if fault is not None:
            raise refused(f"{network} {fault}")

    def permit_stream(self, address: Address | None, rate: float, packets: int) -> None:
        watch, rule = self._watch, self._watch.rule
        most = rule.packets_per_second
        if address is not None and self._is_stranger(address, None):
            most = min(PACKETS_PER_SECOND, most or PACKETS_PER_SECOND)
            if packets > PACKETS:
                raise refused(f"more than {PACKETS} packets to {address.ip}, which has not agreed to more")
        with watch.lock:
            watch.sent += packets
            if most is not None and rate > most:
                raise refused(f"{rate:g} packets a second, {most:g} are allowed")
            if rule.packets is not None and watch.sent > rule.packets:
                raise refused(f"more than the {rule.packets} packets that a run may send")

    def permit_by_proxy(self, host: str, port: int) -> None:
        literal = literal_of(host)
        if literal is not None:
            self.permit(Address(literal.partition("%")[0], "6" if ":" in literal else "4", host), port)
            return
        rule = self._watch.rule
        fault = name_fault(rule, self._watch.machine, host, port, remote=self._watch.remote)
        listed = any(
            each.text == ANY or each.fits_name(host, port) for each in (*rule.targets, *rule.trusted)
        )
        if fault is None and not listed:
            fault = (
                "would be looked up by the proxy, where its address can't be checked; list the name itself"
            )
        if (
            fault is None
            and self._kind in HEAVY
            and self._needs_consent
            and not trusts(rule, None, host, port)
        ):
            fault = "has not agreed to a load, as far as can be told through a proxy"
        if fault is not None:
            raise refused(f"{host} {fault}", "proxy")

    def choose(self, host: str, port: int) -> None:
        self._chosen.add((host, port))

    def vouch(self, host: str, others: Sequence[str]) -> None:
        with self._watch.lock:
            if any(listed == host.lower() for listed, _port in self._watch.listed):
                self._watch.listed.update((other.lower(), 443) for other in others)

    def room(self, address: Address, packets: int = 1) -> bool:
        return self._book(address, packets, 1.0) is None

    def send(self, address: Address, packets: int = 1) -> None:
        full = self._book(address, packets, _LENIENCE)
        if full is not None:
            raise refused(full, "connect")

    def opened(self, sock: socket.socket) -> None:
        if not self._watch.opened(sock):
            sock.close()
            raise refused(f"more than {self._watch.rule.flows} connections at once", "connect")

    def unwatched(self, what: str) -> None:
        raise refused(f"{what} makes connections by itself, which nobody could check")

    @property
    def _needs_consent(self) -> bool:
        return self._watch.remote and self._watch.rule.heavy != "any"

    def _book(self, address: Address, packets: int, lenience: float) -> str | None:
        stranger = self._is_stranger(address, None)
        return self._watch.book(address.ip, packets, stranger=stranger, lenience=lenience)

    def _is_chosen(self, address: Address, port: int | None) -> bool:
        names = (address.name, address.ip)
        return any(host in names and port in (None, own) for host, own in self._chosen)

    def _is_stranger(self, address: Address, port: int | None) -> bool:
        return self._watch.remote and not self._has_agreed(address, port)

    def _may_load(self, address: Address, port: int | None) -> bool:
        if not self._needs_consent:
            return True
        return self._watch.rule.heavy == "consented" and self._has_agreed(address, port)

    def _has_agreed(self, address: Address, port: int | None) -> bool:
        watch = self._watch
        if address.ip in watch.consents or trusts(watch.rule, address.ip, address.name, port):
            return True
        names = (address.name.lower().strip("[]"), address.ip)
        return any(host in names and port in (None, own) for host, own in watch.listed)
