"""A run of several agents for people and for build servers, and the exit code that it means."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

import click

from ots.commands import exit_codes
from ots.commands.columns import in_columns
from ots.i18n import N_, _
from ots.reports.plain import plain
from ots.reports.xml_text import one_line

FORMATS = ("terminal", "json", "junit")

STATE_WORDS = {
    "created": N_("waits for its turn"),
    "queued": N_("waits for the agent"),
    "delivered": N_("delivered"),
    "accepted": N_("accepted"),
    "started": N_("runs"),
    "done": N_("done"),
    "rejected": N_("refused"),
    "expired": N_("expired"),
    "cancelled": N_("cancelled"),
    "lost": N_("no word"),
}

_CODES = {
    "fail": exit_codes.FAIL,
    "error": exit_codes.ERROR,
    "warn": exit_codes.PASS,
    "pass": exit_codes.PASS,
    "measured": exit_codes.PASS,
    "skipped": exit_codes.NOTHING_MEASURED,
}


def exit_code(run: dict[str, Any], *, warn_as_fail: bool = False) -> int:
    """The group's verdict as the exit code of a single run would say it."""
    refused = {member["reason"] for member in run["members"] if member["state"] == "rejected"}
    if all(member["state"] == "rejected" for member in run["members"]) and refused <= {
        "licence",
        "licence-required",
    }:
        return exit_codes.LICENCE_REFUSED
    if run["verdict"] == "warn" and warn_as_fail:
        return exit_codes.FAIL
    return _CODES.get(run["verdict"], exit_codes.ERROR)


def line_of(member: dict[str, Any]) -> str:
    """One agent's present state, in a line."""
    said = [_(STATE_WORDS[member["state"]])]
    progress = member["progress"]
    if progress is not None and member["state"] in ("accepted", "started"):
        share = progress["fraction"]
        said += [each for each in (progress["step"], progress["text"]) if each]
        said += [] if share is None else [f"{share:.0%}"]
    if member["verdict"]:
        said.append(member["verdict"])
    if member["reason"]:
        said.append(member["reason"])
    return plain(f"{member['name']}: {', '.join(said)}")


def text_of(run: dict[str, Any], width: int) -> list[str]:
    """The run for a terminal."""
    rows = [
        (
            plain(member["name"]),
            member["verdict"] or "–",
            _(STATE_WORDS[member["state"]]) + (f": {plain(member['reason'])}" if member["reason"] else ""),
            "" if member["report"] is None else _("report {number}").format(number=member["report"]),
        )
        for member in run["members"]
    ]
    head = _("{case} on {n} agents: {verdict}").format(
        case=plain(run["case"]), n=run["agents"], verdict=run["verdict"] or _("goes on")
    )
    tail = [] if not run["reason"] else [plain(run["reason"])]
    return [head, *in_columns(rows, width, widest=40), *tail]


def junit_of(run: dict[str, Any]) -> str:
    """A test suite for the run, a test case for each agent."""
    cases = [_case(run, member) for member in run["members"]]
    counts = {
        "tests": str(len(cases)),
        "failures": str(sum(case.find("failure") is not None for case in cases)),
        "errors": str(sum(case.find("error") is not None for case in cases)),
        "skipped": str(sum(case.find("skipped") is not None for case in cases)),
    }
    suites = Element("testsuites", {"name": "ots fleet", **counts})
    suite = SubElement(
        suites, "testsuite", {"name": one_line(run["case"]), "timestamp": run["created"][:19], **counts}
    )
    properties = SubElement(suite, "properties")
    for name, value in (
        ("run_id", run["run_id"]),
        ("verdict", run["verdict"] or ""),
        ("state", run["state"]),
    ):
        SubElement(properties, "property", {"name": name, "value": value})
    suite.extend(cases)
    ElementTree.indent(suites)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(suites, encoding="unicode") + "\n"
    )


def _case(run: dict[str, Any], member: dict[str, Any]) -> Element:
    case = Element("testcase", {"classname": one_line(run["case"]), "name": one_line(member["name"])})
    verdict = member["verdict"] if member["state"] == "done" else None
    why = one_line(", ".join(filter(None, (member["state"], verdict, member["reason"]))))
    if verdict == "fail":
        SubElement(case, "failure", {"type": "threshold", "message": why})
    elif verdict == "skipped":
        SubElement(case, "skipped", {"message": why})
    elif verdict in (None, "error"):
        SubElement(case, "error", {"type": one_line(member["reason"] or member["state"]), "message": why})
    out = SubElement(case, "system-out")
    out.text = one_line(
        f"verdict={verdict or 'none'} agent={member['agent_id']} report={member['report_id']}"
    )
    return case


def show(run: dict[str, Any], form: str) -> None:
    """Writes the run to stdout in one of FORMATS."""
    import shutil

    from ots.commands.output import print_json, write_out

    if form == "json":
        print_json(run)
    elif form == "junit":
        write_out(junit_of(run).encode())
    else:
        click.echo("\n".join(text_of(run, shutil.get_terminal_size((100, 24)).columns)))
