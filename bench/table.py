"""A contest's outcome for people."""

from __future__ import annotations

from bench.contest import Outcome


def table(outcome: Outcome) -> str:
    """Medians, spread and CPU of each contender, and below them the goals."""
    contest = outcome.contest
    width = max(len(each.name) for each in outcome.standings) + 2
    lines = [f"{contest.area}: {contest.work}"]
    lines.append(f"  {'':{width}}{contest.unit:>14}{'min':>12}{'max':>12}{'CPU ' + contest.cpu_unit:>16}")
    for each in outcome.standings:
        cpu = each.median("cpu")
        lines.append(
            f"  {each.name:{width}}{figure(each.median('figure')):>14}{figure(min(each.figures)):>12}"
            f"{figure(max(each.figures)):>12}{'' if cpu is None else figure(cpu):>16}"
        )
    for judged in outcome.judged:
        met = "met" if judged.met else "MISSED"
        lines.append(f"  {met:6} {judged.text()}: {figure(judged.reached)}")
    return "\n".join(lines)


def figure(value: float | None) -> str:
    """Three significant digits, thousands written out."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
