"""Passwords and tokens: from the environment, from a private file, or typed. Never from an option.

A secret that was given out is blotted out of every log line.
"""

from __future__ import annotations

import os
import re
import stat
import sys
import threading
from pathlib import Path

from ots import log
from ots.config.place import secret_folders

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_MAX_BYTES = 64 * 1024


class SecretError(LookupError):
    """A secret can't be had; the message says where it was looked for, `remedy` what to do."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


class SecretStore:
    """Finds secrets and remembers them, so that nobody is asked twice."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}
        self._one_at_a_time = threading.Lock()

    def get(self, reference: str) -> str:
        """The value behind a name, or behind `env:NAME`, `file:PATH`, `prompt`. Raises SecretError.

        `${secret:NAME}`, as parameters hold it, means NAME.
        """
        reference = reference.removeprefix("${secret:").removesuffix("}")
        with self._one_at_a_time:
            if reference not in self._known:
                value = _find(reference)
                log.hide(value)
                self._known[reference] = value
            return self._known[reference]


def variable_of(name: str) -> str:
    """The variable of the environment that holds a secret: `mail.example` → `OTS_SECRET_MAIL_EXAMPLE`."""
    return "OTS_SECRET_" + re.sub(r"[^A-Z0-9]", "_", name.upper())


def _find(reference: str) -> str:
    source, colon, rest = reference.partition(":")
    if colon and source == "env":
        if rest not in os.environ:
            raise SecretError(f"the variable {rest} is not set", f"export {rest}=…")
        return os.environ[rest]
    if colon and source == "file":
        return _from_file(Path(rest).expanduser())
    if reference == "prompt":
        return _ask("password")
    if not _NAME.fullmatch(reference):
        raise SecretError(
            f"{reference[:64]!r} is no name of a secret", "Use letters, digits, dot, dash and underscore."
        )
    return _by_name(reference)


def _by_name(name: str) -> str:
    variable = variable_of(name)
    if variable in os.environ:
        return os.environ[variable]
    folders = secret_folders()
    for folder in folders:
        if (folder / name).exists():
            return _from_file(folder / name)
    if sys.stdin.isatty() and sys.stderr.isatty():
        return _ask(name)
    raise SecretError(
        f"the secret {name} is not known here",
        f"Set {variable}, or write it into {folders[0] / name} (mode 600).",
    )


def _from_file(path: Path) -> str:
    """The first line of a file that nobody else can read."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(_MAX_BYTES)
    except OSError as error:
        raise SecretError(
            f"the secret file {path} can't be read: {error.strerror}", "Name a file that you can read."
        ) from None
    if stat.S_ISREG(mode) and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise SecretError(f"others can read the secret file {path}", f"chmod 600 {path}")
    lines = content.decode("utf-8", "surrogateescape").splitlines()
    if not lines or not lines[0]:
        raise SecretError(f"the secret file {path} is empty", "Write the secret into its first line.")
    return lines[0]


def _ask(name: str) -> str:
    import getpass

    try:
        value = getpass.getpass(f"{name}: ", stream=sys.stderr)
    except EOFError:
        value = ""
    if not value:
        raise SecretError(f"no {name} was typed", f"Type it, or set {variable_of(name)}.")
    return value
