"""Where a server listens: sockets bound before anything is started, and the certificate they speak with."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass

BACKLOG = 1024


@dataclass(frozen=True, slots=True)
class Place:
    """Where to listen. An IPv6 host of `::` takes IPv4 as well."""

    host: str
    port: int
    tls: bool = False

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}"


class CannotServe(Exception):
    """A socket or a certificate can't be had; the message says which and why."""


def bound(place: Place) -> socket.socket:
    """A listening socket. Raises CannotServe."""
    try:
        found = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        return socket.create_server(
            (str(address[0]), place.port),
            family=family,
            backlog=BACKLOG,
            dualstack_ipv6=place.host == "::" and socket.has_dualstack_ipv6(),
        )
    except OSError as error:
        raise CannotServe(f"can't listen on {place.host}, port {place.port}: {_reason(error)}") from None


def taken(places: Sequence[Place], listeners: Sequence[socket.socket]) -> list[Place]:
    """The places with the ports that were taken for 0."""
    return [
        Place(place.host, listener.getsockname()[1], place.tls)
        for place, listener in zip(places, listeners, strict=True)
    ]


def more_descriptors() -> None:
    """Lets this process have as many connections as the system allows without asking anybody."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def certified(cert: str, key: str | None) -> ssl.SSLContext:
    """A server's context with a certificate from files. Raises CannotServe."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # A key with a passphrase would ask for it at the terminal: a service has none.
        context.load_cert_chain(cert, key, password=lambda: "")
    except (OSError, ssl.SSLError) as error:
        raise CannotServe(f"can't use certificate {cert}: {error.strerror or error}") from None
    return context


def _reason(error: OSError) -> str:
    if error.errno is None or isinstance(error, socket.gaierror):
        return str(error.strerror)
    return os.strerror(error.errno)
