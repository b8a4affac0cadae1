"""Lists of speed test servers: ours (YAML or JSON), and LibreSpeed's, which anybody can publish.

    ots-servers: 1
    use: office                     # optional: what `auto` stands for
    servers:
      - {name: office, url: "http://192.0.2.1:8080/", protocol: ots, operator: …, place: …, about: …}

A list may come from elsewhere, so it is bounded, and read strictly: whatever is wrong refuses all of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from typing import Any
from urllib.parse import urljoin

from pydantic import ValidationError

from ots.netio.speed.server import AUTO, Server
from ots.strictyaml import YamlError, load_plain

VERSION = 1
MAX_BYTES = 256 << 10
MAX_SERVERS = 500

_KEYS = {"ots-servers", "use", "source", "servers"}


class BadList(ValueError):
    """This is no list of servers; the message says why."""


@dataclass(frozen=True, slots=True)
class ServerList:
    """What one file says. `source` is where it was fetched from, `skipped` how many entries don't fit us."""

    servers: tuple[Server, ...] = ()
    use: str | None = None
    source: str | None = None
    skipped: int = 0

    def named(self, name: str) -> Server | None:
        return next((server for server in self.servers if server.name == name), None)


def shipped() -> ServerList:
    """The list that came with this version."""
    return parse((files("ots.netio.speed") / "servers.yaml").read_bytes(), "servers.yaml")


def parse(data: bytes, source: str) -> ServerList:
    """The list in a file or an answer; BadList for anything else."""
    if len(data) > MAX_BYTES:
        raise BadList(f"{source}: more than {MAX_BYTES >> 10} KiB are no list of servers")
    try:
        document = load_plain(data, source)
    except YamlError as error:
        raise BadList(str(error.problems[0])) from None
    if isinstance(document, list):
        return _librespeed(document, source)
    if not isinstance(document, dict) or "ots-servers" not in document:
        raise BadList(f"{source}: no list of servers: expected `ots-servers: {VERSION}` and `servers:`")
    return _ours(document, source)


def _ours(document: dict[str, Any], source: str) -> ServerList:
    if document["ots-servers"] != VERSION:
        raise BadList(f"{source}: format {document['ots-servers']!r}; this version reads format {VERSION}")
    unknown = sorted(set(map(str, document)) - _KEYS)
    if unknown:
        raise BadList(f"{source}: unknown key {unknown[0]!r}")
    entries = document.get("servers") or []
    if not isinstance(entries, list):
        raise BadList(f"{source}: servers: expected a list")
    servers = _servers(entries, source)
    use, origin = document.get("use"), document.get("source")
    if not isinstance(use, str | None) or not isinstance(origin, str | None):
        raise BadList(f"{source}: use and source are text")
    return ServerList(servers, use, origin)


def _servers(entries: list[Any], source: str) -> tuple[Server, ...]:
    if len(entries) > MAX_SERVERS:
        raise BadList(f"{source}: {len(entries)} servers: at most {MAX_SERVERS}")
    servers: dict[str, Server] = {}
    for number, entry in enumerate(entries, 1):
        try:
            server = Server.model_validate(entry)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            place = ".".join(str(step) for step in first["loc"])
            raise BadList(f"{source}: server {number}: {place}: {first['msg']}") from None
        if server.name in servers or server.name == AUTO:
            raise BadList(f"{source}: server {number}: the name {server.name!r} is taken")
        servers[server.name] = server
    return tuple(servers.values())


def _librespeed(entries: list[Any], source: str) -> ServerList:
    """LibreSpeed's form: `[{"name", "server", "dlURL", "ulURL", "pingURL", "getIpURL", "sponsorName"}]`.

    Entries whose files lie in other places than LibreSpeed's usual ones can't be used and are counted.
    """
    if not entries or not all(isinstance(entry, dict) and "server" in entry for entry in entries):
        raise BadList(f"{source}: no list of servers: entries have no `server`")
    found = []
    for entry in entries:
        url = _folder(entry)
        if url is not None:
            found.append(
                {
                    "name": _line(entry.get("name")) or url,
                    "url": url,
                    "protocol": "librespeed",
                    "operator": _line(entry.get("sponsorName")),
                    "about": _line(entry.get("sponsorURL")),
                }
            )
    unique = {entry["name"]: entry for entry in found}
    if not unique:
        raise BadList(f"{source}: none of its {len(entries)} servers can be used")
    servers = _servers(list(unique.values()), source)
    return ServerList(servers, skipped=len(entries) - len(servers))


def _folder(entry: dict[str, Any]) -> str | None:
    """The folder that holds garbage.php and empty.php, or None if there is no such one."""
    server = entry["server"]
    if not isinstance(server, str):
        return None
    base = f"https:{server}" if server.startswith("//") else server
    paths = [entry.get("dlURL"), entry.get("ulURL")]
    if not all(isinstance(path, str) for path in paths) or not base.startswith(("http://", "https://")):
        return None
    try:
        down, up = (urljoin(base.rstrip("/") + "/", str(path)) for path in paths)
    except ValueError:
        return None
    folder, name = down.rsplit("/", 1)
    return f"{folder}/" if name == "garbage.php" and up == f"{folder}/empty.php" else None


def _line(text: object) -> str | None:
    """Text of an entry on one line, or None."""
    if not isinstance(text, str):
        return None
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())[:200] or None
