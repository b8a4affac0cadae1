"""The requests of one HTTP probe: from its module, and after a redirect."""

from __future__ import annotations

from dataclasses import dataclass, replace
from urllib.parse import quote, urljoin

from ots import __version__
from ots.probe import Failed
from ots.schema.target import Target, TargetError, Targets
from ots.server.prometheus.module_file import LoadedModule

GRAMMAR = Targets(forms=("url",), schemes=("http", "https"), default_ports=(("http", 80), ("https", 443)))
REDIRECTS = frozenset({301, 302, 303, 307, 308})
MOST_REDIRECTS = 10

_PLAIN = "".join(chr(code) for code in range(33, 127))
"""What may stand in a request line as it is; everything else is percent-encoded."""
_SECRETS = frozenset({"authorization", "cookie", "proxy-authorization"})
"""Fields that another host than the target's is not told."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One request. `hostname` stands in Host and SNI in place of the target's own, not of another host's."""

    target: Target
    method: str
    body: bytes
    fields: tuple[tuple[str, str], ...]
    hostname: str | None
    server_name: str | None

    @property
    def sni(self) -> str:
        """The name that the certificate must bear."""
        if self.server_name is not None:
            return self.server_name
        if self.hostname is None:
            return self.target.host
        return authority(self.hostname).host

    def wire(self) -> bytes:
        """The request's bytes: a connection of its own, nothing compressed."""
        lines = [f"{self.method} {quote(self.target.path, safe=_PLAIN)} HTTP/1.1", f"Host: {self._host()}"]
        named = {name.lower() for name, _ in self.fields}
        for name, value in (("User-Agent", f"ots/{__version__}"), ("Accept-Encoding", "identity")):
            if name.lower() not in named:
                lines.append(f"{name}: {value}")
        lines += [f"{name}: {value}" for name, value in self.fields]
        if self.body or self.method in ("POST", "PUT", "PATCH"):
            lines.append(f"Content-Length: {len(self.body)}")
        head = "\r\n".join([*lines, "Connection: close", "", ""])
        return head.encode("latin-1") + self.body

    def _host(self) -> str:
        if self.hostname is not None:
            return self.hostname
        target = self.target
        host = f"[{target.host.partition('%')[0]}]" if ":" in target.host else target.host
        return (
            host
            if target.port == {"http": 80, "https": 443}[target.scheme or ""]
            else f"{host}:{target.port}"
        )

    def redirected(self, status: int, location: str | None) -> Ask:
        """The request after a redirect (RFC 9110 section 15.4). `Failed`, class `protocol`, if it is no good.

        Secrets stay with the target's host, and do not leave TLS.
        """
        target = _leads_to(self.target, status, location)
        asked = self
        if status in (301, 302, 303):
            # Go's client, and with it blackbox_exporter, repeats nothing but GET and HEAD here.
            asked = replace(asked, method="HEAD" if self.method == "HEAD" else "GET", body=b"")
        if target.host != self.target.host:
            asked = replace(asked, hostname=None, server_name=None)
        if target.host != self.target.host or (self.target.scheme == "https" and target.scheme == "http"):
            kept = tuple(field for field in self.fields if field[0].lower() not in _SECRETS)
            asked = replace(asked, fields=kept)
        return replace(asked, target=target)


def first_ask(target: str, loaded: LoadedModule, hostname: str | None) -> Ask:
    """The first request. TargetError if the target is none."""
    http = loaded.module.http
    assert http is not None
    url = target if "://" in target else f"http://{target}"
    if "@" in url.partition("://")[2].partition("/")[0]:
        raise TargetError("a user in the target's URL is not sent: write basic_auth into the module")
    parsed = GRAMMAR.parse(url)
    fields = [(name, value) for name, value in http.headers.items() if name.lower() != "host"]
    if loaded.authorization is not None:
        fields.append(("Authorization", loaded.authorization))
    written = next((value for name, value in http.headers.items() if name.lower() == "host"), None)
    return Ask(
        parsed,
        http.method,
        http.body.encode(),
        tuple(fields),
        hostname if hostname is not None else written,
        http.tls_config.server_name,
    )


def authority(text: str) -> Target:
    """A host and perhaps a port. TargetError if it is something else."""
    return Targets(forms=("host:port",), default_port=80).parse(text)


def shown(target: Target) -> str:
    """A URL as it may stand in a journal: without its query."""
    return f"{target.scheme}://{target.authority}{target.path.partition('?')[0]}"


def _leads_to(target: Target, status: int, location: str | None) -> Target:
    base = f"{target.scheme}://{target.authority}{target.path}"
    try:
        found = GRAMMAR.parse(quote(urljoin(base, location), safe=_PLAIN)) if location else None
    except (TargetError, ValueError):
        found = None
    if found is None or found.user is not None:
        raise Failed("protocol", "first_byte", "BAD_REDIRECT", f"status {status} without a usable Location")
    return found
