"""`ots report diff` and `combine`: what is compared, what is refused and why, and how it is shown."""

from __future__ import annotations

import csv
import io
import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from rich.cells import cell_len

from ots import i18n
from ots.commands.report import command
from ots.model.metric import Metric
from ots.model.report import CaseRef, Report
from ots.reports import combination_text, difference_text
from ots.reports.combination import SUCCESS, Combination, Combiner, Row
from ots.reports.difference import Change, Difference, Refusal, compare
from ots.reports.format import View
from ots.reports.reading import Reader
from ots.stats import interval
from ots.store import Store
from tests.unit import sample_reports
from tests.unit.sample_reports import attempt, ping, report, wave

TARGET = "192.0.2.1"


def one(
    centre: float = 0.012, *, seed: int = 1, n: int = 200, losses: int = 0, target: str = TARGET
) -> Report:
    """A report of one ping step."""
    lost = range(0, losses * 2, 2)
    return report([ping("gateway", {target: wave(n, centre, seed=seed, losses=lost)})])


def compared(first: Report, second: Report) -> Difference:
    return compare(first, second, Reader(View(sample_reports.DEFINITIONS)))


def combined(*reports: Report) -> Combination:
    combiner = Combiner(Reader(View(sample_reports.DEFINITIONS)))
    for each in reports:
        combiner.add(each)
    return combiner.result()


def change(found: Difference, metric: str, stat: str) -> Change:
    return next(each for each in found.changes if (each.metric, each.stat) == (metric, stat))


def row(found: Combination, metric: str) -> Row:
    return next(each for each in found.rows if each.metric == metric)


def metrics(document: Report) -> list[Metric]:
    return document.steps[0].metrics


# What is found


def test_slower_is_worse_and_faster_is_better() -> None:
    """The direction comes from the metric's declaration; the difference is b minus a."""
    slower = change(compared(one(0.012), one(0.020, seed=2)), "ping_rtt_seconds", "median")
    assert slower.change == "worse"
    assert slower.test == "mann_whitney"
    assert slower.difference is not None and slower.difference > 0.006
    assert slower.relative == pytest.approx(slower.difference / float(str(slower.a.value)))
    assert change(compared(one(0.020), one(0.012)), "ping_rtt_seconds", "median").change == "better"


def test_a_higher_rate_is_better() -> None:
    """Steady intervals of two transfers, 400 against 200 Mbit/s."""

    def transfer(rate: float) -> Report:
        values = sample_reports.rates(60, rate, seed=3)
        step = sample_reports.transfer(
            *("down", sample_reports.DOWN, sample_reports.DOWN_INTERVAL, values),
            t=0.0,
            every=0.1,
            target="http://192.0.2.10/",
        )
        return report([step])

    found = compared(transfer(200e6), transfer(400e6))
    assert change(found, sample_reports.DOWN_INTERVAL.key, "mean").change == "better"
    single = change(found, sample_reports.DOWN.key, "mean")
    assert (single.change, single.test) == ("unclear", None)


def test_losses_are_compared_as_counts() -> None:
    """20 of 200 against none is worse; 1 of 200 against none can be chance."""
    found = change(compared(one(), one(seed=2, losses=20)), "ping_packet_loss_ratio", "value")
    assert (found.change, found.test) == ("worse", "score_interval")
    found = change(compared(one(), one(seed=2, losses=1)), "ping_packet_loss_ratio", "value")
    assert (found.change, found.test) == ("same", "score_interval")


def test_the_tail_is_compared_by_its_intervals() -> None:
    """p95 has the order-statistic interval of its own samples."""
    found = change(compared(one(0.012), one(0.200, seed=2)), "ping_rtt_seconds", "p95")
    assert (found.change, found.test) == ("worse", "intervals")
    assert found.a.ci95 is not None and found.a.ci95[0] <= float(str(found.a.value)) <= found.a.ci95[1]


def test_equal_runs_show_no_difference() -> None:
    """A run against itself: nothing better, nothing worse, nothing refused."""
    found = compared(one(), one())
    assert {each.change for each in found.changes} <= {"same"}
    assert found.not_compared == []
    assert found.circumstances == []


def test_what_has_no_better_side_is_changed_at_most() -> None:
    """Without a declaration nobody knows whether more is better."""
    found = compare(one(0.012), one(0.020, seed=2), Reader(View()))
    assert change(found, "ping_rtt_seconds", "median").change == "changed"


def test_a_missing_value_is_shown_with_its_reason() -> None:
    """Everything was lost the second time: no figure to compare, and it says so."""
    second = report([ping("gateway", {TARGET: [None] * 200})])
    found = change(compared(one(), second), "ping_rtt_seconds", "median")
    assert (found.change, found.b.value, found.b.reason, found.difference) == ("unclear", None, "loss", None)


# What is refused


def _probe_version(second: Report) -> None:
    second.steps[0].probe_version = 2


def _parameter(second: Report) -> None:
    second.steps[0].params["size"] = "1400 B"


def _load(second: Report) -> None:
    second.steps[0].during = "down"


@pytest.mark.parametrize(
    ("alter", "fact", "values"),
    [
        (_probe_version, "probe_version", ("1", "2")),
        (_parameter, "param.size", ("56 B", "1400 B")),
        (_load, "during", ("—", "down")),
    ],
)
def test_a_step_of_another_definition_is_refused(
    alter: Callable[[Report], None], fact: str, values: tuple[str, str]
) -> None:
    """As a whole, with the fact and both values."""
    first, second = one(), one(seed=2)
    alter(second)
    found = compared(first, second)
    assert found.changes == []
    refusal = found.not_compared[0]
    assert (refusal.step, refusal.metric, refusal.reason) == ("gateway", None, "definition")
    assert [(each.fact, each.first, each.second) for each in refusal.facts] == [(fact, *values)]


@pytest.mark.parametrize(
    ("alter", "fact"),
    [
        (lambda metric: setattr(metric, "def_version", 2), "metric_version"),
        (lambda metric: setattr(metric, "unit", "ms"), "unit"),
        (lambda metric: metric.method.update(socket="datagram"), "method.socket"),
    ],
)
def test_a_metric_of_another_definition_is_refused_alone(alter: Callable[[Metric], None], fact: str) -> None:
    """The other metrics of the step are still compared."""
    first, second = one(), one(seed=2)
    alter(metrics(second)[0])
    found = compared(first, second)
    assert [(each.metric, each.facts[0].fact) for each in found.not_compared] == [("ping_rtt_seconds", fact)]
    assert change(found, "ping_packet_loss_ratio", "value")


def test_how_many_and_from_where_do_not_forbid_a_comparison() -> None:
    """More samples or another interface give the same quantity; what a method counted is a result."""
    first, second = one(n=200), one(n=400, seed=2)
    second.steps[0].params["interface"] = "wlan0"
    metrics(second)[0].method["schedule_slips"] = 12
    second.contexts[0].network["interface"] = "wlan0"
    found = compared(first, second)
    assert found.not_compared == []
    assert [(each.fact, each.second) for each in found.circumstances] == [("interface", "wlan0")]


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        ("http://127.0.0.1:4213/x", "http://127.0.0.1:5312/x", "port"),
        ("[::1]:53", "[::1]:5353", "port"),
        ("host.example:80", "host.example:8080", "port"),
        ("fe80::1", "fe80::2", "labels"),
        ("host-a.example", "host-b.example", "labels"),
        ("http://127.0.0.1:1/x", "http://127.0.0.1:2/y", "labels"),
    ],
)
def test_other_labels_are_no_pair_and_another_port_is_named(first: str, second: str, reason: str) -> None:
    """A test peer on another port is perhaps the same service; that can't be known, so it is said."""
    found = compared(one(target=first), one(target=second))
    refusal = next(each for each in found.not_compared if each.metric == "ping_rtt_seconds")
    assert refusal.reason == reason
    if reason == "port":
        assert [(each.first, each.second) for each in refusal.facts] == [(first, second)]
    assert found.changes == []


def test_steps_of_one_run_alone_are_named() -> None:
    """In either direction."""
    found = compared(sample_reports.office(), one())
    names = {(each.step, each.reason) for each in found.not_compared if each.metric is None}
    assert ("mail", "only_in_a") in names
    back = compared(one(), sample_reports.office())
    assert ("mail", "only_in_b") in {(each.step, each.reason) for each in back.not_compared}


# How it is shown


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("width", [60, 100])
@pytest.mark.parametrize("name", sample_reports.ALL)
def test_a_comparison_fits_the_terminal(name: str, width: int, language: str) -> None:
    """Every sample report against another one; hostile names do no harm."""
    view = View(sample_reports.DEFINITIONS, language, width)
    found = compare(sample_reports.office(), sample_reports.ALL[name](), Reader(view))
    for everything in (False, True):
        text = difference_text.render(found, view, everything=everything)
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text)
        if name != "hostile":
            assert all(cell_len(line) <= width for line in text.splitlines())


def test_a_comparison_reads_at_a_glance() -> None:
    """Verdicts, value before and after, by how much, what it means, on how many samples."""
    first, second = one(0.012), one(0.020, seed=2)
    second.steps[0].verdict = "fail"
    second.case = CaseRef(id="office-broadband", version=4, sha256="a" * 64)
    view = View(sample_reports.DEFINITIONS, "en", 140)
    text = difference_text.render(compared(first, second), view)
    assert re.search(
        r"also different:  case: office-broadband v3 9f9f9f9f / office-broadband v4 aaaaaaaa", text
    )
    assert "gateway  measured → fail" in text
    assert re.search(
        r"▼ Round-trip time median \[192\.0\.2\.1\]  13 ms → 21\.6 ms  \+8\.61 ms \(\+66\.4 %\)"
        r"  worse  n 200/200  p < 0\.001",
        text,
    )
    assert "= Packet loss [192.0.2.1]  0 % → 0 %  no clear difference" in text
    assert re.search(r"^0 better  1 worse  0 changed", text.splitlines()[-1])


# Several runs


def test_ratios_are_pooled_with_their_interval() -> None:
    """4 of 200 and 0 of 100: 4 of 300, not the mean of 2 % and 0 %."""
    found = row(combined(one(losses=4), one(n=100, seed=2)), "ping_packet_loss_ratio")
    assert (found.method, found.hits, found.n, found.runs) == ("pooled", 4, 300, 2)
    assert found.value == pytest.approx(4 / 300)
    assert found.ci95 == pytest.approx(interval.wilson(4, 300))


def test_other_figures_are_medians_of_the_runs() -> None:
    """Seven runs: the median of the seven medians, between the smallest and the largest; six are needed."""
    runs = [one(0.010 + n / 1000, seed=n) for n in range(7)]
    medians = sorted(float(str(metrics(each)[0].stats["median"])) for each in runs)
    found = row(combined(*runs), "ping_rtt_seconds")
    assert (found.method, found.runs, found.n_valid, found.hits) == ("median_of_runs", 7, 1400, None)
    assert found.value == medians[3]
    assert found.ci95 == [medians[0], medians[6]]
    assert row(combined(*runs[:5]), "ping_rtt_seconds").ci95 is None


def test_every_step_has_its_success_over_all_runs() -> None:
    """Of the valid attempts; an invalid one counts in nothing."""
    first, second = one(), one(seed=2)
    second.steps[0].attempts = [attempt(0, TARGET, outcome="failure"), attempt(1, TARGET, outcome="invalid")]
    found = row(combined(first, second), SUCCESS)
    assert (found.hits, found.n, found.better) == (1, 2, "higher")


def test_a_run_without_a_value_is_counted_as_such() -> None:
    """Everything lost: no round-trip time, but losses to pool."""
    found = combined(one(n=100), report([ping("gateway", {TARGET: [None] * 100})]))
    times = row(found, "ping_rtt_seconds")
    assert (times.runs, times.missing, times.n, times.n_lost) == (1, 1, 200, 100)
    assert row(found, "ping_packet_loss_ratio").hits == 100


def test_mixed_definitions_are_not_combined() -> None:
    """The figure is left out, with the two reports and the fact; the rest of the step stays."""
    first, second = one(), one(seed=2)
    second.seq = 500
    metrics(second)[0].method["socket"] = "datagram"
    found = combined(first, second)
    assert [(each.metric, each.first, each.second, each.facts[0].fact) for each in found.mixed] == [
        ("ping_rtt_seconds", 412, 500, "method.socket")
    ]
    assert all(each.metric != "ping_rtt_seconds" for each in found.rows)
    assert row(found, "ping_packet_loss_ratio").runs == 2


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_table_of_every_sample_report_is_shown(language: str) -> None:
    """Whatever is in them, on the terminal and as a spreadsheet."""
    view = View(sample_reports.DEFINITIONS, language, 80)
    found = combined(*(make() for make in sample_reports.ALL.values()))
    for everything in (False, True):
        text = combination_text.render(found, view, everything=everything)
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text)
    table = combination_text.csv(found, view)
    rows = list(csv.DictReader(io.StringIO(table.removeprefix("\ufeff"), newline="")))
    assert len(rows) == len(found.rows)
    assert not any(cell[:1] in ("=", "@") for each in rows for cell in each.values())


def test_nothing_combined_is_an_empty_table() -> None:
    """No reports, no rows, no fault."""
    found = combined()
    assert found.rows == []
    assert found.mixed == []
    assert found.reports == []
    assert combination_text.render(found, View()) == "0 runs\n"


# The commands


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Four reports in a store of this test, and `ots report` in it."""
    monkeypatch.setenv("OTS_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    i18n.choose("en")
    with Store.open(tmp_path) as store:
        for number, centre in enumerate((0.012, 0.020, 0.0125, 0.0121)):
            made = one(centre, seed=number)
            made.report_id = f"0192f6a2-5d2c-7cc1-9c1e-00000000000{number}"
            made.run.start = f"2026-03-0{number + 1}T08:00:00.000000Z"
            made.job.id = "HZ-1" if number < 2 else "HZ-2"
            with store.begin(made) as writer:
                writer.step(0, made.steps[0])
                made.run.state = "completed"
                writer.finish(made)

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(command, arguments, standalone_mode=False)

    return run


def test_diff_takes_references_and_prints_json(stored: Callable[..., Result]) -> None:
    """Older first; by number and from the end."""
    document = json.loads(stored("diff", "1", "-3", "--json").output)
    assert (document["a"]["seq"], document["b"]["seq"]) == (1, 2)
    assert document["changes"][0]["change"] == "worse"
    assert "Round-trip time" in stored("diff", "1", "2").output


def test_diff_of_a_report_with_itself_is_refused(stored: Callable[..., Result]) -> None:
    """Most likely a slip."""
    assert "both are report 4" in str(stored("diff", "last", "4").exception)


def test_combine_takes_names_and_filters(stored: Callable[..., Result]) -> None:
    """All of a job, of a case, since a date, or those that are named, each once."""

    def taken(*arguments: str) -> list[int]:
        numbers: list[int] = json.loads(stored("combine", *arguments, "--json").output)["reports"]
        return numbers

    assert taken("--job", "HZ-1") == [1, 2]
    assert taken("--case", "office-broadband") == [1, 2, 3, 4]
    assert taken("--since", "2026-03-02 12:00") == [3, 4]
    assert taken("4", "1", "last") == [1, 4]
    assert taken("1", "3", "--job", "HZ-2") == [3]


def test_combine_wants_to_be_told_what(stored: Callable[..., Result]) -> None:
    """Not simply everything; and what fits nothing is said."""
    assert "name the reports" in str(stored("combine").exception)
    assert "no such report" in str(stored("combine", "--case", "none").exception)


def test_combine_writes_a_spreadsheet(stored: Callable[..., Result], tmp_path: Path) -> None:
    """To the file that is named."""
    path = tmp_path / "table.csv"
    result = stored("combine", "--case", "office-broadband", "--format", "csv", "--output", str(path))
    assert result.exception is None
    rows = list(csv.DictReader(io.StringIO(path.read_text("utf-8-sig"), newline="")))
    loss = next(each for each in rows if each["metric"] == "ping_packet_loss_ratio")
    assert (loss["hits"], loss["n"], loss["runs"]) == ("0", "800", "4")


def test_export_knows_every_format(stored: Callable[..., Result], tmp_path: Path) -> None:
    """Each to a file with its own extension; an unknown one is refused with the names."""
    for name, extension in (("junit", "xml"), ("csv-samples", "csv"), ("markdown", "md"), ("nagios", "txt")):
        result = stored("export", "1", "--format", name, "--output", str(tmp_path))
        assert result.output.strip().endswith(f"1-office-broadband.{extension}")
    error = stored("export", "1", "--format", "../x").exception
    assert "csv-samples" in str(getattr(error, "remedy", ""))


def test_refusals_are_documents_too() -> None:
    """A refusal of a whole step has no metric and no labels."""
    found = compared(sample_reports.office(), one())
    assert Refusal(step="mail", metric=None, labels={}, reason="only_in_a", facts=[]) in found.not_compared


def test_many_targets_are_compared_in_no_time() -> None:
    """A sweep of 1,000 addresses against one of 1,000 others: nothing grows with the square."""

    def sweep(network: str) -> Report:
        return report(
            [ping("gateway", {f"{network}.{n // 250}.{n % 250}": [0.01, 0.02] for n in range(1000)})]
        )

    first, second = sweep("10.0"), sweep("10.9")
    began = time.process_time()
    found = compared(first, second)
    assert time.process_time() - began < 5
    assert len(found.not_compared) == 2 * 6 * 1000
