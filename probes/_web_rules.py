"""Is it the page that was meant? Keyword, pattern and hash of a document, looked at after the measurement."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import sys

from ots.i18n import N_
from ots.probe import Failed

_SEARCH = """
import json, re, sys
pattern, text = json.load(sys.stdin)
print(int(re.search(pattern, text) is not None))
"""

PATIENCE = 5.0
"""Seconds for a search. Some patterns take for ever on some texts, and nothing in Python could end one."""


async def check(
    body: bytes, text: str, *, keyword: str | None, pattern: str | None, sha256: str | None
) -> None:
    """`Failed` of class `content` if a rule is not met."""
    if keyword is not None and keyword not in text:
        raise Failed("content", "verify", "KEYWORD", f"the page does not contain {keyword!r}")
    if sha256 is not None and hashlib.sha256(body).hexdigest() != sha256.lower():
        raise Failed("content", "verify", "SHA256", "the page's SHA-256 is not the expected one")
    if pattern is not None and not await _found(pattern, text):
        raise Failed("content", "verify", "REGEX", f"nothing in the page matches {pattern!r}")


async def _found(pattern: str, text: str) -> bool:
    """Whether the pattern matches anywhere; searched for in a process that can be ended."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        "-S",
        "-c",
        _SEARCH,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(PATIENCE):
            found, _ = await process.communicate(json.dumps([pattern, text]).encode())
    except TimeoutError:
        raise Failed(
            "config",
            "verify",
            "SLOW_REGEX",
            f"{pattern!r} takes longer than {PATIENCE:g} s on this page",
            remedy=N_("Write a pattern without nested repetitions, or use expect_text."),
        ) from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    return found.strip() == b"1"
