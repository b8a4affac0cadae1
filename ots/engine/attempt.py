"""One call of a probe's `run`: bounded in time, cancellable, and never lost."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Sequence

from pydantic import BaseModel

from ots import units
from ots.clock import Clock
from ots.engine.context import AttemptContext, StepLog
from ots.engine.recorder import AttemptRecorder
from ots.model.outcome import Phase
from ots.model.report import Error
from ots.probe import Failed, Probe, Target

GRACE = 2.0
"""Seconds that a cancelled probe gets to tidy up."""


async def attempt(
    probe: Probe,
    targets: Sequence[Target],
    params: BaseModel,
    context: AttemptContext,
    recorders: Sequence[AttemptRecorder],
    *,
    clock: Clock,
    start: float,
    limit: float,
    log: StepLog,
) -> None:
    """Runs the probe once and closes its recorders, whatever happens.

    Ended by `limit` seconds it is a `timeout`; cancelled from outside it is closed as `cancelled` and the
    cancellation goes on.
    """
    task = asyncio.create_task(probe.run(context, targets, params), name=f"probe {probe.kind}")
    cancelled = False
    try:
        await asyncio.wait({task}, timeout=limit)
    except asyncio.CancelledError:
        cancelled = True
    if not task.done():
        await _end(task, log)
    failed_with = _error_of(task, recorders, limit, log)
    error = _cancelled() if cancelled else failed_with
    for recorder in recorders:
        recorder.end(clock.monotonic() - start, error)
    if cancelled:
        raise asyncio.CancelledError


async def _end(task: asyncio.Task[None], log: StepLog) -> None:
    """Cancels a probe and waits for its tidying up, not for ever, and not ending early when pressed again."""
    task.cancel()
    deadline = time.monotonic() + GRACE
    while not task.done() and (left := deadline - time.monotonic()) > 0:
        try:
            await asyncio.wait({task}, timeout=left)
        except asyncio.CancelledError:
            continue
    if not task.done():
        log.warning(f"the probe did not tidy up within {GRACE:g} s of its cancellation")


def _cancelled() -> Error:
    return Error(class_="cancelled", phase="transfer", code="CANCELLED", message="cancelled")


def _error_of(
    task: asyncio.Task[None], recorders: Sequence[AttemptRecorder], limit: float, log: StepLog
) -> Error | None:
    if not task.done() or task.cancelled():
        return Error(
            class_="timeout",
            phase=_phase_reached(recorders),
            code="TIME_LIMIT",
            message=f"ended by the time limit after {units.display(limit, 's')}",
        )
    failure = task.exception()
    if failure is None:
        return None
    if isinstance(failure, Failed):
        return failure.error
    log.error("".join(traceback.format_exception(failure)))
    return Error(
        class_="internal",
        phase="analysis",
        code=type(failure).__name__,
        message=f"bug in the probe: {type(failure).__name__}: {failure}",
        remedy="report it with the step's log: ots report show --log",
    )


def _phase_reached(recorders: Sequence[AttemptRecorder]) -> Phase:
    """The phase in which time ran out, read from the trigger points and samples."""
    seen = {name for recorder in recorders for name in recorder.triggers}
    if "first_byte" in seen or any(recorder.columns for recorder in recorders):
        return "transfer"
    if "tls_start" in seen and "tls_done" not in seen:
        return "tls"
    if "connected" in seen:
        return "first_byte"
    return "connect" if "resolved" in seen else "resolve"
