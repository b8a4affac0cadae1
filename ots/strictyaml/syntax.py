"""What comes before YAML: bytes to text within bounds, and libyaml's complaints in words that help."""

from __future__ import annotations

import re

import yaml

from ots.strictyaml.node import Mark
from ots.strictyaml.problem import Problem, YamlError

MAX_BYTES = 256 * 1024

_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")

_EXPLAINED = (
    ("mapping values are not allowed", "': ' can't stand here: check the indentation, or quote the text"),
    ("did not find expected ',' or '}'", "a comma or '}' is missing"),
    ("did not find expected ',' or ']'", "a comma or ']' is missing"),
    ("did not find expected '-' indicator", "expected the next '- ' of the list: check the indentation"),
    ("did not find expected key", "expected a key here: check the indentation, quotes and brackets"),
    ("could not find expected ':'", "a key without ': ' after it: write key: value"),
    ("found unexpected end of stream", "the text ends inside quotes: close them"),
    ("did not find expected node content", "a value is missing here"),
    ("block sequence entries are not allowed", "'- ' can't stand here: start the list on a line of its own"),
    ("found a tab character where an indentation", "a tab can't indent: use spaces"),
    ("did not find expected comment or line break", "a text can't start with '>' or '|': put it in quotes"),
    ("found unknown escape character", "unknown escape in double quotes: use single quotes, or write \\\\"),
    ("found undefined tag handle", "tags (!name) are not allowed: take it out, or quote the text"),
)


def decode(raw: str | bytes, source: str) -> str:
    """The text as clean Unicode without a byte order mark, or YamlError."""
    data = raw.encode("utf-8", "surrogatepass") if isinstance(raw, str) else raw
    if len(data) > MAX_BYTES:
        message = f"{len(data)} bytes are too many: at most {MAX_BYTES} are read"
        raise YamlError([Problem(source, 1, 1, message)])
    try:
        text = raw if isinstance(raw, str) else data.decode("utf-8")
    except UnicodeDecodeError as error:
        message = f"byte 0x{data[error.start]:02x} is not UTF-8: save the file as UTF-8"
        raise YamlError([_at(source, data[: error.start].decode("utf-8"), message)]) from None
    text = text.removeprefix("\ufeff")
    found = _UNPRINTABLE.search(text)
    if found is not None:
        message = _unprintable(ord(found[0]))
        raise YamlError([_at(source, text[: found.start()], message)])
    return text


def explain(error: yaml.MarkedYAMLError, text: str, mark: Mark) -> str:
    """What a syntax error at `mark` means."""
    problem = error.problem or "it ends unexpectedly"
    lines = text.splitlines()
    here = lines[mark.line - 1] if mark.line <= len(lines) else ""
    if "cannot start any token" in problem:
        char = here[mark.column - 1 : mark.column]
        if char == "\t":
            return "a tab can't indent: use spaces"
        return f"a text can't start with {char!r}: put it in quotes"
    if "${" in here and problem.startswith("did not find expected ',' or"):
        return 'a text with ${…} between braces or brackets needs quotes: "${name}"'
    for known, meaning in _EXPLAINED:
        if problem.startswith(known):
            return meaning
    return f"not YAML: {problem}"


def _unprintable(code: int) -> str:
    if 0xDC80 <= code <= 0xDCFF:  # how Python's surrogateescape carries a byte that is no text
        return f"byte 0x{code - 0xDC00:02x} is not UTF-8: save the file as UTF-8"
    return f"the character U+{code:04X} is not allowed: take it out"


def _at(source: str, before: str, message: str) -> Problem:
    lines = before.split("\n")
    return Problem(source, len(lines), len(lines[-1]) + 1, message)
