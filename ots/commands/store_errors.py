"""The stores as a command opens them: their failures are exit code 7 and a remedy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ots.commands import exit_codes
from ots.commands.output import CommandError
from ots.store import Shelf, StoreError


@contextmanager
def store_errors() -> Iterator[None]:
    """Turns a StoreError into a CommandError."""
    try:
        yield
    except StoreError as error:
        raise CommandError(str(error), exit_code=exit_codes.NOT_WRITTEN, remedy=error.remedy) from None


@contextmanager
def open_shelf() -> Iterator[Shelf]:
    """The reports of this machine for reading."""
    with store_errors(), Shelf.open() as shelf:
        yield shelf
