"""`make lab`: holds OTS against links whose properties are known, and writes docs/accuracy.md.

Needs root, for network namespaces. Ends 1 if a row is missed. `python -m tests.lab NAME …` runs single
sections and only prints.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from tests.lab import delays, emulation, goodput, speed_clients, tapped, udp, under_load, validity
from tests.lab.page import line, page
from tests.lab.row import Row, Section

PAGE = Path(__file__).parents[2] / "docs" / "accuracy.md"
SECTIONS: dict[str, Section] = {
    "emulation": emulation.emulation,
    "round_trips": delays.round_trips,
    "tapped": tapped.tapped,
    "losses": delays.losses,
    "variations": delays.variations,
    "udp_echo": udp.udp_echo,
    "goodput": goodput.goodput,
    "pausing": goodput.pausing,
    "asymmetric": goodput.asymmetric,
    "speed_clients": speed_clients.speed_clients,
    "under_load": under_load.under_load,
    "validity": validity.validity,
}


def main() -> int:
    options = argparse.ArgumentParser(
        prog="python -m tests.lab", description=(__doc__ or "").partition("\n")[0]
    )
    options.add_argument("names", nargs="*", metavar="SECTION", help=f"of {', '.join(SECTIONS)}; none: all")
    options.add_argument("--write", action="store_true", help=f"write {PAGE.name} from this run")
    asked = options.parse_args()
    unknown = sorted(set(asked.names) - set(SECTIONS))
    if unknown:
        options.error(f"no section {', '.join(unknown)}; there are {', '.join(SECTIONS)}")
    if os.geteuid() != 0:
        print("the lab makes network namespaces: run it as root", file=sys.stderr)
        return 1
    rows: list[Row] = []
    start = time.monotonic()
    for name in asked.names or SECTIONS:
        for row in SECTIONS[name]():
            rows.append(row)
            print(line(row), flush=True)
    if asked.write:
        PAGE.write_text(page(rows), "utf-8")
    missed = sum(not row.met for row in rows)
    print(f"{len(rows) - missed} of {len(rows)} rows met, in {time.monotonic() - start:.0f} s")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
