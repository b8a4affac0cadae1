"""Loads a page of a public address that leads to private ones; runs in a namespace that has both.

`python -m tests.faults.web_child '{"path": "/"}'` prints how the attempt failed, how often somebody knocked
at the private address, and how the same page fares when it is private itself.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from ots.probes.web_page import WebPage
from tests.recording import record

PUBLIC, PRIVATE = "93.184.216.34", "10.9.8.7"


async def _main(spec: dict[str, Any]) -> dict[str, Any]:
    knocks = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal knocks
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                if writer.get_extra_info("sockname")[0] == PRIVATE:
                    knocks += 1
                writer.write(_answer(head.split()[1].decode(), port))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "0.0.0.0", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        made = await record(WebPage(), f"http://{PUBLIC}:{port}{spec['path']}", {"timeout": 1.0})
        knocked, error = knocks, made.only.error
        # A page in a private network may use that network.
        other = await record(WebPage(), f"http://{PRIVATE}:{port}/", {"timeout": 1.0})
    return {
        "error": None if error is None else [error.class_, error.phase, error.code],
        "knocks": knocked,
        "from_private": None if other.only.error is None else other.only.error.code,
    }


def _answer(path: str, port: int) -> bytes:
    if path == "/away":
        place = f"http://{PRIVATE}:{port}/secret"
        return f"HTTP/1.1 302 Found\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n".encode()
    if path == "/mapped":
        page = f'<img src="http://[::ffff:{PRIVATE}]:{port}/secret">'
    else:
        page = f'<img src="http://{PRIVATE}:{port}/secret">' if path == "/" else "x"
    return f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(page)}\r\n\r\n{page}".encode()


if __name__ == "__main__":
    json.dump(asyncio.run(_main(json.loads(sys.argv[1]))), sys.stdout)
