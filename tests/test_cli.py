"""The commands against live services: what they print, where, and the exit codes that scripts rely on."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Services, entry
from patience import PATIENCE_S
from shell import Shell, hub, shell
from wayward import Reply, wayward

__all__ = ["hub", "shell"]  # fixtures


@pytest.mark.parametrize(("status", "is_up"), [(200, True), (401, True), (502, False)])
def test_status_behind_one_address_for_both(tmp_path: Path, status: int, is_up: bool) -> None:
    """A proxy asks the query port for /health: whether ingest is up is told by what it says to a batch of nothing."""
    with wayward() as proxy:
        proxy.judge = lambda request: (
            Reply(status, b"<html>") if request.path == "/ingest" else Reply(200, {"status": "healthy", "entries": 0})
        )
        shell = Shell(tmp_path, proxy.url)
        told, found = (json.loads(ended.stdout) for ended in shell.run_each(("status", "--json"), ("doctor", "--json")))
    assert {name: one["up"] for name, one in told["services"].items()} == {"ingest": is_up, "query": True}
    (ingest,) = [one for one in found["findings"] if one["name"] == "ingest"]
    assert ingest["level"] == ("ok" if is_up else "problem")


def test_commands_say_where_a_redirect_leads(tmp_path: Path) -> None:
    """A proxy that wants https answers with 301 and a page: each command names the address to use."""
    with wayward() as proxy:
        proxy.judge = lambda request: Reply(301, b"<html>", {"Location": f"https://hub.example{request.path}"})
        shell = Shell(tmp_path, proxy.url)
        for words in (("list",), ("send", "->", "SH", "a", "b", "--id", "c"), ("status",), ("doctor",)):
            ended = shell.run(*words)
            assert ended.returncode != 0
            assert "moved to https://hub.example/" in ended.stdout + ended.stderr, words


def test_status_tells_both_services_and_what_they_hold(shell: Shell, hub: Services) -> None:
    """From either port, for people and for programs; exit code 0."""
    told = json.loads(shell.run("status", "--json", "--url", hub.query_url).stdout)
    assert told["up"] is True
    assert told["services"]["ingest"]["url"] == hub.ingest_url
    assert told["services"]["query"]["url"] == hub.query_url
    assert told["stats"]["retention_hours"] == 24
    shell.store(entry(correlation_id="held"))
    shown = shell.run("tracehub", "status", program="kbc")
    assert shown.returncode == 0
    assert "rate      0.0 " not in shown.stdout  # one in the last minute is more than none
    assert "entries" in shown.stdout and hub.query_url in shown.stdout


def test_status_tells_why_nothing_is_taken_in(services: Services, tmp_path: Path) -> None:
    """In the words of the query service, which knows where the other port says nothing."""
    for name in ("ingest_svc", "query_svc"):
        services.start(name)
    services.kill("ingest_svc")
    shown = Shell(tmp_path, services.query_url).run("status")
    assert shown.returncode == 3
    assert f"takes in nothing: no ingest service has {services.db}" in " ".join(shown.stdout.split())


def test_a_chain_is_shown_nested_with_what_is_open(shell: Shell) -> None:
    """Offsets, durations, the error that data report, and the entry without an exit with its age."""
    chain = {"correlation_id": "nested"}
    shell.store(
        entry(**chain, source_id="MA", timestamp=1000.0, endpoint="/order"),
        entry(**chain, source_id="WK", timestamp=1002.0, endpoint="/pay"),
        entry(**chain, source_id="WK", timestamp=1252.0, endpoint="/pay", direction="<-", data={"error": "declined"}),
        entry(**chain, source_id="SP", timestamp=1300.0, endpoint="/ship"),
    )
    shown = shell.run("show", "nested")
    lines = shown.stdout.splitlines()
    (pay,) = [line for line in lines if "REST /pay" in line and "declined" in line]
    assert "2.0ms" in pay and "250ms" in pay and "┊  WK" in pay
    assert lines[0].startswith("nested  open, 1 err  ")
    assert [line for line in lines if line.startswith("open  SP -> REST /ship  since ")]
    assert shell.run("trace", "show", "nested", program="kbc").stdout == shown.stdout
    assert json.loads(shell.run("show", "nested", "--json").stdout)["count"] == 4


def test_one_of_many_hosts(shell: Shell) -> None:
    """Of a call to several hosts of a source, the one is named that has not answered."""
    call = {"correlation_id": "fanned-out", "source_id": "WS", "endpoint": "/part"}
    shell.store(*(entry(**call, hostname=f"ws-{number}") for number in range(3)))
    shell.store(*(entry(**call, hostname=f"ws-{number}", direction="<-") for number in (0, 2)))
    assert "open  WS -> REST /part on ws-1  since " in shell.run("show", "fanned-out").stdout


def test_an_unknown_chain_is_exit_code_1(shell: Shell) -> None:
    """With one line on standard error and nothing on standard output."""
    shown = shell.run("show", "nobody")
    assert (shown.returncode, shown.stdout) == (1, "")
    assert shown.stderr.startswith("no entries for nobody")


def test_the_start_of_an_id_will_do(shell: Shell) -> None:
    """Where one chain alone begins so; else those that do are named. For programs an id is whole."""
    shell.store(entry(correlation_id="alpha-1"), entry(correlation_id="alpha-2"), entry(correlation_id="beta-1"))
    shell.store(*(entry(correlation_id=f"not-beta-{number}") for number in range(20)))
    assert shell.run("show", "beta").stdout.startswith("beta-1  open")
    several = shell.run("show", "alpha")
    assert (several.returncode, several.stdout) == (1, "")
    assert "begin so" in several.stderr
    assert several.stderr.split()[-2:] == ["alpha-2", "alpha-1"]
    assert shell.run("show", "beta", "--json").returncode == 1


def test_one_source_of_an_incomplete_chain_is_not_blamed(shell: Shell) -> None:
    """What hangs in another source is told as such, and not as a missing entry."""
    chain = {"correlation_id": "partly-1", "endpoint": "/pay"}
    shell.store(entry(**chain, source_id="SH"), entry(**chain, source_id="PY"))
    shell.store(entry(**chain, source_id="SH", direction="<-"))
    here, there = shell.run_each(*(("show", "partly-1", "--source", name) for name in ("SH", "PY")))
    assert here.stdout.startswith("partly-1  incomplete elsewhere")
    assert there.stdout.startswith("partly-1  open")


def test_recent_chains_are_listed(shell: Shell) -> None:
    """`kiberos trace list`, `kbc trace show` and `tracehub list` give the same."""
    shell.store(entry(correlation_id="listed"))
    shown = shell.run("list")
    assert "listed" in shown.stdout and "open" in shown.stdout
    for program, words in (("kiberos", ("trace", "list")), ("kbc", ("trace", "show"))):
        assert shell.run(*words, program=program).stdout == shown.stdout
    assert json.loads(shell.run("list", "--json", "--grep", "listed").stdout)["count"] == 1
    assert not [line for line in shown.stdout.splitlines() if line.endswith(" ")]  # a pipe gets no padding
    assert shell.run("list", "--grep", "no such id").stderr == "no chain matches\n"


def test_an_exit_without_entry_is_not_called_open(shell: Shell) -> None:
    """Where nothing waits for an exit, `show` and `list` say that an entry is missing."""
    step = {"correlation_id": "alone-1", "source_id": "MA"}
    shell.store(entry(**step), entry(**step, direction="<-"), entry(**step, direction="<-"))
    assert shell.run("show", "alone-1").stdout.startswith("alone-1  no entry")
    assert "no entry" in shell.run("list", "--grep", "alone-1").stdout


def test_the_id_in_force_is_the_environments_else_the_saved_one(shell: Shell) -> None:
    """`new` saves and exports; `current` exits with 1 and a hint when there is none."""
    none = shell.run("trace", "current", program="kiberos")
    assert (none.returncode, none.stdout) == (1, "")
    assert "tracehub new --export" in none.stderr
    export = shell.run("new", "--export", "it's 1").stdout
    assert export == "export TRACEHUB_CORRELATION_ID='it'\"'\"'s 1'\n"
    assert shell.run("current").stdout == "it's 1\n"
    assert shell.run("current", TRACEHUB_CORRELATION_ID="other").stdout == "other\n"
    assert len(shell.run("new").stdout.strip()) == 32


def test_send_stores_a_checkpoint(shell: Shell) -> None:
    """Arrow and word, data as pairs and as JSON, secrets masked, in the id that is in force."""
    assert shell.run("send", "->", "SH", "backup", "/var").returncode == 2
    shell.run("new", "run-1")
    assert shell.run("send", "->", "SH", "backup", "/var", "--data", "n=3", "--data", "password=x").returncode == 0
    assert shell.run("send", "exit", "SH", "backup", "/var", "--data", '{"ok": true}').returncode == 0
    first, second = shell.stored("run-1")
    assert (first["direction"], first["data"]["n"]) == ("->", 3)
    assert first["data"]["password"] != "x"
    assert (second["direction"], second["data"]) == ("<-", {"ok": True})


def test_a_value_that_is_a_number_of_no_double_is_sent_as_its_text(shell: Shell) -> None:
    """Such as the short hash of a commit."""
    assert shell.run("send", "->", "SH", "deploy", "web", "--id", "hash", "--data", "commit=12e4567").returncode == 0
    assert [entry["data"] for entry in shell.stored("hash")] == [{"commit": "12e4567"}]


def test_an_id_that_is_no_text_is_found_as_it_was_sent(shell: Shell) -> None:
    """A byte that is not UTF-8 is sent, and asked for, as the mark for what cannot be shown."""
    id = os.fsdecode(b"caf\xe9")
    assert shell.run("send", "->", "SH", "backup", "/var", "--id", id).returncode == 0
    for words in (("show",), ("export",), ("wait", "--until", "SH ->"), ("list", "--json", "--grep")):
        ended = shell.run(*words, id)
        assert (ended.returncode, ended.stderr.count("\n")) in ((0, 0), (0, 1))
    assert json.loads(ended.stdout)["correlations"][0]["correlation_id"] == "caf\ufffd"


@pytest.mark.parametrize("no_color", [False, True])
def test_nothing_that_a_terminal_obeys_reaches_it(shell: Shell, no_color: bool) -> None:
    """Whatever an entry holds, the only escapes are our own colours, and NO_COLOR takes even these."""
    evil = "\x1b]0;x\x07\x9b2J\x7f\u202e\r\n"
    id = f"evil{no_color}{evil}"
    shell.store(
        entry(correlation_id=id, source_id=evil, operation=evil, endpoint=evil, hostname=evil, data={evil: evil})
    )
    environ = {"NO_COLOR": "1"} if no_color else {}
    for words in (("show", id, "-v"), ("list",), ("show", id, "--json")):
        shown = shell.on_terminal(*words, **environ)
        assert "\\x1b" in shown or "\\u001b" in shown
        bare = shown if no_color else re.sub("\x1b\\[[0-9;]*m", "", shown)
        assert not set(bare.replace("\r\n", "")) & set("\x1b\x07\x9b\x7f\u202e\r\n")


def test_the_server_that_is_away_is_exit_code_69(shell: Shell) -> None:
    """In one line, whatever the command; `status` exits with 3."""
    nowhere = {"TRACEHUB_URL": "http://127.0.0.1:9"}
    commands = (("show",), ("list",), ("show", "x"), ("send", "->", "SH", "a", "b", "--id", "c"))
    for ended in shell.run_each(*commands, **nowhere):
        assert (ended.returncode, ended.stdout, len(ended.stderr.splitlines())) == (69, "", 1)
        assert "http://127.0.0.1:9" in ended.stderr
    assert shell.run("status", **nowhere).returncode == 3


def test_the_click_of_python_3_9_will_do() -> None:
    """It has no error of its own for a command without arguments."""
    code = """
import sys, click
del click.exceptions.NoArgsIsHelpError
sys.argv = ["tracehub", "show", "x", "--url", "http://127.0.0.1:9"]
from tracehub.cli import tracehub
tracehub()
"""
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert (ended.returncode, ended.stderr.count("\n")) == (69, 1)


def test_another_server_at_the_address_is_one_line(shell: Shell) -> None:
    """Where JSON comes that no TraceHub answers with, the command says so, whatever it asked for."""
    with wayward() as other:
        other.judge = lambda _: Reply(200, {})
        commands = (("show",), ("list",), ("show", "x"), ("tail", "--last", "3"), ("export", "--all"))
        for ended in shell.run_each(*commands, TRACEHUB_URL=other.url):
            assert (ended.returncode, ended.stdout, len(ended.stderr.splitlines())) == (69, "", 1), ended.stderr
            assert "not the answer of a TraceHub" in ended.stderr
        other.judge = lambda _: Reply(404, {})
        for ended in shell.run_each(("list",), ("send", "->", "SH", "a", "b", "--id", "c"), TRACEHUB_URL=other.url):
            assert (ended.returncode, ended.stdout, len(ended.stderr.splitlines())) == (69, "", 1), ended.stderr
            assert other.url in ended.stderr


@pytest.mark.parametrize(
    "address",
    [
        "ftp://x",
        "http://",
        "http://:8099",
        "http://[bad",
        "http://localhost:99999",
        "http://local host:9",
        "http://localhost:9/a b",
        "http://localhost:9/\x1b[2J",
    ],
)
def test_an_address_that_is_none_is_wrong_use(shell: Shell, address: str) -> None:
    """In one line, whatever the command asks first; a server that is away is something else."""
    commands = (("list",), ("status",), ("doctor",), ("tail",), ("send", "->", "SH", "a", "b", "--id", "c"))
    for ended in shell.run_each(*commands, TRACEHUB_URL=address):
        assert (ended.returncode, ended.stdout, len(ended.stderr.splitlines())) == (2, "", 1), ended
        assert address.rstrip("/").replace("\x1b", "\\x1b") in ended.stderr


def test_a_secret_that_no_header_carries_is_wrong_use(shell: Shell) -> None:
    """As one copied with two lines of its file; no port is asked, and the secret is not shown."""
    commands = (("list",), ("status",), ("doctor",), ("tail",), ("send", "->", "SH", "a", "b", "--id", "c"))
    two = dict.fromkeys(("TRACEHUB_SECRET", "TRACEHUB_QUERY_SECRET"), "half\nother half")
    for ended in shell.run_each(*commands, **two):
        assert (ended.returncode, ended.stdout, len(ended.stderr.splitlines())) == (2, "", 1), ended
        assert "line break" in ended.stderr and "half" not in ended.stderr


def test_wrong_use_is_exit_code_2_in_one_line(shell: Shell) -> None:
    """And says where help is."""
    unfinished = ("list", "--url")
    for ended in shell.run_each(
        ("show", "--nope"), ("nope",), ("send", "up", "SH", "a", "b"), ("show", ""), unfinished
    ):
        assert (ended.returncode, ended.stdout, len(ended.stderr.splitlines())) == (2, "", 1)
        assert "--help" in ended.stderr
    for words in (("send", "->", "", "a", "b", "--id", "x"), ("send", "->", "SH", "a", "b", "--id", "")):
        assert (shell.run(*words).returncode, shell.run(*words).stdout) == (2, "")


@pytest.mark.parametrize("number", ["1_0", "\u0665", "1e1", "many", "0"])
def test_a_number_that_is_none_is_wrong_use(shell: Shell, number: str) -> None:
    """Digits are those of settings, and nothing else that Python would read."""
    for ended in shell.run_each(("list", "-n", number), ("wait", "x", "--timeout", number)):
        assert (ended.returncode, ended.stdout, len(ended.stderr.splitlines())) == (2, "", 1), ended


def test_a_port_that_is_none_is_exit_code_2(shell: Shell) -> None:
    """The variable is named, and no other port is asked instead."""
    for ended in shell.run_each(("status",), ("list",), TRACEHUB_URL="", TRACEHUB_QUERY_PORT="8l00"):
        assert (ended.returncode, ended.stdout, len(ended.stderr.splitlines())) == (2, "", 1)
        assert "TRACEHUB_QUERY_PORT='8l00'" in ended.stderr


def test_a_directory_that_is_gone_is_named(shell: Shell, tmp_path: Path) -> None:
    """The one that a path without a slash is meant in."""
    ended = shell.run_in(f"mkdir {tmp_path}/gone; cd {tmp_path}/gone; rmdir {tmp_path}/gone", "snapshot", "a.db")
    assert (ended.returncode, ended.stderr) == (1, "tracehub: the current directory: No such file or directory\n")
