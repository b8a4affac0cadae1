"""Takes the body of an upload and answers, as fast as the kernel hands it over."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping

from aiohttp import web

from ots.server.peers.arrivals import Arrivals
from ots.server.peers.bodies import ChunkedBody, SizedBody
from ots.server.peers.doorway import Doorway, doorway_of


async def sink(
    request: web.Request,
    *,
    seconds: float,
    most: int,
    answer: Callable[[Arrivals], tuple[str, bytes]],
    headers: Mapping[str, str],
) -> web.StreamResponse:
    """Swallows the body, answers with `answer`'s media type and text, and keeps the connection for more.

    A body that lasts longer than `seconds`, or has more bytes than `most`, is cut off: what had come until
    then is answered, and the connection ends.
    """
    arrivals = Arrivals()
    doorway = doorway_of(request)
    if doorway is None or not doorway.holding:
        whole = await _read(request, arrivals, seconds, most)
        return _answer(answer(arrivals), headers, close=not whole)
    try:
        whole = await _swallow(request, doorway, arrivals, seconds, most)
    except ValueError as error:
        doorway.pass_on()
        response = web.Response(status=400, text=f"{error}\n")
        response.force_close()
        return response
    stays = whole and request.keep_alive
    await _write(doorway, *answer(arrivals), headers, close=not stays)
    if stays:
        doorway.renew()
    else:
        doorway.close()
    # The answer has been written: aiohttp finds this handler's connection gone, and writes none.
    return web.Response()


class _TooMuch(ValueError):
    """The body is larger than one may be."""


async def _swallow(
    request: web.Request, doorway: Doorway, arrivals: Arrivals, seconds: float, most: int
) -> bool:
    """Whether the body came to its end."""
    size = request.content_length

    def add(t: float, count: int) -> None:
        arrivals.add(t, count)
        if arrivals.bytes > most:
            raise _TooMuch

    body = ChunkedBody(add) if size is None else SizedBody(size, add)
    with contextlib.suppress(TimeoutError, _TooMuch):
        async with asyncio.timeout(seconds):
            return await doorway.lend(body)
    return False


async def _read(request: web.Request, arrivals: Arrivals, seconds: float, most: int) -> bool:
    """The same through aiohttp: a connection on which it has read a body before, or that has no doorway."""
    # A client that leaves in the middle will not read the answer either.
    with contextlib.suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(seconds):
            async for piece in request.content.iter_any():
                arrivals.add(time.monotonic(), len(piece))
                if arrivals.bytes > most:
                    return False
            return True
    return False


def _answer(said: tuple[str, bytes], headers: Mapping[str, str], *, close: bool) -> web.Response:
    response = web.Response(body=said[1], content_type=said[0], headers=headers)
    if close:
        response.force_close()
    return response


async def _write(
    doorway: Doorway, media_type: str, text: bytes, headers: Mapping[str, str], *, close: bool
) -> None:
    lines = [
        "HTTP/1.1 200 OK",
        f"Content-Type: {media_type}",
        f"Content-Length: {len(text)}",
        f"Connection: {'close' if close else 'keep-alive'}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    with contextlib.suppress(ConnectionError):
        await doorway.write("\r\n".join(lines).encode() + b"\r\n\r\n" + text)
