"""Where the text of a case comes from: a path, one's own case of that name, a synced one, a shipped one."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

from ots.config import settings
from ots.config.place import case_folders
from ots.content.held import DamagedContent, Held, read_held, read_target, stale_text
from ots.schema.case import Case, Layer

_MAX_CASE_BYTES = 1_000_000


class CaseNotFound(Exception):
    """There is no such file and no case of that name; the message names what there is."""


@dataclass(frozen=True, slots=True)
class CaseText:
    """A case as it was found. `source` is what to call it; `stale_since` (RFC 3339) is the content's."""

    text: str
    source: str
    layer: Layer
    stale_since: str | None = None
    too_old_for_heavy: bool = False

    def mark(self, case: Case) -> Case:
        """The case with the layer that it came from, and a warning where nobody vouches for it any more."""
        warnings = case.warnings
        if self.stale_since is not None:
            warnings = (*warnings, f"the signed content is stale since {self.stale_since}: ots cases sync")
        return replace(case, layer=self.layer, stale_since=self.stale_since, warnings=warnings)


def find_case(name: str) -> CaseText:
    """The case that a path or a name stands for. Raises CaseNotFound."""
    path = Path(name)
    if path.suffix in (".yaml", ".yml") or path.exists() or os.sep in name:
        return CaseText(_read(path), name, "local")
    return find_named(name)


def find_named(name: str, version: int | None = None) -> CaseText:
    """The case of a name, whatever files lie in the present folder. Raises CaseNotFound.

    A `version` is that of a synced case: others are found by name alone, and who asks compares.
    """
    own = own_cases()
    if name in own:
        return CaseText(_read(own[name]), str(own[name]), "local")
    held = _held()
    if held is not None and (synced := held.case(name, version)) is not None:
        try:
            data = read_target(settings().data_dir, synced.sha256)
        except DamagedContent as error:
            raise CaseNotFound(f"the case {synced.name}: {error}; ots cases sync fetches it again") from None
        return _dated(
            CaseText(data.decode("utf-8", "surrogateescape"), f"{synced.name} (synced)", "synced"), held
        )
    shipped = shipped_cases()
    if name in shipped:
        text = (files("ots.cases") / shipped[name]).read_text("utf-8")
        return _dated(CaseText(text, f"{name} (shipped)", "default"), held)
    known = ", ".join(sorted({*own, *shipped, *({} if held is None else held.newest_cases())}))
    raise CaseNotFound(f"no case file {name!r} and no case of that name; there are: {known}")


def read_case(name: str) -> tuple[str, str]:
    """The text of a case and what to call it. Raises CaseNotFound."""
    found = find_case(name)
    return found.text, found.source


def shipped_cases() -> dict[str, str]:
    """The cases that come with OTS: name → file name."""
    return {
        entry.name.removesuffix(".yaml"): entry.name
        for entry in sorted(files("ots.cases").iterdir(), key=lambda entry: entry.name)
        if entry.name.endswith(".yaml")
    }


def own_cases() -> dict[str, Path]:
    """The user's own cases in the folder `cases` beside the settings, and the system's: name → file."""
    found: dict[str, Path] = {}
    for folder in case_folders():
        for path in sorted(folder.glob("*.yaml")):
            found.setdefault(path.stem, path)
    return found


def named_cases() -> dict[str, str]:
    """Every case that has a name, and where it comes from: `shipped`, `synced` or its file. One's own win."""
    held = _held()
    return {
        **dict.fromkeys(shipped_cases(), "shipped"),
        **dict.fromkeys({} if held is None else held.newest_cases(), "synced"),
        **{name: str(path) for name, path in own_cases().items()},
    }


def _held() -> Held | None:
    return read_held(settings().data_dir)


def _dated(found: CaseText, held: Held | None) -> CaseText:
    """The case with how old the signed content is: after long staleness it may load no link."""
    if held is None:
        return found
    now = time.time()
    stale = stale_text(held, now) if found.layer == "synced" else None
    return replace(found, stale_since=stale, too_old_for_heavy=held.too_old_for_heavy(now))


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_CASE_BYTES + 1)
    except OSError as error:
        raise CaseNotFound(f"cannot read the case {str(path)!r}: {error.strerror}") from None
    return data.decode("utf-8", "surrogateescape")
