"""The hours of the day in which something may run: a schedule's window, in the zone of whoever wrote it."""

from __future__ import annotations

from dataclasses import dataclass

from ots.schedule.window import Window, closes


@dataclass(frozen=True, slots=True)
class Hours:
    window: Window
    zone: str

    def hold(self, moment: float) -> bool:
        """Whether this moment (seconds since 1970) lies in them."""
        return closes((self.window,), self.zone, moment) is not None

    def __str__(self) -> str:
        return f"{self.window} {self.zone}"
