"""The small page that the embedded peer serves: HTML with style, script and pictures, made once at import."""

from __future__ import annotations

import random
import struct
import zlib


def _png(width: int, height: int, seed: int) -> bytes:
    """A true-colour PNG of noise, which doesn't compress: about 3 bytes a pixel."""
    noise = random.Random(seed)
    rows = b"".join(b"\0" + noise.randbytes(3 * width) for _ in range(height))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


_PICTURES = {f"picture-{number}.png": _png(96, 64, number) for number in range(1, 5)}

_STYLE = """\
body { font-family: sans-serif; margin: 2em auto; max-width: 40em; line-height: 1.5 }
img { margin: 0.5em; border-radius: 4px }
"""

_SCRIPT = """\
document.addEventListener("DOMContentLoaded", () => {
  document.getElementById("ready").textContent = "Loaded.";
});
"""

_HTML = """\
<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <title>OTS test page</title>
  <link rel="stylesheet" href="style.css">
  <script src="script.js" defer></script>
</head>
<body>
  <h1>OTS test page</h1>
  <p>A small page of known parts: one style sheet, one script, four pictures.</p>
  <p>{pictures}</p>
  <p id="ready"></p>
</body>
</html>
""".format(
    pictures="\n     ".join(f'<img src="{name}" width="96" height="64" alt="noise">' for name in _PICTURES)
)

PARTS: dict[str, tuple[str, bytes]] = {
    "": ("text/html", _HTML.encode()),
    "index.html": ("text/html", _HTML.encode()),
    "style.css": ("text/css", _STYLE.encode()),
    "script.js": ("text/javascript", _SCRIPT.encode()),
    **{name: ("image/png", picture) for name, picture in _PICTURES.items()},
}
"""Media type and body of each part by its path below `/pages/`."""
