"""Named target lists: reading, opening, editing, and what a case makes of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ots.schema.load import CaseError, case_of_probe, load_case
from ots.schema.target_list import ListError, members_of, read_lines, read_lists, with_inner
from ots.session.target_edit import CannotChange, as_yaml, change
from ots.session.target_lists import read_file
from ots.strictyaml import YamlError
from tests.unit.case_kinds import KINDS

_FILE = """\
# Core routers
core:
  - 192.0.2.1     # the old one
  - 192.0.2.2

edge: ["@core", 198.51.100.7]
# the end
"""


def _targets(name: str, text: str) -> list[str]:
    return [member.text for member in members_of(name, read_lists(text, "targets.yaml"))]


def test_a_list_opens_into_its_targets_each_once() -> None:
    """A list in a list is opened where it stands; what two have in common comes once."""
    text = "a: ['@b', x.example, '@c']\nb: [y.example]\nc: ['@b', x.example, z.example]\n"
    assert _targets("a", text) == ["y.example", "x.example", "z.example"]
    assert with_inner(["a"], read_lists(text, "")) == ["a", "b", "c"]


def test_a_member_knows_its_place() -> None:
    """The place of a target is that in the list where it is written."""
    members = members_of("edge", read_lists(_FILE, "targets.yaml"))
    assert [member.place for member in members] == [
        "targets.yaml:3:5",
        "targets.yaml:4:5",
        "targets.yaml:6:17",
    ]


def test_lists_that_double_one_another_stay_small() -> None:
    """Fifteen lists that each name the one before twice over are opened once each."""
    text = "l0: [a.example]\n" + "".join(f"l{n}: ['@l{n - 1}', 'x{n}.example']\n" for n in range(1, 15))
    assert len(_targets("l14", text)) == 15


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: ['@a']", "the list @a holds itself: @a → @a"),
        ("a: ['@b']\nb: ['@c']\nc: ['@b']", "the list @b holds itself: @b → @c → @b"),
        ("a: ['@cor']\ncore: [x.example]", "unknown target list '@cor' (t.yaml:1:5): did you mean '@core'?"),
        (
            "a: ['@l0']\n" + "".join(f"l{n}: ['@l{n + 1}']\n" for n in range(30)) + "l30: [x.example]",
            "lists that name lists: more than 16 in a row from @a",
        ),
    ],
)
def test_a_list_that_cannot_be_opened(text: str, message: str) -> None:
    """Cycles, unknown lists and long chains are refused in words."""
    with pytest.raises(ListError) as caught:
        members_of("a", read_lists(text, "t.yaml"))
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- 192.0.2.1", "1:1: target lists are names and targets"),
        ("a: {b: c}", "1:4: a needs a list of targets, not a mapping"),
        ("a: []", "1:4: a needs at least one target"),
        ("a:", "1:3: expected a target, got nothing"),
        ("a: [1.5]", "1:5: expected a target, got 1.5: put it in quotes"),
        ("a: [[x]]", "1:5: expected a target, not a list or a mapping"),
        ("a: [x, x]", "1:8: 'x' stands twice in this list"),
        ("a b: [x]", "1:1: 'a b' is no name of a list"),
        ("a: ['x y']", "1:5: 'x y' is no target"),
        ("a: ['@x y']", "1:5: '@x y' is no target"),
        ("a: [x]\na: [y]", "2:1: the key 'a' stands twice"),
        ("a: @core", "1:4: a text can't start with '@': put it in quotes"),
    ],
)
def test_broken_files(text: str, expected: str) -> None:
    """Every fault of a file is told at its line and column."""
    with pytest.raises(YamlError) as caught:
        read_lists(text, "t.yaml")
    assert str(caught.value).startswith(f"t.yaml:{expected}")


def test_a_password_in_a_list_is_refused_and_not_repeated() -> None:
    """A list is a file that others read, so a URL in it holds no password."""
    with pytest.raises(YamlError) as caught:
        read_lists("a: ['ftp://me:hunter2@ftp.example/x']", "t.yaml")
    assert "a password stands in the URL of ftp.example" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n", "\n  # nothing\n"])
def test_an_empty_file_has_no_lists(text: str) -> None:
    """A file of comments is no fault."""
    assert read_lists(text, "t.yaml") == {}


def test_a_text_with_one_target_a_line() -> None:
    """Comments and empty lines are skipped; a fault has its line."""
    text = "# sites\n192.0.2.1\n\n  http://192.0.2.2/#top   # the page\r\n"
    members = read_lines(text.encode(), "sites.txt", "sites")["sites"].members
    assert [(member.text, member.mark.line) for member in members] == [
        ("192.0.2.1", 2),
        ("http://192.0.2.2/#top", 4),
    ]
    with pytest.raises(YamlError, match=r"sites.txt:2:1: 'a b' is no target"):
        read_lines(b"x\na b\n", "sites.txt", "sites")
    with pytest.raises(YamlError, match=r"no target stands here"):
        read_lines(b"# nothing\n", "sites.txt", "sites")


def test_editing_leaves_everything_else(tmp_path: Path) -> None:
    """Comments and the lines of other members stay as they were."""
    path = tmp_path / "targets.yaml"
    path.write_text(_FILE, "utf-8")
    change(path, {"core": ["192.0.2.1", "192.0.2.3", "2001:db8::1"], "new": ["@core"]})
    assert path.read_text("utf-8") == (
        "# Core routers\ncore:\n  - 192.0.2.1     # the old one\n  - 192.0.2.3\n"
        '  - "2001:db8::1"\n\nedge: ["@core", 198.51.100.7]\n# the end\nnew:\n  - "@core"\n'
    )
    change(path, {"edge": ["198.51.100.8"], "new": []})
    assert path.read_text("utf-8").endswith("\nedge:\n  - 198.51.100.8\n# the end\n")
    change(path, {"core": []})
    assert list(read_file(path)) == ["edge"]


@pytest.mark.parametrize(
    "text",
    [
        "core: [192.0.2.1]  # why\n",
        "core: &all\n  - 192.0.2.1\nedge: *all\n",
        "{core: [192.0.2.1], edge: [192.0.2.2]}\n",
        "core: ['192.0.2.1',\n  192.0.2.2] # two\n",
    ],
)
def test_a_form_that_cannot_be_edited_is_left_alone(text: str, tmp_path: Path) -> None:
    """Where a change would lose a comment or change more than asked, the file stays as it was."""
    path = tmp_path / "targets.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises(CannotChange, match="can't be changed where it stands"):
        change(path, {"core": ["192.0.2.9"]})
    assert path.read_text("utf-8") == text


def test_what_is_written_reads_back() -> None:
    """Every kind of member survives being written, also those that look like something else."""
    lists = {
        "a": ["true", "1.5", "1.2.3.4", "x.example", "@b", "http://h/?q=#a", "主机.example"],
        "核心": ["~"],
    }
    found = read_lists(as_yaml(lists), "t.yaml")
    assert {name: [member.text for member in entry.members] for name, entry in found.items()} == lists


_CASE = "ots: 1\nid: c\nsteps:\n  - {id: s, probe: knock, target: %s}\n"
_LISTS = read_lists(
    "core: [192.0.2.1, 192.0.2.2]\nedge: ['@core', 192.0.2.3]\nbad: [192.0.2.1, 192.0.2.256]\n", "t.yaml"
)


def test_a_step_holds_the_members_and_what_they_came_from() -> None:
    """Lists and targets may be mixed; what they share is measured once."""
    step = load_case(_CASE % "['@edge', 192.0.2.9, '@core', 192.0.2.1]", "c.yaml", KINDS, {}, _LISTS).steps[0]
    assert [target.text for target in step.targets] == ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.9"]
    assert step.target_lists == {
        "edge": ("192.0.2.1", "192.0.2.2", "192.0.2.3"),
        "core": ("192.0.2.1", "192.0.2.2"),
    }


def test_a_variable_may_name_a_list() -> None:
    """`target: "${where}"` with `--var where=@core`."""
    case = load_case(_CASE % '"${where}"', "c.yaml", KINDS, {"where": "@core"}, _LISTS)
    assert len(case.steps[0].targets) == 2


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ('"@cor"', "4:35: unknown target list '@cor': did you mean '@core'?"),
        ("[x.example, '@zzz']", "4:47: unknown target list '@zzz' (known: @bad, @core, @edge)"),
        ("['@core', '@core']", "4:45: the list '@core' stands twice"),
        (
            "['@bad']",
            "4:36: @bad: '192.0.2.256' is no IPv4 address: four numbers from 0 to 255 (t.yaml:3:18)",
        ),
    ],
)
def test_a_fault_of_a_list_is_told_where_the_case_names_it(target: str, message: str) -> None:
    """File, line and column are the case's; a member's own place stands behind."""
    with pytest.raises(CaseError) as caught:
        load_case(_CASE % target, "c.yaml", KINDS, {}, _LISTS)
    assert str(caught.value) == f"c.yaml:{message}"


def test_without_lists_the_remedy_is_told() -> None:
    """Where there is no list at all, the message says how to make this one."""
    with pytest.raises(CaseError, match=r"unknown target list '@core': make it with ots targets add core"):
        case_of_probe(KINDS["knock"], ["@core"], {})


def test_a_precheck_has_one_target() -> None:
    """A list of one will do; a longer one is refused at its place."""
    head = "ots: 1\nid: c\nprecheck: {probe: knock, target: '%s'}\n"
    head += "steps:\n  - {id: s, probe: knock, target: x}\n"
    one = read_lists("one: [192.0.2.1]\ntwo: [192.0.2.1, 192.0.2.2]\n", "t.yaml")
    precheck = load_case(head % "@one", "c.yaml", KINDS, {}, one).precheck
    assert precheck is not None
    assert precheck.target.text == "192.0.2.1"
    with pytest.raises(CaseError, match=r"c.yaml:3:34: a precheck has one target, and @two holds 2"):
        load_case(head % "@two", "c.yaml", KINDS, {}, one)


def test_a_quick_run_is_known_by_what_it_measured() -> None:
    """The same command line after the list has changed is another case."""
    before = case_of_probe(KINDS["knock"], ["@core"], {}, lists=_LISTS)
    after = case_of_probe(KINDS["knock"], ["@core"], {}, lists=read_lists("core: [192.0.2.1]", "t.yaml"))
    assert before.sha256 != after.sha256
