"""A publisher's way to a server: what it lacks is sent in one piece, with a manager's API token."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import msgspec

from ots import __version__
from ots.content.offer import LIMIT, offer_of, pack
from ots.remote.client import API, Answer, Patience, Refused, read_answer, trust

_USUAL = Patience(total=300.0)


class _State(msgspec.Struct):
    """What a server says of its content."""

    online_key: str
    versions: dict[str, int]
    files: list[str]


async def ask_online_key(url: str, token: str, ca: str | None) -> str:
    """The server's key for snapshot and timestamp. Raises Refused."""
    async with _session(token, ca) as session:
        return (await _call(session, "GET", url)).read(_State).online_key


async def push(public: Path, url: str, token: str, ca: str | None) -> dict[str, int]:
    """Sends what is new; the versions that the server serves then. Raises Refused, Unserveable, OSError."""
    async with _session(token, ca) as session:
        state = (await _call(session, "GET", url)).read(_State)
        offer = offer_of(public, state.versions, frozenset(state.files))
        if not offer.metadata:
            return state.versions
        body = pack(offer)
        if len(body) > LIMIT:
            raise Refused("too-large", "this is more than is taken at once: copy the folder to the server")
        return (await _call(session, "POST", url, body)).read(_State).versions


def _session(token: str, ca: str | None) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=trust(ca)),
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(
            total=_USUAL.total, sock_connect=_USUAL.connect, sock_read=_USUAL.silence
        ),
        headers={
            "Authorization": f"Bearer {token}",
            "User-Agent": f"ots/{__version__}",
            "Accept-Encoding": "identity",
        },
    )


async def _call(session: aiohttp.ClientSession, method: str, url: str, body: bytes | None = None) -> Answer:
    headers = {} if body is None else {"Content-Type": "application/json"}
    try:
        async with session.request(
            method, f"{url}{API}/content", data=body, headers=headers, allow_redirects=False
        ) as response:
            return await read_answer(response)
    except TimeoutError:
        raise Refused("timeout", "the server did not answer in time") from None
    except (aiohttp.ClientError, OSError) as error:
        raise Refused("unreachable", str(error)[:300] or type(error).__name__) from None
