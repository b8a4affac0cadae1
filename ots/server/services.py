"""What the operations work with: database, keys, clock, limits; one for each process."""

from __future__ import annotations

import ipaddress
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import func, select

from ots.remote.wire import ServerKeys
from ots.server.api.rates import RateLimiter
from ots.server.content.kept import KeptContent
from ots.server.control.control import Control
from ots.server.database.database import Database
from ots.server.database.tables import agent, server
from ots.server.history import USUALLY_KEPT
from ots.server.identity.agents import KnownAgents
from ots.server.identity.passwords import Passwords
from ots.server.key_ring import LICENCE_KEY, RECEIPT_KEY, Ring, read_ring
from ots.server.licences.grants import Grants
from ots.server.patience import USUAL, Patience
from ots.server.prometheus.registry import ServerMetrics
from ots.server.prometheus.scraping import Scraping
from ots.server.reports.writer import ReportWriter
from ots.signing.keys import key_id, load_or_make, read_public, write_public

log = logging.getLogger("ots.server")

EPOCH = "epoch"
"""The name under which `server` has a word that changes with every restore; none before the first."""

COMMAND_KEY = "command.key"


@dataclass(frozen=True, slots=True)
class Keys:
    """The server's private keys, from files of its data folder."""

    receipt: Ed25519PrivateKey
    licence: Ed25519PrivateKey
    command: Ed25519PrivateKey
    ring: Ring = Ring()

    @classmethod
    def of(cls, folder: Path) -> Keys:
        """Loads them, makes those that are missing. Raises UnusableKey."""
        receipt, licence, command = (
            load_or_make(folder / name) for name in (RECEIPT_KEY, LICENCE_KEY, COMMAND_KEY)
        )
        return cls(receipt, licence, command, read_ring(folder))

    def public(self) -> ServerKeys:
        return ServerKeys(
            receipt=self.ring.listed("receipt", write_public(self.receipt.public_key())),
            licence=self.ring.listed("licence", write_public(self.licence.public_key())),
            command=[write_public(self.command.public_key())],
        )


@dataclass(slots=True)
class Services:
    """`wall` is the time in seconds since 1970; `proxies` are networks whose X-Forwarded-For is believed,
    `keep` is the most seconds that the bytes of a report stay, `keep_history` the seconds for which what came
    of commands and planned runs does.
    """

    database: Database
    keys: Keys
    server_id: str
    name: str
    agents: KnownAgents
    reports: ReportWriter
    grants: Grants
    passwords: Passwords
    rates: RateLimiter
    proxies: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()
    wall: Callable[[], float] = time.time
    upload_interval: float = 0.0
    epoch: str | None = None
    keep: float | None = None
    keep_history: float = USUALLY_KEPT
    closing: bool = False
    metrics: ServerMetrics = field(default_factory=ServerMetrics)
    patience: Patience = USUAL
    content: KeptContent | None = None
    scraping: Scraping = Scraping()
    control: Control = field(init=False)

    def __post_init__(self) -> None:
        self.control = Control(self)

    def observe(self, operation: str, status: int, code: str | None, seconds: float) -> None:
        """Counts what became of an offered report, with the code of the problem if it was one; requests as
        such are counted by a middleware.
        """
        if operation != "putReport":
            return
        if status == 201:
            self.metrics.report_accepted(seconds)
        elif status == 200:
            self.metrics.report_duplicate()
        elif status == 409:
            self.metrics.report_conflict()
        else:
            self.metrics.report_rejected(code or f"status-{status}")

    async def look_at_agents(self) -> None:
        """Brings the figures of agents and of their outboxes up to the moment. Raises DatabaseAway."""
        async with self.database.reading() as connection:
            states = (
                await connection.execute(select(agent.c.status, func.count()).group_by(agent.c.status))
            ).all()
            waiting = (await connection.execute(select(agent.c.waiting).where(agent.c.waiting > 0))).scalars()
            self.metrics.outboxes_are(waiting)
        self.metrics.agents_are({status: count for status, count in states})

    def address_of(self, request: web.Request) -> str:
        """The address of who asks. What a proxy says of it counts only if the proxy is one of ours."""
        address = request.remote or "unknown"
        if not self.proxies or not _within(address, self.proxies):
            return address
        forwarded = [part.strip() for part in request.headers.get("X-Forwarded-For", "").split(",")]
        for hop in reversed([part for part in forwarded if part]):
            address = hop
            if not _within(hop, self.proxies):
                break
        return address if _is_address(address) else "unknown"

    def is_secure(self, request: web.Request) -> bool:
        """Whether the client speaks HTTPS, with us or with a proxy of ours."""
        if request.secure:
            return True
        trusted = bool(self.proxies) and _within(request.remote or "", self.proxies)
        return trusted and request.headers.get("X-Forwarded-Proto", "").strip().lower() == "https"


SERVICES = web.AppKey("services", Services)


async def open_services(
    database: Database,
    keys: Keys,
    *,
    proxies: Sequence[str] = (),
    rate_factor: float = 1.0,
    patience: Patience = USUAL,
    keep: float | None = None,
    keep_history: float = USUALLY_KEPT,
    content: KeptContent | None = None,
    scraping: Scraping = Scraping(),  # noqa: B008 (frozen)
) -> Services:
    """The services on a database that is up to date."""
    async with database.reading() as connection:
        rows = (await connection.execute(select(server.c.name, server.c.value))).all()
    facts = {row.name: row.value for row in rows}
    issuers = [read_public(text) for text in keys.public().licence]
    grants = Grants({key_id(issuer): issuer for issuer in issuers})
    networks = tuple(ipaddress.ip_network(text) for text in proxies)
    metrics = ServerMetrics()
    database.waited = metrics.database_waited
    return Services(
        database=database,
        keys=keys,
        server_id=facts["id"],
        name=facts["name"],
        epoch=facts.get(EPOCH),
        agents=KnownAgents(database),
        reports=ReportWriter(database, grants),
        grants=grants,
        passwords=Passwords(),
        rates=RateLimiter(rate_factor),
        proxies=networks,
        patience=patience,
        keep=keep,
        keep_history=keep_history,
        content=content,
        scraping=scraping,
        metrics=metrics,
    )


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _within(text: str, networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return any(address in network for network in networks if network.version == address.version)
