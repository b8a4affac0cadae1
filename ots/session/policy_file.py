"""The policy in force on this machine: from its file, or the preset where there is none."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ots.config.place import SYSTEM_SETTINGS, user_settings
from ots.policy.document import MAX_BYTES, read_policy
from ots.policy.policy import Policy
from ots.strictyaml import YamlError

FILE = "policy.yaml"
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
