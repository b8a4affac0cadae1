"""An SMTP server for the mail probes: takes any message for anybody, in memory, and sends none on.

aiosmtpd speaks the protocol, STARTTLS included. Anybody may log in, with any password: there is nothing to
protect.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import ssl
from email.utils import formatdate

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from ots.server.peers.peer import Peer
from ots.server.peers.postboxes import LARGEST_MESSAGE, Postboxes

_NAME = "peer.ots.test"
_IDLE = 60.0
_MOST_RECIPIENTS = 10


class _Handler:
    def __init__(self, boxes: Postboxes) -> None:
        self._boxes = boxes

    async def handle_RCPT(  # noqa: N802  # aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if len(envelope.rcpt_tos) >= _MOST_RECIPIENTS:
            return "452 4.5.3 Too many recipients"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(  # noqa: N802  # aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        content = envelope.content
        assert isinstance(content, bytes)
        how = "ESMTPS" if session.ssl else "ESMTP"
        trace = f"Received: from {session.host_name} by {_NAME} with {how};\r\n\t{formatdate()}\r\n"
        self._boxes.deliver(envelope.rcpt_tos, trace.encode() + content)
        return "250 2.0.0 OK: delivered"


def _anybody(
    server: SMTP, session: Session, envelope: Envelope, mechanism: str, credentials: object
) -> AuthResult:
    return AuthResult(success=isinstance(credentials, LoginPassword))


async def start(boxes: Postboxes, tls: ssl.SSLContext, host: str, port: int = 0) -> Peer:
    """Listens, and offers STARTTLS with this context. OSError if the port can't be had."""
    # What clients do wrong is their business.
    logging.getLogger("mail.log").setLevel(logging.CRITICAL)
    sessions: set[asyncio.Transport] = set()

    class Server(SMTP):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            sessions.add(transport)
            super().connection_made(transport)

        def connection_lost(self, error: Exception | None) -> None:
            if isinstance(self.transport, asyncio.Transport):
                sessions.discard(self.transport)
            super().connection_lost(error)

    factory = functools.partial(
        Server,
        _Handler(boxes),
        data_size_limit=LARGEST_MESSAGE,
        hostname=_NAME,
        ident="OTS test peer",
        tls_context=tls,
        timeout=_IDLE,
        authenticator=_anybody,
    )
    server = await asyncio.get_running_loop().create_server(factory, host, port)

    async def close() -> None:
        server.close()
        for transport in list(sessions):
            transport.abort()
        await server.wait_closed()

    return Peer("smtp", host, server.sockets[0].getsockname()[1], close)
