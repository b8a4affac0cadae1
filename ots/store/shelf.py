"""The reports of this machine for reading: the caller's own store and the system's, as one list."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from ots.config import data_dir, default_data_dir
from ots.config.place import SYSTEM_DATA, user_data_dir
from ots.store.database import FILE
from ots.store.entry import Entry, parse_reference
from ots.store.error import StoreError
from ots.store.store import Store, only

log = logging.getLogger("ots.store")


class Shelf:
    """Several stores read as one. The first is the caller's own."""

    def __init__(self, stores: Sequence[Store]) -> None:
        self._stores = {store.folder: store for store in stores}

    @classmethod
    def open(cls) -> Shelf:
        """The store of the data folder and, unless a setting chose that folder, the other usual one.

        A second store that can't be read is left out with a line in the log; the own one raises StoreError.
        """
        own = data_dir()
        stores = [_open_own(own)]
        if own == default_data_dir():
            for folder in (SYSTEM_DATA, user_data_dir()):
                if folder != own and _is_store(folder):
                    try:
                        stores.append(Store.open_read_only(folder))
                    except StoreError as error:
                        log.warning("%s %s", error, error.remedy)
        return cls(stores)

    def __enter__(self) -> Shelf:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for store in self._stores.values():
            store.close()

    def list(
        self,
        *,
        since: str | None = None,
        verdict: str | None = None,
        job: str | None = None,
        limit: int | None = None,
    ) -> Sequence[Entry]:
        """The newest first, of all stores together."""
        found = [
            entry
            for store in self._stores.values()
            for entry in store.list(since=since, verdict=verdict, job=job, limit=limit)
        ]
        if len(self._stores) > 1:
            found.sort(key=lambda entry: entry.start, reverse=True)
        return found if limit is None else found[:limit]

    def get(self, reference: str) -> Entry:
        """The one report that is meant; StoreError for none or several, ValueError for no reference."""
        wanted = parse_reference(reference)
        if wanted.back is not None:
            return only(self.list(limit=wanted.back)[wanted.back - 1 :], reference)
        return only([entry for store in self._stores.values() for entry in store.find(reference)], reference)

    def store_of(self, entry: Entry) -> Store:
        return self._stores[entry.folder]


def _open_own(folder: Path) -> Store:
    try:
        return Store.open(folder)
    except StoreError:
        if not _is_store(folder):
            raise
        return Store.open_read_only(folder)


def _is_store(folder: Path) -> bool:
    try:
        return (folder / FILE).is_file()
    except OSError:
        return False
