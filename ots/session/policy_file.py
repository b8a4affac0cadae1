"""The policy in force on this machine: from its file, or the preset where there is none."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from ots.config.place import SYSTEM_DATA, SYSTEM_SETTINGS, default_data_dir, user_settings
from ots.config.whole_file import write_whole
from ots.policy.document import MAX_BYTES, VERSION, read_policy
from ots.policy.policy import Policy
from ots.strictyaml import Mapping, YamlError, compose

FILE = "policy.yaml"
_READABLE, _FOLDER = 0o644, 0o755
"""root writes it, and the agent's own user is to read it."""
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class UnsafePolicy(Exception):
    """A policy's file that others could have written; the message says which and how to mend it."""


def system_file() -> Path:
    return SYSTEM_SETTINGS.parent / FILE


def user_file() -> Path:
    return user_settings().parent / FILE


def policy_file() -> Path | None:
    """The file that counts: the system's, else the user's own; None if there is neither."""
    return next((path for path in (system_file(), user_file()) if os.path.lexists(path)), None)


def present_policy() -> Policy:
    """The policy at this moment. A file that can't be used leaves nothing to servers and says why."""
    path = policy_file()
    if path is None:
        return Policy()
    try:
        return read_policy(read_safely(path), str(path))
    except (UnsafePolicy, YamlError) as error:
        return Policy(source=str(path), fault=str(error))


def read_safely(path: Path) -> bytes:
    """The file's content. UnsafePolicy unless only root and this user can write it and put another in its
    place."""
    try:
        _check(path.parent.stat(), path.parent, folder=True)
        with open(path, "rb") as file:
            _check(os.fstat(file.fileno()), path, folder=False)
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UnsafePolicy(f"{path}: it can't be read: {error.strerror}") from None


def _check(found: os.stat_result, path: Path, *, folder: bool) -> None:
    if not folder and not stat.S_ISREG(found.st_mode):
        raise UnsafePolicy(f"{path}: this is no file")
    if found.st_uid not in (0, os.geteuid()):
        raise UnsafePolicy(
            f"{path}: it belongs to user {found.st_uid}, not to root or to you: chown root {path}"
        )
    sticky = folder and found.st_mode & stat.S_ISVTX
    if found.st_mode & _OTHERS_WRITE and not sticky:
        raise UnsafePolicy(f"{path}: others can write there: chmod go-w {path}")


def choose_preset(preset: str) -> Path:
    """Writes the preset into the policy's file and leaves the rest of it alone; returns the file.

    A new file is the system's where OTS is installed as a service and this user may write there. Raises
    UnsafePolicy, YamlError or OSError, and then nothing was written.
    """
    path = policy_file()
    if path is None:
        path = system_file() if default_data_dir() == SYSTEM_DATA and os.geteuid() == 0 else user_file()
        text = f"ots_policy: {VERSION}\npreset: {preset}\n"
    else:
        before = read_safely(path)
        read_policy(before, str(path))
        text = _with_preset(before.decode(), preset)
        read_policy(text.encode(), str(path))
    if not path.parent.exists():
        path.parent.mkdir(mode=_FOLDER, parents=True)
    new = not path.exists()
    write_whole(path, text.encode())
    if new:
        path.chmod(_READABLE)
    return path


def _with_preset(text: str, preset: str) -> str:
    """The text with another preset, in its line or behind the version's."""
    lines = text.splitlines()
    tree = compose(text)
    assert isinstance(tree, Mapping)
    known, version = tree.get("preset"), tree.get("ots_policy")
    if known is not None:
        line, column = known.mark.line - 1, known.mark.column - 1
        written = re.match(r"\"[^\"]*\"|'[^']*'|[a-z]+", lines[line][column:])
        end = column + (written.end() if written else 0)
        lines[line] = lines[line][:column] + preset + lines[line][end:]
    elif version is not None:
        lines.insert(version.mark.line, f"preset: {preset}")
    return "\n".join(lines) + "\n"
