"""A trace for people: one table of its hops, on a terminal, in HTML and in Markdown."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from ots.model.metric import Metric
from ots.model.report import Report
from ots.probe import AttemptData, Sample
from ots.probes import _trace_metrics as published
from ots.reports import html, markdown, terminal
from ots.reports.format import View
from tests.unit import sample_reports

TARGET = "198.51.100.9"
DEFINITIONS = {metric.key: metric for metric in published.METRICS}
Labels = tuple[tuple[str, str], ...]


def sample(milliseconds: float | None) -> Sample:
    if milliseconds is None:
        return Sample(0.0, None, "loss")
    return Sample(0.0, milliseconds / 1e3)


def attempt(hops: dict[int, dict[str, list[float | None]]], **method: str | int) -> AttemptData:
    """An attempt that sampled these round trips (in ms) by hop and address; None is a loss."""
    series: dict[tuple[str, Labels], list[Sample]] = {}
    for hop, answers in hops.items():
        for address, values in answers.items():
            for value in values:
                labels = {"hop": str(hop)} if value is None else {"address": address, "hop": str(hop)}
                column = series.setdefault((published.RTT.key, tuple(sorted(labels.items()))), [])
                column.append(sample(value))
    last = [value for values in hops[max(hops)].values() for value in values]
    series[published.RTT.key, ()] = [sample(value) for value in last]
    series[published.HOPS.key, ()] = [Sample(0.0, max(hops))]
    return AttemptData(0, 0, TARGET, "success", None, 0.0, 1.0, {}, series, method, ())


PATH = attempt(
    {
        1: {"192.0.2.1": [0.4, 0.5, 0.4, None]},
        2: {"192.0.2.2": [8.0, 9.0], "192.0.2.3": [8.5, 8.4]},
        3: {"": [None] * 4},
        4: {"2001:db8:1234:5678:9abc:def0:1234:5678": [30.0, 31.0, 30.0, 30.2]},
        5: {TARGET: [30.4, 30.1, 30.3, 30.9]},
    }
)


def metrics(data: AttemptData = PATH) -> list[Metric]:
    return published.summarise([data])


def report(data: AttemptData = PATH) -> Report:
    return sample_reports.report([sample_reports.step("path", "trace", [TARGET], metrics=metrics(data))])


def single(data: AttemptData = PATH) -> Report:
    """A report of `ots trace`, which shows the table."""
    document = report(data)
    document.case.version = None
    return document


def shown(width: int, language: str = "en", data: AttemptData = PATH) -> list[str]:
    return terminal.render(single(data), View(DEFINITIONS, language, width)).splitlines()


def test_each_hop_has_a_line() -> None:
    """Number, address, loss, probes sent, times; a second address of a hop has a line of its own."""
    lines = [line.split() for line in shown(110)]
    assert ["1", "192.0.2.1", "25", "%*", "4", "0.40", "0.40", "0.50"] in lines
    assert ["2", "192.0.2.2", "0", "%", "4", "8.00", "8.50", "9.00"] in lines
    assert ["192.0.2.3", "8.40", "8.45", "8.50"] in lines
    assert ["3", "no", "answer", "100", "%*", "4"] in lines
    assert ["5", TARGET, "0", "%", "4", "30.10", "30.35", "30.90"] in lines


def test_the_jump_stands_at_its_hop_and_a_mark_is_explained() -> None:
    """`+21.6 ms` beside the hop, a star where loss doesn't persist, and below what it means."""
    lines = shown(120)
    (jump,) = [line for line in lines if "+21.6 ms" in line]
    assert jump.split()[0] == "4"
    assert any(line.strip().startswith("* the hops behind it lose less") for line in lines)
    whole = attempt({1: {"192.0.2.1": [1.0]}, 2: {TARGET: [2.0]}})
    assert not any("lose less" in line for line in shown(120, data=whole))


def test_hops_stand_in_the_table_only() -> None:
    """Not once more among the figures, nor as charts or lines of marks."""
    text = "\n".join(shown(120))
    assert "[hop" not in text
    page = str(html.render(report(), View(DEFINITIONS)))
    assert page.count("192.0.2.2") == 1
    assert page.count("<figure>") <= 1


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_no_line_is_wider_than_the_terminal(width: int, language: str) -> None:
    """A long address is cut before a line grows too long; the median always stays."""
    lines = shown(width, language)
    assert all(cell_len(line) <= width for line in lines)
    assert any(" 30.35" in line for line in lines)


def test_a_silent_end_is_one_line() -> None:
    """`3–30`, not twenty-eight lines of nothing."""
    lines = shown(100, data=attempt({1: {"192.0.2.1": [1.0]}, 2: {"": [None, None]}}, max_hops=30))
    assert [line.split()[0] for line in lines if "no answer" in line] == ["2–30"]


def test_a_refusal_is_signed() -> None:
    """`!X` stands at the hop that said so."""
    data = attempt({1: {"192.0.2.1": [1.0]}, 2: {"192.0.2.2": [2.0]}}, refused="!X", refused_at_hop=2)
    signed = [line.split() for line in shown(100, data=data) if line.endswith("!X")][1:]
    assert [words[:2] for words in signed] == [["2", "192.0.2.2"]]


def test_markdown_and_html_have_it_too() -> None:
    """In both languages, and harmless whatever an address contains."""
    text = str(markdown.render(report(), View(DEFINITIONS)))
    assert "| 2 | 192.0.2.2 | 0 % | 4 | 8.00 | 8.50 |  | 9.00 |" in text
    assert "路径" in str(html.render(report(), View(DEFINITIONS, "zh")))
    hostile = attempt({1: {"<script>alert(1)</script>": [1.0]}})
    assert "<script>" not in str(html.render(report(hostile), View(DEFINITIONS)))
    assert "<script>" not in str(markdown.render(report(hostile), View(DEFINITIONS)))


def test_figures_of_the_whole_path() -> None:
    """Labels of the target only: what a limit without `where` is held against."""
    made = {metric.key: metric for metric in metrics() if set(metric.labels) == {"target"}}
    assert made["trace_hop_loss_ratio"].stats["value"] == 0
    assert made["trace_hop_rtt_seconds"].stats["median"] == pytest.approx(0.03035)
    assert made["trace_rtt_jump_hop"].stats["value"] == 4
    assert made["trace_asn_path"].nulls == {"stats.value": "no_lookups"}
    assert "path_mtu_bytes" not in made
