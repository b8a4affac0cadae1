"""On which database the servers of tests run.

The variable OTS_TEST_DATABASE chooses for every server that names no database itself: `sqlite`, a file in its
folder, as if the variable were not set; `postgresql`, a database of its own for each server's folder in the
session's PostgreSQL; `postgresql-2`, the same with two processes that serve.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, cast, get_args

from ots.server.first_start import default_database
from tests.peers.postgres import Postgres

VARIABLE = "OTS_TEST_DATABASE"
Kind = Literal["sqlite", "postgresql", "postgresql-2"]
CHOSEN: Final = "chosen"
"""In place of an address: the database that the variable chooses."""


def named_kind() -> Kind | None:
    """What the variable says. Raises ValueError for what it can't say."""
    said = os.environ.get(VARIABLE) or None
    if said is not None and said not in get_args(Kind):
        raise ValueError(f"{VARIABLE} is one of {', '.join(get_args(Kind))}, not {said!r}")
    return cast(Kind | None, said)


def processes(kind: Kind) -> Sequence[str]:
    """How many of them serve, as options of `ots server run`."""
    return ["--processes", "2"] if kind == "postgresql-2" else []


@dataclass
class Chosen:
    """What the variable chose for this session, and which database each server's folder was given."""

    kind: Kind = "sqlite"
    postgres: Postgres | None = None
    _given: dict[Path, str] = field(default_factory=dict)

    def database(self, folder: Path) -> str | None:
        """The address of a folder's database, the same each time; None is SQLite in the folder."""
        return None if self.postgres is None else self.postgres.url(self._name(self.postgres, folder))

    def socket(self, folder: Path) -> str | None:
        """The same database over its Unix socket, which other network namespaces reach too."""
        return None if self.postgres is None else self.postgres.socket_url(self._name(self.postgres, folder))

    def copy(self, folder: Path, target: Path) -> None:
        """The folder and the database of a stopped server a second time."""
        shutil.copytree(folder, target)
        if self.postgres is not None:
            name = self._name(self.postgres, folder)
            self._given[target.absolute()] = self.postgres.create(name)

    def _name(self, postgres: Postgres, folder: Path) -> str:
        place = folder.absolute()
        if place not in self._given:
            self._given[place] = postgres.create()
        return self._given[place]


chosen = Chosen()
"""Of this session; `tests.peers.cloud` fills it before the first test."""


def named(database: str | None) -> dict[str, str]:
    """The environment in which a command finds this database."""
    return {} if database is None else {"OTS_SERVER_DATABASE": database}


def environment(folder: Path) -> dict[str, str]:
    """That of a command on the machine of the server with this folder, which has been or will be started."""
    return named(chosen.database(folder))


def address(folder: Path) -> str:
    """The URL of that server's database."""
    return chosen.database(folder) or default_database(folder)
