"""What makes two figures the same quantity: the facts that must agree before they are compared or pooled."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ots.model.metric import Metric
from ots.model.report import Step
from ots.reports.facts import spaced
from ots.reports.plain import plain
from ots.reports.words import Words

Definition = Mapping[str, str]
"""Facts by name: `probe`, `probe_version`, `metric_version`, `unit`, `type`, `during`, `param.NAME` and
`method.NAME`."""

_HOW_MUCH = frozenset({"count", "sweep_count", "sweep_rate", "resolve_timeout", "concurrency", "spread"})
_FROM_WHERE = frozenset({"interface", "source", "ca_file", "proxy_user", "proxy_password"})
_CIRCUMSTANCES = frozenset(
    {
        *("address", "server", "proxy_source", "stop_reason", "steady"),
        *("mailbox_address", "left_behind"),
        *("refused", "persists_to_end", "mtu_told_by", "mtu_black_hole"),
    }
)
"""Texts of a method that a run may find otherwise without measuring something else."""

_PORT = re.compile(r"((?:\w+://)?(?:[^/@\[\]]*@)?(?:\[[^\]/]*\]|[^/:\[\]@]+)):\d{1,5}(?=/|$)")

_ABSENT = "—"


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A fact in which two definitions differ, and both of its values."""

    fact: str
    first: str
    second: str

    def in_words(self, words: Words) -> str:
        """`socket: raw / datagram`."""
        _ = words.gettext
        names = {
            "probe": _("probe"),
            "probe_version": _("version of the probe"),
            "metric_version": _("definition of the metric"),
            "unit": _("unit"),
            "type": _("kind of metric"),
            "during": _("load"),
            "port": _("port"),
        }
        kind, _dot, name = self.fact.partition(".")
        named = names.get(self.fact) or (spaced(name) if kind == "param" else words.fact(name or kind))
        return f"{named}: {plain(self.first)} / {plain(self.second)}"


def of_step(step: Step) -> Definition:
    """What a step's figures share: probe, version, load, and the parameters that say what is measured.

    How many samples are taken and from where is not among them: the figure stays the same quantity.
    """
    facts = {"probe": step.probe, "probe_version": str(step.probe_version), "during": step.during or _ABSENT}
    for name, value in step.params.items():
        if value is not None and name not in _HOW_MUCH and name not in _FROM_WHERE:
            facts[f"param.{name}"] = str(value)
    return facts


def of_metric(metric: Metric) -> Definition:
    """What a figure adds: its definition's version, unit, and how it was measured, as far as that is a word.

    The numbers of a method are what a run found, or stand in its parameters.
    """
    facts = {"metric_version": str(metric.def_version), "unit": metric.unit, "type": metric.type}
    for name, value in metric.method.items():
        if isinstance(value, str | bool) and name not in _CIRCUMSTANCES | _FROM_WHERE:
            facts[f"method.{name}"] = str(value)
    return facts


def mismatches(first: Definition, second: Definition) -> list[Mismatch]:
    """Every fact in which the two differ, in the order of the facts."""
    names = dict.fromkeys([*first, *second])
    pairs = ((name, first.get(name, _ABSENT), second.get(name, _ABSENT)) for name in names)
    return [Mismatch(*pair) for pair in pairs if pair[1] != pair[2]]


def without_ports(labels: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Labels with the ports of their targets left out."""
    return tuple(sorted((name, _without_port(value)) for name, value in labels.items()))


def other_port(first: Mapping[str, str], second: Mapping[str, str]) -> Mismatch:
    """The first label in which two sets differ by nothing but a port.

    Perhaps a test peer took another port and perhaps it is another service: that can't be known.
    """
    name = next(name for name in first if first[name] != second[name])
    return Mismatch("port", first[name], second[name])


def _without_port(text: str) -> str:
    match = _PORT.match(text)
    return text if match is None else match[1] + text[match.end() :]
