"""The whole form of the database: every table, whichever module declares it."""

from __future__ import annotations

import importlib
import pkgutil

from sqlalchemy import MetaData

import ots.server.database
from ots.server.database.tables import metadata

_MODULES = "_tables"


def all_tables() -> MetaData:
    """The tables of `tables.py` and of every module beside it whose name ends with `_tables`."""
    package = ots.server.database
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        if module.name.endswith(_MODULES):
            importlib.import_module(module.name)
    return metadata
