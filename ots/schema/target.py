"""What a probe measures: the grammar of targets.

A target is a URL wherever its protocol has one, else `host` or `host:port`; ping also takes a network
(`192.0.2.0/28`). IPv6 addresses stand in brackets where a port may follow: `[2001:db8::1]:443`.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

Form = Literal["host", "host:port", "network", "url"]

_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_MAX_NAME = 253
_MAX_TEXT = 2048


class TargetError(ValueError):
    """The text is no target of this grammar; the message says what would be."""


@dataclass(frozen=True, slots=True)
class Target:
    """A parsed target. `text` is what was written and what reports show."""

    text: str
    host: str
    port: int | None = None
    scheme: str | None = None
    path: str = ""
    user: str | None = None
    network: ipaddress.IPv4Network | ipaddress.IPv6Network | None = None

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Targets:
    """What a probe accepts: the forms of a target, and whether one call of `run` takes many of them.

    With more targets than `pool_above`, their samples are one series and one metric without the label
    `target`; the attempts still say how each one fared.
    """

    forms: tuple[Form, ...]
    many: bool = False
    schemes: tuple[str, ...] = ()
    default_ports: tuple[tuple[str, int], ...] = ()
    default_port: int | None = None
    pool_above: int | None = None

    def pools(self, count: int) -> bool:
        """Whether the figures of so many targets are of all together."""
        return self.pool_above is not None and count > self.pool_above

    def describe(self) -> str:
        """The grammar in words: `host or network`, `http:// or https:// URL`."""
        words = []
        for form in self.forms:
            if form == "url":
                words.append(" or ".join(f"{scheme}://" for scheme in self.schemes) + " URL")
            elif form == "network":
                words.append("network (192.0.2.0/28)")
            else:
                words.append(form)
        return " or ".join(words)

    def parse(self, text: str) -> Target:
        """One target, or TargetError."""
        if len(text) > _MAX_TEXT:
            raise TargetError(f"a target has at most {_MAX_TEXT} characters, not {len(text)}")
        if not text or text != text.strip() or any(ord(char) < 33 or ord(char) == 127 for char in text):
            raise TargetError(f"{_redact(text)!r} is no target: expected {self.describe()}")
        if "://" in text:
            if "url" not in self.forms:
                raise TargetError(f"{_redact(text)!r} is a URL: expected {self.describe()}")
            return self._url(text)
        if "/" in text and "network" in self.forms:
            return _network(text)
        if "host:port" in self.forms:
            return self._host_port(text)
        if "host" in self.forms or "network" in self.forms:
            return Target(text, _host(text.removeprefix("[").removesuffix("]"), text))
        raise TargetError(f"{text!r} is no URL: expected {self.describe()}")

    def _url(self, text: str) -> Target:
        try:
            parts = urlsplit(text)
            host, port = parts.hostname, parts.port
        except ValueError:
            # What urllib says may quote a password that it took for a port.
            raise TargetError(f"{_redact(text)!r} is no URL: check host and port") from None
        if parts.scheme not in self.schemes:
            raise TargetError(f"{_redact(text)!r}: scheme {parts.scheme!r} is not {self.describe()}")
        if parts.password is not None:
            raise TargetError(
                f"{_redact(text)!r} has a password in the URL: take it out and give it as a secret "
                '(params: {password: "${secret:NAME}"} or --password-from env:NAME)'
            )
        if not host:
            raise TargetError(f"{text!r} has no host: write {parts.scheme}://HOST/")
        if port == 0:
            raise TargetError(f"{text!r}: port 0 is not between 1 and 65535")
        path = parts.path or "/"
        if parts.query:
            path += "?" + parts.query
        port = port or dict(self.default_ports).get(parts.scheme)
        return Target(text, _host(host, text), port, parts.scheme, path, parts.username)

    def _host_port(self, text: str) -> Target:
        match = re.fullmatch(r"(\[[^\]]+\]|[^:\[\]]+)(?::(\d{1,5}))?", text)
        if match is None:
            raise TargetError(
                f"{text!r} is no host:port (an IPv6 address stands in brackets: [2001:db8::1]:443)"
            )
        host = match[1].removeprefix("[").removesuffix("]")
        port = int(match[2]) if match[2] else self.default_port
        if port is None:
            raise TargetError(f"{text!r} has no port: write {text}:443")
        if not 1 <= port <= 65535:
            raise TargetError(f"{text!r}: port {port} is not between 1 and 65535")
        return Target(text, _host(host, text), port)


def _redact(text: str) -> str:
    """The URL without its password, even one with `/` or `@` in it."""
    return re.sub(r"(://[^/@:]*):.*@", r"\1:***@", text)


def _network(text: str) -> Target:
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise TargetError(f"{text!r} is no network: write 192.0.2.0/28 or 2001:db8::/120") from None
    return Target(text, str(network.network_address), network=network)


def _host(host: str, text: str) -> str:
    address = host.partition("%")[0]
    try:
        ipaddress.ip_address(address)
        return host
    except ValueError:
        pass
    if re.fullmatch(r"[0-9.]+", host):
        raise TargetError(f"{text!r} is no IPv4 address: four numbers from 0 to 255")
    if re.fullmatch(r"[^:]+:\d+", host):
        raise TargetError(f"{text!r} has a port, and this probe takes none: write {host.partition(':')[0]}")
    if ":" in host:
        raise TargetError(f"{text!r} is no IPv6 address")
    try:
        ascii_name = host.rstrip(".").encode("idna").decode("ascii")
    except UnicodeError:
        raise TargetError(f"{text!r} is no host name") from None
    if len(ascii_name) > _MAX_NAME or not all(_LABEL.fullmatch(label) for label in ascii_name.split(".")):
        raise TargetError(f"{text!r} is no host name: letters, digits and hyphens between dots")
    return ascii_name
