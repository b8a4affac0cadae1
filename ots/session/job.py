"""Whose work a run is: the job that was named, or the open one, over the settings."""

from __future__ import annotations

from ots.config import Settings
from ots.model.report import Job
from ots.store.jobs import RATES, TEXTS, read_jobs


def job_of_run(settings: Settings, named: str | None) -> Job:
    """The job of a run that begins now.

    The id is the one that the run names (`--job`), else the environment's, else that of the open job, else
    the settings'. What was said of that job stands before the settings, a variable of the environment before
    both. So the customer of the open job never gets into the report of another one. Raises StoreError.
    """
    defaults = settings.job
    forced = {name for name in ("id", *TEXTS) if settings.origin(f"job.{name}").startswith("environment")}
    jobs = read_jobs(settings.data_dir)
    wanted = named or (defaults.id if "id" in forced else None)
    record = jobs.find(wanted) if wanted is not None else jobs.current
    job = Job(id=wanted or (defaults.id if record is None else record.id))
    for name in TEXTS:
        said = None if record is None or name in forced else getattr(record, name)
        setattr(job, name, getattr(defaults, name) if said is None else said)
    if record is not None:
        for name in RATES:
            setattr(job, name, getattr(record, name))
        job.notes = record.noted()
    return job


def add_late_notes(settings: Settings, job: Job) -> None:
    """Takes in what was noted while the run went on. Raises StoreError."""
    record = read_jobs(settings.data_dir).find(job.id)
    if record is not None:
        job.notes = record.noted()
