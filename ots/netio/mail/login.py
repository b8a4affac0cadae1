"""How a client proves to an SMTP server who it is: PLAIN, LOGIN and CRAM-MD5 (RFC 4954, 4616, 2195).

The encodings are aiosmtplib's; what is sent when, and how long it takes, is ours.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal

from aiosmtplib.auth import auth_crammd5_verify, auth_login_encode, auth_plain_encode
from aiosmtplib.errors import SMTPAuthenticationError

from ots.probe import Failed

Mechanism = Literal["auto", "plain", "login", "cram-md5"]

Exchange = Callable[[str, str], Awaitable[str]]
"""Sends a line as a part of AUTH, expects an answer of this code, and returns its text."""

_PLAIN_FIRST = ("plain", "login", "cram-md5")
_HASHED_FIRST = ("cram-md5", "plain", "login")


def choose(wanted: Mechanism, offered: Sequence[str], *, encrypted: bool) -> str:
    """The mechanism to use. `Failed`, class `auth`, if the server offers none that will do.

    Within TLS the simplest is the best; without it, one that does not show the password.
    """
    if wanted != "auto":
        if wanted in offered:
            return wanted
        raise Failed(
            "auth", "login", "NO_MECHANISM", f"the server does not offer {wanted} but {_list(offered)}"
        )
    for mechanism in _PLAIN_FIRST if encrypted else _HASHED_FIRST:
        if mechanism in offered:
            return mechanism
    raise Failed(
        "auth",
        "login",
        "NO_AUTH",
        f"no mechanism that we know among {_list(offered)}" if offered else "the server offers no login",
    )


def encoded(user: str, password: str) -> list[str]:
    """The forms in which the password goes out: neither may ever be shown."""
    return [auth_plain_encode(user, password).decode(), auth_login_encode(user, password)[1].decode()]


async def prove(mechanism: str, user: str, password: str, exchange: Exchange) -> None:
    """Goes through the whole exchange; returns once the server has accepted it."""
    if mechanism == "plain":
        await exchange(f"AUTH PLAIN {auth_plain_encode(user, password).decode()}", "235")
    elif mechanism == "login":
        name, secret = auth_login_encode(user, password)
        await exchange("AUTH LOGIN", "334")
        await exchange(name.decode(), "334")
        await exchange(secret.decode(), "235")
    else:
        challenge = await exchange("AUTH CRAM-MD5", "334")
        try:
            response = auth_crammd5_verify(user, password, challenge)
        except SMTPAuthenticationError:
            raise Failed("protocol", "login", "BAD_CHALLENGE", "the challenge is no base64") from None
        await exchange(response.decode(), "235")


def _list(offered: Sequence[str]) -> str:
    return ", ".join(offered) or "nothing"
