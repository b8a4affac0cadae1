"""Changes one list in a file of target lists and leaves everything else, comments too, as it was."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from ots.config.whole_file import write_whole
from ots.schema.errors import CaseError, Problem
from ots.schema.target_list import TargetList, read_lists
from ots.strictyaml import YamlError

_PLAIN = re.compile(r"[a-z0-9][a-z0-9-]*(\.[a-z0-9-]+)+")
"""Names and addresses that mean themselves without quotes, unless they look like a number with one dot."""


class CannotChange(Exception):
    """The file can't be changed; nothing was written. `remedy` says what to do."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


def change(path: Path, wanted: Mapping[str, Sequence[str]]) -> None:
    """Gives each named list these members; one without members is taken out.

    Raises CaseError if the file is broken as it is, CannotChange if it can't be changed or written.
    """
    try:
        text = path.read_bytes().decode("utf-8") if path.exists() else ""
    except OSError as error:
        raise CannotChange(f"{path}: it can't be read: {error.strerror}", "Look at its rights.") from None
    except UnicodeDecodeError:
        raise CaseError([Problem(str(path), 1, 1, "this is not UTF-8: save the file as UTF-8")]) from None
    try:
        for name, members in wanted.items():
            text = _changed(text, str(path), name, members)
    except YamlError as error:
        raise CaseError(error.problems) from None
    try:
        write_whole(path, text.encode())
    except OSError as error:
        raise CannotChange(
            f"{path}: it can't be written: {error.strerror}", "Give yourself the right to write there."
        ) from None


def as_yaml(lists: Mapping[str, Sequence[str]]) -> str:
    """The lists as a file of their own would have them."""
    return "".join(line + "\n" for name, members in lists.items() for line in _entry(name, members))


def _changed(text: str, source: str, name: str, members: Sequence[str]) -> str:
    before = read_lists(text, source)
    lines = text.splitlines()
    if name not in before:
        lines += _entry(name, members)
    else:
        start = before[name].mark.line - 1
        end = _end(lines, start, before)
        lines[start:end] = _within(lines[start:end], before[name], members, start)
    after = "".join(line + "\n" for line in lines)
    if _content(after, source) != _without_empty({**_texts(before), name: list(members)}):
        raise _beyond_us(source, name)
    return after


def _within(lines: list[str], entry: TargetList, members: Sequence[str], offset: int) -> list[str]:
    """The lines of one list, changed. Lines of members that stay are not touched where each has its own."""
    if not members:
        return []
    places = {member.text: member.mark for member in entry.members}
    own_line = all(
        0 < mark.line - 1 - offset < len(lines)
        and lines[mark.line - 1 - offset][: mark.column - 1].strip() == "-"
        for mark in places.values()
    )
    if not own_line:
        if any("#" in line for line in lines):
            raise _beyond_us(entry.source, entry.name)
        return _entry(entry.name, members)
    last = max(mark.line for mark in places.values()) - 1 - offset
    indent = lines[last][: len(lines[last]) - len(lines[last].lstrip())]
    added = [f"{indent}- {_scalar(text)}" for text in members if text not in places]
    gone = {mark.line - 1 - offset for text, mark in places.items() if text not in members}
    kept = [line for number, line in enumerate(lines[: last + 1]) if number not in gone]
    return [*kept, *added, *lines[last + 1 :]]


def _end(lines: list[str], start: int, lists: Mapping[str, TargetList]) -> int:
    """Where the entry ends: before the next one and the comments and empty lines above that."""
    later = [entry.mark.line - 1 for entry in lists.values() if entry.mark.line - 1 > start]
    end = min(later, default=len(lines))
    while end > start + 1 and (not lines[end - 1].strip() or lines[end - 1].lstrip().startswith("#")):
        end -= 1
    return end


def _content(text: str, source: str) -> dict[str, list[str]] | None:
    """What the new text says, which must be what was asked for; otherwise the file's form is beyond us."""
    try:
        return _without_empty(_texts(read_lists(text, source)))
    except YamlError:
        return None


def _without_empty(lists: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    return {name: sorted(members) for name, members in lists.items() if members}


def _texts(lists: Mapping[str, TargetList]) -> dict[str, list[str]]:
    return {name: [member.text for member in entry.members] for name, entry in lists.items()}


def _beyond_us(source: str, name: str) -> CannotChange:
    return CannotChange(f"{source}: {name} can't be changed where it stands", "Edit the file by hand.")


def _entry(name: str, members: Sequence[str]) -> list[str]:
    return [f"{name}:", *(f"  - {_scalar(text)}" for text in members)] if members else []


def _scalar(text: str) -> str:
    """The member as YAML text; JSON's quotes are YAML's double quotes."""
    plain = _PLAIN.fullmatch(text) and (text[0].isalpha() or text.count(".") != 1)
    return text if plain else json.dumps(text, ensure_ascii=False)
