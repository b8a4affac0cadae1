"""The DNS servers that this machine asks."""

from __future__ import annotations

import ipaddress
from pathlib import Path

_STUB = frozenset({"127.0.0.53", "127.0.0.54"})
"""systemd-resolved's own addresses: what it asks behind them stands in a file of its own."""

_UPSTREAM = Path("run/systemd/resolve/resolv.conf")


def name_servers(root: Path = Path("/")) -> list[str]:
    """The servers in the order they are asked; behind a local stub, the servers that it asks."""
    stated = parse_resolv_conf(_read(root / "etc/resolv.conf"))
    if stated and set(stated) <= _STUB:
        return parse_resolv_conf(_read(root / _UPSTREAM)) or stated
    return stated


def parse_resolv_conf(text: str) -> list[str]:
    """The `nameserver` lines of a resolv.conf (resolv.conf(5)); what is no address is left out."""
    servers = []
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver" and _is_address(words[1]):
            servers.append(words[1])
    return servers


def _is_address(word: str) -> bool:
    try:
        ipaddress.ip_address(word)
    except ValueError:
        return False
    return True


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""
