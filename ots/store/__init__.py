"""Keeps reports on this machine: crash-safe while a run goes on, quick to list, gentle to a full disk."""

from ots.store.entry import Entry
from ots.store.error import StoreError
from ots.store.shelf import Shelf
from ots.store.store import Store

__all__ = ["Entry", "Shelf", "Store", "StoreError"]
