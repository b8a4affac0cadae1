"""What is worth saying about a step, by rules that know no probe: declared metrics, limits, errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ots.model.metric import Metric, MetricDef, Series, StatValue
from ots.model.outcome import Verdict
from ots.model.report import Error, Judgement, Report, Step, ThresholdResult
from ots.model.validity import Validity
from ots.reports import limit, words
from ots.reports.format import View
from ots.reports.plain import plain
from ots.reports.quantity import MISSING, shown
from ots.reports.words import Words

NOT_SPREAD = ("ci95_low", "ci95_high", "histogram", "cv", "distinct")
"""What stands in a metric's statistics and is no value of the metric."""

STATS_IN_ORDER = (
    *("first", "min", "p05", "p10", "p25", "median", "mean", "mean_abs", "tm95"),
    *(
        "p75",
        "p90",
        "p95",
        "p98",
        "p99",
        "p999",
        "max",
        "stddev",
        "mdev",
        "mad",
        "cv",
        "sum",
        "mode",
        "distinct",
    ),
)
"""The order in which people look for statistics; a stored report has them by name."""

HEADLINES = 2
"""How many of a step's declared metrics stand in its one line."""


@dataclass(frozen=True, slots=True)
class Fragment:
    """A few words that stay together; `tone` is the verdict whose colour they get."""

    text: str
    tone: Verdict | None = None


class Reader:
    """Reads steps in one language with the definitions of one installation."""

    def __init__(self, view: View) -> None:
        self.words = Words(view.language)
        self.definitions = view.definitions
        self._rank = {key: position for position, key in enumerate(view.definitions)}

    def title(self, key: str) -> str:
        """A metric's name; one that nobody here declares is named by its key."""
        definition = self.definitions.get(key)
        if definition is not None:
            return plain(self.words.gettext(definition.title))
        return plain(key.replace("_", " "))

    def stat(self, stat: str) -> str:
        return "" if stat == "value" else self.words.of(words.STATS, stat)

    def labels(self, labels: Mapping[str, str], *, hide: Sequence[str] = ()) -> str:
        """Labels beside a metric: values alone where they speak for themselves."""
        return ", ".join(
            self.words.of(words.LABELS, value)
            if name in ("target", "direction")
            else f"{self.words.of(words.LABELS, name)} {plain(value)}"
            for name, value in labels.items()
            if name not in hide
        )

    def shown(self, value: StatValue, unit: str, key: str = "", *, limit: float | None = None) -> str:
        """A value with its unit; one that is a state, or a count of states, in words."""
        if isinstance(value, str):
            return self.words.state(value)
        if isinstance(value, dict):
            return ", ".join(f"{self.words.state(name)} × {count}" for name, count in value.items())
        return shown(value, unit, key, limit=limit)

    def declared(self, metrics: Sequence[Metric]) -> list[Metric]:
        """Metrics in the order in which their probe declares them; unknown ones last, as they came."""
        return sorted(metrics, key=lambda metric: self._rank.get(metric.key, len(self._rank)))

    def in_order(self, series: Sequence[Series]) -> list[Series]:
        """Series in the order in which their metrics are declared."""
        return sorted(series, key=lambda each: self._rank.get(each.key, len(self._rank)))

    def definition(self, key: str) -> MetricDef | None:
        return self.definitions.get(key)

    def error(self, error: Error) -> str:
        """`timed out (delivery): not seen in 180 s`: class and phase in words, then what exactly, if more."""
        _ = self.words.gettext
        head = _("{error} ({phase})").format(
            error=self.words.of(words.ERROR_CODES, error.code)
            if error.code in words.ERROR_CODES
            else self.words.of(words.ERROR_CLASSES, error.class_),
            phase=self.words.of(words.PHASES, error.phase),
        )
        detail = plain(_(error.message)) or plain(error.code)
        if detail == error.class_:
            return head
        return _("{what}: {detail}").format(what=head, detail=detail) if detail else head

    def reason(self, reason: str) -> str:
        code, _colon, argument = reason.partition(":")
        if argument and code in words.REASONS:
            return self.words.reason(code).format(step=plain(argument))
        return self.words.reason(reason)

    def summary(self, step: Step, report: Report | None = None) -> list[Fragment]:
        """The step's line after its name: success, what was judged or measured, what to know about it."""
        fragments = [*self._outcome(step)]
        if step.thresholds:
            fragments += [self.judged(threshold, step, report) for threshold in step.thresholds]
        else:
            fragments += self._measured(step, report)
        companion = loaded_by(step)
        if companion is not None:
            text = self.words.gettext("while {step} ran").format(step=plain(companion))
            fragments.append(Fragment(text))
        fragments += [Fragment(self.words.of(words.FLAGS, flag), "warn") for flag in flags_of(step)]
        validity = step.validity
        if validity is not None and (validity.findings or _is_rate(step)):
            fragments.append(Fragment(self.validity(step, validity)))
        return fragments

    def validity(self, step: Step, validity: Validity) -> str:
        """`validity low: limited by this machine · few samples`."""
        _ = self.words.gettext
        grade = self.words.of(words.GRADES, validity.grade)
        said = " · ".join(self.words.of(words.FINDINGS, finding.code) for finding in validity.findings)
        found = said or (_("the limit is not known") if _is_rate(step) else _("nothing found against it"))
        return _("validity {grade}: {findings}").format(grade=grade, findings=found)

    def _outcome(self, step: Step) -> list[Fragment]:
        _ = self.words.gettext
        fragments = []
        succeeded = [attempt for attempt in step.attempts if attempt.outcome == "success"]
        reached = {attempt.target for attempt in succeeded}
        if len(step.targets) > 1 and step.attempts:
            text = _("{n}/{total} targets").format(n=len(reached), total=len(step.targets))
            fragments.append(Fragment(text, None if len(reached) == len(step.targets) else "fail"))
        elif len(step.attempts) > 1:
            text = _("{n}/{total} attempts").format(n=len(succeeded), total=len(step.attempts))
            fragments.append(Fragment(text, None if len(succeeded) == len(step.attempts) else "fail"))
        if step.error is not None:
            fragments.append(Fragment(self.error(step.error), step.verdict))
            if step.error.remedy:
                remedy = plain(_(step.error.remedy))
                fragments.append(Fragment(_("try: {remedy}").format(remedy=remedy)))
        elif step.reason is not None and step.reason not in ("threshold", "attempts_failed"):
            fragments.append(Fragment(self.reason(step.reason), step.verdict))
        return fragments

    def judged(self, threshold: ThresholdResult, step: Step, report: Report | None) -> Fragment:
        """`RTT p95 183 ms, +168 ms over idle (warn from 60 ms)`."""
        _ = self.words.gettext
        decisive = decisive_judgement(threshold)
        name = f"{self.title(threshold.metric)} {self.stat(threshold.stat)}".rstrip()
        bound = limit.telling(threshold)
        near = None if bound is None else limit.number(bound[1], threshold.unit, threshold.metric)
        text = f"{name} {self.shown(threshold.value, threshold.unit, threshold.metric, limit=near)}"
        if threshold.value is None and threshold.reason is not None:
            text = f"{name} {MISSING} ({self.reason(threshold.reason)})"
        if decisive is not None and len(threshold.judgements) > 1 and threshold.verdict in ("fail", "warn"):
            text += f" [{self.labels(decisive.labels)}]"
        if decisive is not None:
            text += self._over_idle(step, report, threshold.metric, threshold.stat, decisive.labels)
        if bound is not None:
            verdict = self.words.verdict(bound[0])
            text += f" ({limit.in_words(bound[1], verdict, _)})"
        if threshold.value is not None and threshold.reason is not None:
            text += f", {self.reason(threshold.reason)}"
        return Fragment(text, threshold.verdict if threshold.verdict in ("fail", "warn", "error") else None)

    def _measured(self, step: Step, report: Report | None) -> list[Fragment]:
        fragments = []
        for metric in headlines(self.declared(step.metrics), self.definitions):
            stat, value = headline(metric, self.definition(metric.key))
            name = f"{self.title(metric.key)} {self.stat(stat)}".rstrip()
            text = f"{name} {self.shown(value, metric.unit, metric.key)}"
            if len(metric.labels.get("target", "")) and len(step.targets) > 1:
                text += f" [{plain(metric.labels['target'])}]"
            text += self._over_idle(step, report, metric.key, stat, metric.labels)
            fragments.append(Fragment(text))
        return fragments

    def _over_idle(
        self, step: Step, report: Report | None, key: str, stat: str, labels: Mapping[str, str]
    ) -> str:
        """`, +168 ms over idle`: against the same statistic of the same target in a step without load."""
        increase = None if report is None else increase_under_load(report, step, key, stat, labels)
        if increase is None:
            return ""
        value, unit = increase
        text = shown(value, unit, key)
        text = text if value < 0 else f"+{text}"
        return ", " + self.words.gettext("{increase} over idle").format(increase=text)


def decisive_judgement(threshold: ThresholdResult) -> Judgement | None:
    """The judgement that made the threshold's verdict."""
    return next((each for each in threshold.judgements if each.verdict == threshold.verdict), None)


def headline(metric: Metric, definition: MetricDef | None) -> tuple[str, StatValue]:
    """The statistic that stands for a metric: its first declared one, or the first that has a value."""
    names = [*(definition.stats if definition is not None else ()), *metric.stats]
    stat = next(
        (name for name in names if metric.stats.get(name) is not None), names[0] if names else "value"
    )
    return stat, metric.stats.get(stat)


def headlines(ordered: Sequence[Metric], definitions: Mapping[str, MetricDef]) -> list[Metric]:
    """The first metrics that have a value; of several label sets the whole, else the worst.

    What a metric looked like over time (`series`) says no more in one number than the metric itself.
    """
    chosen: dict[str, list[Metric]] = {}
    still = [metric for metric in ordered if metric.type != "series"]
    for metric in still or ordered:
        if nothing_bad(metric, definitions.get(metric.key)):
            continue
        if headline(metric, definitions.get(metric.key))[1] is not None:
            chosen.setdefault(metric.key, []).append(metric)
    return [_worst(metrics, definitions.get(key)) for key, metrics in list(chosen.items())[:HEADLINES]]


def nothing_bad(metric: Metric, definition: MetricDef | None) -> bool:
    """A count of bad things that did not happen is not worth a place; that nothing was lost is."""
    numbers = numbers_of(metric)
    unwanted = definition is not None and definition.better == "lower"
    return unwanted and bool(numbers) and not any(numbers.values()) and not metric.key.endswith("_ratio")


def stats_in_order(metric: Metric) -> list[str]:
    """The names of a metric's statistics as a reader expects them, without its interval."""
    names = [name for name in metric.stats if name not in ("ci95_low", "ci95_high")]
    return sorted(names, key=lambda name: STATS_IN_ORDER.index(name) if name in STATS_IN_ORDER else -1)


def numbers_of(metric: Metric) -> dict[str, float]:
    """The numeric statistics that are values of the metric, in its unit."""
    return {
        stat: float(value)
        for stat, value in metric.stats.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and stat not in NOT_SPREAD
    }


def _worst(metrics: Sequence[Metric], definition: MetricDef | None) -> Metric:
    fewest = min(len(metric.labels) for metric in metrics)
    whole = [metric for metric in metrics if len(metric.labels) == fewest]
    if definition is None or definition.better == "neither":
        return whole[0]
    sign = 1 if definition.better == "lower" else -1

    def badness(metric: Metric) -> float:
        value = headline(metric, definition)[1]
        return sign * value if isinstance(value, int | float) else float("-inf")

    return max(whole, key=badness)


def loaded_by(step: Step) -> str | None:
    """The step that loaded the link meanwhile; None if there was none, or if it came to nothing."""
    return None if step.verdict == "skipped" or step.reason == "no_load" else step.during


def increase_under_load(
    report: Report, step: Step, key: str, stat: str, labels: Mapping[str, str]
) -> tuple[float, str] | None:
    """How much a statistic grew against a step of the same probe and labels that no other step loaded."""
    if loaded_by(step) is None:
        return None
    loaded = _value(step, key, stat, labels)
    for other in report.steps:
        idle = (
            _value(other, key, stat, labels) if other.during is None and other.probe == step.probe else None
        )
        if loaded is not None and idle is not None:
            unit = next(metric.unit for metric in step.metrics if metric.key == key)
            return loaded - idle, unit
    return None


def _value(step: Step, key: str, stat: str, labels: Mapping[str, str]) -> float | None:
    for metric in step.metrics:
        value = metric.stats.get(stat)
        if metric.key == key and metric.labels == labels and isinstance(value, int | float):
            return float(value)
    return None


def flags_of(step: Step) -> list[str]:
    """The quality flags of a step's metrics, each once; that it ran beside others is said by the case."""
    seen = dict.fromkeys(flag for metric in step.metrics for flag in metric.quality_flags)
    return [flag for flag in seen if flag not in ("concurrent", "derived")]


def main_series(reader: Reader, step: Step) -> list[Series]:
    """The series of the first declared metric that was sampled at least twice; all may have been lost.

    A single hop's stands in the table of the path.
    """
    several = [series for series in step.series if len(series.v) > 1 and "hop" not in series.labels]
    sampled = reader.in_order([each for each in several if is_numeric(each) or not any_present(each)])
    return [series for series in sampled if series.key == sampled[0].key]


def any_present(series: Series) -> bool:
    return any(value is not None for value in series.v)


def is_numeric(series: Series) -> bool:
    present = [value for value in series.v if value is not None]
    return bool(present) and all(
        isinstance(value, int | float) and not isinstance(value, bool) for value in present
    )


def failed_targets(step: Step) -> list[str]:
    """The targets at which an attempt failed, each once."""
    return list(dict.fromkeys(each.target for each in step.attempts if each.outcome == "failure"))


def _is_rate(step: Step) -> bool:
    """Whether its figures have a throughput, whose limit is to be known."""
    return any(metric.unit == "bit/s" for metric in step.metrics)
