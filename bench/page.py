"""docs/performance.md, written from one run of all benches."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime

from bench.contest import Outcome
from bench.table import figure

_HEAD = """# Performance

Written by `make bench` from one run; don't edit. Every row is a contest: the contenders do the same work in
turns, several times, and the goal is a *ratio* of their medians in that run, since an absolute figure says
more of the machine than of the program. Brackets are the least and the greatest reading.
"""


def page(outcomes: Sequence[Outcome]) -> str:
    """The whole page."""
    met = sum(outcome.met for outcome in outcomes)
    lines = [_HEAD]
    lines.append(
        f"Measured on {datetime.now(UTC):%d %B %Y} on {os.cpu_count()} processors, {platform.system()} "
        f"{platform.release()}, Python {platform.python_version()}. {met} of {len(outcomes)} rows met.\n"
    )
    lines += ["| area | goal | reached | |", "|---|---|---|---|"]
    for outcome in outcomes:
        for judged in outcome.judged:
            word = "met" if judged.met else "**missed**"
            lines.append(f"| {outcome.contest.area} | {judged.text()} | {figure(judged.reached)} | {word} |")
    for outcome in outcomes:
        contest = outcome.contest
        lines += ["", f"## {contest.area}", "", f"{contest.work} {contest.rounds} rounds.", ""]
        lines += [f"| | {contest.unit} | CPU {contest.cpu_unit} |", "|---|---|---|"]
        for each in outcome.standings:
            spread = f"{figure(min(each.figures))} – {figure(max(each.figures))}"
            lines.append(
                f"| {each.name} | {figure(each.median('figure'))} [{spread}] | {figure(each.median('cpu'))} |"
            )
    return "\n".join(lines) + "\n"
