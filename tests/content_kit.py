"""A repository of signed content, a host that serves it as it likes, and an agent that synchronises."""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from ots.content.held import Held, Source, pin, read_held, write_held
from ots.content.layout import CaseName
from ots.content.repository import Repository
from ots.remote.client import Patience
from ots.remote.content import Synced, SyncFailed, sync

CASE = """\
ots: 1
id: office
version: {version}
title: Office, version {version}
vars: {{host: 127.0.0.1}}
steps:
  - {{id: ping, probe: ping, target: "${{host}}", params: {{count: 1}}}}
"""
CALM = Patience(connect=5.0, silence=5.0, total=10.0)
HURRY = Patience(connect=2.0, silence=0.6, total=1.2)

Answer = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class Host:
    """Serves a folder over HTTP. `answers` (by path, or its end) take the place of its files; `asked` is what
    was asked for, also by who takes it for a proxy, `credentials` what such gave, `sent` the bytes of all
    bodies. `ahead` is how far its clock is off, in seconds."""

    folder: Path
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    sent: int = 0
    ahead: float = 0.0
    url: str = ""
    credentials: set[str | None] = field(default_factory=set)

    def lie(self, end: str, change: Callable[[bytes], bytes]) -> None:
        """Changes what is sent of files whose path ends so."""

        def answer(handler: BaseHTTPRequestHandler) -> None:
            found = self.file(handler.path)
            assert found is not None, handler.path
            self.reply(handler, change(found))

        self.answers[end] = answer

    def file(self, path: str) -> bytes | None:
        try:
            return (self.folder / urlsplit(path).path.lstrip("/")).read_bytes()
        except OSError:
            return None

    def reply(self, handler: BaseHTTPRequestHandler, body: bytes, status: int = 200) -> None:
        handler.send_response_only(status)
        handler.send_header("Date", email.utils.formatdate(time.time() + self.ahead, usegmt=True))
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        self.send(handler, body)

    def send(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        handler.wfile.write(body)
        self.sent += len(body)


@contextlib.contextmanager
def host(folder: Path) -> Iterator[Host]:
    """A host on a free port of 127.0.0.1."""
    served = Host(folder)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            served.asked.append(self.path)
            served.credentials.add(self.headers.get("Proxy-Authorization"))
            answer = next((answer for end, answer in served.answers.items() if self.path.endswith(end)), None)
            with contextlib.suppress(ConnectionError):
                if answer is not None:
                    answer(self)
                    return
                found = served.file(self.path)
                served.reply(self, found or b"", 200 if found is not None else 404)

        def log_message(self, format: str, *arguments: Any) -> None:
            """Silent: the test has `asked`."""

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, address: Any) -> None:
            """A client that went away is what these tests want."""

    server = Quiet(("127.0.0.1", 0), Handler)
    served.url = f"http://127.0.0.1:{server.server_port}/"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class Field:
    """One repository, the host of its files and one agent's data folder."""

    repository: Repository
    host: Host
    data: Path

    def publish(self, version: int, case_id: str = "office") -> None:
        text = CASE.format(version=version).replace("id: office", f"id: {case_id}", 1).encode()
        self.repository.publish_case(CaseName(case_id, version), text, title=f"v{version}", heavy=False)

    def enrol(self, root: int = 1) -> None:
        """Pins a version of the root."""
        data = (self.repository.public / "metadata" / f"{root}.root.json").read_bytes()
        pin(self.data, data, Source(url=self.host.url))

    def sync(self, patience: Patience = CALM) -> Synced:
        return asyncio.run(sync(self.data, patience=patience))

    def refused(self, code: str, patience: Patience = CALM) -> SyncFailed:
        """Asserts that a synchronisation fails with this code and leaves what was in use."""
        before = read_held(self.data)
        with pytest.raises(SyncFailed) as caught:
            self.sync(patience)
        assert caught.value.code == code, f"{caught.value.code}: {caught.value}"
        assert read_held(self.data) == before
        return caught.value

    def versions(self, case_id: str = "office") -> list[int]:
        """The versions of a case that are in use."""
        held = read_held(self.data)
        return [] if held is None else sorted(case.version for case in held.cases if case.id == case_id)

    def held(self) -> Held:
        held = read_held(self.data)
        assert held is not None
        return held

    def saved(self) -> Path:
        """A copy of everything that is served at this moment."""
        place = self.repository.folder / f"saved-{time.monotonic_ns()}"
        shutil.copytree(self.repository.public, place)
        return place

    def metadata(self, name: str) -> Path:
        return self.repository.public / "metadata" / name


@contextlib.contextmanager
def field_like(template: Path, folder: Path) -> Iterator[Field]:
    """A copy of a field that was made before: making keys and files takes longer than copying them."""
    for part in ("repository", "data"):
        shutil.copytree(template / part, folder / part, symlinks=True)
    repository = Repository(folder / "repository")
    with host(repository.public) as served:
        made = Field(repository, served, folder / "data")
        made.enrol()
        held = made.held()
        held.url = served.url
        write_held(made.data, held)
        yield made


@contextlib.contextmanager
def field_of(folder: Path, wall: Callable[[], float] = time.time) -> Iterator[Field]:
    """A repository with office v1, and an agent that trusts its root and has not synchronised yet."""
    repository = Repository.create(folder / "repository", wall=wall)
    data = folder / "data"
    data.mkdir()
    with host(repository.public) as served:
        made = Field(repository, served, data)
        made.publish(1)
        made.enrol()
        yield made
