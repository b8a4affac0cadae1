"""Message catalogues in the form that gettext reads at run time."""

from __future__ import annotations

import io
from pathlib import Path

from babel.messages import mofile, pofile


def compiled(source: Path) -> bytes:
    """A .po file as gettext reads it at run time; fuzzy messages are left out."""
    with source.open("rb") as file:
        catalogue = pofile.read_po(file)
    buffer = io.BytesIO()
    mofile.write_mo(buffer, catalogue)
    return buffer.getvalue()
