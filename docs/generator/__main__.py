"""`python -m docs.generator [--check]`: the command index, the reference pages, the message catalogues."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from docs.generator import reference
from docs.generator.catalogues import compiled
from docs.generator.command_index import command_index
from docs.generator.probes import built_in
from ots import i18n
from ots.schema.publish import case_schema
from ots.schema.report import report_schema

ROOT = Path(__file__).parents[2]


def main() -> int:
    """Returns 0, or 1 if --check found something stale."""
    parser = argparse.ArgumentParser(prog="make docs", description="Writes what is generated.")
    parser.add_argument(
        "--check", action="store_true", help="write nothing, name what is stale, exit 1 if any is"
    )
    check = parser.parse_args().check
    i18n.choose("en")
    stale = 0
    for path, content in outputs():
        if path.exists() and path.read_bytes() == content:
            continue
        stale += 1
        if check:
            print(f"stale: {path.relative_to(ROOT)} (make docs writes it anew)", file=sys.stderr)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            print(f"wrote {path.relative_to(ROOT)}")
    return 1 if check and stale else 0


def outputs() -> Iterator[tuple[Path, bytes]]:
    """Every generated file and what it should hold."""
    pages: dict[str, Callable[[], str]] = {
        "ots/commands/index.py": command_index,
        "docs/reference/probes.md": reference.probes_page,
        "docs/reference/metrics.md": reference.metrics_page,
        "docs/reference/exit-codes.md": reference.exit_codes_page,
        "docs/reference/vocabularies.md": reference.vocabularies_page,
    }
    for name, make in pages.items():
        yield ROOT / name, make().encode()
    for name, schema in (
        ("report-1.json", report_schema()),
        ("case-1.json", case_schema({probe.kind: probe for probe in built_in()})),
    ):
        text = json.dumps(schema, ensure_ascii=False, indent=2) + "\n"
        yield ROOT / "ots" / "schema" / name, text.encode()
    for source in sorted((ROOT / "ots" / "locale").glob("*/LC_MESSAGES/*.po")):
        yield source.with_suffix(".mo"), compiled(source)


if __name__ == "__main__":
    sys.exit(main())
