"""Broken cases as a command reports them: every problem, exit code 2."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ots.commands.output import CommandError


@contextmanager
def case_errors() -> Iterator[None]:
    """Turns what is wrong with a case, or that it isn't there, into a CommandError."""
    from ots.schema.load import CaseError
    from ots.session.prepare import CaseNotFound

    try:
        yield
    except CaseError as error:
        details = [
            {
                "source": problem.source,
                "line": problem.line,
                "column": problem.column,
                "message": problem.message,
            }
            for problem in error.problems
        ]
        raise CommandError(str(error), details=details) from None
    except CaseNotFound as error:
        raise CommandError(str(error)) from None
