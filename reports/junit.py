"""JUnit XML: a test suite for the run, a test case for each step, for build servers and test managers.

`fail` is a failure, `error` an error, each with the error's class (`threshold` for a breached limit) as its
type; `skipped` is skipped with the reason and its remedy; `warn` passes with a note. The exact verdict of a
step stands in a property of the suite, `verdict.STEP`, and begins the output of its test case: the schemas
that readers go by (Jenkins' xUnit, which is Ant's and Surefire's in one) know no properties of a case and
three digits of a second. A run that was cut short or had a precheck has a test case for that, so that it
can't look green. JUnit has no metrics: those of a step are lines of its output.
"""

from __future__ import annotations

from collections.abc import Iterable
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from ots.model.outcome import Verdict
from ots.model.report import Report, Step
from ots.reports.format import Format, View
from ots.reports.reading import Reader
from ots.reports.why import why
from ots.reports.xml_text import lines, one_line

FORMAT = Format("junit", "xml", "application/xml")

_PRECHECK: dict[str, Verdict] = {
    "success": "pass",
    "failure": "fail",
    "invalid": "error",
    "skipped": "skipped",
}


def render(report: Report, view: View) -> str:
    """The whole document, with its declaration."""
    reader = Reader(view)
    cases = [*_run_cases(report, reader), *(_step_case(step, report, reader) for step in report.steps)]
    counts = {
        "tests": str(len(cases)),
        "failures": str(_count(cases, "failure")),
        "errors": str(_count(cases, "error")),
        "skipped": str(_count(cases, "skipped")),
        "time": _seconds(report.run.duration),
    }
    root = Element("testsuites", {"name": "ots", **counts})
    del root.attrib["skipped"]
    suite = SubElement(root, "testsuite", {"name": _suite_name(report), **counts})
    suite.set("id", "0")
    suite.set("timestamp", one_line(report.run.start)[:19])
    suite.set("hostname", _hostname(report))
    verdicts = {f"verdict.{step.key}": step.verdict for step in report.steps}
    _properties(suite, {**_facts(report), **verdicts})
    suite.extend(cases)
    SubElement(suite, "system-out").text = one_line(why(report, reader))
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _step_case(step: Step, report: Report, reader: Reader) -> Element:
    case = _case(step.key, f"{report.case.id}.{step.probe}", step.duration)
    said = [fragment.text for fragment in reader.summary(step, report)]
    kind = step.error.class_ if step.error is not None and step.outcome != "success" else "threshold"
    reason = "; ".join(_reasons(step, report, reader)) or reader.words.verdict(step.verdict)
    _add_verdict(case, step.verdict, kind if step.verdict == "fail" else _error_type(step), reason, said)
    if step.verdict == "warn":
        said = [f"{reader.words.verdict('warn')}: {reason}", *said]
    facts = [f"{name}: {value}" for name, value in _step_facts(step).items()]
    log = [f"[{line.level}] {line.text}" for line in step.log]
    SubElement(case, "system-out").text = lines([*facts, *said, *log])
    return case


def _run_cases(report: Report, reader: Reader) -> Iterable[Element]:
    """What happened to the run itself, where a step would not show it."""
    run = report.run
    if run.precheck is not None:
        verdict = _PRECHECK[run.precheck.outcome]
        case = _case("precheck", f"{report.case.id}.{run.precheck.probe}", run.precheck.duration)
        error = run.precheck.error
        text = one_line(run.precheck.target) if error is None else reader.error(error)
        _add_verdict(case, verdict, "precheck" if error is None else error.class_, text, [])
        yield case
    if run.state != "completed":
        reason = run.reason or run.state
        case = _case("run", f"{report.case.id}.run", None)
        _add_verdict(case, "error", reason, why(report, reader), [])
        yield case


def _case(name: str, group: str, time: float | None) -> Element:
    case = Element("testcase")
    case.set("name", one_line(name))
    case.set("classname", one_line(group))
    case.set("time", _seconds(time))
    return case


def _add_verdict(case: Element, verdict: Verdict, kind: str, message: str, said: list[str]) -> None:
    if verdict == "skipped":
        SubElement(case, "skipped", {"message": one_line(message)})
    elif verdict in ("fail", "error"):
        name = "failure" if verdict == "fail" else "error"
        found = SubElement(case, name, {"message": one_line(message), "type": one_line(kind)})
        found.text = lines(said or [message])


def _error_type(step: Step) -> str:
    return step.error.class_ if step.error is not None else step.reason or "error"


def _reasons(step: Step, report: Report, reader: Reader) -> list[str]:
    """Why the step has its verdict: the error with its remedy, else the limits, else the reason."""
    _ = reader.words.gettext
    said = []
    if step.error is not None:
        said.append(reader.error(step.error))
        if step.error.remedy:
            said.append(_("try: {remedy}").format(remedy=one_line(_(step.error.remedy))))
    said += [
        reader.judged(threshold, step, report).text
        for threshold in step.thresholds
        if threshold.verdict == step.verdict and step.verdict in ("fail", "warn", "error")
    ]
    if not said and step.reason is not None:
        said.append(reader.reason(step.reason))
    return said


def _step_facts(step: Step) -> dict[str, str]:
    """What a test case can't say in attributes; its first lines of output."""
    facts = {"verdict": step.verdict, "probe": f"{step.probe} {step.probe_version}"}
    facts["targets"] = " ".join(step.targets)
    if step.target_lists:
        facts["target_lists"] = " ".join(f"@{name}" for name in step.target_lists)
    if step.during is not None:
        facts["during"] = step.during
    if step.validity is not None:
        facts["validity"] = " ".join([step.validity.grade, *(each.code for each in step.validity.findings)])
    return facts


def _facts(report: Report) -> dict[str, str]:
    """What a reader of the suite needs to find the report again."""
    job = report.job
    facts: dict[str, str | None] = {
        "verdict": report.verdict,
        "report": str(report.seq),
        "report_id": report.report_id,
        "run_id": report.run.run_id,
        "state": report.run.state,
        "start": report.run.start,
        "end": report.run.end,
        "case_sha256": report.case.sha256,
        "job": job.id,
        "customer": job.customer,
        "site": job.site,
        "subscribed_down_bits_per_second": _rate(job.subscribed_down_bits_per_second),
        "subscribed_up_bits_per_second": _rate(job.subscribed_up_bits_per_second),
        **{f"tag.{name}": value for name, value in report.tags.items()},
    }
    return {name: value for name, value in facts.items() if value}


def _properties(parent: Element, facts: dict[str, str]) -> None:
    properties = SubElement(parent, "properties")
    for name, value in facts.items():
        SubElement(properties, "property", {"name": one_line(name), "value": one_line(value)})


def _suite_name(report: Report) -> str:
    version = "" if report.case.version is None else f" v{report.case.version}"
    return one_line(f"{report.case.id}{version}")


def _hostname(report: Report) -> str:
    device = report.contexts[0].device if report.contexts else {}
    return one_line(device.get("hostname") or report.agent.get("name") or "")


def _count(cases: list[Element], name: str) -> int:
    return sum(case.find(name) is not None for case in cases)


def _seconds(value: float | None) -> str:
    return f"{value or 0.0:.3f}"


def _rate(bits_per_second: float | None) -> str | None:
    return None if bits_per_second is None else f"{bits_per_second:.0f}"
