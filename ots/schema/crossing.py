"""What crosses steps: ids, `during`, `when`, and who may run beside whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ots.schema.place import Place
from ots.schema.step import Sketch
from ots.strictyaml import suggest

_ONLY_EARLIER = "when can ask only about earlier steps"


@dataclass(frozen=True, slots=True)
class WrittenStep:
    """One entry of `steps:` with its expansions. `id` is None if it has none that can be read."""

    id: str | None
    place: Place
    for_each: bool
    sketches: tuple[Sketch, ...]


@dataclass(frozen=True, slots=True)
class WrittenBlock:
    steps: tuple[WrittenStep, ...]
    parallel: bool


def check_crossing(blocks: Sequence[WrittenBlock]) -> None:
    """Notes every problem between steps."""
    everywhere = {step.id: step for block in blocks for step in block.steps if step.id is not None}
    earlier: dict[str, WrittenStep] = {}
    for block in blocks:
        members: dict[str, WrittenStep] = {}
        for step in block.steps:
            if step.id is None:
                continue
            if step.id in earlier or step.id in members:
                step.place.problem(("id",), f"the id {step.id!r} is taken by an earlier step")
            members.setdefault(step.id, step)
        for step in block.steps:
            _check_during(step, {**earlier, **members}, everywhere)
            _check_when(step, earlier, members, everywhere)
            if block.parallel and len(block.steps) > 1:
                _check_beside(step)
        earlier.update(members)


def _check_during(
    step: WrittenStep, known: dict[str, WrittenStep], everywhere: dict[str, WrittenStep]
) -> None:
    during = step.sketches[0].during if step.sketches else None
    if during is None:
        return
    load = known.get(during)
    if during == step.id:
        message = "a step can't run during itself"
    elif load is None:
        message = _unknown(during, known, everywhere, "during can name only an earlier step")
    elif load.for_each:
        message = f"step {during!r} has for_each: during needs a step that runs once"
    elif load.sketches and load.sketches[0].during is not None:
        message = f"step {during!r} runs during {load.sketches[0].during!r} itself: name that one"
    else:
        return
    step.place.problem(("during",), message)


def _check_when(
    step: WrittenStep,
    earlier: dict[str, WrittenStep],
    beside: dict[str, WrittenStep],
    everywhere: dict[str, WrittenStep],
) -> None:
    for sketch in step.sketches:
        for name in sorted(sketch.when.references() if sketch.when is not None else ()):
            if name == step.id:
                step.place.problem(("when",), "a step can't wait for itself")
            elif name in beside and name not in earlier:
                step.place.problem(("when",), f"step {name!r} runs beside this one: {_ONLY_EARLIER}")
            elif name not in earlier:
                step.place.problem(("when",), _unknown(name, earlier, everywhere, _ONLY_EARLIER))


def _check_beside(step: WrittenStep) -> None:
    """In `parallel` a probe that needs the link or the machine for itself would falsify its figures."""
    kind = next((sketch.kind for sketch in step.sketches if sketch.kind is not None), None)
    during = step.sketches[0].during if step.sketches else None
    if kind is None or kind.exclusive == "none" or during is not None:
        return
    needs = {"link": "the link for itself", "host": "the machine for itself"}[kind.exclusive]
    step.place.problem(
        ("probe",), f"{kind.kind} needs {needs}: move it out of parallel, or say during which step it runs"
    )


def _unknown(name: str, known: dict[str, WrittenStep], everywhere: dict[str, WrittenStep], later: str) -> str:
    if name in everywhere:
        return f"step {name!r} comes later: {later}"
    return f"there is no step {name!r}{suggest(name, known)}"
