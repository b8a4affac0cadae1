"""One probe straight from the command line as a case of one step; problems name the options."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ots.model.metric import MetricDef
from ots.schema.case import Block, Case
from ots.schema.errors import CaseError, Problem
from ots.schema.kinds import Kind
from ots.schema.place import InOptions, Path
from ots.schema.step import Instance, read_step
from ots.schema.target_list import NO_LISTS, Lists
from ots.schema.threshold import default_stat
from ots.strictyaml import suggest

_LIMIT = re.compile(
    r"([A-Za-z][A-Za-z0-9_]*)(?:[ .]([a-z][a-z0-9_]*))??\s*((?:[<>=!≤≥≠]|in\s*\[|between\b).*)"
)
_SUFFIXES = (
    "_bits_per_second",
    "_seconds",
    "_bytes",
    "_ratio",
    "_hertz",
    "_meters",
    "_dbm",
    "_db",
    "_packets",
)


def case_of_probe(
    kind: Kind,
    targets: Sequence[str],
    params: Mapping[str, object],
    *,
    warn: Sequence[str] = (),
    fail: Sequence[str] = (),
    repeat: int = 1,
    pause: float = 0.0,
    time_limit: float | None = None,
    lists: Lists = NO_LISTS,
) -> Case:
    """The case of `ots KIND TARGET… --param value --fail 'loss <= 1 %'`; `lists` are what `@name` can mean.

    Raises CaseError.
    """
    problems: list[Problem] = []
    limits = _limits(kind, warn, fail, problems)
    data: dict[str, Any] = {
        "id": kind.kind,
        "probe": kind.kind,
        "target": list(targets),
        "params": dict(params),
        "thresholds": [entry for _, entry in limits],
        "repeat": repeat,
        "pause": f"{pause!r} s",
    }
    if time_limit is not None:
        data["time_limit"] = f"{time_limit!r} s"

    def name(path: Path) -> str:
        if path[:1] == ("thresholds",) and len(path) > 1 and isinstance(path[1], int):
            return limits[path[1]][0]
        if path[:1] == ("target",) or not path:
            return "target" if path else ""
        if path == ("params",):
            return ""
        option = path[1] if path[0] == "params" else path[0]
        return "--" + str(option).replace("_", "-")

    sketch = read_step(
        data, InOptions(name, problems), {kind.kind: kind}, Instance(None, 0), "continue", lists
    )
    if problems or sketch.step is None:
        raise CaseError(problems)
    measured = {**data, "target": [target.text for target in sketch.step.targets]}
    text = json.dumps(measured, sort_keys=True, ensure_ascii=False)
    return Case(
        id=kind.kind,
        version=None,
        title={},
        tags={},
        precheck=None,
        blocks=(Block((sketch.step,), parallel=False),),
        schedule=None,
        time_limit=None,
        on_failure="continue",
        sha256=hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest(),
        source="",
        warnings=sketch.warnings,
    )


def find_metric(name: str, kind: Kind) -> MetricDef | str:
    """The metric of a key, or of a unique end of one without its unit (`loss`, `rtt`); else why not."""
    keys = {metric.key: metric for metric in kind.metrics}
    stems = {metric.key: _stem(metric.key) for metric in kind.metrics}
    own = f"{kind.kind}_{name}"
    for fits in (
        [key for key in keys if key == name],
        [key for key, stem in stems.items() if own in (key, stem)],
        [
            key
            for key, stem in stems.items()
            if stem == name or key.endswith("_" + name) or stem.endswith("_" + name)
        ],
    ):
        if len(fits) == 1:
            return keys[fits[0]]
        if fits:
            return f"{name!r} may be {' or '.join(sorted(fits))}: write which"
    tails = {
        (key if stem == kind.kind else stem).removeprefix(f"{kind.kind}_") for key, stem in stems.items()
    }
    words = {word for tail in tails for word in tail.split("_")}
    near = suggest(name, words | tails)
    return f"{kind.kind} has no metric {name!r}{near if 'mean' in near else suggest(name, tails)}"


def _limits(
    kind: Kind, warn: Sequence[str], fail: Sequence[str], problems: list[Problem]
) -> list[tuple[str, dict[str, str]]]:
    """Thresholds as a case would write them; a warn and a fail for one statistic become one."""
    entries: dict[tuple[str, str], tuple[str, dict[str, str]]] = {}
    for severity, texts in (("fail", fail), ("warn", warn)):
        for text in texts:
            option = f"--{severity} {text!r}"
            match = _LIMIT.fullmatch(text.strip())
            if match is None:
                message = "expected a metric and what must hold, such as 'rtt p95 < 60 ms' or 'loss <= 1 %'"
                problems.append(Problem(option, 0, 0, message))
                continue
            metric = find_metric(match[1], kind)
            if isinstance(metric, str):
                problems.append(Problem(option, 0, 0, metric))
                continue
            stat = match[2] or default_stat(metric)
            _, entry = entries.setdefault((metric.key, stat), (option, {"metric": metric.key, "stat": stat}))
            if severity in entry:
                problems.append(Problem(option, 0, 0, f"{match[1]} has two --{severity}: write one"))
            entry[severity] = match[3].strip()
    return list(entries.values())


def _stem(key: str) -> str:
    return next((key.removesuffix(suffix) for suffix in _SUFFIXES if key.endswith(suffix)), key)
