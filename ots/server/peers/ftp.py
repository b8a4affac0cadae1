"""An FTP server for the FTP probes: random bytes to fetch, and a folder that only counts what is put into it.

aioftp speaks the protocol. Nothing touches the disk: downloads come from a page in memory, of an upload its
size is kept until it is deleted.
"""

from __future__ import annotations

import io
import logging
import os
import stat
import time
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import aioftp
from aioftp.common import Connection
from aioftp.pathio import AbstractPathIO
from aioftp.server import ConnectionConditions, PathConditions

from ots.server.peers.peer import Peer

FILES = {"/speed/down": 256 << 20, "/speed/small": 1 << 20}
"""What can be fetched, and its bytes."""

FOLDERS = ("/", "/speed", "/in")
"""Uploads go into the last one."""

MAX_UPLOADS = 256
_BLOCK = 256 << 10
_IDLE = 60.0
_CONNECTIONS = 64


@dataclass
class _Stock:
    """What all connections share."""

    page: bytes = field(default_factory=lambda: os.urandom(_BLOCK))
    uploads: dict[str, int] = field(default_factory=dict)
    started: float = field(default_factory=time.time)

    def size(self, path: PurePosixPath) -> int | None:
        return FILES.get(str(path), self.uploads.get(str(path)))


class _Handle(io.BytesIO):
    """An open file: where it is read or written next."""

    def __init__(self, path: str, place: int) -> None:
        super().__init__()
        self.path = path
        self.place = place


@dataclass(frozen=True)
class _Status:
    """What aioftp asks of a file."""

    st_size: int
    st_mode: int
    st_mtime: float
    st_ctime: float
    st_nlink: int = 1


def _files_on(stock: _Stock) -> type[AbstractPathIO[PurePosixPath]]:
    """aioftp makes one file system for each connection; all of these show one stock."""

    class Files(AbstractPathIO[PurePosixPath]):
        async def exists(self, path: PurePosixPath) -> bool:
            return str(path) in FOLDERS or stock.size(path) is not None

        async def is_dir(self, path: PurePosixPath) -> bool:
            return str(path) in FOLDERS

        async def is_file(self, path: PurePosixPath) -> bool:
            return stock.size(path) is not None

        async def mkdir(self, path: PurePosixPath, *, parents: bool = False, exist_ok: bool = False) -> None:
            raise aioftp.PathIOError(reason=_refused())

        async def rmdir(self, path: PurePosixPath) -> None:
            raise aioftp.PathIOError(reason=_refused())

        async def unlink(self, path: PurePosixPath) -> None:
            if stock.uploads.pop(str(path), None) is None:
                raise aioftp.PathIOError(reason=_refused())

        def list(self, path: PurePosixPath) -> AsyncIterable[PurePosixPath]:
            return _below(path, stock)

        async def stat(self, path: PurePosixPath) -> Any:
            size = stock.size(path)
            mode = stat.S_IFDIR | 0o755 if size is None else stat.S_IFREG | 0o644
            return _Status(size or 0, mode, stock.started, stock.started)

        async def _open(self, path: PurePosixPath, mode: str = "rb") -> io.BytesIO:
            name = str(path)
            if mode == "rb":
                return _Handle(name, 0)
            taken = name in stock.uploads
            if str(path.parent) != FOLDERS[-1] or (not taken and len(stock.uploads) >= MAX_UPLOADS):
                raise aioftp.PathIOError(reason=_refused())
            if mode == "wb" or not taken:
                stock.uploads[name] = 0
            return _Handle(name, stock.uploads[name] if mode == "ab" else 0)

        async def seek(self, file: io.BytesIO, offset: int, whence: int = io.SEEK_SET) -> int:
            handle = _handle(file)
            handle.place = min(offset, stock.size(PurePosixPath(handle.path)) or 0)
            return handle.place

        async def read(self, file: io.BytesIO, block_size: int = _BLOCK) -> bytes:
            handle = _handle(file)
            count = min(block_size, _BLOCK, FILES[handle.path] - handle.place)
            handle.place += count
            return stock.page if count == _BLOCK else stock.page[:count]

        async def write(self, file: io.BytesIO, data: bytes) -> int:
            handle = _handle(file)
            handle.place += len(data)
            if handle.path in stock.uploads:
                stock.uploads[handle.path] = max(stock.uploads[handle.path], handle.place)
            return len(data)

        async def close(self, file: io.BytesIO) -> None:
            file.close()

        async def rename(self, source: PurePosixPath, destination: PurePosixPath) -> PurePosixPath:
            raise aioftp.PathIOError(reason=_refused())

    return Files


def _handle(file: io.BytesIO) -> _Handle:
    assert isinstance(file, _Handle)
    return file


def _refused() -> Any:
    """aioftp wants what `sys.exc_info` would say."""
    return PermissionError, PermissionError("not here"), None


async def _below(path: PurePosixPath, stock: _Stock) -> AsyncIterator[PurePosixPath]:
    for name in (*FOLDERS[1:], *FILES, *stock.uploads):
        if PurePosixPath(name).parent == path:
            yield PurePosixPath(name)


class _Server(aioftp.Server):
    """aioftp's server, and SIZE (RFC 3659 section 4), which it lacks; RETR gives what there is."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.commands_mapping["size"] = self.size
        self.commands_mapping["retr"] = self.download

    @ConnectionConditions(ConnectionConditions.login_required)
    @PathConditions(PathConditions.path_must_exists, PathConditions.path_must_be_file)
    async def size(self: aioftp.Server, connection: Connection, rest: str | PurePosixPath, /) -> bool:
        real_path, _ = self.get_paths(connection, rest)
        connection.response("213", str((await connection.path_io.stat(real_path)).st_size))
        return True

    async def download(self: aioftp.Server, connection: Connection, rest: str | PurePosixPath, /) -> bool:
        real_path, _ = self.get_paths(connection, rest)
        if str(real_path) in FILES:
            return bool(await self.retr(connection, rest))
        connection.response("550", "not here: uploads are counted, not kept")
        return True


async def start(host: str, port: int = 0) -> Peer:
    """Listens for anonymous users. OSError if the port can't be had."""
    # Clients that leave in the middle are how timed transfers end, and nothing to tell anybody.
    logging.getLogger("aioftp.server").setLevel(logging.CRITICAL)
    stock = _Stock()
    server = _Server(
        [
            aioftp.User(
                base_path=Path("/"),
                permissions=[
                    aioftp.Permission("/", readable=True, writable=False),
                    aioftp.Permission("/in", readable=True, writable=True),
                ],
            )
        ],
        block_size=_BLOCK,
        idle_timeout=_IDLE,
        maximum_connections=_CONNECTIONS,
        path_io_factory=_files_on(stock),
        ipv4_pasv_forced_response_address=None,
        welcome_message="OTS test peer",
    )
    await server.start(host, port)
    return Peer("ftp", host, server.server.sockets[0].getsockname()[1], server.close)
