"""Writes what the repository keeps but nobody should type: `make docs`; `make check` names what is stale."""
