"""The files beside one report for reading: by the hash of their content, each read when it is asked for."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from ots.model.report import Report
from ots.store.artifacts import path_of

_DIGEST = re.compile(r"[0-9a-f]{64}")


class KeptFiles(Mapping[str, bytes]):
    """SHA-256 in hex to bytes, for what a report names.

    A file that is gone, can't be read or was changed is not in it: whoever reads a report can do without.
    """

    def __init__(self, folder: Path, report: Report) -> None:
        named = (artifact.sha256 for step in report.steps for artifact in step.artifacts)
        # A report may come from elsewhere: only what is a hash becomes a path.
        self._named = tuple(dict.fromkeys(digest for digest in named if _DIGEST.fullmatch(digest)))
        self._folder = folder

    def __getitem__(self, digest: str) -> bytes:
        if digest not in self._named:
            raise KeyError(digest)
        try:
            data = path_of(self._folder, digest).read_bytes()
        except OSError:
            raise KeyError(digest) from None
        if hashlib.sha256(data).hexdigest() != digest:
            raise KeyError(digest)
        return data

    def __iter__(self) -> Iterator[str]:
        return iter(self._named)

    def __len__(self) -> int:
        return len(self._named)
