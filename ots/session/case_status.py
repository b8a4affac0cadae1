"""Every named case with its layer and version, and whether what lies beneath one's own has moved on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from ots.config import settings
from ots.content.held import DamagedContent, read_held, read_target
from ots.schema.case import Layer
from ots.session.find_case import find_case, named_cases, own_cases, shipped_cases
from ots.strictyaml import YamlError, load_plain

Remark = Literal["base-changed", "no-base", "replaces", "broken"]


@dataclass(frozen=True, slots=True)
class CaseLayer:
    """A case as it would run: `version` null where it names none. `beneath` is the version that it hides.

    `remark`: `base-changed` (a local case was made from another version), `no-base` (it does not say from
    which), `replaces` (it hides a version and says so, or a synced one hides a shipped one), `broken`.
    """

    name: str
    layer: Layer
    version: int | None
    sha256: str | None
    base: int | None
    beneath: int | None
    remark: Remark | None

    def document(self) -> dict[str, Any]:
        return asdict(self)


def case_layers() -> list[CaseLayer]:
    """Every case that has a name, in the order of names."""
    held = read_held(settings().data_dir)
    newest = {} if held is None else held.newest_cases()
    own, shipped = own_cases(), shipped_cases()
    return [
        _layer(name, own=name in own, synced=name in newest, shipped=name in shipped)
        for name in sorted(named_cases())
    ]


def _layer(name: str, *, own: bool, synced: bool, shipped: bool) -> CaseLayer:
    held = read_held(settings().data_dir)
    kept = held.case(name) if held is not None else None
    if not own:
        if kept is not None and synced:
            try:
                read_target(settings().data_dir, kept.sha256)
            except DamagedContent:
                return CaseLayer(name, "synced", kept.version, kept.sha256, None, None, "broken")
            beneath = _head(_shipped_text(name))[0] if shipped else None
            remark: Remark | None = "replaces" if beneath is not None else None
            return CaseLayer(name, "synced", kept.version, kept.sha256, None, beneath, remark)
        return CaseLayer(name, "default", _head(_shipped_text(name))[0], None, None, None, None)
    version, base = _head(find_case(name).text)
    beneath = kept.version if kept is not None else _head(_shipped_text(name))[0] if shipped else None
    if beneath is None:
        return CaseLayer(name, "local", version, None, base, None, None)
    said: Remark = "no-base" if base is None else "replaces" if base == beneath else "base-changed"
    return CaseLayer(name, "local", version, None, base, beneath, said)


def _shipped_text(name: str) -> str:
    from importlib.resources import files

    return (files("ots.cases") / shipped_cases()[name]).read_text("utf-8")


def _head(text: str) -> tuple[int | None, int | None]:
    """Version and base of a case whose other parts may be broken."""
    try:
        document = load_plain(text)
    except YamlError:
        return None, None
    if not isinstance(document, dict):
        return None, None
    version, base = document.get("version"), document.get("base")
    return (version if type(version) is int else None, base if type(base) is int else None)
