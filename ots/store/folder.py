"""Folders that only their owner can read."""

from __future__ import annotations

from pathlib import Path


def make_private(folder: Path) -> None:
    """Makes the folder for its owner only; one that exists keeps its rights."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
