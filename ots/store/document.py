"""Between a report and its bytes. The only module of the store that needs the model's codec, so it is
imported where a report is really written or read, never to list them.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable

import msgspec

from ots.model.outcome import Verdict, worst
from ots.model.report import Report, Step

_TARGETS_SHOWN = 120


def encode(report: Report) -> bytes:
    """The canonical bytes of a report: fields in the schema's order, keys of maps sorted, UTF-8, no spaces.

    These bytes are what is hashed, stored and sent.
    """
    return msgspec.json.encode(report, order="deterministic")


def pack(document: bytes) -> bytes:
    return zlib.compress(document, 6)


def unpack(body: bytes) -> bytes:
    """Raises zlib.error if the body isn't what `pack` made."""
    return zlib.decompress(body)


def pack_head(report: Report) -> bytes:
    """Everything of a report but its steps."""
    return pack(encode(msgspec.structs.replace(report, steps=[])))


def pack_step(step: Step) -> bytes:
    return pack(msgspec.json.encode(step, order="deterministic"))


def compose(head: bytes, steps: Iterable[bytes]) -> Report:
    """The report of a run that has not been finished: its last head and the steps that ended."""
    report = msgspec.json.decode(unpack(head), type=Report)
    report.steps = [msgspec.json.decode(unpack(step), type=Step) for step in steps]
    return report


def close_killed(report: Report) -> Report:
    """Ends a report whose process is gone.

    What the finished steps proved stays proven; the steps that never ended could not be judged, so that
    without a proven breach the verdict is `error`. When the run ended nobody knows: `end` and `duration` stay
    null.
    """
    verdicts: list[Verdict] = [step.verdict for step in report.steps]
    report.verdict = worst([*verdicts, "error"])
    report.run.state = "aborted"
    report.run.reason = "killed"
    report.run.end = None
    report.run.duration = None
    return report


def targets_of(report: Report) -> str:
    """The targets of all steps, each once, as one short line."""
    targets = dict.fromkeys(target for step in report.steps for target in step.targets)
    line = " ".join(targets)
    return line if len(line) <= _TARGETS_SHOWN else line[: _TARGETS_SHOWN - 1] + "…"
