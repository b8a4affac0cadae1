"""SMTP's answers: how they are put together, and what a refusal means (RFC 5321 4.2, RFC 4954 6)."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence

from ots.i18n import N_
from ots.model.outcome import ErrorClass, Phase
from ots.probe import Failed

_LINE = re.compile(r"(\d{3})(?:([ -])(.*))?")

_BY_CODE: dict[str, ErrorClass] = {code: "auth" for code in ("432", "530", "534", "535", "538")}

_REMEDY: dict[str, str] = {
    "530": N_("The server wants a login, or TLS before it."),
    "535": N_("Check the user and the password."),
    "534": N_("The server wants another mechanism: choose it with auth."),
    "538": N_("The server wants TLS before the login."),
}


async def read_answer(
    readline: Callable[[], Awaitable[str]], phase: Phase, asked: str
) -> tuple[str, list[str]]:
    """Code and lines of one answer. `Failed`, class `protocol`, for what is none."""
    code, texts = "", []
    while True:
        line = await readline()
        match = _LINE.fullmatch(line)
        if match is None or (code and match[1] != code):
            raise Failed("protocol", phase, "BAD_REPLY", f"{asked}: no SMTP: {line}"[:200])
        code = match[1]
        texts.append(match[3] or "")
        if match[2] != "-":
            return code, texts


def refusal(code: str, lines: Sequence[str], phase: Phase, asked: str) -> Failed:
    """The `Failed` of an answer that was not the one expected. `asked` is the command without its argument.

    4yz means "not now": greylisting, a full queue, a rate limit. It may be tried again.
    """
    text = lines[-1].strip() if lines else ""
    said = f"{asked}: {code} {text}".rstrip()
    if code[:1] not in ("4", "5"):
        return Failed("protocol", phase, code, f"unexpected answer to {said}")
    error_class = _BY_CODE.get(code, "rejected")
    if asked == "STARTTLS":
        error_class = "tls"
    elif asked == "AUTH":
        error_class = "auth"
    return Failed(
        error_class,
        "login" if error_class == "auth" else phase,
        code,
        said,
        retryable=code.startswith("4"),
        remedy=_REMEDY.get(code),
    )
