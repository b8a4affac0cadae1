"""Holds the contests of bench/NAME.py (without a name, of all), prints tables, ends 1 if a goal is missed."""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import sys
from pathlib import Path

import bench
from bench.contest import Bench, Outcome, hold
from bench.page import page
from bench.table import table

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"


def benches() -> dict[str, Bench]:
    """Every module here that offers contests, by name."""
    found = {}
    for module in pkgutil.iter_modules(bench.__path__):
        if module.name != "__main__":
            contests = getattr(importlib.import_module(f"bench.{module.name}"), "contests", None)
            if contests is not None:
                found[module.name] = contests
    return found


def main() -> int:
    known = benches()
    options = argparse.ArgumentParser(prog="python -m bench", description=(__doc__ or "").strip())
    options.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(sorted(known))}")
    options.add_argument("--rounds", type=int, help="turns for each contender instead of a contest's own")
    options.add_argument("--json", type=Path, metavar="FILE", help="write the outcome as JSON")
    options.add_argument("--write", action="store_true", help=f"write {PAGE.name} from this run")
    asked = options.parse_args()
    unknown = sorted(set(asked.names) - set(known))
    if unknown:
        options.error(f"no bench {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    outcomes: list[Outcome] = []
    for name in asked.names or sorted(known):
        with known[name]() as contests:
            for contest in contests:
                outcome = hold(contest, asked.rounds, _tell)
                outcomes.append(outcome)
                _tell("")
                print(table(outcome), end="\n\n", flush=True)
    if asked.json is not None:
        asked.json.write_text(json.dumps([outcome.document() for outcome in outcomes], indent=1) + "\n")
    if asked.write:
        PAGE.write_text(page(outcomes), "utf-8")
    missed = [outcome.contest.area for outcome in outcomes if not outcome.met]
    print(
        f"{len(outcomes) - len(missed)} of {len(outcomes)} rows met"
        + (f"; missed: {', '.join(missed)}" * bool(missed))
    )
    return 1 if missed else 0


def _tell(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
