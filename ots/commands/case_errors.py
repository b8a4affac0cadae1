"""Broken cases as a command reports them: every problem, exit code 2."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ots.commands.output import CommandError

if TYPE_CHECKING:
    from ots.strictyaml import Problem


@contextmanager
def case_errors() -> Iterator[None]:
    """Turns what is wrong with a case, or that it isn't there, into a CommandError."""
    from ots.schema.load import CaseError
    from ots.session.find_case import CaseNotFound

    try:
        yield
    except CaseError as error:
        details = [problem_document(problem) for problem in error.problems]
        raise CommandError(str(error), details=details) from None
    except CaseNotFound as error:
        raise CommandError(str(error)) from None


def problem_document(problem: Problem) -> dict[str, Any]:
    """One problem as JSON; line and column count from 1, and are 0 for an option."""
    return {
        "source": problem.source,
        "line": problem.line,
        "column": problem.column,
        "message": problem.message,
    }
