"""The TLS handshake over a connected socket, timed from the ClientHello to our side's end."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence
from pathlib import Path

from ots.clock import Clock
from ots.i18n import N_
from ots.netio.errors import TIMER, classify
from ots.netio.marks import Mark
from ots.netio.ready import readable, writable
from ots.netio.tcpinfo import tcp_info
from ots.probe import Failed, TLSStream

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
"""What Python still speaks without a warning: RFC 8996 forbids what is older."""


_ALERT_RECORD = 7
"""Bytes of a record that holds one alert: type 21, version, length 2, level, description."""


class Session(ssl.SSLObject):
    """TLS over memory."""

    outgoing: ssl.MemoryBIO
    """Where its records come out."""


class Context(ssl.SSLContext):
    """Its sessions over memory say where their records come out."""

    sslobject_class = Session

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        made = super().wrap_bio(incoming, outgoing, server_side, server_hostname, session)
        if isinstance(made, Session):
            made.outgoing = outgoing
        return made


def client_context(
    *,
    verify: bool = True,
    check_name: bool = True,
    ca_file: Path | str | None = None,
    alpn: Sequence[str] = (),
    min_version: str | None = None,
    max_version: str | None = None,
    resumable: bool = False,
) -> ssl.SSLContext:
    """A client's context. `Failed`, class `config`, if `ca_file` can't be used.

    `ca_file` (PEM) takes the place of the machine's certificate authorities; empty is none. Without
    `resumable` it takes no session tickets.
    """
    context = Context(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = verify and check_name
    context.verify_mode = ssl.CERT_REQUIRED if verify else ssl.CERT_NONE
    if ca_file:
        _load_authorities(context, str(ca_file))
    elif verify:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    if not resumable:
        # A resumed handshake is another, faster measurement.
        context.options |= ssl.OP_NO_TICKET
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if min_version is not None:
        context.minimum_version = VERSIONS[min_version]
    if max_version is not None:
        context.maximum_version = VERSIONS[max_version]
    return context


async def shake_hands(
    connection: socket.socket,
    server_name: str,
    context: ssl.SSLContext,
    clock: Clock,
    mark: Mark,
    timeout: float,
    *,
    session: ssl.SSLSession | None = None,
) -> TLSStream:
    """Wraps a connected non-blocking socket. Takes it over: on failure it is closed.

    `facts` of the stream: `rtts`, the flights that were sent and answered until data might flow (None where
    the kernel doesn't count written bytes), and `resumed`.
    """
    wrapped: ssl.SSLSocket | None = None
    try:
        wrapped = context.wrap_socket(
            connection, server_hostname=server_name, do_handshake_on_connect=False, session=session
        )
        start = clock.monotonic()
        mark("tls_start", t=start)
        stop, rtts = await _drive(wrapped, clock, start + timeout)
        mark("tls_done", t=stop)
    except (OSError, ValueError, Failed) as error:
        (wrapped or connection).close()
        raise handshake_failed(error, server_name, timeout) from None
    except BaseException:
        (wrapped or connection).close()
        raise
    cipher = wrapped.cipher()
    return TLSStream(
        socket=wrapped,
        seconds=stop - start,
        version=wrapped.version() or "unknown",
        cipher=cipher[0] if cipher else "unknown",
        alpn=wrapped.selected_alpn_protocol(),
        facts={"rtts": _at_least(rtts, wrapped), "resumed": bool(wrapped.session_reused)},
    )


async def _drive(sock: ssl.SSLSocket, clock: Clock, until: float) -> tuple[float, int | None]:
    """Runs the handshake to its end; returns the stamp of the end and the number of flights waited for."""
    flights, written, alert = 0, _written(sock), None
    while True:
        try:
            sock.do_handshake()
            return clock.monotonic(), None if written is None else flights
        except ssl.SSLWantReadError:
            now = _written(sock)
            if now is not None and written is not None and now > written:
                flights, written = flights + 1, now
            await readable(sock, clock, until)
            alert = _alert(sock)
        except ssl.SSLWantWriteError:
            await writable(sock, clock, until)
        except ssl.SSLError as error:
            if error.reason is None and alert is not None:
                raise Failed("tls", "tls", f"TLS alert {alert}", f"TLS alert {alert}") from None
            raise


def sent_chain(connection: ssl.SSLSocket) -> list[bytes]:
    """The chain in DER, as sent.

    Public since Python 3.13; 3.11 and 3.12, which change no more, have the same call on the object beneath.
    """
    public = getattr(connection, "get_unverified_chain", None)
    if public is not None:
        return [bytes(one) for one in public()]
    beneath = getattr(connection, "_sslobj", None)
    found = beneath.get_unverified_chain() if beneath is not None else None
    return [ssl.PEM_cert_to_DER_cert(one.public_bytes()) for one in found or ()]


def _alert(sock: ssl.SSLSocket) -> int | None:
    """The number of the alert that lies next to be read, if it is one in plain text (RFC 8446 §5.1, §6).

    Python's ssl has no name for the newer ones (120: no application protocol) and hides their number.
    """
    try:
        head = socket.socket.recv(sock, _ALERT_RECORD, socket.MSG_PEEK)
    except BlockingIOError:
        return None
    plain = len(head) == _ALERT_RECORD and head[0] == 21 and head[3:5] == b"\0\2"
    return head[6] if plain else None


def _at_least(waits: int | None, sock: ssl.SSLSocket) -> int | None:
    """The flights answered: an answer that was there before we looked cost no wait, but a round trip all the
    same. TLS 1.3 needs one, TLS 1.2 and older two, or one to resume (RFC 8446 §2, RFC 5246 §7.3)."""
    least = 1 if sock.version() == "TLSv1.3" or sock.session_reused else 2
    return None if waits is None else max(waits, least)


def _written(sock: socket.socket) -> int | None:
    info = tcp_info(sock)
    return info.bytes_written if info is not None else None


def handshake_failed(error: OSError | ValueError | Failed, server_name: str, timeout: float) -> Failed:
    """What an error of a handshake means."""
    if isinstance(error, ValueError) and not isinstance(error, OSError):
        return Failed("config", "tls", "EINVAL", f"{server_name!r} can't be a server name")
    known = classify(error, "tls").error
    text = f"no handshake within {timeout:g} s" if known.code == TIMER else known.message
    return Failed(
        known.class_,
        "tls",
        known.code,
        f"{server_name}: {text}",
        retryable=known.retryable,
        remedy=known.remedy,
    )


def _load_authorities(context: ssl.SSLContext, path: str) -> None:
    try:
        context.load_verify_locations(cafile=path)
    except (OSError, ssl.SSLError) as error:
        raise Failed(
            "config",
            "config",
            getattr(error, "reason", None) or type(error).__name__,
            f"{path} holds no usable certificate authorities",
            remedy=N_("Give a file of PEM certificates."),
        ) from None
