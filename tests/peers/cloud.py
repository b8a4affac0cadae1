"""Cloud servers for tests, on each database: one for a file of tests, or one for each test."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.cloud_kit import CloudServer, cloud_server
from tests.peers.postgres import Postgres
from tests.server_database import Kind, chosen, named_kind, processes

__all__ = ["chosen_database", "cloud", "own_cloud"]

KINDS: Sequence[Kind] = [kind] if (kind := named_kind()) else ["sqlite", "postgresql-2"]
"""Where OTS_TEST_DATABASE chooses one database, only that."""

_OFTEN = ("--rates", "10000")


@pytest.fixture(scope="session", autouse=True)
def chosen_database(request: pytest.FixtureRequest) -> None:
    """Servers that name no database run on the one that OTS_TEST_DATABASE says."""
    kind = named_kind()
    if kind is not None and kind != "sqlite":
        chosen.kind, chosen.postgres = kind, request.getfixturevalue("postgres")


@pytest.fixture(scope="module", params=KINDS)
def cloud(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CloudServer]:
    """A server on SQLite, then one on PostgreSQL with two processes; tests share it and its data."""
    with cloud_on(request, tmp_path_factory.mktemp("cloud")) as server:
        yield server


@pytest.fixture(params=KINDS)
def own_cloud(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[CloudServer]:
    """The same, with nothing in it yet, for a test that no other may disturb."""
    with cloud_on(request, tmp_path / "cloud") as server:
        yield server


@contextlib.contextmanager
def cloud_on(
    request: pytest.FixtureRequest, folder: Path, options: Sequence[str] = _OFTEN
) -> Iterator[CloudServer]:
    """A server on the database that the fixture's parameter names."""
    kind: Kind = request.param
    if kind == "sqlite":
        with cloud_server(folder, None, options=options) as server:
            yield server
        return
    postgres: Postgres = request.getfixturevalue("postgres")
    with (
        postgres.database() as database,
        cloud_server(folder, database, options=[*processes(kind), *options]) as server,
    ):
        yield server
