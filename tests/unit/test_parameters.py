"""What others may set of a case, and within which bounds; layers of cases, and references to them."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

from ots.config import settings
from ots.content.held import HEAVY_UNTIL, Held, HeldCase, content_folder, write_held
from ots.content.layout import DAY
from ots.registry import kinds
from ots.reports.format import View, renderer
from ots.schema.case import Case
from ots.schema.load import CaseError, load_case
from ots.schema.publish import case_schema
from ots.session.case_status import case_layers
from ots.session.find_case import CaseNotFound, find_case, find_named
from ots.session.prepare import prepare, prepare_reference
from tests.unit.sample_reports import office

_CASE = """\
ots: 1
id: office
version: {version}
vars:
  fixed: 192.0.2.9
  host: {{pattern: '[a-z]{{1,8}}\\.example', default: www.example}}
  count: {{type: integer, min: 1, max: 10, default: 3}}
  limit: {{type: duration, min: 10 ms, max: 2 s, default: 1 s}}
  site: {{choices: [hz, sh]}}
steps:
  - id: ping
    probe: ping
    target: ["${{host}}", "${{fixed}}"]
    params: {{count: "${{count}}", timeout: "${{limit}}"}}
    tags: {{site: "${{site}}"}}
"""


def _load(parameters: dict[str, str], given: dict[str, str] | None = None, text: str = _CASE) -> Case:
    return load_case(text.format(version=1), "case.yaml", kinds(), given or {}, parameters=parameters)


def _problems(
    parameters: dict[str, str], given: dict[str, str] | None = None, text: str = _CASE
) -> list[str]:
    with pytest.raises(CaseError) as caught:
        _load(parameters, given, text)
    return [problem.message for problem in caught.value.problems]


def test_a_parameter_is_set_from_elsewhere_and_wins_over_what_is_set_here() -> None:
    case = _load({"site": "hz", "count": "7", "host": "mail.example"}, {"count": "2", "fixed": "192.0.2.1"})
    step = case.steps[0]
    assert [target.text for target in step.targets] == ["mail.example", "192.0.2.1"]
    assert step.params.model_dump()["count"] == 7 and step.tags["site"] == "hz"
    assert set(case.parameters) == {"host", "count", "limit", "site"}
    assert _load({"site": "sh"}).steps[0].params.model_dump()["count"] == 3


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("count", "0", "0 is less than 1"),
        ("count", "11", "11 is more than 10"),
        ("count", "3.5", "expected a whole number"),
        ("count", "9" * 300, "expected one line of at most 200 characters"),
        ("limit", "3 s", "3 s is more than 2 s"),
        ("limit", "1 ms", "1 ms is less than 10 ms"),
        ("limit", "soon", "soon"),
        ("host", "evil.test", "does not fit the pattern"),
        ("host", "www.example\nevil", "expected one line"),
        ("host", "www.example ", "does not fit the pattern"),
        ("host", "${secret:mail}", "without ${"),
        ("site", "bj", "is none of hz, sh"),
        ("fixed", "192.0.2.1", "lets nobody set it from elsewhere"),
        ("cuont", "3", "did you mean 'count'?"),
    ],
)
def test_a_value_outside_the_bounds_is_refused_with_the_fields_name(name: str, value: str, said: str) -> None:
    (problem,) = _problems({"site": "hz", name: value})
    assert problem.startswith(f"parameters.{name}: ") and said in problem


def test_the_bounds_hold_for_who_sits_at_the_machine_too() -> None:
    assert _problems({"site": "hz"}, {"count": "99"}) == ["parameters.count: 99 is more than 10"]


def test_a_parameter_without_a_value_must_be_given() -> None:
    (problem,) = _problems({})
    assert problem == "variable 'site' has no value: give it with --var site=…"


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ("{}", "needs choices or a pattern"),
        ("{type: text, min: 1}", "min and max go with a number"),
        ("{type: integer, min: 1}", "needs min and max"),
        ("{type: integer, min: 5, max: 1}", "max is less than min"),
        ("{type: integer, min: a, max: 1}", "expected a whole number"),
        ("{type: rate, min: 1 MB, max: 2 MB}", "Mbit/s"),
        ("{type: integer, pattern: x}", "a pattern goes with type: text"),
        ("{pattern: '['}", "this is no pattern"),
        ("{pattern: 'a+', default: b}", "does not fit the pattern"),
        ("{type: integer, choices: [1, x]}", "expected a whole number"),
        ("{type: colour, choices: [1]}", "expected 'text', 'integer'"),
        ("{choices: []}", "must have at least 1 entry"),
        ("{choices: [a], colour: b}", "unknown key 'colour'"),
    ],
)
def test_a_declaration_without_bounds_or_sense_is_refused(declared: str, said: str) -> None:
    text = (
        "ots: 1\nid: a\nvars:\n  x: " + declared + "\n"
        "steps: [{{id: p, probe: ping, target: 192.0.2.1, tags: {{x: '${{x}}'}}}}]\n"
    )
    with pytest.raises(CaseError) as caught:
        load_case(text.replace("{{", "{").replace("}}", "}"), "case.yaml", kinds(), {})
    (problem,) = caught.value.problems
    assert said in problem.message and problem.line == 4


def test_the_published_schema_knows_variables_with_bounds() -> None:
    schema = case_schema({probe.kind: probe for probe in kinds().usable()})
    step = {"id": "p", "probe": "ping", "target": "192.0.2.1"}
    good = {
        "ots": 1,
        "id": "a",
        "base": 2,
        "vars": {"x": 1, "y": {"type": "size", "min": "1 MB", "max": "2 MB"}},
    }
    jsonschema.validate({**good, "steps": [step]}, schema)
    bad = {**good, "vars": {"y": {"type": "size", "colour": "blue"}}, "steps": [step]}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(bad, schema)


@pytest.fixture
def held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    """An installation that holds office v2 and v3, and http_download v9 in place of the shipped one."""
    monkeypatch.setenv("OTS_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    settings.cache_clear()
    download = (
        "ots: 1\nid: http_download\nversion: 9\n"
        "steps: [{id: down, probe: http_download, target: 'http://127.0.0.1:1/x'}]\n"
    )
    texts = {("office", 2): _CASE.format(version=2), ("office", 3): _CASE.format(version=3)}
    cases = [
        _hold(tmp_path / "data", case_id, version, text)
        for (case_id, version), text in {**texts, ("http_download", 9): download}.items()
    ]
    now = time.time()
    made = Held(
        url="http://x/", changed_at=now, checked_at=now, fresh_until=now + DAY, versions={}, cases=cases
    )
    write_held(tmp_path / "data", made)
    yield made
    settings.cache_clear()


def _hold(data: Path, case_id: str, version: int, text: str) -> HeldCase:
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    place = content_folder(data) / "targets" / sha256
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    return HeldCase(id=case_id, version=version, sha256=sha256)


def _own(name: str, text: str) -> None:
    folder = Path(settings().data_dir).parent / "config" / "ots" / "cases"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.yaml").write_text(text)


def test_the_newest_synced_case_runs_unless_there_is_one_of_ones_own(held: Held) -> None:
    found = find_case("office")
    assert (found.layer, found.source) == ("synced", "office v3 (synced)")
    assert find_named("office", 2).source == "office v2 (synced)"
    assert find_case("http_download").layer == "synced" and find_case("ping").layer == "default"
    _own("office", _CASE.format(version=7))
    assert find_case("office").layer == "local"
    plan = prepare("office", {"site": "hz"})
    assert (plan.case.layer, plan.case.version, plan.case.stale_since) == ("local", 7, None)
    with pytest.raises(CaseNotFound, match="office"):
        find_case("nothing")


def test_status_tells_when_the_base_of_ones_own_case_has_moved_on(held: Held) -> None:
    def remark(name: str) -> tuple[str, int | None, str | None]:
        row = next(row for row in case_layers() if row.name == name)
        return row.layer, row.beneath, row.remark

    assert remark("office") == ("synced", None, None)
    assert remark("http_download") == ("synced", 1, "replaces")
    assert remark("ping") == ("default", None, None)
    for base, expected in (("", "no-base"), ("base: 2\n", "base-changed"), ("base: 3\n", "replaces")):
        _own("office", _CASE.format(version=1) + base)
        assert remark("office") == ("local", 3, expected)
    _own("office", "ots: [")
    assert remark("office") == ("local", 3, "no-base")


def test_stale_content_is_said_and_stops_what_loads_the_link_after_thirty_days(held: Held) -> None:
    data = settings().data_dir
    assert prepare("office", {"site": "hz"}).case.stale_since is None
    held.fresh_until = time.time() - 60
    write_held(data, held)
    stale = prepare("http_download", {}).case
    assert stale.stale_since is not None and stale.layer == "synced"
    assert f"the signed content is stale since {stale.stale_since}: ots cases sync" in stale.warnings
    held.fresh_until = time.time() - HEAVY_UNTIL - 60
    write_held(data, held)
    assert prepare("office", {"site": "hz"}).case.stale_since is not None
    for name in ("http_download", "http_upload"):
        with pytest.raises(CaseError, match="stale for more than 30 days"):
            prepare(name, {})
    text = "ots: 1\nid: mine\nsteps: [{id: d, probe: http_download, target: 'http://127.0.0.1:1/x'}]\n"
    _own("mine", text)
    assert prepare("mine", {}).case.layer == "local"


def test_a_reference_names_exactly_the_case_that_it_means(
    held: Held, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "office").write_text("a file of that name in the present folder is nobody's case")
    monkeypatch.chdir(tmp_path)
    old, new = held.cases[0], held.cases[1]
    planned = prepare_reference("office", 2, old.sha256, {"site": "hz", "count": "5"})
    assert (planned.case.version, planned.case.layer) == (2, "synced")
    assert prepare_reference("office", None, None, {"site": "hz"}).case.version == 3
    for version, sha256, parameters, said in (
        (2, new.sha256, {"site": "hz"}, "case.sha256: "),
        (3, new.sha256, {"site": "hz", "count": "99"}, "parameters.count: 99 is more than 10"),
        (3, None, {"site": "hz", "fixed": "127.0.0.1"}, "parameters.fixed: "),
    ):
        with pytest.raises(CaseError, match=said):
            prepare_reference("office", version, sha256, parameters)
    with pytest.raises(CaseNotFound):
        prepare_reference("office", 9, None, {})
    _own("office", _CASE.format(version=7))
    with pytest.raises(CaseError, match="case.version: 3 was asked for"):
        prepare_reference("office", 3, None, {"site": "hz"})
    for name in ("/etc/passwd", "../office", "office.yaml", ""):
        with pytest.raises(CaseError, match="case.name: "):
            prepare_reference(name, None, None, {})


@pytest.mark.parametrize("name", ["terminal", "markdown", "html"])
def test_a_report_says_where_its_case_came_from_and_how_stale_that_was(name: str) -> None:
    report = office()
    plain_text = str(renderer(name).render(report, View()))
    report.case.layer, report.case.stale_since = "synced", "2026-03-01T08:00:00.000000Z"
    text = str(renderer(name).render(report, View()))
    assert "signed" in text and "stale since 2026-03-01T08:00:00Z" in text
    assert "signed" not in plain_text and "stale" not in plain_text
