"""The colour of each verdict on a terminal; its mark says the same without colour."""

from __future__ import annotations

from ots.model.outcome import Verdict

STYLES: dict[Verdict, str] = {
    "pass": "green",
    "measured": "cyan",
    "fail": "bold red",
    "warn": "yellow",
    "error": "magenta",
    "skipped": "bright_black",
}
