"""What `ots --lang zh` says where the texts come from click, from declarations or from the environment."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from docs.generator import messages
from ots.commands import click_words
from ots.commands.index import SECTIONS
from ots.main import HEADINGS
from tests.command_line import CommandLine


@pytest.fixture
def ots(tmp_path: Path) -> CommandLine:
    """`ots` in a home of its own."""
    return CommandLine(tmp_path)


def test_the_help_is_chinese_throughout(ots: CommandLine) -> None:
    """Headings, the group's own text and options, and click's words: no line is left in English."""
    shown = ots.run("--lang", "zh", "--help").stdout
    for text in (
        "用法：",
        "选项",
        "立即测量",
        "用例",
        "报告",
        "本机",
        "界面与报告的语言。",
        "显示此帮助后退出。",
        "示例：",
    ):
        assert text in shown
    headings = [line for line in shown.splitlines() if line and not line.startswith(" ")]
    assert headings and all(re.search("[一-鿿]", line) for line in headings)


def test_the_help_of_a_kind_is_chinese(ots: CommandLine) -> None:
    """The grammar of the targets and the examples' heading, which stand inside a longer text."""
    shown = ots.run("--lang", "zh", "ping", "--help").stdout
    assert "目标：主机或网段（192.0.2.0/28）。" in shown and "示例：" in shown
    assert "A target is" not in shown and "Examples" not in shown


@pytest.mark.parametrize("command", [["run"], ["report"], ["cases", "check"], ["config"]])
def test_examples_have_a_chinese_heading(ots: CommandLine, command: list[str]) -> None:
    """Examples are the same in every language, what stands above them is not."""
    shown = ots.run("--lang", "zh", *command, "--help").stdout
    assert "示例：" in shown and "Examples" not in shown


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["ping"], "缺少参数 'TARGET…'。"),
        (["ping", "127.0.0.1", "--boo"], "没有选项 '--boo'。"),
        (["ping", "127.0.0.1", "--family", "7"], "'7' 不在可选值之中"),
        (["ping", "127.0.0.1", "--every"], "选项 '--every' 需要 1 个值。"),
    ],
)
def test_mistakes_are_answered_in_chinese(ots: CommandLine, arguments: list[str], text: str) -> None:
    """click's complaints come out of our catalogue."""
    done = ots.run("--lang", "zh", *arguments)
    assert done.returncode == 2
    assert text.rstrip("。") in done.stderr


def test_the_list_of_clicks_texts_is_up_to_date() -> None:
    """Each stands in the source of the click that is installed."""
    source = "".join(inspect.getsource(module) for module in click_words._MODULES)
    for text in (*click_words.SINGLE, *(text for pair in click_words.PLURAL for text in pair)):
        assert f'"{text}"' in source, text


def test_every_section_of_the_help_is_marked_for_translation() -> None:
    """The index is generated and marks nothing itself."""
    assert set(SECTIONS) == set(HEADINGS[1:])


def test_texts_inside_f_strings_reach_the_catalogue() -> None:
    """On every Python that we support, not only where the tokenizer looks inside."""
    found = messages.marked("""f"{_('one')}: {words.gettext('two')}"; N_plural("a cat", "cats"); _(name)""")
    assert found == {"one", "two", ("a cat", "cats")}


def test_an_unknown_language_is_told_once(ots: CommandLine) -> None:
    """OTS_LANG=xx gets one line on stderr; what follows is in the language of the terminal."""
    done = ots.run("version", env={"OTS_LANG": "xx", "LC_ALL": "zh_CN.UTF-8"})
    assert done.returncode == 0
    assert done.stderr.splitlines() == ["告警：OTS_LANG='xx' 不是可用的语言：en, zh"]


@pytest.mark.parametrize("value", ["", "C", "C.UTF-8", "en", "zh_CN.UTF-8"])
def test_a_known_language_is_not_worth_a_word(ots: CommandLine, value: str) -> None:
    """Nor are the neutral locales."""
    assert ots.run("version", env={"OTS_LANG": value}).stderr == ""
