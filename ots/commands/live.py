"""What a person sees while a run goes on, on stderr, gone when it ends: a line for each running step, and
below it what a probe shows beyond that line (the hops of a trace)."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from ots.commands.output import is_interactive
from ots.engine.planner import Plan, PlannedStep
from ots.i18n import _
from ots.model.report import Report, Step


class _Bars(Progress):
    """Progress bars; what a step says beyond one line stands below them, as it is."""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        for task in self.tasks:
            if task.fields.get("below"):
                yield Text(task.fields["below"], no_wrap=True, overflow="ellipsis")


class LiveView:
    """A watcher that draws progress bars; silent when nobody watches the terminal."""

    def __init__(self) -> None:
        self._progress = _Bars(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TimeElapsedColumn(),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[text]}"),
            console=Console(stderr=True),
            transient=True,
            disable=not is_interactive(),
        )
        self._whole: TaskID | None = None
        self._tasks: dict[int, TaskID] = {}

    def __enter__(self) -> LiveView:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def started(self, plan: Plan, report: Report) -> None:
        if len(plan.steps) > 1:
            self._whole = self._progress.add_task(plan.case.id, total=len(plan.steps), text="")

    def cycle(self, number: int) -> None:
        if self._whole is not None:
            text = _("cycle {number}").format(number=number + 1) if number else ""
            self._progress.reset(self._whole, text=text)

    def step_started(self, planned: PlannedStep) -> None:
        self._tasks[planned.position] = self._progress.add_task("  " + planned.step.key, total=None, text="")

    def progress(self, planned: PlannedStep, fraction: float | None, text: str) -> None:
        if planned.position in self._tasks:
            total = None if fraction is None else 1.0
            beside, _newline, below = text.partition("\n")
            self._progress.update(
                self._tasks[planned.position],
                total=total,
                completed=fraction or 0.0,
                text=beside,
                below=below,
            )

    def waiting(self, planned: PlannedStep, lock: str, holder: int | None) -> None:
        text = _("waiting: another measurement uses {link}").format(link=lock)
        if holder is not None:
            text += " " + _("(process {pid})").format(pid=holder)
        self.progress(planned, None, text)

    def step_ended(self, planned: PlannedStep, step: Step) -> None:
        if planned.position in self._tasks:
            self._progress.remove_task(self._tasks.pop(planned.position))
        if self._whole is not None:
            self._progress.advance(self._whole)
