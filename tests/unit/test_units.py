"""Units: what people write, what it means, and that writing it again changes nothing."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ots import units
from ots.units import Dimension, UnitError

_FACTORS = {"µs": Decimal("1e-6")} | {
    name: factor for known in units.UNITS.values() for name, factor in known.items()
}


@pytest.mark.parametrize(
    ("text", "dimension", "value"),
    [
        ("200 ms", "duration", 0.2),
        ("200ms", "duration", 0.2),
        ("0.1 ms", "duration", 0.0001),
        ("15 min", "duration", 900.0),
        ("1 d", "duration", 86400.0),
        ("10 MB", "size", 10_000_000.0),
        ("64 KiB", "size", 65536.0),
        ("1.5 kB", "size", 1500.0),
        ("50 Mbit/s", "rate", 5e7),
        ("1 %", "ratio", 0.01),
        ("0.07 %", "ratio", 0.0007),
        ("-95 dBm", "power", -95.0),
        ("12 dB", "level", 12.0),
        ("1800 MHz", "frequency", 1.8e9),
        ("40 °C", "temperature", 40.0),
        ("5", "number", 5.0),
        ("1e3", "number", 1000.0),
    ],
)
def test_parse(text: str, dimension: Dimension, value: float) -> None:
    """A quantity is the float nearest to what was written, in base units."""
    assert units.parse(text, dimension) == value


@pytest.mark.parametrize(
    ("text", "dimension", "message"),
    [
        ("5", "duration", "5 has no unit: write 5 ms or 5 s"),
        ("0.01", "ratio", "0.01 has no unit: write 0.01 % or 1 %"),
        ("1", "ratio", "1 has no unit: write 1 %"),
        ("1800", "frequency", "1800 has no unit: write 1800 Hz"),
        ("5 MB", "duration", "'5 MB' is a size, not a duration: write it like 200 ms"),
        ("5 m", "duration", "unknown unit 'm': did you mean 'min'? (known: ns, us, ms, s, min, h, d)"),
        ("5 Ms", "duration", "unknown unit 'Ms': did you mean 'ms'? (known: ns, us, ms, s, min, h, d)"),
        (
            "50 MB/s",
            "rate",
            "unknown unit 'MB/s': did you mean 'Mbit/s'? (known: bit/s, kbit/s, Mbit/s, Gbit/s)",
        ),
        ("1,5 s", "duration", "'1,5 s' is no duration: write it like 200 ms (a decimal point, not a comma)"),
        (
            "1 min 30 s",
            "duration",
            "unknown unit 'min 30 s': did you mean 'min'? (known: ns, us, ms, s, min, h, d)",
        ),
        ("fast", "rate", "'fast' is no rate: write it like 50 Mbit/s"),
        ("", "size", "'' is no size: write it like 10 MB"),
        ("0.5 B", "size", "'0.5 B' is not a whole number of bytes"),
        ("5 s", "number", "'5 s' has a unit where a plain number belongs: write 5"),
        ("1e400 s", "duration", "'1e400 s' is too large for a number"),
    ],
)  # fmt: skip
def test_parse_refuses(text: str, dimension: Dimension, message: str) -> None:
    """What is no quantity of the dimension is refused with what would be one."""
    with pytest.raises(UnitError) as caught:
        units.parse(text, dimension)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("value", "dimension", "text"),
    [
        (0.2, "duration", "0.2 s"),
        (0.06, "duration", "60 ms"),
        (0.15, "duration", "150 ms"),
        (90.0, "duration", "90 s"),
        (900.0, "duration", "15 min"),
        (0.0, "duration", "0 s"),
        (1 / 3, "duration", "0.3333333333333333 s"),
        (65536, "size", "64 KiB"),
        (10_000_000, "size", "10 MB"),
        (5e7, "rate", "50 Mbit/s"),
        (0.07, "ratio", "7 %"),
        (5.0, "number", "5"),
    ],
)
def test_render(value: float, dimension: Dimension, text: str) -> None:
    """A value is written in the unit that needs the fewest digits."""
    assert units.render(value, dimension) == text


@given(value=st.floats(allow_nan=False, allow_infinity=False, width=64))
def test_render_is_undone_by_parse(value: float) -> None:
    """Whatever the value, reading what was written gives it back exactly."""
    for dimension in units.UNITS:
        if dimension != "size":
            assert units.parse(units.render(value, dimension), dimension) == value


@given(value=st.integers(min_value=0, max_value=2**53))
def test_whole_bytes_round_trip(value: int) -> None:
    """A size stays the same whole number of bytes."""
    assert units.parse(units.render(value, "size"), "size") == value


@pytest.mark.parametrize("dimension", units.UNITS)
def test_pattern_takes_the_example(dimension: Dimension) -> None:
    """The pattern that editors check with takes what messages propose, and no bare word."""
    assert re.search(units.pattern(dimension), units.EXAMPLES[dimension])
    assert not re.search(units.pattern(dimension), "fast")


@pytest.mark.parametrize(
    ("unit", "key", "dimension"),
    [
        ("s", "ping_rtt_seconds", "duration"),
        ("By", "http_download_bytes", "size"),
        ("1", "ping_packet_loss_ratio", "ratio"),
        ("1", "page_cls", "number"),
        ("{packet}", "ping_duplicates", "number"),
        ("dBm", "radio_rsrp_dbm", "power"),
    ],
)
def test_dimension_of_a_metric(unit: str, key: str, dimension: Dimension) -> None:
    """A metric's unit and key say how its limits are written."""
    assert units.dimension_of(unit, key) == dimension


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (4.12e8, "bit/s", "412 Mbit/s"),
        (0.0148, "s", "14.8 ms"),
        (0.04, "1", "4 %"),
        (541e6, "By", "541 MB"),
        (112.0, "s", "1 min 52 s"),
        (7500.0, "s", "2 h 5 min"),
        (0.9999, "s", "1 s"),
        (0.0, "s", "0 s"),
        (1234567.0, "{packet}", "1234567"),
        (-95.0, "dBm", "-95 dBm"),
    ],
)
def test_display(value: float, unit: str, text: str) -> None:
    """People read three significant digits in a fitting unit."""
    assert units.display(value, unit) == text


def test_an_mtu_is_said_in_bytes() -> None:
    """1500 B, never 1.5 kB."""
    assert units.display(1500, "By", key="path_mtu_bytes") == "1500 B"
    assert units.display(1500, "By", key="http_content_bytes") == "1.5 kB"


@given(
    bound=st.floats(min_value=1e-6, max_value=1e9),
    distance=st.floats(min_value=-1e-3, max_value=1e-3),
    unit=st.sampled_from(["s", "bit/s", "1", "By", "dBm"]),
)
def test_display_never_rounds_across_a_bound(bound: float, distance: float, unit: str) -> None:
    """What is shown lies on the same side of the bound as what was measured."""
    value = bound * (1 + distance)
    number, name = units.display(value, unit, bound=bound).split(" ")
    shown = float(Decimal(number) * _FACTORS[name])
    assert (shown > bound) == (value > bound)
    assert (shown < bound) == (value < bound)
