"""`ots` as a user runs it: in a process of its own, with a data folder of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class CommandLine:
    """Runs `ots` with the home and the data folder below `folder`."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("OTS_")}
        return {
            **kept,
            "HOME": str(self.folder),
            "XDG_CONFIG_HOME": str(self.folder / "config"),
            "OTS_DATA_DIR": str(self.folder / "data"),
            "OTS_LANG": "en",
        }

    def run(self, *arguments: str, limit: float = 60, **more: Any) -> subprocess.CompletedProcess[str]:
        """Runs one command to its end; asserts that no traceback was shown."""
        done = subprocess.run(
            [sys.executable, "-m", "ots", *arguments],
            env={**self.environment, **more.pop("env", {})},
            capture_output=True,
            text=True,
            timeout=limit,
            check=False,
            **more,
        )
        assert "Traceback" not in done.stdout + done.stderr, done.stderr
        return done

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """Starts a command and returns at once."""
        return subprocess.Popen(
            [sys.executable, "-m", "ots", *arguments],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def json(self, *arguments: str, code: int = 0, **more: Any) -> Any:
        """The JSON document that a command prints; asserts its exit code."""
        done = self.run(*arguments, "--json", **more)
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)

    def reports(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.json("report", "list")["reports"]
        return rows

    def report(self, reference: str = "last") -> dict[str, Any]:
        """A stored report as its document."""
        document: dict[str, Any] = self.json("report", "show", reference)
        return document
