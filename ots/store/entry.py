"""One line of the index: what a list shows of a report without opening it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple


class Entry(NamedTuple):
    """A stored report as the index knows it.

    `verdict`, `sha256` and `duration` (seconds) are None while the run goes on; `duration` stays None for
    a run that was killed. `bytes` is the document's size, `stored_bytes` what it takes on disk with its
    artifacts. `upload` is `none` (nobody wants it), `waiting`, `sending`, `sent`, or `parked` (the server
    won't have it); `upload_reason` says why it still waits, was parked or was dropped. `folder` is the store
    it lies in.
    """

    id: int
    report_id: str
    revision: int
    agent_id: str
    seq: int
    run_id: str
    state: str
    reason: str | None
    start: str
    duration: float | None
    case_id: str
    targets: str
    verdict: str | None
    job: str | None
    bytes: int
    stored_bytes: int
    sha256: str | None
    upload: str
    upload_reason: str | None
    folder: Path

    @property
    def running(self) -> bool:
        return self.state == "running"


COLUMNS = ", ".join(name for name in Entry._fields if name != "folder")


def entry_of(row: tuple[Any, ...], folder: Path) -> Entry:
    """An entry from a row that was selected with COLUMNS."""
    return Entry._make((*row, folder))


class Reference(NamedTuple):
    """What a person typed for a report: an offset from the end, a number, or the start of an id."""

    back: int | None = None
    seq: int | None = None
    prefix: str | None = None


def parse_reference(text: str) -> Reference:
    """`last` and `-1` are the newest, `-2` the one before, `412` and `#412` a number, else an id's start.

    Raises ValueError, in words, for anything else. An id never starts with a digit other than 0 in this
    century (UUIDv7), so that a number without a leading zero is a number.
    """
    word = text.strip().lower()
    if word == "last":
        return Reference(back=1)
    if word.startswith("-") and word[1:].isdecimal() and word.isascii() and int(word[1:]) > 0:
        return Reference(back=int(word[1:]))
    digits = word.removeprefix("#")
    if digits.isdecimal() and digits.isascii() and not digits.startswith("0") and len(digits) < 16:
        return Reference(seq=int(digits))
    if len(word) >= 4 and set(word) <= set("0123456789abcdef-"):
        return Reference(prefix=word)
    raise ValueError(
        f"{text!r} names no report: write last, -1, a number such as 412, or the first characters of an id"
    )
