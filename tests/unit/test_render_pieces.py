"""The pure pieces that the renderers are made of: numbers, limits, axes, sparklines, lines of text."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.text import Text

from ots.model.report import Error
from ots.reports import limit
from ots.reports.chart import instant
from ots.reports.flow import flow, hanging, wrap
from ots.reports.format import View
from ots.reports.panels import axes, condense
from ots.reports.plain import plain, shorten
from ots.reports.quantity import duration, scale, shown, span
from ots.reports.reading import Reader
from ots.reports.sparkline import sparkline
from ots.reports.ticks import ticks, time_ticks
from tests.unit import sample_reports

numbers = st.floats(min_value=1e-9, max_value=1e12)


@pytest.mark.parametrize(
    ("value", "unit", "key", "text"),
    [
        (0.0148, "s", "", "14.8 ms"),
        (0.00003152, "s", "", "31.5 µs"),
        (112.3, "s", "", "1 min 52 s"),
        (412.3e6, "bit/s", "", "412 Mbit/s"),
        (541_200_000.0, "By", "", "541 MB"),
        (0.04, "1", "ping_packet_loss_ratio", "4 %"),
        (24, "{packet}", "", "24"),
        (None, "s", "", "—"),
        ("open", "1", "", "open"),
        ({"NOERROR": 4, "SERVFAIL": 1}, "1", "", "NOERROR × 4, SERVFAIL × 1"),
    ],
)
def test_values_are_shown_with_their_unit(
    value: float | str | dict[str, int] | None, unit: str, key: str, text: str
) -> None:
    """Three significant digits, a decimal prefix, percent for ratios."""
    assert shown(value, unit, key) == text


def test_a_value_is_never_rounded_to_the_other_side_of_its_limit() -> None:
    """60.02 ms beside a limit of 60 ms is not shown as 60 ms."""
    assert shown(0.06002, "s", limit=0.06) == "60.02 ms"
    assert shown(0.05998, "s", limit=0.06) == "59.98 ms"


def test_numbers_that_stand_together_share_a_scale() -> None:
    """The first decides the unit and the decimals of all."""
    fit = scale([0.012, 0.0112, 0.0193], "s")
    assert [fit.number(value) for value in (0.012, 0.0112, 0.0193)] == ["12.0", "11.2", "19.3"]
    assert fit.unit == "ms"
    assert scale([0.0, 0.0], "s").unit == "ms"
    assert scale([], "1", "trace_hops").number(3) == "3"


@given(value=numbers)
def test_a_scale_leaves_at_most_four_digits_before_the_point(value: float) -> None:
    """Up to 10¹² of the largest unit's size, and never an exponent."""
    fit = scale([value], "bit/s")
    if value < 1e12:
        assert len(fit.number(value).partition(".")[0]) <= 4
    assert "e" not in fit.number(value)


def test_intervals_and_durations() -> None:
    """An interval has one unit; a duration is in words."""
    assert span(0.00707, 0.195, "1", "x_ratio") == "0.71–20 %"
    assert span(0.0, 0.161, "1", "x_ratio") == "0–16 %"
    assert duration(9.84) == "9.8 s"
    assert duration(0.18) == "180 ms"
    assert duration(3600 * 2 + 300) == "2 h 5 min"


@pytest.mark.parametrize(
    ("expression", "words", "number"),
    [
        ("< 60 ms", "warn from 60 ms", 0.06),
        ("<= 1 %", "warn above 1 %", None),
        (">= 50 Mbit/s", "warn below 50 Mbit/s", None),
        ("> 3 s", "warn up to 3 s", 3.0),
        ("between 1 s 2 s", "warn unless between 1 s 2 s", None),
        ("== 5 ms", "warn unless == 5 ms", 0.005),
    ],
)
def test_limits_say_when_they_are_breached(expression: str, words: str, number: float | None) -> None:
    """A limit is written as what must hold and read as what would breach it."""
    assert limit.in_words(expression, "warn", str) == words
    assert limit.number(expression, "s", "x_seconds") == number


@given(low=st.floats(0, 1e6), width=st.floats(1e-6, 1e6), about=st.integers(1, 12))
def test_ticks_are_round_ascend_and_cover_the_range(low: float, width: float, about: int) -> None:
    """The first is not above the lowest value, the last not below the highest, and there are not too many."""
    found = ticks(low, low + width, about)
    slack = width * 1e-6 + 1e-9 * abs(low)
    assert found == sorted(set(found))
    assert found[0] <= low + slack
    assert found[-1] >= low + width - slack
    assert len(found) <= about + 3


@given(start=st.floats(0, 1e5), width=st.floats(1e-3, 1e5))
def test_time_ticks_lie_inside(start: float, width: float) -> None:
    """No tick before the start or after the end."""
    for tick in time_ticks(start, start + width, 6):
        assert start - width * 1e-6 <= tick <= start + width * (1 + 1e-6)


def test_a_sparkline_has_a_mark_for_each_sample_or_the_worst_of_several() -> None:
    """Up to the width one by one; beyond it in groups, of which the worst counts and a loss is the worst."""
    assert sparkline([1, 2, 3, 4, 5, 6, 7, 8], 8) == "▁▂▃▄▅▆▇█"
    assert sparkline([1, None, 8], 10) == "▁×█"
    assert sparkline([1, 8, 1, 1], 2) == "█▁"
    assert sparkline([1, 8, 8, 8], 2, worst="low") == "▁█"
    assert sparkline([None, None], 5) == "××"
    assert sparkline([], 5) == ""
    assert sparkline([5, 5, 5], 5) == "▁▁▁"


@given(
    values=st.lists(st.one_of(st.none(), st.floats(0, 1e3)), max_size=300),
    width=st.integers(1, 120),
)
def test_a_sparkline_never_exceeds_its_width_and_never_hides_a_loss(
    values: list[float | None], width: int
) -> None:
    """Whatever the samples are."""
    line = sparkline(values, width)
    assert len(line) <= width
    assert ("×" in line) == (None in values)


@given(text=st.text(max_size=200), width=st.integers(8, 100))
def test_wrapping_keeps_the_words_and_the_width(text: str, width: int) -> None:
    """Every line fits, and nothing but spaces gets lost."""
    safe = plain(text)
    lines = wrap(Text(safe), width)
    assert all(line.cell_len <= width for line in lines)
    assert "".join("".join(line.plain for line in lines).split()) == "".join(safe.split())


@pytest.mark.parametrize("width", [-3, 0, 1])
def test_wrapping_ends_also_where_there_is_no_room(width: int) -> None:
    """One character a line is the least."""
    assert [line.plain for line in wrap(Text("ab c"), width)] == ["a", "b", "c"]


def test_pieces_flow_into_lines_and_stay_whole() -> None:
    """A piece that does not fit goes to the next line; a hanging body keeps its column."""
    pieces = [Text("alpha beta"), Text("gamma"), Text("delta")]
    assert [line.plain for line in flow(pieces, 20)] == ["alpha beta   gamma", "delta"]
    body = [Text("one"), Text("two")]
    assert [line.plain for line in hanging(Text("x"), body, 4)] == ["x   one", "    two"]
    assert [line.plain for line in hanging(Text("long head"), body, 4)] == ["long head", "    one", "    two"]


@given(text=st.text())
def test_plain_text_is_one_printable_line(text: str) -> None:
    """No control character, no line break, no direction override is left."""
    made = plain(text)
    assert len(made.splitlines()) <= 1
    assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in made)
    assert not any(char in made for char in "\u202a\u202b\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f")


def test_long_names_are_cut_in_the_middle() -> None:
    """Both ends of a name stay."""
    assert shorten("abcdefghij", 10) == "abcdefghij"
    assert shorten("abcdefghijklm", 10) == "abcdef…klm"
    assert cell_len(shorten("a" * 500, 90)) == 90


def test_condensing_keeps_extremes_and_losses() -> None:
    """A spike and a loss among 10,000 samples survive; the number of points is bounded."""
    points: list[tuple[float, float | None]] = [(t / 10, 1.0 + math.sin(t) / 100) for t in range(10_000)]
    points[5_000] = (500.0, 99.0)
    points[7_001] = (700.1, None)
    kept = condense(points, 600)
    assert len(kept) <= 602
    assert (500.0, 99.0) in kept
    assert (700.1, None) in kept
    assert kept == sorted(kept, key=lambda point: point[0])


def test_instants_on_an_axis_differ_from_each_other() -> None:
    """Half seconds after the first minute are told apart; whole ones are in minutes."""
    assert [instant(t, fine=True) for t in (0.0, 0.5, 93.5, 94.0)] == ["0 s", "500 ms", "93.5 s", "94 s"]
    assert [instant(t, fine=False) for t in (0.0, 30.0, 95.0)] == ["0 s", "30 s", "1 min 35 s"]


def test_steps_share_an_axis_if_they_overlap_or_follow_each_other_at_a_like_scale() -> None:
    """Transfers and the latency under load stand together; what is far shorter gets an axis of its own."""
    reader = Reader(View(sample_reports.DEFINITIONS))
    found = axes(sample_reports.office(), reader)
    groups = [[panel.step for panel in axis.panels] for axis in found]
    assert ["down", "loaded", "up"] in groups
    for axis in found:
        times = [t for panel in axis.panels for line in panel.lines for t, _value in line.points]
        assert axis.start <= min(times)
        assert axis.end >= max(times)


def test_an_error_says_nothing_twice() -> None:
    """A message that only repeats the class adds no word."""
    error = Error(class_="cancelled", phase="transfer", code="cancelled", message="cancelled")
    assert Reader(View({}, "en")).error(error) == "cancelled (transfer)"
    error.message = "the operator said so"
    assert Reader(View({}, "en")).error(error) == "cancelled (transfer): the operator said so"
