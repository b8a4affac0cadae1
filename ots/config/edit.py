"""Changes one value in a settings file and leaves everything else, comments too, as it was."""

from __future__ import annotations

import json
from pathlib import Path

from ots.config.layers import SettingsError, Stated, parse
from ots.config.values import OPEN_SECTIONS, listed, load, names
from ots.config.whole_file import write_whole


def change(path: Path, name: str, value: str | None) -> None:
    """Writes a setting (dotted name) into the file; None takes it out. Raises SettingsError, and then nothing
    was written.
    """
    section, _, part = name.partition(".")
    if name not in names() and not (section in OPEN_SECTIONS and part):
        raise SettingsError(f"there is no setting {name!r}", f"There are: {listed()}.")
    if section in OPEN_SECTIONS and not part:
        raise SettingsError(f"{section} is a section", f"Name one of its values: {section}.NAME.")
    try:
        before = path.read_text("utf-8")
    except FileNotFoundError:
        before = ""
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: it can't be read: {error}") from None
    after = _changed(before, str(path), name, value)
    _check(after, str(path), name, value)
    _write(path, after)


def _changed(text: str, source: str, name: str, value: str | None) -> str:
    stated = parse(text.encode(), source)
    lines = text.splitlines()
    if name in stated:
        line, column = _position(stated[name])
        if value is None:
            del lines[line - 1]
        else:
            lines[line - 1] = lines[line - 1][: column - 1] + _scalar(value)
    elif value is not None:
        section, _, part = name.partition(".")
        if not part:
            lines.append(f"{section}: {_scalar(value)}")
        else:
            at = next(
                (n for n, line in enumerate(lines) if line.split("#")[0].rstrip() == f"{section}:"), None
            )
            if at is None:
                lines.append(f"{section}:")
                at = len(lines) - 1
            lines.insert(at + 1, f"{_indent(lines, at)}{part}: {_scalar(value)}")
    return "\n".join(lines) + "\n" if lines else ""


def _indent(lines: list[str], at: int) -> str:
    """The indentation of the section's first value, two spaces if it has none yet."""
    for line in lines[at + 1 :]:
        stripped = line.lstrip()
        if stripped and not stripped.startswith("#"):
            return line[: len(line) - len(stripped)] or "  "
    return "  "


def _check(text: str, source: str, name: str, value: str | None) -> None:
    """The new text must be valid as a whole, and say what was asked; else the file's form is beyond us."""
    beyond_us = SettingsError(f"{source}: {name} can't be changed where it stands", "Edit the file by hand.")
    try:
        stated = parse(text.encode(), source)
    except SettingsError:
        raise beyond_us from None
    found = stated.get(name)
    if found is not None:
        # The text is a draft, so a place in it is no help: the value came with the command.
        stated[name] = Stated(found.value, "")
    load(stated)
    if (found is None) != (value is None) or (found is not None and str(found.value) != value):
        raise beyond_us


def _position(entry: Stated) -> tuple[int, int]:
    _source, line, column = entry.origin.rsplit(":", 2)
    return int(line), int(column)


def _scalar(value: str) -> str:
    """The value as YAML text; JSON's quotes are YAML's double quotes."""
    return json.dumps(value, ensure_ascii=False)


def _write(path: Path, text: str) -> None:
    try:
        write_whole(path, text.encode())
    except OSError as error:
        raise SettingsError(
            f"{path}: it can't be written: {error.strerror}", "Give yourself the right to write there."
        ) from None
