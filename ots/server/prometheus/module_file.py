"""Reads modules from a file written for blackbox_exporter; every fault is reported at its line.

What the file asks for and OTS does not do is a fault too: a probe that checks less than its module says would
be worse than none.
"""

from __future__ import annotations

import base64
import ipaddress
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, SecretStr

from ots.netio.tls import client_context
from ots.probe import Failed
from ots.schema.place import InFile, Place, Within
from ots.schema.shape import check
from ots.server.prometheus.module import Module, Prober, TLSConfig
from ots.strictyaml import Problem, YamlError, compose, resolve

_NO_PROXY = "probes use no proxy: what may be probed could not be checked behind it"
_FROM_ELSEWHERE = "this server fetches no credentials from elsewhere"
_NO_CEL = "CEL expressions are not supported"

_UNSUPPORTED: Mapping[str, Mapping[str, str]] = {
    "http": {
        **dict.fromkeys(
            ("proxy_url", "no_proxy", "proxy_from_environment", "proxy_connect_header"), _NO_PROXY
        ),
        "skip_resolve_phase_with_proxy": _NO_PROXY,
        "oauth2": _FROM_ELSEWHERE,
        "compression": "answers are asked for as they are, not compressed: leave it out",
        "bearer_token_file": "write authorization: {credentials_file: …}",
        "body_file": "write the body itself",
        "http_headers": "write headers",
        "source_ip_address": "the system chooses the address to send from",
        "enable_http3": "OTS asks over HTTP/1.1",
        "fail_if_body_json_matches_cel": _NO_CEL,
        "fail_if_body_json_not_matches_cel": _NO_CEL,
    },
    "tls_config": dict.fromkeys(
        ("ca", "cert", "key", "ca_ref", "cert_ref", "key_ref"), "name a file instead"
    ),
}
_PROBERS: Mapping[str, str] = {
    "grpc": "gRPC is not supported",
    "unix": "Unix sockets are not supported",
    "websocket": "WebSockets are not supported",
}


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    modules: dict[str, Any]


@dataclass(frozen=True, slots=True)
class LoadedModule:
    """A module ready to be used: its TLS context made, its files read.

    `authorization` is the header's value; it is a secret. `source` is the address to send from.
    """

    name: str
    module: Module
    tls: ssl.SSLContext | None = None
    authorization: str | None = None
    source: str | None = None


def read_modules(text: str | bytes, source: str, folder: Path) -> dict[str, LoadedModule]:
    """The modules of a file by name. Files that it names are read too, seen from `folder`.

    YamlError with every problem found.
    """
    problems: list[Problem] = []
    tree = compose(text, source)
    data = resolve(tree, problems, source)
    place = InFile(source, tree, problems, frozenset())
    file = check(_File, data, place, "the file")
    loaded: dict[str, LoadedModule] = {}
    for name, written in file.modules.items() if file is not None else ():
        one = _Reader(Within(place, ("modules", name)), folder).read(name, written)
        if one is not None:
            loaded[name] = one
    if problems:
        raise YamlError(problems)
    return loaded


class _Reader:
    """Reads one module."""

    def __init__(self, place: Place, folder: Path) -> None:
        self._place = place
        self._folder = folder

    def read(self, name: str, written: Any) -> LoadedModule | None:
        prober = written.get("prober") if isinstance(written, Mapping) else None
        if prober in _PROBERS:
            self._place.problem(("prober",), _PROBERS[str(prober)])
            return None
        written = self._without_unsupported(written, ())
        if prober in get_args(Prober) and isinstance(written, dict):
            for other in set(get_args(Prober)) - {prober}:
                if other in written:
                    self._place.problem((other,), f"means nothing with prober: {prober}", key=True)
                    del written[other]
            # A part that is left out, or empty, has the defaults.
            written[prober] = {} if written.get(prober) is None else written[prober]
        module = check(Module, written, self._place, "a module")
        return None if module is None else self._load(name, module)

    def _without_unsupported(self, written: Any, path: tuple[str | int, ...]) -> Any:
        """What is written without the options that are known and not supported, which are noted."""
        if isinstance(written, list):
            return [self._without_unsupported(one, (*path, n)) for n, one in enumerate(written)]
        if not isinstance(written, Mapping):
            return written
        known = _UNSUPPORTED.get(str(path[-1]), {}) if path else {}
        kept = {}
        for key, value in written.items():
            if key in known:
                self._place.problem((*path, key), f"{key} is not supported: {known[key]}", key=True)
            else:
                kept[key] = self._without_unsupported(value, (*path, key))
        return kept

    def _load(self, name: str, module: Module) -> LoadedModule:
        http, tcp, dns, icmp = module.http, module.tcp, module.dns, module.icmp
        tls, authorization, bound = None, None, None
        if http is not None:
            self._check_http(module)
            tls = self._context(http.tls_config, "http", ("http/1.1",))
            authorization = self._authorization(module)
        elif tcp is not None:
            bound = self._source(tcp.source_ip_address, "tcp")
            if tcp.tls or any(step.starttls for step in tcp.query_response):
                tls = self._context(tcp.tls_config, "tcp", ())
        elif dns is not None:
            bound = self._source(dns.source_ip_address, "dns")
            if dns.dns_over_tls:
                if dns.transport_protocol != "tcp":
                    self._place.problem(("dns", "dns_over_tls"), "needs transport_protocol: tcp")
                tls = self._context(dns.tls_config, "dns", ("dot",))
        elif icmp is not None:
            bound = self._source(icmp.source_ip_address, "icmp")
        return LoadedModule(name, module, tls, authorization, bound)

    def _check_http(self, module: Module) -> None:
        http = module.http
        assert http is not None
        if http.enable_http2:
            self._place.problem(
                ("http", "enable_http2"), "OTS asks over HTTP/1.1: write false, or leave it out"
            )
        if http.valid_http_versions == ["HTTP/2.0"]:
            self._place.problem(
                ("http", "valid_http_versions"), "OTS asks over HTTP/1.1: no probe could pass"
            )
        if http.fail_if_ssl and http.fail_if_not_ssl:
            self._place.problem(("http", "fail_if_ssl"), "with fail_if_not_ssl no probe could pass")
        ways = [http.basic_auth, http.authorization, http.bearer_token]
        written = any(field.lower() == "authorization" for field in http.headers)
        if sum(way is not None for way in ways) + written > 1:
            self._place.problem(("http",), "more than one of basic_auth, authorization, bearer_token")

    def _authorization(self, module: Module) -> str | None:
        """The value of the header Authorization (RFC 7617, RFC 6750)."""
        http = module.http
        assert http is not None
        if http.basic_auth is not None:
            basic = http.basic_auth
            password = self._secret(basic.password, basic.password_file, "basic_auth", "password_file")
            pair = f"{basic.username}:{password}".encode()
            return f"Basic {base64.b64encode(pair).decode()}"
        if http.authorization is not None:
            way = http.authorization
            said = self._secret(way.credentials, way.credentials_file, "authorization", "credentials_file")
            return self._printable(f"{way.type} {said}", "authorization")
        if http.bearer_token is not None:
            return self._printable(f"Bearer {http.bearer_token.get_secret_value()}", "bearer_token")
        return None

    def _printable(self, value: str, part: str) -> str:
        if not (value.isascii() and value.isprintable()):
            self._place.problem(("http", part), "holds what can't stand in a header")
        return value

    def _secret(self, written: SecretStr, file: str | None, part: str, key: str) -> str:
        if file is None:
            return written.get_secret_value()
        if written.get_secret_value():
            self._place.problem(("http", part, key), "is there twice: written here, and as a file")
        try:
            return (self._folder / file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeError) as error:
            self._place.problem(("http", part, key), f"can't be read: {_reason(error)}")
            return ""

    def _context(self, config: TLSConfig, part: str, alpn: tuple[str, ...]) -> ssl.SSLContext | None:
        try:
            context = client_context(
                verify=not config.insecure_skip_verify,
                ca_file=None if config.ca_file is None else self._folder / config.ca_file,
                alpn=alpn,
                min_version=_VERSIONS.get(config.min_version or ""),
                max_version=_VERSIONS.get(config.max_version or ""),
            )
        except Failed as failure:
            self._place.problem((part, "tls_config", "ca_file"), failure.error.message)
            return None
        if (config.cert_file is None) != (config.key_file is None):
            self._place.problem((part, "tls_config"), "cert_file and key_file belong together")
        elif config.cert_file is not None and config.key_file is not None:
            try:
                # A passphrase would be asked for at the terminal: a service has none.
                context.load_cert_chain(
                    self._folder / config.cert_file, self._folder / config.key_file, password=lambda: ""
                )
            except OSError as error:
                self._place.problem((part, "tls_config", "cert_file"), f"can't be used: {_reason(error)}")
        return context

    def _source(self, address: str | None, part: str) -> str | None:
        if address is not None:
            try:
                ipaddress.ip_address(address)
            except ValueError:
                self._place.problem((part, "source_ip_address"), f"{address!r} is no address")
        return address


_VERSIONS = {"TLS12": "1.2", "TLS13": "1.3"}


def _reason(error: OSError | UnicodeError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
