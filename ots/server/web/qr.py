"""A text as a picture that a hand scanner or a telephone reads (ISO/IEC 18004)."""

from __future__ import annotations

import segno


def qr_picture(text: str) -> str:
    """The picture as an address (`data:`) of an SVG, black on white in any colour scheme."""
    return segno.make(text, error="m", micro=False).svg_data_uri(scale=4, border=4, light="#fff")
