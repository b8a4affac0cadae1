"""The jobs of one user: which one is open, and what was said of each. One small file beside the reports."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from ots.config.whole_file import write_whole
from ots.store.error import StoreError, explained
from ots.store.folder import make_private
from ots.store.liveness import exclusive

FORMAT = 1
TEXTS = ("customer", "site", "engineer", "purpose", "plan")
RATES = ("subscribed_down_bits_per_second", "subscribed_up_bits_per_second")
_MAX_BYTES = 16_000_000


class Note(msgspec.Struct, kw_only=True):
    """Something that was seen on the job. `time` is RFC 3339 UTC."""

    time: str
    text: str


class JobRecord(msgspec.Struct, kw_only=True):
    """One job. Everything but its id and start is null where nobody said; times are RFC 3339 UTC."""

    id: str
    customer: str | None = None
    site: str | None = None
    engineer: str | None = None
    purpose: str | None = None
    plan: str | None = None
    subscribed_down_bits_per_second: float | None = None
    subscribed_up_bits_per_second: float | None = None
    started: str
    finished: str | None = None
    notes: list[Note] = []

    def note(self, text: str, now: str) -> Note:
        """Adds a note."""
        self.notes.append(Note(time=now, text=text))
        return self.notes[-1]

    def noted(self) -> list[str]:
        """The notes as a report holds them: each after its time."""
        return [f"{note.time} {note.text}" for note in self.notes]


class Jobs(msgspec.Struct, kw_only=True):
    """All jobs of a user, the newest last. `open` is the id of the one that runs now belong to."""

    format: int = FORMAT
    open: str | None = None
    jobs: list[JobRecord] = []

    def find(self, job_id: str | None) -> JobRecord | None:
        return next((job for job in self.jobs if job.id == job_id), None)

    @property
    def current(self) -> JobRecord | None:
        return None if self.open is None else self.find(self.open)

    def start(self, job_id: str, said: dict[str, str | float], now: str) -> JobRecord:
        """Opens a job, anew if it was finished; what is said of it replaces what was said before."""
        record = self.find(job_id)
        if record is None:
            record = JobRecord(id=job_id, started=now)
            self.jobs.append(record)
        for name, value in said.items():
            setattr(record, name, value)
        record.finished = None
        self.open = job_id
        return record

    def finish(self, now: str) -> JobRecord | None:
        """Closes the open job; None if there is none."""
        record = self.current
        if record is not None:
            record.finished = now
        self.open = None
        return record


def path_of(folder: Path) -> Path:
    """The file of the user who asks: several may share a data folder, and each has a job of their own."""
    return folder / f"jobs-{os.getuid()}.json"


def read_jobs(folder: Path) -> Jobs:
    """The jobs kept in a data folder, none if there is no file. Raises StoreError if it can't be used."""
    path = path_of(folder)
    with explained(path):
        try:
            with path.open("rb") as file:
                content = file.read(_MAX_BYTES)
        except FileNotFoundError:
            return Jobs()
    try:
        jobs = msgspec.json.decode(content, type=Jobs)
    except (msgspec.DecodeError, RecursionError) as error:
        raise StoreError(
            f"The file of jobs {path} is damaged: {error}.", "Move it away; the next job begins a new one."
        ) from None
    if jobs.format > FORMAT:
        raise StoreError(
            f"The file of jobs {path} has format {jobs.format}; this OTS reads format {FORMAT}.",
            "Update OTS.",
        )
    return jobs


@contextmanager
def changing(folder: Path) -> Iterator[Jobs]:
    """The jobs for a change, which is written at the end unless an exception leaves the block.

    One process at a time: two notes taken at once are both kept. Raises StoreError.
    """
    path = path_of(folder)
    with explained(path):
        make_private(folder)
        with exclusive(folder / f".{path.name}.lock"):
            jobs = read_jobs(folder)
            yield jobs
            write_whole(path, msgspec.json.format(msgspec.json.encode(jobs), indent=2))
