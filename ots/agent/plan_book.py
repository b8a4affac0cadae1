"""The plans as the agent has them at hand: made anew only where something that they rest upon has changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ots.agent.plans import Planned, all_plans, folders
from ots.config import Settings
from ots.config.place import case_folders, settings_files, target_files
from ots.content.held import content_folder
from ots.remote import assignments, enrolled
from ots.session.speed_servers import fetched_file
from ots.store import licence_files

KEPT_FOR = 300.0
"""Seconds after which plans are made anew in any case: a licence ends and content grows old without a file
that says so. What a run may do is asked again when it begins."""

Stamp = tuple[str, int, int, int]
"""A file: its path, when it was written (ns), its size, its inode, which a replacement has of its own."""


class PlanBook:
    def __init__(self, settings: Settings, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._monotonic = monotonic
        self._plans: list[Planned] = []
        self._case_files: list[Path] = []
        self._rest_upon: tuple[str, list[Stamp]] | None = None
        self._made = 0.0

    def forget(self) -> None:
        """The next look makes every plan anew."""
        self._rest_upon = None

    def look_up(self, link: str) -> list[Planned]:
        """Every plan, for runs through this interface."""
        now, found = self._monotonic(), (link, list(self._stamps()))
        if found != self._rest_upon or now - self._made >= KEPT_FOR:
            self._plans, self._made = all_plans(self._settings, link), now
            known, self._case_files = self._case_files, sorted({Path(one.case.name) for one in self._plans})
            # Stamps count if they were taken before the reading; of cases just met there are none yet.
            self._rest_upon = found if known == self._case_files else None
        return self._plans

    def _stamps(self) -> Iterator[Stamp]:
        data = self._settings.data_dir
        for folder in (*folders(), *case_folders(), content_folder(data), data / licence_files.LICENCES):
            yield from _stamps_in(folder)
        yield from _stamps_in(data / licence_files.REVOCATIONS)
        for name in (enrolled.FILE, assignments.FILE, licence_files.ISSUERS):
            yield from _stamp(data / name)
        for path in (*settings_files(), *target_files(), fetched_file(), *self._case_files):
            yield from _stamp(path)


def _stamps_in(folder: Path) -> Iterator[Stamp]:
    try:
        paths = sorted(folder.iterdir())
    except OSError:
        return
    for path in paths:
        yield from _stamp(path)


def _stamp(path: Path) -> Iterator[Stamp]:
    """Nothing where there is no such file, which is a state as well."""
    try:
        found = path.stat()
    except (OSError, ValueError):  # ValueError: no name of a file at all
        return
    yield str(path), found.st_mtime_ns, found.st_size, found.st_ino
