"""The context that the engine hands to a probe: everything it may touch, tied to its attempts."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from ots.clock import Clock
from ots.engine.recorder import AttemptRecorder
from ots.log import redact
from ots.model.metric import Value
from ots.model.outcome import QualityFlag
from ots.model.report import Artifact, LogLine
from ots.netio.net import SystemNet
from ots.probe import Budget, Failed, Guard, Net
from ots.stats.ceiling import Ceilings

T = TypeVar("T")

_LOG_LINES = 500


class StepLog:
    """The lines that a step keeps; the first ones win, and a last line says that there were more."""

    def __init__(self, clock: Clock, start: float) -> None:
        self._clock = clock
        self._start = start
        self.lines: list[LogLine] = []

    def debug(self, text: str) -> None:
        self._add("debug", text)

    def info(self, text: str) -> None:
        self._add("info", text)

    def warning(self, text: str) -> None:
        self._add("warning", text)

    def error(self, text: str) -> None:
        self._add("error", text)

    def _add(self, level: str, text: str) -> None:
        if len(self.lines) < _LOG_LINES:
            t = round(self._clock.monotonic() - self._start, 6)
            self.lines.append(LogLine(t=t, level=level, text=redact(text)))
        elif len(self.lines) == _LOG_LINES:
            self.lines.append(LogLine(t=self.lines[-1].t, level="warning", text="more lines were not kept"))


class AttemptContext:
    """Implements `ots.probe.Context` for one call of `run`: one recorder for each target."""

    def __init__(
        self,
        recorders: Mapping[str, AttemptRecorder],
        *,
        clock: Clock,
        start: float,
        deadline: float | None,
        budget: Budget,
        log: StepLog,
        workdir: Path,
        secret: Callable[[str], str],
        keep: Callable[[str, bytes], str],
        progress: Callable[[float | None, str], None],
        ceilings: Ceilings | None = None,
        guard: Guard | None = None,
    ) -> None:
        self.clock = clock
        self.deadline = deadline
        self.budget = budget
        self.log = log
        self.workdir = workdir
        self.artifacts: list[Artifact] = []
        self._recorders = recorders
        self._start = start
        self._secret = secret
        self._keep = keep
        self._progress = progress
        self._ceilings = ceilings or Ceilings()
        self.net: Net = SystemNet(clock, self.mark, guard)

    def _recorder(self, target: str | None) -> AttemptRecorder:
        if target is not None:
            return self._recorders[target]
        if len(self._recorders) != 1:
            raise ValueError("this run has several targets: say whose attempt it is with target=")
        return next(iter(self._recorders.values()))

    def _since_start(self, t: float | None) -> float:
        return (self.clock.monotonic() if t is None else t) - self._start

    def record(
        self,
        key: str,
        value: Value | None,
        *,
        target: str | None = None,
        t: float | None = None,
        reason: str | None = None,
        **labels: str,
    ) -> None:
        self._recorder(target).record(key, tuple(sorted(labels.items())), self._since_start(t), value, reason)

    def mark(
        self, trigger: str, *, t: float | None = None, source: str = "app", target: str | None = None
    ) -> None:
        if target is None and len(self._recorders) != 1:
            return
        self._recorder(target).mark(trigger, self._since_start(t), source)

    def method(self, *, target: str | None = None, **facts: Value | None) -> None:
        for recorder in self._recorders.values() if target is None else [self._recorders[target]]:
            recorder.method.update(facts)

    def tally(self, counted: object, *, target: str | None = None) -> None:
        self._recorder(target).tally = counted

    def flag(self, flag: QualityFlag, *, target: str | None = None) -> None:
        for recorder in self._recorders.values() if target is None else [self._recorders[target]]:
            recorder.flag(flag)

    def failed(self, target: str, failure: Failed) -> None:
        self._recorders[target].end(self._since_start(None), failure.error)

    def artifact(self, name: str, media_type: str, data: bytes) -> None:
        digest = self._keep(name, data) or hashlib.sha256(data).hexdigest()
        self.artifacts.append(Artifact(name=name, media_type=media_type, bytes=len(data), sha256=digest))

    def progress(self, fraction: float | None, text: str = "") -> None:
        self._progress(fraction, text)

    def ceiling(self, kind: str, *, tls: bool, connections: int) -> float | None:
        return self._ceilings.of(kind, tls=tls, connections=connections)

    def secret(self, reference: str) -> str:
        try:
            return self._secret(reference)
        except LookupError as missing:
            remedy = getattr(missing, "remedy", None)
            raise Failed("config", "config", "SECRET", str(missing), remedy=remedy) from None

    async def thread(self, function: Callable[..., T], *args: Any) -> T:
        return await asyncio.to_thread(function, *args)
