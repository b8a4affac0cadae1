"""A checked case as `ots cases show` presents it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ots.i18n import _
from ots.schema.case import Case, Step
from ots.schema.threshold import Threshold
from ots.units import render


def title(case: Case, language: str) -> str:
    """The case's title in the reader's language, else in English, else in any, else its id."""
    return case.title.get(language) or case.title.get("en") or next(iter(case.title.values()), case.id)


def case_document(case: Case) -> dict[str, Any]:
    """The case as JSON: `for_each` expanded, variables in, every quantity as a case would write it."""
    return {
        "id": case.id,
        "version": case.version,
        "title": case.title,
        "tags": case.tags,
        "sha256": case.sha256,
        "base": case.base,
        "parameters": [
            {
                "name": parameter.name,
                "type": parameter.type,
                "min": parameter.minimum,
                "max": parameter.maximum,
                "choices": list(parameter.choices),
                "pattern": parameter.pattern,
                "default": parameter.default,
            }
            for parameter in case.parameters.values()
        ],
        "time_limit": _duration(case.time_limit),
        "on_failure": case.on_failure,
        "precheck": None
        if case.precheck is None
        else {
            "probe": case.precheck.kind.kind,
            "target": case.precheck.target.text,
            "wait": _duration(case.precheck.wait),
            "on_fail": case.precheck.on_fail,
        },
        "steps": [
            {"block": number, "parallel": block.parallel, **_step_document(step)}
            for number, block in enumerate(case.blocks)
            for step in block.steps
        ],
        "schedule": None
        if case.schedule is None
        else {
            "every": _duration(case.schedule.every),
            "cron": case.schedule.cron,
            "zone": case.schedule.zone,
        },
        "warnings": list(case.warnings),
    }


def case_lines(case: Case, language: str) -> Iterator[str]:
    """The case for a person."""
    version = "" if case.version is None else f" v{case.version}"
    yield f"{case.id}{version}   {title(case, language)}"
    for parameter in case.parameters.values():
        given = _("must be given") if parameter.default is None else parameter.default
        yield "  " + f"${{{parameter.name}}}   {parameter.bounds}   ({given})"
    if case.schedule is not None:
        when = _duration(case.schedule.every) or f"{case.schedule.cron} ({case.schedule.zone})"
        yield f"  {_('every') if case.schedule.every else _('at')} {when}"
    if case.precheck is not None:
        yield f"  {_('first')} {case.precheck.kind.kind} {case.precheck.target.text}"
    for block in case.blocks:
        for step in block.steps:
            yield from _step_lines(step, "║" if block.parallel else "·")
    for warning in case.warnings:
        yield "  " + _("warning: {text}").format(text=warning)


def _step_document(step: Step) -> dict[str, Any]:
    return {
        "id": step.id,
        "key": step.key,
        "probe": step.kind.kind,
        "targets": [target.text for target in step.targets],
        "params": step.params.model_dump(mode="json"),
        "repeat": step.repeat,
        "pause": _duration(step.pause),
        "retries": step.retries,
        "time_limit": _duration(step.time_limit),
        "on_failure": step.on_failure,
        "when": None if step.when is None else step.when.text,
        "during": step.during,
        "require_success": step.require_success,
        "expect": step.expect,
        "tags": dict(step.tags),
        "thresholds": [
            {
                "id": threshold.id,
                "metric": threshold.metric,
                "stat": threshold.stat,
                "where": threshold.where,
                "warn": None if threshold.warn is None else threshold.warn.text,
                "fail": None if threshold.fail is None else threshold.fail.text,
                "reason": threshold.reason,
            }
            for threshold in step.thresholds
        ],
    }


def _step_lines(step: Step, mark: str) -> Iterator[str]:
    targets = " ".join(target.text for target in step.targets[:4]) + (" …" if len(step.targets) > 4 else "")
    row = f"  {mark} {step.key:<16} {step.kind.kind:<14} {targets}"
    if step.repeat > 1:
        row += "   " + _("{n} times").format(n=step.repeat)
    if step.during is not None:
        row += "   " + _("during {step}").format(step=step.during)
    if step.when is not None:
        row += "   " + _("when {condition}").format(condition=step.when.text)
    yield row
    changed = step.params.model_dump(mode="json", exclude_unset=True)
    if changed:
        yield "      " + ", ".join(f"{name} {value}" for name, value in changed.items())
    for threshold in step.thresholds:
        yield "      " + _limits(threshold)


def _limits(threshold: Threshold) -> str:
    limits = [
        f"{name} {limit.text}"
        for name, limit in ((_("warn"), threshold.warn), (_("fail"), threshold.fail))
        if limit is not None
    ]
    return f"{threshold.metric} {threshold.stat}: {', '.join(limits)}"


def _duration(seconds: float | None) -> str | None:
    return None if seconds is None else render(seconds, "duration")
