"""`ots report`, `link`, `doctor`, `config` as a user runs them, and what the kernel says of this machine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from bench.report_list import bare, fill, listing
from ots.model.outcome import Verdict
from ots.netio.attachment.interface import interfaces
from ots.netio.attachment.routing import way_to
from ots.netio.attachment.snapshot import egress_interface
from ots.store import Store
from tests.command_line import CommandLine
from tests.store_kit import finish, make_report, make_step


@pytest.fixture
def ots(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


@pytest.fixture
def filled(ots: CommandLine) -> CommandLine:
    """A data folder with four finished reports, the last of 4 March, and a run that was killed."""
    verdicts: tuple[Verdict, ...] = ("pass", "fail", "warn", "measured")
    with Store.open(ots.folder / "data") as store:
        for day, verdict in enumerate(verdicts, 1):
            report = make_report(f"2026-03-0{day}T08:00:00.000000Z", job=f"HZ-{day}")
            finish(store, report, make_step(0, verdict), make_step(1, verdict), verdict=verdict)
        with store.begin(make_report("2026-02-01T08:00:00.000000Z", job="中文")) as writer:
            writer.step(0, make_step(0))
    return ots


def seqs(document: dict[str, list[dict[str, int]]]) -> list[int]:
    return [row["seq"] for row in document["reports"]]


def test_list(filled: CommandLine) -> None:
    """The newest first, filtered as asked, as text and as one JSON document."""
    assert seqs(filled.json("report", "list")) == [4, 3, 2, 1, 5]
    assert seqs(filled.json("report", "list", "--verdict", "fail")) == [2]
    assert seqs(filled.json("report", "list", "--job", "HZ-3")) == [3]
    assert seqs(filled.json("report", "list", "--since", "2026-03-03T00:00:00Z", "--limit", "1")) == [4]
    lines = filled.run("report", "list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["#4", "#3", "#2", "#1", "#5"]
    assert "fail" in lines[2]
    assert "killed" in lines[4]
    assert "中文" in lines[4]


def test_list_of_nothing(ots: CommandLine) -> None:
    """An empty store is no error."""
    done = ots.run("report", "list")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "no reports yet\n")
    assert ots.json("report", "list") == {"reports": []}


def test_list_imports_nothing_slow(filled: CommandLine) -> None:
    """Neither the codec, nor pydantic, rich, YAML or asyncio is loaded to list reports."""
    filled.run("report", "list")  # closes the killed run, for which the codec is needed once
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "ots", "report", "list"],
        env=filled.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "sqlite3" in loaded
    assert not loaded & {"msgspec", "pydantic", "rich", "yaml", "asyncio", "aiohttp", "psutil", "jinja2"}


def test_list_of_ten_thousand_is_quick(tmp_path: Path) -> None:
    """Within 0.3 s, or on a busy machine within 4.5 times what importing click and sqlite3 takes."""
    fill(tmp_path, 10_000)
    turns = [(listing(tmp_path, 10_000).figure, bare().figure) for _ in range(5)]
    assert any(listed < 300 or listed < 4.5 * beside for listed, beside in turns), turns


@pytest.mark.parametrize("reference", ["last", "-1", "4", "#4"])
def test_show(filled: CommandLine, reference: str) -> None:
    """Every way to name the newest report shows it; --json gives the stored bytes."""
    assert filled.json("report", "show", reference)["seq"] == 4
    done = filled.run("report", "show", reference)
    assert done.returncode == 0
    assert "#4" in done.stdout


def test_show_killed_report(filled: CommandLine) -> None:
    """A run that was killed is readable, with the steps that had ended."""
    document = filled.json("report", "show", "5")
    assert (document["run"]["state"], document["run"]["reason"]) == ("aborted", "killed")
    assert len(document["steps"]) == 1
    assert filled.run("report", "show", "5").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["report", "show", "99"], "There is no report 99."),
        (["report", "show", "-9"], "There is no report -9."),
        (["report", "show", "nonsense"], "'nonsense' names no report"),
        (["report", "list", "--since", "yesterday-ish"], "'yesterday-ish' is neither a date"),
        (["report", "delete"], "name the reports to delete"),
        (["report", "delete", "1"], "1 reports would be deleted"),
        (["report", "export", "1", "--format", "nope"], "there is no report format 'nope'"),
        (["report", "export", "1", "--format", "../x"], "there is no report format '../x'"),
        (["link", "nope0"], "there is no interface 'nope0' here"),
        (["config", "get", "nope"], "there is no setting 'nope'"),
        (["config", "set", "nope", "1"], "there is no setting 'nope'"),
    ],
)
def test_wrong_usage(filled: CommandLine, arguments: list[str], message: str) -> None:
    """Exit 2 and one document with a sentence and its remedy."""
    done = filled.run(*arguments, "--json", stdin=subprocess.DEVNULL)
    assert done.returncode == 2
    document = json.loads(done.stdout)
    assert document["error"]["message"].startswith(message)
    assert document["error"]["remedy"]


def test_wrong_usage_in_words(filled: CommandLine) -> None:
    """Without --json the same goes to stderr, in two lines."""
    done = filled.run("report", "show", "99")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "There is no report 99.\n  → `ots report list` shows what there is.\n"
    done = filled.run("--lang", "zh", "report", "show", "99")
    assert done.stderr == "没有报告 99。\n  → 用 `ots report list` 查看已有的报告。\n"


def test_export(filled: CommandLine, tmp_path: Path) -> None:
    """JSON is what was stored, byte for byte; HTML and PDF are one file; a folder gets a name made for it."""
    with Store.open(tmp_path / "data") as store:
        stored = store.document(store.get("2"))
    target = tmp_path / "two.json"
    assert filled.run("report", "export", "2", "--format", "json", "--output", str(target)).returncode == 0
    assert target.read_bytes() == stored
    assert (
        filled.run("report", "export", "2", "--format", "json", "--output", "-").stdout.encode()
        == stored + b"\n"
    )
    done = filled.json("report", "export", "last", "--output", str(tmp_path))
    assert done["path"] == str(tmp_path / "4-office.html")
    assert (tmp_path / "4-office.html").read_text("utf-8").startswith("<!DOCTYPE html>")
    done = filled.json("report", "export", "last", "--format", "pdf", "--output", str(tmp_path))
    assert Path(done["path"]).name == "4-office.pdf"
    assert (tmp_path / "4-office.pdf").read_bytes().startswith(b"%PDF")
    unwritable = filled.run(
        "report", "export", "last", "--output", str(tmp_path / "no" / "such" / "folder.html")
    )
    assert unwritable.returncode == 7


def test_verify(filled: CommandLine, tmp_path: Path) -> None:
    """Untouched reports verify; a changed one is named, with exit 1."""
    assert filled.json("report", "verify") == {"checked": 5, "damaged": []}
    with Store.open(tmp_path / "data") as store, store.writing() as database:
        database.execute("UPDATE document SET body = zeroblob(10) WHERE id = 3")
    document = filled.json("report", "verify", code=1)
    assert [row["seq"] for row in document["damaged"]] == [3]


def test_delete(filled: CommandLine) -> None:
    """By reference and by age; numbers are not given again."""
    assert len(filled.json("report", "delete", "2", "-1", "--yes")["deleted"]) == 2
    assert seqs(filled.json("report", "list")) == [3, 1, 5]
    assert len(filled.json("report", "delete", "--before", "2026-03-02", "--yes")["deleted"]) == 2
    assert seqs(filled.json("report", "list")) == [3]


def test_unusable_store(ots: CommandLine, tmp_path: Path) -> None:
    """A data folder that is a file: exit 7, said in words."""
    (tmp_path / "data").write_text("not a folder")
    done = ots.run("report", "list")
    assert done.returncode == 7
    assert "can't be used" in done.stderr
    assert "OTS_DATA_DIR" in done.stderr


def test_broken_settings_are_told_everywhere(ots: CommandLine, tmp_path: Path) -> None:
    """A settings file with a fault gives its place, whichever command meets it."""
    path = tmp_path / "config" / "ots" / "settings.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("job: {client: A}\n")
    for arguments in (["config", "show"], ["ping", "127.0.0.1"], ["link"]):
        done = ots.run(*arguments)
        assert done.returncode == 2, arguments
        assert f"{path}:1:15: job.client: there is no such setting" in done.stderr
    doctor = ots.run("doctor")
    assert doctor.returncode == 1
    assert "job.client" in doctor.stdout


def test_config_round_trip(ots: CommandLine, tmp_path: Path) -> None:
    """What is set is shown with its origin, and gone after it is unset; the environment wins visibly."""
    path = tmp_path / "config" / "ots" / "settings.yaml"
    assert ots.json("config", "set", "job.customer", "ACME")["path"] == str(path)
    assert ots.json("config", "get", "job.customer") == {
        "name": "job.customer",
        "value": "ACME",
        "origin": f"{path}:2:13",
    }
    hidden = ots.run("config", "set", "job.customer", "B", env={"OTS_JOB_CUSTOMER": "C"})
    assert "no effect here: environment OTS_JOB_CUSTOMER" in hidden.stderr
    assert ots.run("config", "get", "job.customer").stdout == "B\n"
    assert ots.run("config", "unset", "job.customer").returncode == 0
    rows = {row["name"]: row for row in ots.json("config", "show")["settings"]}
    assert rows["job.customer"] == {"name": "job.customer", "value": None, "origin": "default"}
    assert rows["data_dir"]["origin"] == "environment OTS_DATA_DIR"
    assert {"path": str(path), "exists": True} in ots.json("config", "path")["files"]


def test_link_shows_every_interface_and_address(ots: CommandLine) -> None:
    """Picture and document hold what another library says of this machine."""
    document = ots.json("link", "lo")
    assert document["network"]["type"] == "loopback"
    addresses = {entry["ip"] for link in document["interfaces"] for entry in link["addresses"]}
    expected = {
        entry.address.partition("%")[0]
        for entries in psutil.net_if_addrs().values()
        for entry in entries
        if entry.family.name in ("AF_INET", "AF_INET6")
    }
    assert addresses == expected
    shown = ots.run("link").stdout
    assert all(name in shown for name in psutil.net_if_addrs())
    assert all(address in shown for address in expected)


def test_doctor(ots: CommandLine) -> None:
    """Every finding has a state; what is wrong has a remedy; the exit code follows."""
    done = ots.run("doctor", "--json")
    document = json.loads(done.stdout)
    findings = document["findings"]
    assert {"settings", "reports", "clock", "IPv4", "IPv6", "DNS", "ICMP", "ping"} <= {
        finding["subject"] for finding in findings
    }
    assert all(finding["remedy"] for finding in findings if finding["state"] == "fail")
    assert done.returncode == (1 if document["counts"]["fail"] else 0)


def test_kernel_agrees_with_itself() -> None:
    """Interfaces, MTU and counters as psutil reads them; the loopback reaches itself."""
    found = {link.name: link for link in interfaces()}
    stated = psutil.net_if_stats()
    assert set(found) == set(stated)
    assert {name: link.mtu for name, link in found.items()} == {
        name: facts.mtu for name, facts in stated.items()
    }
    counters = psutil.net_io_counters(pernic=True)
    lo = found["lo"]
    assert lo.received_bytes is not None
    assert lo.received_bytes <= counters["lo"].bytes_recv
    assert egress_interface("127.0.0.1") == egress_interface("::1") == "lo"
    assert way_to("127.0.0.9").source == "127.0.0.1"
