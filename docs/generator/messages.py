"""`python -m docs.generator.messages`: brings the Chinese catalogue up to the code, names what lacks Chinese.

A message is a text that the source marks with `_`, `N_` or `ngettext`, or that a built-in probe declares: its
summary, its targets' grammar, its parameters' help, its metrics' titles and definitions.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

from babel.messages import pofile
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir

from docs.generator.catalogues import compiled
from ots.registry import kinds

ROOT = Path(__file__).parents[2]
CHINESE = ROOT / "ots" / "locale" / "zh" / "LC_MESSAGES" / "ots.po"

_FOLDERS = ("ots", "probes", "reports")
_SINGLE = ("_", "N_", "gettext")
_PLURAL = ("ngettext", "N_plural")
_TEMPLATES = [("**/templates/**.j2", "jinja2")]
_KEYWORDS = {**dict.fromkeys(_SINGLE), **dict.fromkeys(_PLURAL, (1, 2))}
_OPTIONS = {"**/templates/**.j2": {"newstyle_gettext": "true", "trimmed": "true"}}

Id = str | tuple[str, str]


def messages() -> set[Id]:
    """Every message id; a pair where there is a plural."""
    found: set[Id] = set(declared())
    for folder in _FOLDERS:
        for file in (ROOT / folder).rglob("*.py"):
            found |= marked(file.read_text("utf-8"))
        for _file, _line, message, _comments, _context in extract_from_dir(
            ROOT / folder, _TEMPLATES, _OPTIONS, _KEYWORDS
        ):
            found.add(message if isinstance(message, str) else (message[0], message[1]))
    plural = {message[0] for message in found if isinstance(message, tuple)}
    return {message for message in found if message not in plural} - {""}


def marked(source: str) -> set[Id]:
    """The messages of one Python text, also those inside f-strings: before 3.12 no tokenizer sees them."""
    found: set[Id] = set()
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        texts = [
            each.value for each in node.args if isinstance(each, ast.Constant) and isinstance(each.value, str)
        ]
        if name in _SINGLE and texts:
            found.add(texts[0])
        elif name in _PLURAL and len(texts) == 2:
            found.add((texts[0], texts[1]))
    return found


def declared() -> set[str]:
    """The texts that the built-in probes declare."""
    texts: set[str] = set()
    for probe in kinds().usable():
        if kinds().origin(probe.kind).distribution != "built-in":
            continue
        texts |= {probe.summary, probe.targets.describe()}
        texts |= {field.description or "" for field in probe.Params.model_fields.values()}
        for metric in probe.metrics:
            texts |= {metric.title, metric.definition}
    return texts - {""}


def load() -> Catalog:
    """The Chinese catalogue as it is edited."""
    with CHINESE.open("rb") as file:
        return pofile.read_po(file, locale="zh")


def update() -> list[str]:
    """Writes the catalogue with exactly the present messages, compiles it, returns those without Chinese."""
    old, new = load(), Catalog(locale="zh", project="ots-toolkit", domain="ots", fuzzy=False)
    new.header_comment = "# Chinese messages of OTS."
    new.creation_date, new.revision_date = old.creation_date, old.revision_date
    missing = []
    for message in sorted(messages(), key=str):
        known = old.get(message)
        new.add(message, known.string if known is not None else None)
        if known is None or not known.string:
            missing.append(message if isinstance(message, str) else message[0])
    with CHINESE.open("wb") as file:
        pofile.write_po(file, new, width=110, sort_output=True)
    CHINESE.with_suffix(".mo").write_bytes(compiled(CHINESE))
    return missing


if __name__ == "__main__":
    lacking = update()
    print("\n".join(lacking))
    sys.exit(1 if lacking else 0)
