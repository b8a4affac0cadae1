"""What lies where in a repository of signed content. Everything below `public/` may be served by anybody.

public/metadata/1.root.json  1.targets.json  1.cases.json  1.servers.json  1.licences.json
                1.snapshot.json  timestamp.json
public/targets/cases/<sha256>.<id>.<version>.yaml
public/targets/servers/<sha256>.servers.json
public/targets/licences/<sha256>.licences.json
keys/<role>.pem                              never served
"""

from __future__ import annotations

import re
from dataclasses import dataclass

CASES, SERVERS, LICENCES = "cases", "servers", "licences"
DELEGATED = (CASES, SERVERS, LICENCES)
"""Roles that `targets` delegates to, each with the folder of its name."""

ONLINE = ("snapshot", "timestamp")
"""Roles whose one key lies where the repository is served."""

SERVERS_PATH = "servers/servers.json"
LICENCES_PATH = "licences/licences.json"

MAX_CASE = 1_000_000
MAX_SERVERS = 256 << 10
MAX_LICENCES = 4 << 20
"""Bytes: no target is larger, whatever the metadata says."""

MOST_CASES = 5000
DAY = 86_400.0

_CASE_PATH = re.compile(r"cases/([A-Za-z0-9][A-Za-z0-9_-]{0,63})\.([1-9][0-9]{0,8})\.yaml")
_METADATA_NAME = re.compile(r"([1-9][0-9]{0,8})\.([a-z]+)\.json")


@dataclass(frozen=True, slots=True, order=True)
class CaseName:
    """One published version of a case."""

    id: str
    version: int

    @property
    def path(self) -> str:
        return f"cases/{self.id}.{self.version}.yaml"

    def __str__(self) -> str:
        return f"{self.id} v{self.version}"


def case_name(path: str) -> CaseName | None:
    """What a target's path says; None for a path of another kind."""
    found = _CASE_PATH.fullmatch(path)
    return None if found is None else CaseName(found[1], int(found[2]))


def versioned(name: str) -> tuple[int, str] | None:
    """Version and role in the name of a metadata file, such as `3.cases.json`."""
    found = _METADATA_NAME.fullmatch(name)
    return None if found is None else (int(found[1]), found[2])


def hashed(path: str, sha256: str) -> str:
    """Where a target's bytes lie below `targets/`."""
    folder, _, name = path.rpartition("/")
    return f"{folder}/{sha256}.{name}"


def limit_of(path: str) -> int:
    """The most bytes that a target of this path may have; 0 where no such target is known."""
    if path == SERVERS_PATH:
        return MAX_SERVERS
    if path == LICENCES_PATH:
        return MAX_LICENCES
    return MAX_CASE if case_name(path) is not None else 0
