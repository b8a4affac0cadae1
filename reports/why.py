"""The verdict of a run in one sentence."""

from __future__ import annotations

from ots.model.outcome import Verdict
from ots.model.report import Report, Step
from ots.reports import limit
from ots.reports.plain import plain, shorten
from ots.reports.quantity import shown
from ots.reports.reading import Reader, decisive_judgement, increase_under_load

_AT_MOST = 3
_LONGEST = 400
"""Enough for any error of ours; what a server wrote may go on for ever."""


def why(report: Report, reader: Reader) -> str:
    """What made the verdict, worst first; what was good if nothing was bad."""
    _ = reader.words.gettext
    if report.run.state == "aborted":
        reason = reader.reason(report.run.reason or "interrupted")
        told = _told(report, reader)
        cut = _("the run was cut short: {reason}").format(reason=reason)
        return _("; ").join([cut, *told])
    if report.run.reason == "precheck_failed" and report.run.precheck is not None:
        error = report.run.precheck.error
        detail = plain(report.run.precheck.target) if error is None else reader.error(error)
        return _("the precheck failed: {detail}").format(detail=detail)
    return _("; ").join(_told(report, reader)) or _all_is_well(report, reader)


def _told(report: Report, reader: Reader) -> list[str]:
    told: list[str] = []
    verdicts: tuple[Verdict, ...] = ("fail", "error", "warn")
    for verdict in verdicts:
        for step in report.steps:
            if step.verdict == verdict:
                told.append(_about(step, report, reader))
    if len(told) > _AT_MOST:
        more = reader.words.ngettext("{n} more", "{n} more", len(told) - _AT_MOST)
        told = [*told[:_AT_MOST], more.format(n=len(told) - _AT_MOST)]
    return told


def _about(step: Step, report: Report, reader: Reader) -> str:
    """`gateway: RTT p95 183 ms, fail from 150 ms`, `mail: timed out (delivery): not seen in 180 s`."""
    _ = reader.words.gettext
    name = plain(step.key)
    breached = [threshold for threshold in step.thresholds if threshold.verdict == step.verdict]
    if step.error is not None and (step.outcome != "success" or not breached):
        return f"{name}: {shorten(reader.error(step.error), _LONGEST)}"
    if not breached:
        return f"{name}: {reader.reason(step.reason or step.outcome)}"
    threshold = breached[0]
    title = f"{reader.title(threshold.metric)} {reader.stat(threshold.stat)}".rstrip()
    bound = limit.telling(threshold)
    near = None if bound is None else limit.number(bound[1], threshold.unit, threshold.metric)
    if threshold.value is None:
        said = reader.reason(threshold.reason or "not_measured")
    else:
        said = reader.shown(threshold.value, threshold.unit, threshold.metric, limit=near)
    text = f"{name}: {title} {said}"
    decisive = decisive_judgement(threshold)
    labels = decisive.labels if decisive is not None else {}
    increase = increase_under_load(report, step, threshold.metric, threshold.stat, labels)
    if increase is not None and increase[0] > 0:
        grown = shown(increase[0], increase[1], threshold.metric)
        text = _("{said} ({increase} more than idle)").format(said=text, increase=grown)
    elif bound is not None:
        verdict = reader.words.verdict(bound[0])
        text += f" ({limit.in_words(bound[1], verdict, _)})"
    return text


def _all_is_well(report: Report, reader: Reader) -> str:
    _ = reader.words.gettext
    judged = sum(len(step.thresholds) for step in report.steps)
    skipped = sum(step.verdict == "skipped" for step in report.steps)
    if report.verdict == "skipped":
        reasons = [step for step in report.steps if step.error is not None or step.reason is not None]
        if reasons:
            step = reasons[0]
            detail = reader.error(step.error) if step.error is not None else reader.reason(step.reason or "")
            return _("nothing was measured: {detail}").format(detail=detail)
        return _("nothing was measured")
    if judged:
        text = reader.words.ngettext("the limit holds", "all {n} limits hold", judged).format(n=judged)
    elif report.verdict == "measured":
        text = _("no limits set")
    else:
        text = _("everything succeeded")
    if skipped:
        text += ", " + reader.words.ngettext("{n} step skipped", "{n} steps skipped", skipped).format(
            n=skipped
        )
    return text
