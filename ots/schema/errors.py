"""What a caller of this package has to catch."""

from __future__ import annotations

from ots.strictyaml import Problem, YamlError

__all__ = ["CaseError", "Problem"]


class CaseError(YamlError):
    """A case, or what was asked for on the command line, can't be planned; `problems` says all of why."""
