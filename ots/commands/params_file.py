"""`--params FILE`: a probe's parameters from a YAML file, whose faults are told at their place in it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ots.commands.output import CommandError
from ots.i18n import _

if TYPE_CHECKING:
    from ots.strictyaml import Node, Problem


@dataclass(frozen=True, slots=True)
class ParamsFile:
    """The parameters of a file; `tree` remembers where each stands."""

    path: Path
    tree: Node
    values: dict[str, Any]

    @contextmanager
    def faults_in_place(self, overridden: Collection[str]) -> Iterator[None]:
        """Lets a CaseError name file, line and column of what came from here, not an option nobody gave."""
        from ots.schema.errors import CaseError

        places = {"--" + name.replace("_", "-"): name for name in self.values if name not in overridden}
        try:
            yield
        except CaseError as error:
            raise CaseError(
                [
                    self._placed(problem, places[problem.source]) if problem.source in places else problem
                    for problem in error.problems
                ]
            ) from None

    def _placed(self, problem: Problem, name: str) -> Problem:
        from ots.strictyaml import Problem, locate

        mark = locate(self.tree, (name,))
        message = problem.message if repr(name) in problem.message else f"{name}: {problem.message}"
        return Problem(str(self.path), mark.line, mark.column, message)


def read_params(path: Path) -> ParamsFile:
    """Reads the file. CommandError says what is wrong and where."""
    from ots.strictyaml import YamlError, compose, resolve

    problems: list[Problem] = []
    try:
        tree = compose(path.read_text("utf-8"), str(path))
        values = resolve(tree, problems, str(path))
        if problems:
            raise YamlError(problems)
    except YamlError as error:
        raise CommandError(str(error)) from None
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CommandError(_("cannot read {path}: {reason}").format(path=path, reason=reason)) from None
    if not isinstance(values, dict):
        raise CommandError(_("{path} must hold a mapping of parameters").format(path=path))
    return ParamsFile(path, tree, values)
