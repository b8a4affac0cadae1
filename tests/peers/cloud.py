"""Cloud servers for tests, on each database: one for a file of tests, or one for each test."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.cloud_kit import CloudServer, cloud_server
from tests.peers.postgres import Postgres

__all__ = ["cloud", "own_cloud"]

DATABASES = ("sqlite", "postgresql")
_OFTEN = ("--rates", "10000")


@pytest.fixture(scope="module", params=DATABASES)
def cloud(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CloudServer]:
    """A server on SQLite, then one on PostgreSQL with two processes; tests share it and its data."""
    with cloud_on(request, tmp_path_factory.mktemp("cloud")) as server:
        yield server


@pytest.fixture(params=DATABASES)
def own_cloud(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[CloudServer]:
    """The same, with nothing in it yet, for a test that no other may disturb."""
    with cloud_on(request, tmp_path / "cloud") as server:
        yield server


@contextlib.contextmanager
def cloud_on(
    request: pytest.FixtureRequest, folder: Path, options: Sequence[str] = _OFTEN
) -> Iterator[CloudServer]:
    """A server on the database that the fixture's parameter names; on PostgreSQL two processes serve."""
    if request.param == "sqlite":
        with cloud_server(folder, options=options) as server:
            yield server
        return
    postgres: Postgres = request.getfixturevalue("postgres")
    with (
        postgres.database() as database,
        cloud_server(folder, database, options=["--processes", "2", *options]) as server,
    ):
        yield server
