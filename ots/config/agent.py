"""The identity of this installation: a random UUID in the data folder. Deleting the file resets it."""

from __future__ import annotations

import os
import tempfile
import uuid
from pathlib import Path

from ots.config.layers import SettingsError

FILE = "agent-id"


def agent_id(folder: Path) -> str:
    """The id; made when there is none. Several processes that start at once agree on one."""
    path = folder / FILE
    try:
        found = _read(path)
        return found if found is not None else _make(path)
    except OSError as error:
        raise SettingsError(
            f"{path}: this installation's id can't be kept: {error.strerror or error}.",
            "Give yourself the right to write there, or set OTS_DATA_DIR to a folder of your own.",
        ) from None


def _read(path: Path) -> str | None:
    """The id in the file, None if there is no file; a file with something else in it is an error."""
    try:
        text = path.read_text("ascii", "replace").strip()
    except FileNotFoundError:
        return None
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise SettingsError(
            f"{path}: this is no agent id: {text[:40]!r}.", "Delete the file: a new id is made then."
        ) from None


def _make(path: Path) -> str:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=".agent-id-")
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"{uuid.uuid4()}\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)  # fails if another process was faster; a rename would replace its id
        except FileExistsError:
            pass
        except OSError:
            os.replace(draft, path)  # a file system without links
    finally:
        Path(draft).unlink(missing_ok=True)
    made = _read(path)
    assert made is not None
    return made
