"""Cloud servers for tests: one of each database for a file of tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cloud_kit import CloudServer, cloud_server
from tests.peers.postgres import Postgres

__all__ = ["cloud"]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def cloud(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CloudServer]:
    """A server on SQLite, then one on PostgreSQL with two processes; tests share it and its data."""
    folder = tmp_path_factory.mktemp("cloud")
    often = ["--rates", "1000"]
    if request.param == "sqlite":
        with cloud_server(folder, options=often) as server:
            yield server
        return
    postgres: Postgres = request.getfixturevalue("postgres")
    with (
        postgres.database() as database,
        cloud_server(folder, database, options=["--processes", "2", *often]) as server,
    ):
        yield server
