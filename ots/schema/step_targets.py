"""The targets of a step: each by the probe's grammar, named lists opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ots.schema.kinds import Kind
from ots.schema.place import Place
from ots.schema.target import Target, TargetError
from ots.schema.target_list import SIGN, ListError, Lists, members_of


@dataclass(frozen=True, slots=True)
class Chosen:
    """Targets, each once, and what each list stood for that was asked for."""

    targets: tuple[Target, ...] = ()
    lists: dict[str, tuple[str, ...]] = field(default_factory=dict)


def read_targets(texts: Sequence[str], kind: Kind, place: Place, lists: Lists) -> Chosen:
    """The targets that are right; every problem is noted at the text that it comes from.

    What two lists have in common is measured once. The same text twice is a mistake.
    """
    targets: dict[str, Target] = {}
    opened: dict[str, tuple[str, ...]] = {}
    written: set[str] = set()
    for index, text in enumerate(texts):
        if text in written:
            what = "list" if text.startswith(SIGN) else "target"
            place.problem(("target", index), f"the {what} {text!r} stands twice")
            continue
        written.add(text)
        try:
            if not text.startswith(SIGN):
                target = kind.targets.parse(text)
                targets.setdefault(target.text, target)
                continue
            name = text.removeprefix(SIGN)
            members = members_of(name, lists)
        except (ListError, TargetError) as error:
            place.problem(("target", index), str(error))
            continue
        opened[name] = tuple(member.text for member in members)
        for member in members:
            try:
                targets.setdefault(member.text, kind.targets.parse(member.text))
            except TargetError as error:
                place.problem(("target", index), f"{text}: {error} ({member.place})")
    return Chosen(tuple(targets.values()), opened)
