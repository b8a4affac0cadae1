"""Quantities as people write them (`200 ms`, `10 MB`, `50 Mbit/s`, `1 %`) and as OTS computes with them.

A quantity is a number and one unit of a closed list for each dimension. Numbers go through `Decimal`, so that
`0.1 ms` is exactly the float nearest to 0.0001 and what `render` writes, `parse` reads back unchanged.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import Literal

Dimension = Literal[
    "duration",
    "size",
    "rate",
    "ratio",
    "power",
    "level",
    "frequency",
    "length",
    "speed",
    "angle",
    "temperature",
    "current",
    "number",
]
"""What a quantity is a quantity of. `power` is dBm, `level` dB, `number` has no unit."""

_FACTORS: dict[Dimension, dict[str, str]] = {
    "duration": {"ns": "1e-9", "us": "1e-6", "ms": "1e-3", "s": "1", "min": "60", "h": "3600", "d": "86400"},
    "size": {
        "B": "1",
        "kB": "1e3",
        "KiB": "1024",
        "MB": "1e6",
        "MiB": "1048576",
        "GB": "1e9",
        "GiB": "1073741824",
    },
    "rate": {"bit/s": "1", "kbit/s": "1e3", "Mbit/s": "1e6", "Gbit/s": "1e9"},
    "ratio": {"%": "0.01"},
    "power": {"dBm": "1"},
    "level": {"dB": "1"},
    "frequency": {"Hz": "1", "kHz": "1e3", "MHz": "1e6", "GHz": "1e9"},
    "length": {"m": "1", "km": "1e3"},
    "speed": {"m/s": "1"},
    "angle": {"deg": "1"},
    "temperature": {"°C": "1"},
    "current": {"mA": "1e-3", "A": "1"},
    "number": {},
}

UNITS: Mapping[Dimension, Mapping[str, Decimal]] = MappingProxyType(
    {
        dimension: MappingProxyType({unit: Decimal(factor) for unit, factor in units.items()})
        for dimension, units in _FACTORS.items()
    }
)
"""The units of each dimension with their factor to the base unit, ascending."""

EXAMPLES: Mapping[Dimension, str] = MappingProxyType(
    {
        "duration": "200 ms",
        "size": "10 MB",
        "rate": "50 Mbit/s",
        "ratio": "1 %",
        "power": "-95 dBm",
        "level": "12 dB",
        "frequency": "1800 MHz",
        "length": "150 m",
        "speed": "10 m/s",
        "angle": "90 deg",
        "temperature": "40 °C",
        "current": "250 mA",
        "number": "5",
    }
)

_UCUM: Mapping[str, Dimension] = MappingProxyType(
    {
        "s": "duration",
        "By": "size",
        "bit/s": "rate",
        "dBm": "power",
        "dB": "level",
        "Hz": "frequency",
        "m": "length",
        "m/s": "speed",
        "deg": "angle",
        "Cel": "temperature",
        "A": "current",
    }
)

_HINTS: Mapping[str, str] = MappingProxyType(
    {
        "µs": "us",
        "μs": "us",
        "sec": "s",
        "second": "s",
        "seconds": "s",
        "m": "min",
        "minute": "min",
        "minutes": "min",
        "hour": "h",
        "hours": "h",
        "day": "d",
        "days": "d",
        "bps": "bit/s",
        "b/s": "bit/s",
        "kbps": "kbit/s",
        "mbps": "Mbit/s",
        "gbps": "Gbit/s",
        "mb/s": "Mbit/s",
        "mbit": "Mbit/s",
        "percent": "%",
        "pct": "%",
        "bytes": "B",
        "byte": "B",
        "k": "kB",
        "g": "GB",
        "c": "°C",
    }
)

NUMBER = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?"
_QUANTITY = re.compile(rf"({NUMBER})\s*([^\s\d.,].*)?", re.ASCII)
_MAX_TEXT = 64
_READABLE_DIGITS = 8


class UnitError(ValueError):
    """The text is no quantity of this dimension; the message says what would be."""


def dimension_of(unit: str, key: str = "") -> Dimension:
    """The dimension of a metric from its UCUM unit and, for `1`, from its key: only `…_ratio` is a ratio."""
    if unit == "1":
        return "ratio" if key.endswith("_ratio") or not key else "number"
    return _UCUM.get(unit, "number")


def parse(text: str, dimension: Dimension) -> float:
    """The value in base units (seconds, bytes, bit/s, 0..1 …), or UnitError."""
    trimmed = text.strip()
    match = _QUANTITY.fullmatch(trimmed) if len(trimmed) <= _MAX_TEXT else None
    if match is None:
        hint = " (a decimal point, not a comma)" if re.match(r"[+-]?\d+,\d", trimmed) else ""
        raise UnitError(f"{_shown(text)} is no {_name(dimension)}: write it like {EXAMPLES[dimension]}{hint}")
    number, unit = match[1], (match[2] or "").strip()
    factor = _factor(number, unit, dimension)
    try:
        value = float(Decimal(number) * factor)
    except (InvalidOperation, OverflowError):
        value = math.inf
    if not math.isfinite(value):
        raise UnitError(f"{_shown(text)} is too large for a number")
    if dimension == "size" and not value.is_integer():
        raise UnitError(f"{_shown(text)} is not a whole number of bytes")
    return value


def render(value: float, dimension: Dimension) -> str:
    """The quantity as a case would write it, in the unit that needs the fewest digits; `parse` undoes it."""
    exact = Decimal(repr(value))
    written = {unit: _plain(exact / factor) for unit, factor in UNITS[dimension].items()}
    best = base(dimension)
    fewest = _READABLE_DIGITS if value else 0
    for unit, digits in written.items():
        if len(digits) <= fewest and parse(f"{digits} {unit}", dimension) == value:
            best, fewest = unit, len(digits)
    return f"{written[best]} {best}" if best else _plain(exact)


def base(dimension: Dimension) -> str:
    """The unit that values are kept in, as a case writes it (empty for a plain number; % for a ratio)."""
    return next(
        (unit for unit, factor in UNITS[dimension].items() if factor == 1 or dimension == "ratio"), ""
    )


def pattern(dimension: Dimension) -> str:
    """A regular expression (ECMA and Python) of the texts that `parse` accepts, for JSON Schema."""
    if dimension == "number":
        return rf"^\s*{NUMBER}\s*$"
    return rf"^\s*{NUMBER}\s*(?:{'|'.join(re.escape(unit) for unit in UNITS[dimension])})\s*$"


def _factor(number: str, unit: str, dimension: Dimension) -> Decimal:
    units = UNITS[dimension]
    if unit in units:
        return units[unit]
    if not units:
        if unit:
            raise UnitError(f"'{number} {unit}' has a unit where a plain number belongs: write {number}")
        return Decimal(1)
    if not unit:
        raise UnitError(f"{number} has no unit: write {_with_unit(number, dimension)}")
    other = next((name for name, known in UNITS.items() if unit in known), None)
    if other is not None and unit not in _HINTS:
        wrong, right = _name(other), _name(dimension)
        raise UnitError(f"'{number} {unit}' is a {wrong}, not a {right}: write it like {EXAMPLES[dimension]}")
    raise UnitError(f"unknown unit {_shown(unit)}{_suggestion(unit, dimension)}")


def _suggestion(unit: str, dimension: Dimension) -> str:
    units = UNITS[dimension]
    hint = _HINTS.get(unit, _HINTS.get(unit.lower(), ""))
    folded = {known.lower(): known for known in units}
    close = difflib.get_close_matches(unit.lower(), folded, n=1, cutoff=0.5)
    guess = hint if hint in units else folded.get(unit.lower(), folded[close[0]] if close else "")
    known = ", ".join(units)
    return f": did you mean {guess!r}? (known: {known})" if guess else f" (known: {known})"


def _with_unit(number: str, dimension: Dimension) -> str:
    """The two likeliest readings of a bare number."""
    if dimension == "ratio":
        value = Decimal(number)
        share = f" or {_plain(value * 100)} %" if 0 < value < 1 else ""
        return f"{number} %{share}"
    usual = {"duration": ("ms", "s"), "size": ("B", "MB"), "rate": ("kbit/s", "Mbit/s")}.get(dimension)
    if usual is None:
        return f"{number} {base(dimension)}"
    return f"{number} {usual[0]} or {number} {usual[1]}"


def _plain(value: Decimal) -> str:
    """Shortest decimal text, without an exponent as long as that stays readable."""
    value = value.normalize()
    _, digits, exponent = value.as_tuple()
    if isinstance(exponent, int) and exponent >= -20 and len(digits) + max(exponent, 0) <= 21:
        return f"{value:f}"
    return f"{value:e}"


def _name(dimension: Dimension) -> str:
    return {"power": "power in dBm", "level": "level in dB"}.get(dimension, dimension)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")


def display(value: float, unit: str, *, key: str = "", bound: float | None = None) -> str:
    """A metric's value for a reader: `412 Mbit/s`, `14.8 ms`, `4 %`, three significant digits.

    `unit` is UCUM. With a `bound` as many digits are shown as it takes to stay on the value's side of it.
    """
    dimension = dimension_of(unit, key)
    if dimension == "duration" and abs(value) >= 60 and bound is None:
        return _clock_time(value)
    name, factor = ("B", Decimal(1)) if counted_in_bytes(key) else _scale(value, dimension)
    scaled = Decimal(repr(float(value))) / factor
    for digits in range(3, 18):
        text = _significant(scaled, digits)
        if bound is None or _side(float(Decimal(text) * factor), bound) == _side(value, bound):
            break
    return f"{text} {name}".rstrip()


def counted_in_bytes(key: str) -> bool:
    """Whether people say this size in bytes, however large: an MTU is 1500 B, never 1.5 kB."""
    return key.endswith("_mtu_bytes")


def _scale(value: float, dimension: Dimension) -> tuple[str, Decimal]:
    """The decimal unit that leaves one to three digits before the point, and its factor."""
    if dimension == "duration":
        units = {"µs": Decimal("1e-6"), "ms": Decimal("1e-3"), "s": Decimal(1)}
    else:
        units = {name: size for name, size in UNITS[dimension].items() if "iB" not in name}
    if not units or not value:
        return base(dimension), Decimal("0.01") if dimension == "ratio" else Decimal(1)
    fitting = [name for name, factor in units.items() if abs(value) >= float(factor) * 0.9995]
    name = fitting[-1] if fitting else next(iter(units))
    return name, units[name]


def _significant(value: Decimal, digits: int) -> str:
    """The number with so many significant digits, whole numbers never cut, no trailing zeros, no exponent."""
    text = f"{value:.{max(0, digits - 1 - value.adjusted()) if value else 0}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _side(value: float, bound: float) -> int:
    return (value > bound) - (value < bound)


def _clock_time(seconds: float) -> str:
    """`1 min 52 s`, `2 h 5 min`, `3 d 4 h`: two units."""
    whole = round(abs(seconds))
    sign = "-" if seconds < 0 else ""
    for big, size, small, part in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= size:
            rest = whole % size // part
            return f"{sign}{whole // size} {big}" + (f" {rest} {small}" if rest else "")
    return f"{sign}{whole} s"
