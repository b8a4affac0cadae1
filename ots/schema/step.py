"""One step: its probe, its targets by the probe's grammar, its parameters and what must hold."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel

from ots import units
from ots.model.metric import MetricDef
from ots.schema.case import PrecheckSpec, Step
from ots.schema.condition import Condition, ConditionError
from ots.schema.kinds import Kind
from ots.schema.load_metrics import metrics_of
from ots.schema.place import Place, Within
from ots.schema.quantity import BY_HAND, WRITTEN
from ots.schema.shape import check, check_each
from ots.schema.step_targets import read_targets
from ots.schema.target import Target
from ots.schema.target_list import NO_LISTS, Lists
from ots.schema.threshold import Threshold, ThresholdWritten, planned_needed, understand
from ots.schema.written import PrecheckWritten, StepWritten
from ots.strictyaml import suggest


@dataclass(frozen=True, slots=True)
class Instance:
    """One expansion of `for_each` (`name` is None without): what it is called and where it stands.

    Line 0 is the command line.
    """

    name: str | None
    line: int


@dataclass(frozen=True, slots=True)
class Sketch:
    """What could be understood of a step. `step` is None if anything in it is wrong."""

    place: Place
    kind: Kind | None
    when: Condition | None
    during: str | None
    step: Step | None
    warnings: tuple[str, ...] = ()


class _Faults:
    """A place that remembers whether anything was wrong."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.any = False

    def problem(self, path: tuple[str | int, ...], message: str, *, key: bool = False) -> None:
        self.any = True
        self._place.problem(path, message, key=key)


def read_step(
    data: Any,
    outer: Place,
    kinds: Mapping[str, Kind],
    instance: Instance,
    on_failure: Literal["continue", "stop"],
    lists: Lists = NO_LISTS,
) -> Sketch:
    """Understands as much as there is and notes every problem."""
    place = _Faults(outer)
    if not isinstance(data, Mapping):
        place.problem((), "expected a step: a mapping with id, probe and target")
        return Sketch(place, None, None, None, None)
    params, limits = data.get("params", {}), data.get("thresholds", [])
    apart = {"params": Mapping, "thresholds": list}
    base = {name: value for name, value in data.items() if not isinstance(value, apart.get(name, ()))}
    written, _ = check_each(StepWritten, base, place, "a step")
    kind = find_kind(data.get("probe"), kinds, place)
    when = _condition(written.when, place) if written is not None else None
    during = written.during if written is not None else None
    if kind is None:
        return Sketch(place, None, when, during, None)
    chosen = read_targets(written.target if written is not None else (), kind, place, lists)
    checked: BaseModel | None = None
    if isinstance(params, Mapping):
        context = WRITTEN if instance.line else BY_HAND
        checked = check(kind.Params, params, Within(place, ["params"]), kind.kind, context)
    entries = limits if isinstance(limits, list) else []
    thresholds = _thresholds(entries, kind, chosen.targets, place, metrics_of(kind, during))
    if written is None or checked is None or place.any:
        return Sketch(place, kind, when, during, None)
    step = Step(
        id=written.id,
        instance=instance.name,
        key=written.id if instance.name is None else f"{written.id}[{instance.name}]",
        kind=kind,
        targets=chosen.targets,
        target_lists=chosen.lists,
        params=checked,
        repeat=written.repeat,
        pause=written.pause,
        retries=written.retries,
        time_limit=written.time_limit,
        on_failure=written.on_failure or on_failure,
        when=when,
        during=during,
        thresholds=thresholds,
        require_success=written.require_success,
        expect=written.expect,
        tags=written.tags,
        line=instance.line,
    )
    _check_samples(step, place)
    return Sketch(place, kind, when, during, None if place.any else step, _warnings(step))


def read_precheck(
    data: Any, place: Place, kinds: Mapping[str, Kind], lists: Lists = NO_LISTS
) -> PrecheckSpec | None:
    """The precheck, or None after noting every problem."""
    if not isinstance(data, Mapping):
        place.problem((), "expected a mapping with probe and target")
        return None
    params = data.get("params", {})
    base = {name: value for name, value in data.items() if name != "params" or not isinstance(value, Mapping)}
    written, faulty = check_each(PrecheckWritten, base, place, "a precheck")
    kind = find_kind(data.get("probe"), kinds, place)
    if kind is None or written is None:
        return None
    targets = read_targets([written.target], kind, place, lists).targets
    if len(targets) > 1:
        place.problem(("target",), f"a precheck has one target, and {written.target} holds {len(targets)}")
        return None
    checked = None
    if isinstance(params, Mapping):
        checked = check(kind.Params, params, Within(place, ["params"]), kind.kind)
    if not targets or checked is None or faulty:
        return None
    return PrecheckSpec(kind, targets[0], checked, written.wait, written.on_fail)


def find_kind(name: Any, kinds: Mapping[str, Kind], place: Place) -> Kind | None:
    """The probe of a name, or None after noting what is wrong with it."""
    if not isinstance(name, str):
        return None
    names = set(kinds)
    if name not in names:
        if name.replace("-", "_") in names:
            hint = f": write {name.replace('-', '_')}"
        else:
            hint = suggest(name, names) or " (see ots probes list)"
        place.problem(("probe",), f"unknown probe {name!r}{hint}")
        return None
    try:
        return kinds[name]
    except LookupError as error:
        place.problem(("probe",), f"the probe {name!r} can't be used: {error}")
        return None


def _condition(text: str | None, place: Place) -> Condition | None:
    if text is None:
        return None
    try:
        return Condition.parse(text)
    except ConditionError as error:
        place.problem(("when",), str(error))
        return None


def _thresholds(
    entries: Sequence[Any],
    kind: Kind,
    targets: Sequence[Target],
    place: Place,
    metrics: Sequence[MetricDef],
) -> tuple[Threshold, ...]:
    found: dict[str, Threshold] = {}
    for index, entry in enumerate(entries):
        here = Within(place, ["thresholds", index])
        if not isinstance(entry, Mapping):
            here.problem((), "expected a threshold such as {metric: KEY, fail: '< 60 ms'}")
            continue
        written = check(ThresholdWritten, entry, here, "a threshold")
        if written is None:
            continue
        threshold = understand(written, metrics)
        if not isinstance(threshold, Threshold):
            for fault in threshold:
                here.problem((fault.field,) if fault.field else (), fault.message)
            continue
        _check_where(threshold, targets, here)
        if threshold.id in found:
            what = f"the threshold id {threshold.id!r} stands twice"
            here.problem(
                ("id",),
                what if written.id else f"{threshold.metric} {threshold.stat} is judged twice: give ids",
            )
        found[threshold.id] = threshold
    return tuple(found.values())


def _check_where(threshold: Threshold, targets: Sequence[Target], place: Place) -> None:
    wanted = threshold.where.get("target")
    known = [target.text for target in targets]
    if wanted is None or wanted in known or not targets or any(target.network for target in targets):
        return
    place.problem(("where", "target"), f"no target {wanted!r} in this step{suggest(wanted, known)}")


def _check_samples(step: Step, place: Place) -> None:
    """Refuses a limit that the planned number of samples can't support, and proposes one that can."""
    kind = step.kind
    definitions = {definition.key: definition for definition in metrics_of(kind, step.during)}
    own = {definition.key for definition in kind.metrics}
    targets = step.targets if kind.targets.many else step.targets[:1]
    for index, threshold in enumerate(step.thresholds):
        if threshold.metric not in own:
            # How much of it falls into the load nobody knows before.
            continue
        each = kind.samples_planned(threshold.metric, targets, step.params)
        needed = planned_needed(threshold, definitions[threshold.metric])
        if each is None or each * step.repeat >= needed:
            continue
        planned = each * step.repeat
        limit = f"{threshold.metric} {threshold.stat} {threshold.limits[0].text}"
        place.problem(
            ("thresholds", index),
            f"{limit}: needs {needed} planned samples, "
            + (f"and there are {planned}: " if planned else "and these targets give none of it: ")
            + _proposal(step, threshold.metric, targets, each, needed),
        )


def _proposal(step: Step, metric: str, targets: Sequence[Target], each: int, needed: int) -> str:
    if each <= 0:
        return "take this threshold out"
    write = "set {} to {} or more" if step.line else "give --{} {} or more"
    count = getattr(step.params, "count", None)
    if isinstance(count, int):
        enough = math.ceil(count * needed / (each * step.repeat))
        more = step.params.model_copy(update={"count": enough})
        if (step.kind.samples_planned(metric, targets, more) or 0) * step.repeat >= needed:
            return write.format("count", enough)
    return write.format("repeat", math.ceil(needed / each))


def _warnings(step: Step) -> tuple[str, ...]:
    texts = list(step.kind.warnings(step.targets, step.params))
    batches = [step.targets] if step.kind.targets.many else [(target,) for target in step.targets]
    planned = sum(step.kind.estimate(batch, step.params).duration for batch in batches) * step.repeat
    planned += step.pause * (step.repeat - 1)
    if step.time_limit is not None and planned > step.time_limit:
        shown = units.display(planned, "s")
        limit = units.render(step.time_limit, "duration")
        texts.append(f"it may take {shown}, and its time_limit of {limit} would cut it off")
    return tuple(f"{step.key}: {text}" for text in texts)
