"""Message catalogues in the form that gettext reads at run time."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

from babel.messages import mofile, pofile
from babel.messages.catalog import Catalog, Message

_NAMES_THE_COMPILER = "Generated-By:"


def compiled(source: Path) -> bytes:
    """A .po file as gettext reads it, the same from every release of Babel; fuzzy messages are left out."""
    with source.open("rb") as file:
        catalogue = pofile.read_po(file)
    buffer = io.BytesIO()
    mofile.write_mo(buffer, _Anonymous(catalogue))
    return buffer.getvalue()


class _Anonymous(Catalog):
    """A catalogue whose header doesn't say which release of Babel made it."""

    def __init__(self, catalogue: Catalog) -> None:
        super().__init__(catalogue.locale, fuzzy=catalogue.fuzzy)
        self._catalogue = catalogue

    def __iter__(self) -> Iterator[Message]:
        for message in self._catalogue:
            if not message.id:
                lines = str(message.string).splitlines(keepends=True)
                message.string = "".join(line for line in lines if not line.startswith(_NAMES_THE_COMPILER))
            yield message
