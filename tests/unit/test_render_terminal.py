"""The terminal's result: everything worth saying, in the width there is."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from rich.cells import cell_len

from ots.model.report import Report
from ots.reports import html
from ots.reports.format import View
from ots.reports.reading import Reader
from ots.reports.terminal import render, step_line
from tests.unit import sample_reports


def shown(report: Report, width: int = 100, language: str = "en", *, colour: bool = False) -> str:
    """The report as the terminal shows it."""
    return render(report, View(sample_reports.DEFINITIONS, language, width, colour))


def flat(text: str) -> str:
    """The text with line breaks and alignment taken out."""
    return " ".join(text.split())


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("width", [40, 41, 47, 60, 80, 120])
@pytest.mark.parametrize("name", [name for name in sample_reports.ALL if name != "hostile"])
def test_no_line_is_wider_than_the_terminal(name: str, width: int, language: str) -> None:
    """At every width, Chinese counted double, and without trailing spaces."""
    for line in shown(sample_reports.ALL[name](), width, language).splitlines():
        assert cell_len(line) <= width, line
        assert line == line.rstrip()


def test_a_case_shows_each_step_with_its_mark() -> None:
    """Every step has one line that begins with the mark of its verdict and its key."""
    lines = shown(sample_reports.office(), 120).splitlines()
    marks = {line.split()[1]: line.split()[0] for line in lines if re.match(r"  [✔·✘!?–] ", line)}
    assert marks == {
        "gateway": "✔",
        "neighbours": "·",
        "page": "·",
        "mail": "✘",
        "down": "·",
        "up": "✔",
        "loaded": "!",
        "again[a.example]": "·",
        "again[b.example]": "·",
        "path": "–",
        "raw": "?",
    }


def test_a_case_says_what_was_judged_and_against_what() -> None:
    """Value, statistic and limit of each threshold stand together; load is compared with idle."""
    text = flat(shown(sample_reports.office(), 120))
    assert "Round-trip time p95 14.3 ms (warn from 60 ms)" in text
    assert "Packet loss 0 % (fail above 1 %)" in text
    assert re.search(r"p95 \d+ ms, \+\d+ ms over idle \(warn from 60 ms\) while down ran", text)
    assert "limited by this machine" in text


def test_the_verdict_says_why_with_the_worst_first() -> None:
    """A proven breach comes before what could not be judged, and that before a warning."""
    text = flat(shown(sample_reports.office(), 120))
    why = text[text.index("FAIL ") :]
    assert why.index("mail: timed out") < why.index("raw: right missing") < why.index("loaded: ")


def test_all_six_counts_are_printed() -> None:
    """Also those that are zero."""
    text = shown(sample_reports.aborted())
    assert "0 pass  0 warn  0 fail  1 measured  1 error  1 skipped" in text


def test_a_failure_comes_with_what_to_do() -> None:
    """The remedy of an error stands with its step."""
    text = flat(shown(sample_reports.office(), 80))
    assert "try: apt install mtr-tiny" in text
    assert "try: look into the spam folder" in text


def test_a_verdict_that_the_figure_does_not_explain_has_its_reason() -> None:
    """0 % of a few samples under a limit of 5 % is a warning: the text says why."""
    made = sample_reports.quick_ping()
    row = made.steps[0]
    definition = sample_reports.DEFINITIONS["ping_packet_loss_ratio"]
    row.thresholds = [
        sample_reports.threshold(
            definition, "value", row.metrics, verdict="warn", fail="<= 5 %", reason="borderline"
        )
    ]
    assert "too close to the limit to tell" in flat(shown(made))


def test_one_probe_is_shown_in_detail() -> None:
    """A probe from the command line: target, parameters, where from, loss with its interval, statistics."""
    lines = shown(sample_reports.quick_ping(), 120).splitlines()
    assert lines[0].startswith("192.0.2.1   ping   count 25   interval 200 ms   timeout 2 s   size 56 B")
    assert lines[1].startswith("via eth0 192.0.2.77")
    text = flat("\n".join(lines))
    assert "Packet loss 4 % (95 %: 0.71–20 %) Sent 25 Received 24" in text
    assert re.search(r"Round-trip time ms min 11\.\d median 12\.\d mean \d+\.\d p95 \d+\.\d max", text)
    assert "(p99: too few samples)" in text
    assert "measured no limits set (set one with --warn or --fail)" in text


def test_the_sparkline_shows_every_sample_and_the_lost_one() -> None:
    """25 samples are 25 marks, the 14th is the one that was lost."""
    sparkline = next(line for line in shown(sample_reports.quick_ping()).splitlines() if "▁" in line)
    assert len(sparkline.strip()) == 25
    assert sparkline.strip().index("×") == 13


def test_a_long_name_leaves_its_figures_room_below_it() -> None:
    """On a narrow terminal the statistics of a metric with a long name stand under it."""
    title = "Delay between close neighbours"
    named = sample_reports.DEFINITIONS | {
        sample_reports.RTT.key: replace(sample_reports.RTT, title=title),
    }
    lines = render(sample_reports.quick_ping(), View(named, "en", 40, False)).splitlines()
    place = next(n for n, line in enumerate(lines) if title in line)
    assert lines[place].endswith("ms")
    assert lines[place + 1].startswith("    min ")
    assert all(cell_len(line) <= 40 for line in lines)


def test_a_limit_of_one_probe_is_shown_with_its_mark() -> None:
    """`ots ping --fail …` says beside the value whether the limit holds."""
    report = sample_reports.quick_ping()
    report.steps[0].thresholds = [
        sample_reports.threshold(
            sample_reports.LOSS, "value", report.steps[0].metrics, verdict="fail", fail="<= 1 %"
        )
    ]
    assert "✘ Packet loss 4 % (fail above 1 %)" in shown(report)


def test_several_targets_stand_in_blocks_of_their_own() -> None:
    """The one that answered and the one that did not."""
    text = shown(sample_reports.long_ping())
    live, dead = text.index("\n192.0.2.1\n"), text.index("\n192.0.2.99\n")
    assert live < dead
    assert "×××××" in text[dead:]
    assert "×××××" not in text[live:dead]
    assert "each mark: the worst of 5 samples" in text


def test_no_control_character_reaches_the_terminal() -> None:
    """Escape sequences and direction overrides in targets, errors or names arrive as replacement marks."""
    text = shown(sample_reports.hostile())
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)
    assert "�[2J" in text


def test_colour_only_where_it_was_asked_for() -> None:
    """Without colour there is no escape sequence; with it the words are the same."""
    plain, coloured = shown(sample_reports.office()), shown(sample_reports.office(), colour=True)
    assert "\x1b" not in plain
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain


def test_an_aborted_run_says_so() -> None:
    """The reason of the abort comes first."""
    assert "the run was cut short: interrupted" in shown(sample_reports.aborted())
    assert "the run was cut short: the program was killed" in shown(sample_reports.nothing())


def test_a_step_line_alone_is_the_line_of_the_result() -> None:
    """What is shown while a run goes on looks as in the end."""
    report = sample_reports.office()
    view = View(sample_reports.DEFINITIONS, "en", 120)
    line = step_line(report.steps[0], view, name_width=16)
    assert line.splitlines()[0] in render(report, view)


def test_chinese_is_spoken_throughout() -> None:
    """No English word of ours is left in a Chinese result."""
    text = shown(sample_reports.quick_ping(), 100, "zh")
    assert "往返时延" in text
    assert "丢包率" in text
    for english in ("measured", "no limits", "median", "via", "gateway", "report #", "Packet loss"):
        assert english not in text


def test_a_long_failure_is_wrapped_and_not_cut() -> None:
    """What decides often stands at the end of the text."""
    made = sample_reports.office()
    failed = next(step for step in made.steps if step.error is not None and step.verdict in ("fail", "error"))
    assert failed.error is not None
    long = (
        "DNS server 127.0.0.1 did not answer www.example.org in 2 s on three attempts: nobody listens there"
    )
    failed.error.message = f"{long} (ICMP port unreachable)"
    summary = flat(shown(made, 80)).partition("✘")[2] + flat(shown(made, 80))
    assert summary.count(f"{long} (ICMP port unreachable)") >= 2
    assert "…" not in flat(shown(made, 80)).partition("FAIL")[2].partition("report #")[0]


def test_a_companion_without_load_claims_no_load() -> None:
    """A step whose load never ran has idle figures: neither text nor page compares them with idle."""
    made = sample_reports.office()
    loaded = next(step for step in made.steps if step.during is not None)
    assert "over idle" in flat(shown(made)) and "while down ran" in flat(shown(made))
    loaded.reason = "no_load"
    page = html.render(made, View(definitions=sample_reports.DEFINITIONS, language="en"))
    for text in (flat(shown(made)), page if isinstance(page, str) else page.decode()):
        assert "the loading step never ran" in text
        assert "over idle" not in text and "more than idle" not in text
        assert "while down ran" not in text


def test_states_are_said_in_the_readers_words() -> None:
    """A state's value and a fact of the method; what is no known word stays as it was."""
    made = sample_reports.quick_ping()
    row = made.steps[0].metrics[0]
    row.method["schedule"] = "periodic"
    row.method["socket"] = "odd_socket"
    text = flat(shown(made, language="zh"))
    assert "发送计划 周期" in text and "odd_socket" in text
    reader = Reader(View(language="zh"))
    assert reader.shown("open", "1") == "开放"
    assert reader.shown({"open": 3, "closed": 1}, "1") == "开放 × 3, 关闭 × 1"
    assert reader.shown("NOERROR", "1") == "NOERROR"
