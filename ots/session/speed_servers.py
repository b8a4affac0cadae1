"""The speed test servers of this machine: one's own, the system's, a signed list, a fetched, the shipped one.

Own servers win: where there are any, `auto` chooses among them and never asks a public one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from ots.config import settings
from ots.config.place import SYSTEM_SETTINGS, user_data_dir, user_settings
from ots.config.whole_file import write_whole
from ots.content.held import servers_file
from ots.netio.speed.server import AUTO, Server
from ots.netio.speed.server_list import MAX_BYTES, VERSION, BadList, ServerList, parse, shipped
from ots.schema.errors import CaseError, Problem
from ots.strictyaml import suggest

Origin = Literal["own", "system", "synced", "fetched", "shipped"]


@dataclass(frozen=True, slots=True)
class Known:
    """A server and which list has it."""

    server: Server
    origin: Origin


def own_file() -> Path:
    return user_settings().parent / "servers.yaml"


def system_file() -> Path:
    return SYSTEM_SETTINGS.parent / "servers.yaml"


def fetched_file() -> Path:
    """The last good list that `ots servers update` got."""
    return user_data_dir() / "speed-servers.json"


class Servers:
    """All lists together; a file is read when it is first needed. BadList where one can't be used."""

    @cached_property
    def lists(self) -> dict[Origin, ServerList]:
        synced, fetched = _read(servers_file(settings().data_dir)), _read(fetched_file())
        return {
            "own": _read(own_file()),
            "system": _read(system_file()),
            "synced": synced,
            "fetched": ServerList() if synced.servers else fetched,
            "shipped": ServerList() if synced.servers or fetched.servers else shipped(),
        }

    @cached_property
    def known(self) -> list[Known]:
        """Every server once: of two with one name the one of the list that comes first."""
        found: dict[str, Known] = {}
        for origin, servers in self.lists.items():
            for server in servers.servers:
                found.setdefault(server.name, Known(server, origin))
        return list(found.values())

    @property
    def use(self) -> str:
        """What `auto` stands for: a name, or `auto` itself."""
        return next((each.use for each in self.lists.values() if each.use is not None), AUTO)

    def named(self, name: str) -> list[Server]:
        """The servers that a name or `auto` stands for, at least one; CaseError if there are none."""
        name = self.use if name == AUTO else name
        if name == AUTO:
            choice = self._choice()
            if choice:
                return choice
            raise no_server("no speed test server is known: ots servers add NAME URL")
        for known in self.known:
            if known.server.name == name:
                return [known.server]
        near = suggest(name, [known.server.name for known in self.known])
        raise no_server(f"no speed test server {name!r} is known; ots servers list{near}")

    def _choice(self) -> list[Server]:
        usable = [known for known in self.known if known.server.choose]
        mine = [known.server for known in usable if known.origin in ("own", "system")]
        return mine or [known.server for known in usable]


def no_server(message: str) -> CaseError:
    """What a plan can't be made with."""
    return CaseError([Problem("", 0, 0, message)])


def add(server: Server) -> None:
    """Writes one's own list with this server in it, in the place of one of the same name."""
    own = _read(own_file())
    others = [each for each in own.servers if each.name != server.name]
    _write(own_file(), replace(own, servers=(*others, server)))


def remove(name: str) -> bool:
    """Takes a server out of one's own list; False if it wasn't there."""
    own = _read(own_file())
    left = tuple(each for each in own.servers if each.name != name)
    if len(left) == len(own.servers):
        return False
    _write(own_file(), replace(own, servers=left, use=None if own.use == name else own.use))
    return True


def use(name: str) -> None:
    """What `auto` stands for from now on."""
    _write(own_file(), replace(_read(own_file()), use=None if name == AUTO else name))


def keep(data: bytes, source: str) -> ServerList:
    """Makes this the fetched list, if it is one; BadList otherwise, and the last good one stays."""
    fetched = parse(data, source)
    if not fetched.servers:
        raise BadList(f"{source}: the list is empty")
    _write(fetched_file(), replace(fetched, source=source, use=None))
    return fetched


def _read(path: Path) -> ServerList:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return ServerList()
    except OSError as error:
        raise BadList(f"{path}: it can't be read: {error.strerror}") from None
    return parse(data, str(path)) if data.strip() else ServerList()


def _write(path: Path, servers: ServerList) -> None:
    document: dict[str, Any] = {"ots-servers": VERSION}
    if servers.use is not None:
        document["use"] = servers.use
    if servers.source is not None:
        document["source"] = servers.source
    document["servers"] = [_entry(server) for server in servers.servers]
    write_whole(path, (json.dumps(document, ensure_ascii=False, indent=2) + "\n").encode())


def _entry(server: Server) -> dict[str, Any]:
    return server.model_dump(exclude_defaults=True)


def operators(servers: Sequence[Server]) -> list[str]:
    """Who runs these servers, each once."""
    return list(dict.fromkeys(server.operator or server.target.host for server in servers))
