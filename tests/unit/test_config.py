"""Settings: layers, types, origins, faults with their places, editing, secrets, the agent's id, redaction."""

from __future__ import annotations

import logging
import stat
import uuid
from pathlib import Path

import platformdirs
import pytest

from ots import config, log
from ots.config import SettingsError, place
from ots.config.agent import agent_id
from ots.config.edit import change
from ots.config.layers import parse
from ots.config.secret import SecretError, SecretStore, variable_of
from ots.config.values import listed, load, names


@pytest.fixture(autouse=True)
def clean_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without settings, whose system and user folders lie below tmp_path."""
    for variable in [*config.layers.ENVIRONMENT, "OTS_CONFIG"]:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "user"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    monkeypatch.setattr(place, "SYSTEM_SETTINGS", tmp_path / "etc" / "settings.yaml")
    monkeypatch.setattr(place, "SYSTEM_DATA", tmp_path / "var")


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


def test_defaults(tmp_path: Path) -> None:
    """Without any file everything has its default and says so."""
    settings = load()
    assert settings.data_dir == tmp_path / "share" / "ots"
    assert (settings.language, settings.interface, settings.job.customer) == (None, None, None)
    assert (settings.retention.max_size, settings.retention.max_age) == (2e9, None)
    assert settings.vars == {}
    assert {settings.origin(name) for name in names()} == {"default"}


def test_system_data_folder_is_taken_where_it_may_be_written(tmp_path: Path) -> None:
    """A system install's folder counts as soon as it is there."""
    (tmp_path / "var").mkdir()
    assert load().data_dir == tmp_path / "var" == config.data_dir()


def test_layers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """System, user, OTS_CONFIG, environment: each wins over the one before, value by value."""
    system = write(
        tmp_path / "etc/settings.yaml",
        "job: {customer: A, site: A, engineer: A, plan: A}\nvars: {x: 1, y: 1}\n",
    )
    user = write(
        tmp_path / "user/ots/settings.yaml", "job:\n  site: B\n  engineer: B\n  plan: B\nvars: {y: 2.5}\n"
    )
    named = write(tmp_path / "named.yaml", "job: {engineer: C, plan: C}\n")
    monkeypatch.setenv("OTS_CONFIG", str(named))
    monkeypatch.setenv("OTS_JOB_PLAN", "D")
    settings = load()
    job = settings.job
    assert (job.customer, job.site, job.engineer, job.plan) == ("A", "B", "C", "D")
    assert settings.vars == {"x": "1", "y": "2.5"}
    assert settings.origin("job.customer") == f"{system}:1:17"
    assert settings.origin("job.site") == f"{user}:2:9"
    assert settings.origin("job.engineer") == f"{named}:1:17"
    assert settings.origin("job.plan") == "environment OTS_JOB_PLAN"
    assert settings.origin("vars.y") == f"{user}:5:11"


def test_units_and_types(tmp_path: Path) -> None:
    """Sizes and ages have units; null takes a cap away."""
    write(
        tmp_path / "user/ots/settings.yaml",
        "retention: {max_size: null, max_age: 30 d}\nlanguage: zh\ndata_dir: ~/d\n",
    )
    settings = load()
    assert (settings.retention.max_size, settings.retention.max_age) == (None, 30 * 86400.0)
    assert settings.language == "zh"
    assert settings.data_dir == tmp_path / "home" / "d" == config.data_dir()


def test_every_fault_with_its_place(tmp_path: Path) -> None:
    """All faults of a file come at once, each with file, line and column."""
    path = write(
        tmp_path / "user/ots/settings.yaml",
        "langage: zh\njob:\n  client: A\nretention:\n  max_size: 5\nvars: [a]\ninterface: 7\n",
    )
    with pytest.raises(SettingsError) as faults:
        load()
    assert str(faults.value).splitlines() == [
        f"{path}:7:12: interface: Input should be a valid string",
        f"{path}:3:11: job.client: there is no such setting; did you mean job.site?",
        f"{path}:5:13: retention.max_size: 5 has no unit",
        f"{path}:6:7: vars: Input should be a valid dictionary",
        f"{path}:1:10: langage: there is no such setting; did you mean language?",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"- a\n- b\n", "s.yaml:1:1: settings are `name: value`"),
        (b"job: {a: 1, a: 2}\n", "s.yaml:1:13: the key 'a' stands twice: first in line 1"),
        (b"[" * 100_000, "s.yaml:1:25: nested deeper than 24 levels"),
    ],
)
def test_text_that_is_no_settings_file(text: bytes, message: str) -> None:
    """Broken and hostile text gives one line with its place."""
    with pytest.raises(SettingsError) as fault:
        parse(text, "s.yaml")
    assert str(fault.value) == message


@pytest.mark.parametrize("text", [b"", b"\n\n", b"# nothing yet\n", b"job:\n", b"vars: {}\n"])
def test_file_that_states_nothing(text: bytes) -> None:
    """Comments and empty sections are fine."""
    assert parse(text, "s.yaml") == {}


def test_missing_file_that_was_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file named in OTS_CONFIG must exist."""
    monkeypatch.setenv("OTS_CONFIG", str(tmp_path / "no.yaml"))
    with pytest.raises(SettingsError, match=r"no\.yaml: OTS_CONFIG names this file"):
        load()


@pytest.mark.parametrize(
    ("value", "expected"), [("zh_CN.UTF-8", "zh"), ("en_US", "en"), ("de_DE", None), ("C", None)]
)
def test_language_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, value: str, expected: str | None
) -> None:
    """OTS_LANG may look like a locale; one that we don't speak is not a fault."""
    monkeypatch.setenv("OTS_LANG", value)
    assert load().language == expected


def test_change_keeps_everything_else(tmp_path: Path) -> None:
    """Setting, replacing and taking out touch one line; comments and order stay."""
    path = write(tmp_path / "s.yaml", "# ours\njob:\n    site: north  # the hall\n\nlanguage: en\n")
    change(path, "job.customer", "ACME: 中")
    change(path, "language", "zh")
    change(path, "vars.server", "http://127.0.0.1:8080")
    change(path, "vars.count", "3")
    change(path, "job.site", None)
    assert path.read_text("utf-8") == (
        '# ours\njob:\n    customer: "ACME: 中"\n\nlanguage: "zh"\nvars:\n  count: "3"\n'
        '  server: "http://127.0.0.1:8080"\n'
    )
    change(path, "vars.count", None)
    change(path, "vars.server", None)
    assert "server" not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("colour", "red", "there is no setting 'colour'"),
        ("vars", "1", "vars is a section"),
        ("language", "de", "language: Input should be 'en' or 'zh'"),
        ("retention.max_size", "5", "5 has no unit"),
        ("job.site", "x", "can't be changed where it stands"),
    ],
)
def test_change_that_is_refused_writes_nothing(tmp_path: Path, name: str, value: str, message: str) -> None:
    """An unknown name, a wrong value and a form that can't be edited leave the file as it was."""
    text = "job: {site: north, plan: p}\n"
    path = write(tmp_path / "s.yaml", text)
    with pytest.raises(SettingsError, match=message):
        change(path, name, value)
    assert path.read_text() == text


def test_agent_id_is_made_once(tmp_path: Path) -> None:
    """A random UUID, private, the same ever after; deleting the file resets it."""
    first = agent_id(tmp_path / "data")
    assert uuid.UUID(first).version == 4
    assert agent_id(tmp_path / "data") == first
    path = tmp_path / "data" / "agent-id"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["agent-id"]
    path.unlink()
    assert agent_id(tmp_path / "data") != first


def test_agent_id_file_with_something_else(tmp_path: Path) -> None:
    """A spoilt id is told, and not replaced behind the user's back."""
    write(tmp_path / "agent-id", "hello")
    with pytest.raises(SettingsError, match="no agent id: 'hello'"):
        agent_id(tmp_path)


def test_secret_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment first, then a private file of the user's."""
    path = write(tmp_path / "user/ots/secrets/mail.example", "from-file\nmore\n")
    path.chmod(0o600)
    assert SecretStore().get("mail.example") == "from-file"
    assert variable_of("mail.example") == "OTS_SECRET_MAIL_EXAMPLE"
    monkeypatch.setenv("OTS_SECRET_MAIL_EXAMPLE", "from-environment")
    assert SecretStore().get("mail.example") == "from-environment"


def test_secret_by_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`env:` and `file:` name the source themselves; what was found is remembered."""
    path = write(tmp_path / "pw", "in-a-file")
    path.chmod(0o400)
    monkeypatch.setenv("SOME_PW", "in-the-environment")
    secrets = SecretStore()
    assert secrets.get("env:SOME_PW") == "in-the-environment"
    monkeypatch.delenv("SOME_PW")
    assert secrets.get("env:SOME_PW") == "in-the-environment"
    assert secrets.get(f"file:{path}") == "in-a-file"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_secret_that_others_can_read(tmp_path: Path, mode: int) -> None:
    """A file open to others is refused with the command that closes it."""
    path = write(tmp_path / "pw", "secret")
    path.chmod(mode)
    with pytest.raises(SecretError, match="others can read") as refused:
        SecretStore().get(f"file:{path}")
    assert refused.value.remedy == f"chmod 600 {path}"


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("mail", "the secret mail is not known here"),
        ("env:NOT_SET_ANYWHERE", "the variable NOT_SET_ANYWHERE is not set"),
        ("file:/nonexistent/pw", "can't be read: No such file"),
        ("../etc/passwd", "is no name of a secret"),
        ("", "is no name of a secret"),
    ],
)
def test_secret_that_is_not_there(reference: str, message: str) -> None:
    """Each way of not finding a secret is told, with a remedy, and never asks without a terminal."""
    with pytest.raises(SecretError, match=message) as missing:
        SecretStore().get(reference)
    assert missing.value.remedy


def test_secrets_never_reach_the_log(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A secret that was given out is blotted out of messages, arguments and tracebacks."""
    monkeypatch.setenv("OTS_SECRET_FTP", "hunter2-hunter2")
    value = SecretStore().get("ftp")
    logger = logging.getLogger("ots")
    before, level = list(logger.handlers), logger.level
    try:
        log.configure(2)
        log.configure(2)
        try:
            raise ValueError(f"login with {value}")
        except ValueError:
            logging.getLogger("ots.test").exception("tried %s", value)
    finally:
        logger.handlers[:] = before
        logger.setLevel(level)
    shown = capsys.readouterr().err
    assert "tried ***" in shown
    assert "login with ***" in shown
    assert "hunter2" not in shown
    assert shown.count("tried") == 1


@pytest.mark.parametrize(
    ("verbosity", "named", "expected"),
    [
        (0, "", "WARNING"),
        (1, "", "INFO"),
        (2, "", "DEBUG"),
        (0, "debug", "DEBUG"),
        (1, "error", "INFO"),
        (0, "x", "WARNING"),
    ],
)
def test_log_level(monkeypatch: pytest.MonkeyPatch, verbosity: int, named: str, expected: str) -> None:
    """-v and OTS_LOG: the more talkative one counts; a word that is no level is ignored."""
    monkeypatch.setenv("OTS_LOG", named)
    logger = logging.getLogger("ots")
    before, level = list(logger.handlers), logger.level
    try:
        log.configure(verbosity)
        assert logging.getLevelName(logger.level) == expected
    finally:
        logger.handlers[:] = before
        logger.setLevel(level)


def test_user_folders_are_those_of_platformdirs(monkeypatch: pytest.MonkeyPatch) -> None:
    """What we work out for Linux ourselves is what the library says, with and without the variables."""
    for variable in ("XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        for value in ("/srv/x", "", "  "):
            monkeypatch.setenv(variable, value)
            assert str(place.user_data_dir()) == platformdirs.user_data_dir("ots", appauthor=False)
            assert str(place.user_settings().parent) == platformdirs.user_config_dir("ots", appauthor=False)


def test_a_bad_value_is_told_by_its_setting(tmp_path: Path) -> None:
    """Not by a line of a file that was never written."""
    path = tmp_path / "user/ots/settings.yaml"
    with pytest.raises(SettingsError) as fault:
        change(path, "retention.max_size", "abc")
    assert str(fault.value) == "retention.max_size: 'abc' is no size: write it like 10 MB"
    assert not path.exists()


def test_an_unknown_setting_is_answered_with_those_there_are(tmp_path: Path) -> None:
    """Variables among them, which have no closed list."""
    with pytest.raises(SettingsError) as fault:
        change(tmp_path / "settings.yaml", "no.such", "1")
    assert listed() in fault.value.remedy
    assert listed().endswith(", vars.NAME")
